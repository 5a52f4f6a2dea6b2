"""Descriptors of structures against values of crystals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from amsbench.errors import AmsbenchError
from amsbench.metrics.descriptors import has_overlap, structure_facts


def minimum_distance(atoms):
    (facts,) = structure_facts([atoms])
    return facts.minimum_distance


def quartz():
    return crystal(
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.7855)],
        spacegroup=154,
        cellpar=[4.9137, 4.9137, 5.4047, 90, 90, 120],
    )


def test_quartz_has_its_tabulated_density_and_coordination():
    (facts,) = structure_facts([quartz()], cutoffs={"Si-O": 2.3, "Si-Si": 3.2})
    assert facts.n_atoms == 9
    assert facts.element_fractions == {"O": pytest.approx(2 / 3), "Si": pytest.approx(1 / 3)}
    assert facts.mass_density == pytest.approx(2.648, abs=0.005)
    assert facts.coordination == {"Si-O": {4: 3}, "O-Si": {2: 6}, "Si-Si": {4: 3}}
    assert facts.mean_coordination("Si-O") == 4.0
    assert facts.minimum_distance == pytest.approx(1.61, abs=0.01)


def test_diamond_silicon():
    (facts,) = structure_facts([bulk("Si", "diamond", a=5.431)], cutoffs={"Si-Si": 2.9})
    assert facts.mass_density == pytest.approx(2.329, abs=0.002)
    assert facts.number_density == pytest.approx(8 / 5.431**3)
    assert facts.minimum_distance == pytest.approx(np.sqrt(3) / 4 * 5.431)
    assert facts.coordination["Si-Si"] == {4: 2}


def test_facts_do_not_change_with_the_supercell():
    (single,) = structure_facts([quartz()], cutoffs={"Si-O": 2.3})
    (supercell,) = structure_facts([quartz() * (2, 1, 2)], cutoffs={"Si-O": 2.3})
    assert supercell.n_atoms == 4 * single.n_atoms
    assert supercell.element_fractions == pytest.approx(single.element_fractions)
    for name in ("mass_density", "number_density", "minimum_distance"):
        assert getattr(supercell, name) == pytest.approx(getattr(single, name))
    assert supercell.coordination == {"Si-O": {4: 12}, "O-Si": {2: 24}}


@pytest.mark.parametrize("name", ["sc", "fcc", "bcc", "hcp"])
def test_a_lone_atom_is_as_far_from_others_as_its_images(name):
    # fcc and hcp reach the upper bound of the shortest distance, which is the cutoff of the search, exactly.
    atoms = bulk("Cu", name, a=2.5, **({"c": 2.5 * np.sqrt(8 / 3)} if name == "hcp" else {}))
    nearest = {"sc": 2.5, "fcc": 2.5 / np.sqrt(2), "bcc": 2.5 * np.sqrt(3) / 2, "hcp": 2.5}[name]
    assert minimum_distance(atoms) == pytest.approx(nearest)


def test_the_minimum_distance_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        cell = np.eye(3) * 4 + rng.normal(scale=1.0, size=(3, 3))
        atoms = Atoms(["Si"] * 5, positions=rng.random((5, 3)) @ cell, cell=cell, pbc=True)
        images = atoms * (7, 7, 7)
        # Distances from the atoms of the middle cell, with three cells in every direction.
        middle = np.arange(5) + 5 * (3 * 49 + 3 * 7 + 3)
        distances = np.linalg.norm(images.positions[middle][:, None] - images.positions[None], axis=2)
        assert minimum_distance(atoms) == pytest.approx(np.sort(distances, axis=1)[:, 1].min())


def test_overlap_is_seen_across_the_boundary():
    apart = Atoms("SiO", positions=[(0.2, 1, 1), (2.0, 1, 1)], cell=[8] * 3, pbc=True)
    close = Atoms("SiO", positions=[(0.2, 1, 1), (7.7, 1, 1)], cell=[8] * 3, pbc=True)
    image = Atoms("Si", positions=[(0, 0, 0)], cell=[0.9, 8, 8], pbc=True)
    assert [has_overlap(atoms) for atoms in (apart, close, image)] == [False, True, True]
    assert not any(has_overlap(atoms, 0.4) for atoms in (apart, close, image))
    assert not has_overlap(Atoms(cell=[8] * 3, pbc=True))


def test_coordination_is_counted_in_both_directions_of_a_pair():
    # One C between two O, as in CO2, and an isolated O.
    atoms = Atoms("OCOO", positions=[(0, 5, 5), (1.2, 5, 5), (2.4, 5, 5), (8, 8, 8)], cell=[12] * 3, pbc=True)
    (facts,) = structure_facts([atoms], cutoffs={"C-O": 1.5, "O-O": 2.5, "Si-O": 2.0})
    assert facts.coordination["C-O"] == {2: 1}
    assert facts.coordination["O-C"] == {0: 1, 1: 2}
    assert facts.coordination["O-O"] == {0: 1, 1: 2}
    assert facts.coordination["Si-O"] == {}
    assert facts.mean_coordination("Si-O") is None
    assert facts.mean_coordination("O-C") == pytest.approx(2 / 3)


def test_long_coordination_cutoffs_do_not_change_the_minimum_distance():
    (facts,) = structure_facts([quartz()], cutoffs={"Si-O": 2.3, "Si-Si": 6.0})
    assert facts.minimum_distance == minimum_distance(quartz())
    assert facts.mean_coordination("Si-O") == 4.0


def test_an_empty_cell_has_no_distance():
    (facts,) = structure_facts([Atoms(cell=[5] * 3, pbc=True)], cutoffs={"Si-O": 2.3})
    assert facts.minimum_distance is None
    assert facts.mass_density == 0.0
    assert facts.element_fractions == {}


def test_mistakes_are_named():
    with pytest.raises(AmsbenchError, match="'SiO' is not a pair"):
        structure_facts([quartz()], cutoffs={"SiO": 2.3})
    with pytest.raises(AmsbenchError, match="'Si-Xy' is not a pair"):
        structure_facts([quartz()], cutoffs={"Si-Xy": 2.3})
    with pytest.raises(AmsbenchError, match="same pair of elements"):
        structure_facts([quartz()], cutoffs={"Si-O": 2.3, "O-Si": 2.0})
    with pytest.raises(AmsbenchError, match="set pbc=True"):
        structure_facts([Atoms("Si", cell=[5] * 3)])
    with pytest.raises(AmsbenchError, match="without volume"):
        structure_facts([Atoms("Si", pbc=True)])
    with pytest.raises(AmsbenchError, match="counted are: Si-O, O-Si"):
        structure_facts([quartz()], cutoffs={"Si-O": 2.3})[0].mean_coordination("O-O")
