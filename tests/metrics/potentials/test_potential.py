"""Potentials in LAMMPS: no output, published energies, derivatives, orientations, and impossible structures."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.errors import AmsbenchError
from amsbench.metrics.descriptors import has_overlap
from amsbench.metrics.potentials import lammps
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator, energy_per_atom, lower_triangular
from amsbench.metrics.potentials.potential import STILLINGER_WEBER_SILICON, TERSOFF_SILICA, EvaluationFailed

SILICON_BOND = 2.1683
"""Energy of a bond of the Stillinger-Weber potential, eV; an atom of diamond has half of four bonds."""


@pytest.fixture
def distorted() -> Atoms:
    """Silicon in a skewed cell, with forces and all six components of the stress."""
    atoms = bulk("Si", "diamond", a=5.431) * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    skew = np.eye(3) + 0.05 * np.random.default_rng(2).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ skew, scale_atoms=True)
    return atoms


def evaluate(atoms: Atoms) -> dict[str, np.ndarray]:
    with LammpsCalculator(STILLINGER_WEBER_SILICON) as calculator:
        calculator.calculate(atoms)
        return dict(calculator.results)


def test_diamond_has_two_bonds_per_atom_at_its_lattice_constant() -> None:
    energy, force = energy_per_atom(STILLINGER_WEBER_SILICON, bulk("Si", "diamond", a=5.431))
    assert energy == pytest.approx(-2 * SILICON_BOND, abs=1e-4)
    assert force == pytest.approx(0.0, abs=1e-9)


def test_lammps_prints_nothing_and_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    energy_per_atom(STILLINGER_WEBER_SILICON, bulk("Si"))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_forces_are_minus_the_gradient_of_the_energy(distorted: Atoms) -> None:
    forces = evaluate(distorted)["forces"]
    step = 1e-4
    for atom, axis in ((0, 0), (1, 1), (3, 2)):
        energies = []
        for sign in (1, -1):
            moved = distorted.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(evaluate(moved)["energy"])
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)


def test_stress_is_the_strain_derivative_of_the_energy(distorted: Atoms) -> None:
    stress = evaluate(distorted)["stress"]
    step = 1e-5
    for voigt, (row, column) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = distorted.copy()
            strained.set_cell(strained.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(evaluate(strained)["energy"])
        slope = (energies[0] - energies[1]) / (2 * step) / distorted.get_volume()
        assert stress[voigt] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("determinant", [1, -1])
def test_energy_ignores_orientation_and_forces_follow_it(distorted: Atoms, determinant: int) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    turn *= determinant * np.linalg.det(turn)
    assert np.linalg.det(turn) == pytest.approx(determinant)
    turned = Atoms(
        distorted.numbers, positions=distorted.positions @ turn, cell=distorted.cell.array @ turn, pbc=True
    )
    before, after = evaluate(distorted), evaluate(turned)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-9)
    assert np.abs(before["forces"]).max() > 0.1
    np.testing.assert_allclose(after["forces"], before["forces"] @ turn, atol=1e-9)


def test_energy_ignores_wrapping(distorted: Atoms) -> None:
    moved = distorted.copy()
    moved.positions += [[30.0, -40.0, 50.0]]
    moved.positions[0] += 7 * moved.cell.array[1]
    assert evaluate(moved)["energy"] == pytest.approx(evaluate(distorted)["energy"], abs=1e-9)


def test_one_instance_serves_changing_cells_and_systems(distorted: Atoms) -> None:
    crystal = bulk("Si", "diamond", a=5.6, cubic=True)
    stretched = distorted.copy()
    stretched.set_cell(stretched.cell.array * 1.03, scale_atoms=True)
    with LammpsCalculator(STILLINGER_WEBER_SILICON) as calculator:
        for atoms in (distorted, stretched, distorted, crystal, distorted):
            calculator.calculate(atoms)
            fresh = evaluate(atoms)
            assert calculator.results["energy"] == pytest.approx(fresh["energy"], abs=1e-9)
            np.testing.assert_allclose(calculator.results["stress"], fresh["stress"], atol=1e-9)


def test_an_instance_that_is_kept_agrees_with_a_new_one(distorted: Atoms) -> None:
    """After short and long moves, across faces of the cell, and after changes of the cell."""
    random = np.random.default_rng(4)
    with LammpsCalculator(TERSOFF_SILICA) as lasting:
        for step in range(40):
            distorted.positions += random.normal(0, 0.3 if step % 8 == 7 else 0.03, distorted.positions.shape)
            if step % 10 == 9:
                distorted.set_cell(distorted.cell.array @ (np.eye(3) + random.normal(0, 0.01, (3, 3))), True)
            if step == 20:
                distorted.positions += 50.0
            lasting.calculate(distorted)
            with LammpsCalculator(TERSOFF_SILICA) as fresh:
                fresh.calculate(distorted)
            for name in ("energy", "forces", "stress"):
                np.testing.assert_allclose(
                    lasting.results[name],
                    fresh.results[name],
                    rtol=0,
                    atol=1e-8,
                    err_msg=f"{name}, step {step}",
                )


def test_a_supercell_has_the_same_energy_per_atom_as_a_cell_smaller_than_the_cutoff() -> None:
    small = bulk("Si", "diamond", a=5.5)
    assert energy_per_atom(STILLINGER_WEBER_SILICON, small)[0] == pytest.approx(
        energy_per_atom(STILLINGER_WEBER_SILICON, small * (3, 3, 3))[0], abs=1e-9
    )


def test_lower_triangular_cells_are_the_same_lattice() -> None:
    cell = np.random.default_rng(4).normal(size=(3, 3)) * 5
    lower, rotation = lower_triangular(cell)
    np.testing.assert_allclose(lower, cell @ rotation, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.triu(lower, 1), 0, atol=1e-12)
    assert (np.diag(lower) > 0).all()


def test_elements_outside_the_potential_are_named() -> None:
    with pytest.raises(AmsbenchError, match=r"no parameters for Al, O"):
        energy_per_atom(
            STILLINGER_WEBER_SILICON, Atoms("SiAlO", positions=np.eye(3) * 2, cell=[6] * 3, pbc=True)
        )


def test_only_periodic_structures_have_an_energy() -> None:
    with pytest.raises(AmsbenchError, match="periodic"):
        energy_per_atom(STILLINGER_WEBER_SILICON, Atoms("Si", cell=[6] * 3, pbc=[True, True, False]))


def test_impossible_structures_fail_instead_of_hanging() -> None:
    collapsed = bulk("Si", "diamond", a=1.0)
    gone = bulk("Si", "diamond", a=5.431)
    gone.positions[0] = np.nan
    with LammpsCalculator(STILLINGER_WEBER_SILICON) as calculator:
        for atoms in (collapsed, gone):
            with pytest.raises(EvaluationFailed):
                calculator.calculate(atoms)
        # The same calculator evaluates the next structure.
        calculator.calculate(bulk("Si", "diamond", a=5.431))
        assert calculator.results["energy"] / 2 == pytest.approx(-2 * SILICON_BOND, abs=1e-4)


def test_atoms_on_top_of_each_other_fail() -> None:
    stacked = Atoms("Si2", positions=[[1, 1, 1], [1, 1, 1]], cell=[6] * 3, pbc=True)
    with pytest.raises(EvaluationFailed):
        energy_per_atom(STILLINGER_WEBER_SILICON, stacked)


def test_overlap_sees_periodic_images() -> None:
    pair = Atoms("SiO", positions=[[0.2, 1, 1], [5.6, 1, 1]], cell=[6, 6, 6], pbc=True)
    assert has_overlap(pair)
    pair.positions[1, 0] = 5.1
    assert not has_overlap(pair)
    assert has_overlap(Atoms("Si", cell=[0.9, 6, 6], pbc=True))


def test_provenance_identifies_the_parameters() -> None:
    silicon, silica = STILLINGER_WEBER_SILICON.provenance(), TERSOFF_SILICA.provenance()
    assert silicon["potential_sha256"] != silica["potential_sha256"]
    assert len(silica["potential_sha256"]) == 64
    assert int(silica["lammps_version"]) >= 20250722


def test_a_missing_mpi_library_is_reported(monkeypatch):
    load = lammps.load_lammps.__wrapped__

    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(AmsbenchError, match="'mpich', which is not installed"):
        load()
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    with pytest.raises(AmsbenchError, match="reinstall 'mpich'"):
        load()


def test_a_broken_mpi_library_is_reported(monkeypatch, tmp_path):
    (tmp_path / "libmpi.so.12").write_text("not a library")

    class Entry:
        name = "libmpi.so.12"

        def locate(self) -> str:
            return str(tmp_path / self.name)

    monkeypatch.setattr(importlib.metadata, "files", lambda name: [Entry()])
    with pytest.raises(AmsbenchError, match="cannot be loaded"):
        lammps.load_lammps.__wrapped__()


def test_an_instance_leaves_the_threads_of_torch_alone():
    """LAMMPS sets the number of OpenMP threads to one; networks in the same process must not be affected."""
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with lammps.lammps_session():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
