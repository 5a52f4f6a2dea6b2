"""Elastic constants by finite strains against published values of crystals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read

from amsbench.metrics.elasticity.finite_strain import CURVATURES, ElasticConstants, elastic_constants, relax
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import STILLINGER_WEBER_SILICON, TERSOFF_SILICA

C11, C12, C44 = 151.4, 76.4, 56.4
"""Elastic constants of Stillinger-Weber silicon, GPa (Cowley, Phys. Rev. Lett. 60, 2379 (1988))."""
GENERATED = Path(__file__).parents[1] / "data" / "silica_in_five_steps.xyz"
"""A glass that material-sde generated in five steps: bonds as long as the cutoff of Tersoff's potential."""
RIGID_C44 = 109.8
"""C44 without relaxing the two sublattices with respect to each other, GPa."""


@pytest.fixture(scope="module")
def stillinger_weber():
    with LammpsCalculator(STILLINGER_WEBER_SILICON) as calculator:
        yield calculator


@pytest.mark.parametrize("strain", [0.001, 0.01, 0.02])
def test_silicon_crystal_at_any_strain(stillinger_weber: LammpsCalculator, strain: float) -> None:
    crystal = bulk("Si", "diamond", a=5.431, cubic=True)
    elastic = elastic_constants(crystal, stillinger_weber, strain=strain)
    assert elastic.converged
    assert elastic.c11 == pytest.approx(C11, rel=0.01)
    assert elastic.c12 == pytest.approx(C12, rel=0.01)
    assert elastic.c44 == pytest.approx(C44, rel=0.01)
    expected = (C11 - C12) * (C11 + 2 * C12) / (C11 + C12)
    assert elastic.youngs_modulus == pytest.approx(expected, rel=0.01)
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = C12
    np.fill_diagonal(cubic, [C11] * 3 + [C44] * 3)
    np.testing.assert_allclose(elastic.stiffness, cubic, atol=1.0)


def test_a_rotated_crystal_has_the_rotated_stiffness(stillinger_weber: LammpsCalculator) -> None:
    # Along [110], [1-10], [001]: C66' = (C11 - C12) / 2, C11' = (C11 + C12) / 2 + C44, C33 and C44 stay.
    edge = 5.431
    turned = bulk("Si", "diamond", a=edge, cubic=True)
    turned.rotate(45, "z", rotate_cell=True)
    elastic = elastic_constants(turned, stillinger_weber)
    diagonal = np.diag(elastic.stiffness)
    along = (C11 + C12) / 2 + C44
    np.testing.assert_allclose(diagonal, [along, along, C11, C44, C44, (C11 - C12) / 2], rtol=0.01)


def test_without_relaxing_in_the_strained_cell_shear_is_twice_as_stiff(
    stillinger_weber: LammpsCalculator,
) -> None:
    # The internal displacement of the two sublattices halves C44 of diamond; normal strains have none.
    rigid = elastic_constants(bulk("Si", "diamond", a=5.431, cubic=True), stillinger_weber, fmax=1e3)
    assert rigid.c44 == pytest.approx(RIGID_C44, rel=0.02)
    assert rigid.c11 == pytest.approx(C11, rel=0.01)


def test_a_residual_stress_of_the_reference_cancels(stillinger_weber: LammpsCalculator) -> None:
    # A pressure of 0.5 GPa changes the constants by a few percent (their pressure derivative is about 4). It would
    # change a one-sided difference at a strain of 0.1 % by 0.5 / 0.001 = 500 GPa.
    pressed = bulk("Si", "diamond", a=5.431 * 0.9983, cubic=True)
    elastic = elastic_constants(pressed, stillinger_weber, strain=0.001)
    assert elastic.c11 == pytest.approx(C11, rel=0.05)
    assert elastic.c44 == pytest.approx(C44, rel=0.05)


def test_only_the_requested_strains_are_applied(stillinger_weber: LammpsCalculator) -> None:
    elastic = elastic_constants(
        bulk("Si", "diamond", a=5.431, cubic=True), stillinger_weber, components=(3, 4, 5)
    )
    assert elastic.c44 == pytest.approx(C44, rel=0.01)
    assert np.isnan(elastic.stiffness[:, :3]).all()
    assert not np.isnan(elastic.stiffness[:, 3:]).any()
    assert np.isnan(elastic.c11)


def test_relaxation_finds_the_crystal_again(stillinger_weber: LammpsCalculator) -> None:
    crystal = bulk("Si", "diamond", a=5.431, cubic=True)
    distorted = crystal.copy()
    distorted.rattle(0.05, seed=5)
    strain = np.array([[0.04, 0.02, 0.0], [0.02, -0.03, 0.01], [0.0, 0.01, 0.02]])
    distorted.set_cell(distorted.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    before = distorted.copy()
    relaxed = relax(distorted, stillinger_weber, fmax=1e-3)
    assert relaxed.converged
    assert relaxed.steps > 0
    assert relaxed.energy / 8 == pytest.approx(-2 * 2.1683, abs=1e-4)
    assert relaxed.atoms.get_volume() == pytest.approx(5.431**3, rel=1e-3)
    np.testing.assert_allclose(relaxed.atoms.cell.angles(), 90, atol=0.05)
    # The input is unchanged, and the result has no calculator.
    np.testing.assert_array_equal(distorted.positions, before.positions)
    np.testing.assert_array_equal(distorted.cell.array, before.cell.array)
    assert relaxed.atoms.calc is None


def test_relaxation_in_a_fixed_cell_keeps_it(stillinger_weber: LammpsCalculator) -> None:
    atoms = bulk("Si", "diamond", a=5.6, cubic=True)
    atoms.rattle(0.05, seed=6)
    relaxed = relax(atoms, stillinger_weber, fmax=1e-3, cell=False)
    np.testing.assert_array_equal(relaxed.atoms.cell.array, atoms.cell.array)
    stillinger_weber.calculate(relaxed.atoms)
    assert np.linalg.norm(stillinger_weber.results["forces"], axis=1).max() < 1e-3


def test_the_largest_number_of_steps_holds_and_is_reported(stillinger_weber: LammpsCalculator) -> None:
    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    atoms.rattle(0.2, seed=8)
    relaxed = relax(atoms, stillinger_weber, fmax=1e-6, max_steps=3)
    assert not relaxed.converged
    assert relaxed.steps == 3 * len(CURVATURES)
    elastic = elastic_constants(atoms, stillinger_weber, max_steps=3)
    assert not elastic.converged
    assert np.isnan(elastic.stiffness).all()


def test_a_glass_with_bonds_at_the_cutoff_is_relaxed() -> None:
    # LBFGS as it starts by default goes to and fro on it, on most processors.
    glass = read(GENERATED)
    assert isinstance(glass, Atoms)
    with LammpsCalculator(TERSOFF_SILICA) as tersoff:
        relaxed = relax(glass, tersoff)
        assert relaxed.converged
        tersoff.calculate(relaxed.atoms, ["forces", "stress"])
        assert np.linalg.norm(tersoff.results["forces"], axis=1).max() < 0.05
        # 0.05 eV in units of (volume / atoms) x stress
        assert abs(tersoff.results["stress"]).max() * relaxed.atoms.get_volume() / len(glass) < 0.05
        elastic = elastic_constants(relaxed.atoms, tersoff, components=(3, 4, 5))
        assert elastic.converged
        assert elastic.c44 > 0


def test_moduli_average_over_equivalent_directions() -> None:
    stiffness = np.diag([100.0, 110.0, 120.0, 30.0, 40.0, 50.0])
    stiffness[0, 1] = stiffness[1, 0] = 20.0
    stiffness[0, 2] = stiffness[2, 0] = 30.0
    stiffness[1, 2] = stiffness[2, 1] = 40.0
    elastic = ElasticConstants(stiffness=stiffness, converged=True, steps=0)
    assert (elastic.c11, elastic.c12, elastic.c44) == (110.0, 30.0, 40.0)
    assert elastic.youngs_modulus == pytest.approx(80.0 * 170.0 / 140.0)
