"""The smooth piece of the glass potential: the published one in place, and smooth where that jumps."""

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
def cell():
    """All eleven elements in a skewed cell of 123 atoms."""
    known = json.loads((Path(__file__).parent.parent / "data" / "bmp_shrm_reference.json").read_text())
    return Atoms(known["symbols"], positions=known["positions"], cell=known["cell"], pbc=True)


def computed(calculator, atoms):
    calculator.calculate(atoms)
    return dict(calculator.results)


def test_it_is_the_published_potential_where_it_was_taken(cell):
    with LammpsCalculator(BMP_SHRM) as published:
        wanted = computed(published, cell)
    found = computed(BMPShrmPiece(cell), cell)
    # LAMMPS approximates the complementary error function to 1e-7
    assert found["energy"] == pytest.approx(wanted["energy"], abs=1e-5 * len(cell))
    np.testing.assert_allclose(found["forces"], wanted["forces"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["stress"], wanted["stress"], rtol=0, atol=1e-6)


def test_wrapping_and_turning_change_nothing(cell):
    wanted = computed(BMPShrmPiece(cell), cell)
    moved = cell.copy()
    moved.positions += 3 * cell.cell.array[0] - 2 * cell.cell.array[2]
    moved.positions[:40] += cell.cell.array[1]
    found = computed(BMPShrmPiece(moved), moved)
    np.testing.assert_allclose(found["forces"], wanted["forces"], rtol=0, atol=1e-9)
    assert found["energy"] == pytest.approx(wanted["energy"], abs=1e-8)
    moved.rotate(30, (1, 2, 3), rotate_cell=True)
    assert computed(BMPShrmPiece(moved), moved)["energy"] == pytest.approx(wanted["energy"], abs=1e-8)


def test_forces_and_stress_are_derivatives_far_from_where_it_was_taken(cell):
    random = np.random.default_rng(0)
    piece = BMPShrmPiece(cell)
    cell.positions += random.normal(scale=0.1, size=cell.positions.shape)
    results = computed(piece, cell)
    direction = random.normal(size=cell.positions.shape)
    energies = []
    for sign in (1, -1):
        moved = cell.copy()
        moved.positions += sign * 1e-5 * direction
        energies.append(computed(piece, moved)["energy"])
    slope = (energies[0] - energies[1]) / 2e-5
    assert slope == pytest.approx(-float((results["forces"] * direction).sum()), rel=1e-6)
    strain = random.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    energies = []
    for sign in (1, -1):
        strained = cell.copy()
        strained.set_cell(cell.cell.array @ (np.eye(3) + sign * 1e-6 * strain), scale_atoms=True)
        energies.append(computed(piece, strained)["energy"])
    xx, yy, zz, yz, xz, xy = results["stress"]
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    slope = (energies[0] - energies[1]) / 2e-6
    assert slope == pytest.approx(float((stress * strain).sum()) * cell.get_volume(), rel=1e-5)


@pytest.mark.parametrize(("leg", "end"), [("Si", 3.3), ("P", 2.0)])
def test_no_jump_where_the_published_potential_has_one(leg, end):
    """An angle of 90 degrees whose one leg passes the end of the three-body term by a hundredth of an angstrom."""

    def angle(length):
        places = [[0, 0, 0], [1.6, 0, 0], [0, length, 0]]
        return Atoms(f"O{leg}2", positions=places, cell=[20] * 3, pbc=True)

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
    """By finite strains of the published potential, which does not jump without network formers."""
    name, structure, edge = crystal
    atoms = bulk(name, structure, a=edge, cubic=True).repeat(2)
    found = elastic_constants_of(atoms)
    assert found.converged
    with LammpsCalculator(BMP_SHRM) as published:
        wanted = elastic_constants(relax_on_pieces(atoms)[0].atoms, published, strain=0.002)
    assert found.c11 == pytest.approx(wanted.c11, rel=0.005)
    assert found.c12 == pytest.approx(wanted.c12, rel=0.005)
    assert found.c44 == pytest.approx(wanted.c44, rel=0.005)
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = found.c12
    np.fill_diagonal(cubic, [found.c11] * 3 + [found.c44] * 3)
    np.testing.assert_allclose(found.stiffness, cubic, atol=1e-3 * found.c11)


def test_it_is_the_limit_of_small_strains_in_a_glass(cell):
    """Finite strains of the same piece at the same minimum."""
    relaxed, piece = relax_on_pieces(cell, fmax=1e-3)
    assert relaxed.converged
    found = elastic_constants_of(relaxed.atoms)
    wanted = elastic_constants(relaxed.atoms, piece, strain=1e-3, fmax=2e-4)
    assert found.converged
    assert wanted.converged
    np.testing.assert_allclose(found.stiffness, wanted.stiffness, atol=0.02 * found.c11)


def test_a_saddle_is_left_downhill(monkeypatch):
    """Fluorite with lithium and oxygen in each other's places: held by symmetry alone."""
    atoms = bulk("Li2O", "fluorite", a=4.62, cubic=True)
    saddle, piece = relax_on_pieces(atoms)
    assert saddle.converged
    assert stiffness(saddle.atoms, piece.terms) is None
    pushed = saddle.atoms.copy()
    pushed.positions += 0.1 * softest_mode(saddle.atoms, piece.terms)
    assert computed(piece, pushed)["energy"] < saddle.energy - 1e-3
    found = elastic_constants_of(atoms)
    assert found.converged
    assert np.linalg.eigvalsh(found.stiffness).min() > 0
    monkeypatch.setattr(bmp_shrm_elasticity, "SADDLES", 1)
    unfound = elastic_constants_of(atoms)
    assert not unfound.converged
    assert np.isnan(unfound.stiffness).all()


def test_a_relaxation_that_goes_in_circles_comes_to_longer_and_longer_pieces(cell, monkeypatch):
    """Between two pieces that send an atom back and forth, the pieces last for 10 steps ten times, then ever longer."""
    lengths = []

    def back_and_forth(atoms, piece, *, fmax, max_steps):
        lengths.append(max_steps)
        moved = atoms.copy()
        moved.positions[7, 0] += 1.0 if len(lengths) % 2 else -1.0
        return Relaxation(atoms=moved, converged=False, steps=max_steps, energy=0.0)

    monkeypatch.setattr(bmp_shrm_elasticity, "relax", back_and_forth)
    relax_on_pieces(cell, max_steps=400)
    assert lengths == [10] * 11 + [20, 40, 80, 150]


def test_a_collapse_is_said():
    with pytest.raises(EvaluationFailed, match=r"A\^3 per atom"):
        elastic_constants_of(Atoms("SiO2", positions=np.eye(3), cell=[1.1] * 3, pbc=True))
