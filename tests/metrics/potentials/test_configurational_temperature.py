"""The configurational temperature of a crystal whose displacements follow its own stiffness is the one they have."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from amsbench.metrics.potentials.configurational_temperature import (
    configurational_temperature,
    squared_forces_and_divergences,
)
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import STILLINGER_WEBER_SILICON


@pytest.fixture(scope="module")
def crystal():
    return bulk("Si", "diamond", a=5.431, cubic=True)


@pytest.fixture(scope="module")
def hessian(crystal):
    """Second derivatives of the energy [24, 24], eV/A^2, by differences in every coordinate."""
    rows = []
    with LammpsCalculator(STILLINGER_WEBER_SILICON) as calculator:
        for atom in range(8):
            for axis in range(3):
                forces = []
                for sign in (-1, 1):
                    moved = crystal.copy()
                    moved.positions[atom, axis] += sign * 1e-3
                    calculator.calculate(moved)
                    forces.append(calculator.results["forces"].ravel().copy())
                rows.append((forces[0] - forces[1]) / 2e-3)
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


def test_the_divergence_is_the_trace_of_the_second_derivatives(crystal, hessian):
    rows = squared_forces_and_divergences(STILLINGER_WEBER_SILICON, [crystal], probes=400, seed=0)
    # random signs add the elements off the diagonal with mean 0
    off = hessian - np.diag(np.diag(hessian))
    error = np.sqrt(2 * (off**2).sum() / 400)
    assert error < 0.05 * np.trace(hessian)
    assert rows[0, 1] == pytest.approx(np.trace(hessian), abs=4 * error)
    assert rows[0, 0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [20.0, 60.0])
def test_a_harmonic_crystal_has_the_temperature_of_its_displacements(crystal, hessian, temperature):
    values, vectors = np.linalg.eigh(hessian)
    stiff = values > 1e-3 * values.max()
    random = np.random.default_rng(0)
    frames = []
    for _ in range(80):
        amplitudes = np.sqrt(units.kB * temperature / values[stiff]) * random.normal(size=stiff.sum())
        frame = crystal.copy()
        frame.positions += (vectors[:, stiff] @ amplitudes).reshape(-1, 3)
        frames.append(frame)
    rows = squared_forces_and_divergences(STILLINGER_WEBER_SILICON, frames, probes=2, seed=1)
    error = rows[:, 0].std() / np.sqrt(len(rows)) / rows[:, 0].mean()
    assert error < 0.05
    assert configurational_temperature(rows) == pytest.approx(temperature, rel=4 * error)
