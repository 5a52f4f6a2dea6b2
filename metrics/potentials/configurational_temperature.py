"""Configurational temperature: whether structures are Boltzmann samples of a potential at the temperature they claim.

For positions with the density exp(-U / kT), integration by parts gives <|F|^2> = -kT <div F> (Rugh; Butler et al.,
J. Chem. Phys. 109, 6519 (1998)). Neither velocities nor a thermostat take part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from .lammps_calculator import LammpsCalculator
from .potential import Potential

if TYPE_CHECKING:
    from ase import Atoms

STEP = 1e-3
"""Displacement of the finite differences, A. The error of the divergence is below 1e-5 of it for silicon."""


def squared_forces_and_divergences(
    potential: Potential, structures: Iterable[Atoms], *, probes: int, seed: int
) -> np.ndarray:
    """Sum of squared forces (eV^2/A^2) and minus the divergence of the forces (eV/A^2) of each structure, [s, 2].

    probes: random directions of +-1 in which the divergence is estimated, without bias (Hutchinson)
    Raises EvaluationFailed for a structure without forces.
    """
    random = np.random.default_rng(seed)
    rows = []
    with LammpsCalculator(potential) as calculator:

        def forces(atoms: Atoms, positions: np.ndarray) -> np.ndarray:
            moved = atoms.copy()
            moved.positions = positions
            calculator.calculate(moved)
            return np.asarray(calculator.results["forces"])

        for atoms in structures:
            squared = (forces(atoms, atoms.positions) ** 2).sum()
            stiffness = []
            for _ in range(probes):
                direction = random.choice([-1.0, 1.0], atoms.positions.shape)
                ends = [forces(atoms, atoms.positions + sign * STEP * direction) for sign in (-1, 1)]
                stiffness.append((direction * (ends[0] - ends[1])).sum() / (2 * STEP))
            rows.append((squared, np.mean(stiffness)))
    return np.array(rows)


def configurational_temperature(rows: np.ndarray) -> float:
    """Temperature (K) from the sums [s, 2] of ``squared_forces_and_divergences``: kT = <|F|^2> / -<div F>."""
    squared, stiffness = rows.mean(0)
    return float(squared / stiffness / units.kB)
