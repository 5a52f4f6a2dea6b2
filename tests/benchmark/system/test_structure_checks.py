"""Checks of structures: units, copies, and numbers in their info."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.benchmark.system.structure_checks import bond_ratio, check_units, copies_in, fault_of, number_in
from amsbench.errors import AmsbenchError

CRYSTALS = {
    "silicon": bulk("Si", "diamond", a=5.431, cubic=True),
    "caesium": bulk("Cs", "bcc", a=6.14, cubic=True),
    "copper": bulk("Cu", "fcc", a=3.61, cubic=True),
    "salt": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    "caesium iodide": bulk("CsI", "cesiumchloride", a=4.567, cubic=True),
    "diamond": bulk("C", "diamond", a=3.567, cubic=True),
    "lead": bulk("Pb", "fcc", a=4.95, cubic=True),
    "ice": Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[3.1] * 3, pbc=True),
}


def scaled(atoms, factor):
    copy = atoms.copy()
    copy.set_cell(copy.cell * factor, scale_atoms=True)
    return copy


@pytest.mark.parametrize("name", CRYSTALS)
def test_lengths_in_angstrom_are_told_from_bohr_and_nanometres(name):
    atoms = CRYSTALS[name]
    check_units([atoms], name)
    with pytest.raises(
        AmsbenchError, match=f"in {name} most atoms have no neighbour within 1.5 bond lengths"
    ):
        check_units([scaled(atoms, 1 / 0.529177)] * 2, name)
    with pytest.raises(
        AmsbenchError, match=f"in {name} most atoms are closer to another than 0.4 bond lengths"
    ):
        check_units([scaled(atoms, 0.1)] * 2, name)


def test_one_bad_structure_says_nothing_about_the_units():
    silicon = CRYSTALS["silicon"]
    check_units([scaled(silicon, 3), silicon, scaled(silicon, 0.1)], "a.xyz")
    check_units([], "a.xyz")


def test_noble_gases_have_no_bonds():
    check_units([bulk("Ar", "fcc", a=5.26, cubic=True)], "argon")


def test_the_ratio_of_silicon_is_that_of_its_bond():
    assert bond_ratio(CRYSTALS["silicon"]) == pytest.approx(5.431 * 3**0.5 / 4 / (2 * 1.11), rel=1e-9)


def test_copies_are_recognised_through_rounding_and_periods():
    atoms = CRYSTALS["salt"].repeat(2)
    atoms.rattle(0.1, seed=1)
    moved = atoms.copy()
    moved.positions += atoms.cell.array.sum(axis=0) + 1e-9
    other = atoms.copy()
    other.positions[3, 0] += 0.01
    swapped = atoms.copy()
    swapped.symbols[0] = "K"
    assert copies_in([atoms, other, moved, swapped, other]) == {2: 0, 4: 1}


def test_copies_of_faulty_structures_are_copies(recwarn):
    lost = CRYSTALS["salt"].copy()
    lost.positions[0, 0] = np.nan
    assert copies_in([Atoms(), Atoms(), lost, lost.copy()]) == {1: 0, 3: 2}
    assert not recwarn


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("high", "is no number: 'high'; write one number"),
        (True, "is no number: 'True'"),
        (np.bool_(False), "is no number"),
        (np.array([1.0, 2.0]), "is no number"),
        ([1.0], "is no number"),
        (None, "is no number"),
        (1 + 2j, "is no number"),
        (-1e308, "an infinite 'key'"),
        (np.inf, "an infinite 'key'"),
    ],
)
def test_a_label_is_one_number(value, words):
    with pytest.raises(AmsbenchError, match=f"structure 4 has a.* {words}" if "inf" not in words else words):
        number_in(Atoms(info={"key": value}), "key", "structure 4", "")


def test_numbers_of_every_kind_are_numbers():
    for value in (2, 2.0, np.float32(2), np.int64(2), np.array(2.0)):
        assert number_in(Atoms(info={"key": value}), "key", "a", "") == 2.0
    assert np.isnan(number_in(Atoms(info={"key": np.nan}), "key", "a", ""))
    with pytest.raises(AmsbenchError, match="a has no 'ring_size' in its info, which holds key; write it"):
        number_in(Atoms(info={"key": 1.0}), "ring_size", "a", "write it")


def test_a_sound_structure_has_no_fault():
    assert all(fault_of(atoms) is None for atoms in CRYSTALS.values())
    assert fault_of(Atoms("X", cell=[5] * 3, pbc=True)) == (
        "has an atom of no element (X); give every atom its element"
    )


def test_cells_that_no_neighbour_search_survives_are_faults():
    atoms = Atoms("Si", [[0, 0, 0]], cell=[10.0, 1e15, 10.0], pbc=True)
    assert "a lattice vector of more than 1e+06 A" in fault_of(atoms)
    empty = Atoms(cell=[10.0] * 3, pbc=True)
    assert fault_of(empty) == "has no atoms"
    assert fault_of(empty, may_be_empty=True) is None
    empty.cell[0, 0] = np.nan
    assert "not finite numbers" in fault_of(empty, may_be_empty=True)
