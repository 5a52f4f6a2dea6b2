"""BMP-shrm with fixed pairs and angles: equal to the published potential, smooth at its discontinuities."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.metrics.elasticity import bmp_shrm_elasticity
from amsbench.metrics.elasticity.bmp_shrm_elasticity import (
    BMPShrmPiece,
    elastic_constants_of,
    relax_on_pieces,
)
from amsbench.metrics.elasticity.finite_strain import Relaxation, elastic_constants
from amsbench.metrics.elasticity.linear_response import softest_mode, stiffness
from amsbench.metrics.potentials.bmp_shrm import BMP_SHRM
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import EvaluationFailed


@pytest.fixture
def structure():
    """123 atoms of all eleven elements in a skewed cell."""
    reference = json.loads((Path(__file__).parent.parent / "data" / "bmp_shrm_reference.json").read_text())
    return Atoms(reference["symbols"], positions=reference["positions"], cell=reference["cell"], pbc=True)


def computed(calculator, atoms):
    calculator.calculate(atoms)
    return dict(calculator.results)


def test_at_the_structure_of_its_lists_it_is_the_published_potential(structure):
    with LammpsCalculator(BMP_SHRM) as published:
        expected = computed(published, structure)
    result = computed(BMPShrmPiece(structure), structure)
    # LAMMPS approximates the complementary error function to 1e-7.
    assert result["energy"] == pytest.approx(expected["energy"], abs=1e-5 * len(structure))
    np.testing.assert_allclose(result["forces"], expected["forces"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(result["stress"], expected["stress"], rtol=0, atol=1e-6)


def test_wrapping_and_rotation_change_nothing(structure):
    expected = computed(BMPShrmPiece(structure), structure)
    moved = structure.copy()
    moved.positions += 3 * structure.cell.array[0] - 2 * structure.cell.array[2]
    moved.positions[:40] += structure.cell.array[1]
    result = computed(BMPShrmPiece(moved), moved)
    np.testing.assert_allclose(result["forces"], expected["forces"], rtol=0, atol=1e-9)
    assert result["energy"] == pytest.approx(expected["energy"], abs=1e-8)
    moved.rotate(30, (1, 2, 3), rotate_cell=True)
    assert computed(BMPShrmPiece(moved), moved)["energy"] == pytest.approx(expected["energy"], abs=1e-8)


def test_forces_and_stress_are_derivatives_far_from_the_structure_of_its_lists(structure):
    random = np.random.default_rng(0)
    piece = BMPShrmPiece(structure)
    structure.positions += random.normal(scale=0.1, size=structure.positions.shape)
    results = computed(piece, structure)
    direction = random.normal(size=structure.positions.shape)
    energies = []
    for sign in (1, -1):
        moved = structure.copy()
        moved.positions += sign * 1e-5 * direction
        energies.append(computed(piece, moved)["energy"])
    slope = (energies[0] - energies[1]) / 2e-5
    assert slope == pytest.approx(-float((results["forces"] * direction).sum()), rel=1e-6)
    strain = random.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    energies = []
    for sign in (1, -1):
        strained = structure.copy()
        strained.set_cell(structure.cell.array @ (np.eye(3) + sign * 1e-6 * strain), scale_atoms=True)
        energies.append(computed(piece, strained)["energy"])
    xx, yy, zz, yz, xz, xy = results["stress"]
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    slope = (energies[0] - energies[1]) / 2e-6
    assert slope == pytest.approx(float((stress * strain).sum()) * structure.get_volume(), rel=1e-5)


@pytest.mark.parametrize(("leg", "end"), [("Si", 3.3), ("P", 2.0)])
def test_no_jump_where_the_published_potential_has_one(leg, end):
    """The energy is continuous when one leg of an angle of 90 degrees passes the cutoff of the three-body term by 0.01
    A."""

    def angle(length):
        positions = [[0, 0, 0], [1.6, 0, 0], [0, length, 0]]
        return Atoms(f"O{leg}2", positions=positions, cell=[20] * 3, pbc=True)

    inside, outside = angle(end - 0.005), angle(end + 0.005)
    piece = BMPShrmPiece(inside)
    smooth = computed(piece, inside)["energy"] - computed(piece, outside)["energy"]
    with LammpsCalculator(BMP_SHRM) as published:
        sharp = computed(published, inside)["energy"] - computed(published, outside)["energy"]
    jump = {"Si": 12.5, "P": 32.5}[leg] * np.exp(-1.6 - end) * np.deg2rad(19.47) ** 2
    assert sharp - smooth == pytest.approx(jump, rel=0.02)
    piece.fix(outside)
    with LammpsCalculator(BMP_SHRM) as published:
        assert computed(piece, outside)["energy"] == pytest.approx(
            computed(published, outside)["energy"], abs=1e-5
        )


@pytest.mark.parametrize("crystal", [("OLi2", "fluorite", 4.49), ("CaO", "rocksalt", 4.77)])
def test_crystals_without_network_have_the_published_constants(crystal):
    """Against finite strains of the published potential, which is continuous without network formers."""
    name, lattice, edge = crystal
    atoms = bulk(name, lattice, a=edge, cubic=True).repeat(2)
    result, _ = elastic_constants_of(atoms)
    assert result.converged
    with LammpsCalculator(BMP_SHRM) as published:
        expected = elastic_constants(relax_on_pieces(atoms)[0].atoms, published, strain=0.002)
    assert result.c11 == pytest.approx(expected.c11, rel=0.005)
    assert result.c12 == pytest.approx(expected.c12, rel=0.005)
    assert result.c44 == pytest.approx(expected.c44, rel=0.005)
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = result.c12
    np.fill_diagonal(cubic, [result.c11] * 3 + [result.c44] * 3)
    np.testing.assert_allclose(result.stiffness, cubic, atol=1e-3 * result.c11)


def test_it_is_the_limit_of_small_strains_in_a_glass(structure):
    """Against finite strains with the same lists at the same minimum."""
    relaxed, piece = relax_on_pieces(structure, fmax=1e-3)
    assert relaxed.converged
    result, _ = elastic_constants_of(relaxed.atoms)
    expected = elastic_constants(relaxed.atoms, piece, strain=1e-3, fmax=2e-4)
    assert result.converged
    assert expected.converged
    np.testing.assert_allclose(result.stiffness, expected.stiffness, atol=0.02 * result.c11)


def test_a_saddle_is_left_downhill(monkeypatch):
    """Fluorite with lithium and oxygen exchanged is a saddle by symmetry; the relaxation continues to a minimum."""
    atoms = bulk("Li2O", "fluorite", a=4.62, cubic=True)
    saddle, piece = relax_on_pieces(atoms)
    assert saddle.converged
    assert stiffness(saddle.atoms, piece.terms) is None
    pushed = saddle.atoms.copy()
    pushed.positions += 0.1 * softest_mode(saddle.atoms, piece.terms)
    assert computed(piece, pushed)["energy"] < saddle.energy - 1e-3
    result, _ = elastic_constants_of(atoms)
    assert result.converged
    assert np.linalg.eigvalsh(result.stiffness).min() > 0
    monkeypatch.setattr(bmp_shrm_elasticity, "SADDLES", 1)
    unconverged, _ = elastic_constants_of(atoms)
    assert not unconverged.converged
    assert np.isnan(unconverged.stiffness).all()


def test_updates_of_the_lists_become_rarer_in_a_relaxation_that_alternates_between_two(
    structure, monkeypatch
):
    """An atom moves back and forth at every update: ten more updates after 10 steps, then after ever more steps."""
    lengths = []

    def back_and_forth(atoms, piece, *, fmax, max_steps, curvatures):
        assert len(curvatures) == 1, "a second attempt would go on with lists that are out of date"
        lengths.append(max_steps)
        moved = atoms.copy()
        moved.positions[7, 0] += 1.0 if len(lengths) % 2 else -1.0
        return Relaxation(atoms=moved, converged=False, steps=max_steps, energy=0.0)

    monkeypatch.setattr(bmp_shrm_elasticity, "relax", back_and_forth)
    relax_on_pieces(structure, max_steps=400)
    assert lengths == [10] * 11 + [20, 40, 80, 150]


def test_a_collapsed_structure_is_a_failure():
    with pytest.raises(EvaluationFailed, match=r"A\^3 per atom"):
        elastic_constants_of(Atoms("SiO2", positions=np.eye(3), cell=[1.1] * 3, pbc=True))
