"""Elastic constants of relaxed structures by finite strains: central differences of the stress of relaxed atoms.

Three choices determine the accuracy. The atoms are relaxed in each strained cell: without it silica glass has a shear
modulus of 117 to 163 GPa, with it about 24 GPa. Differences are central: one-sided differences at 2 % change C11 of
silicon by 2 % and C12 by 5 %. The force tolerance is proportional to the strain, because it must be well below the
forces that the strain causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import Filter

STRAIN = 0.01
"""Magnitude of each strain component, applied with both signs."""

FORCE_PER_STRAIN = 0.5
"""Force tolerance in a strained cell divided by the strain, eV/A: 0.005 eV/A at a strain of 1 %."""


CURVATURES = (70.0, 300.0, 1200.0)
"""Curvatures of the energy that LBFGS assumes at its start, eV/A^2; the first is ASE's."""


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """A structure relaxed to a local minimum of the energy.

    atoms: the relaxed structure, without a calculator
    converged: whether the largest force fell below the tolerance within the largest number of steps
    steps: number of steps of all attempts
    energy: energy of the cell, eV
    """

    atoms: Atoms
    converged: bool
    steps: int
    energy: float


@dataclass(frozen=True, kw_only=True)
class ElasticConstants:
    """Elastic constants of a structure, and the moduli derived from them.

    stiffness: C [6, 6] in GPa, Voigt order xx, yy, zz, yz, xz, xy, engineering shear strains; all NaN if not
        converged, NaN in the columns of strains that were not applied
    converged: whether all relaxations converged
    steps: number of relaxation steps, all cells together
    """

    stiffness: np.ndarray
    converged: bool
    steps: int

    @property
    def c11(self) -> float:
        """Mean of C11, C22 and C33, GPa."""
        return float(np.diag(self.stiffness)[:3].mean())

    @property
    def c12(self) -> float:
        """Mean of the six off-diagonal elements between normal strains, GPa."""
        block = self.stiffness[:3, :3]
        return float((block.sum() - np.trace(block)) / 6)

    @property
    def c44(self) -> float:
        """Mean of C44, C55 and C66, GPa: the property ``shear_modulus`` of the datasets."""
        return float(np.diag(self.stiffness)[3:].mean())

    @property
    def youngs_modulus(self) -> float:
        """Young's modulus (C11 - C12)(C11 + 2 C12) / (C11 + C12) of the means, GPa."""
        return (self.c11 - self.c12) * (self.c11 + 2 * self.c12) / (self.c11 + self.c12)


def relax(
    atoms: Atoms,
    calculator: Calculator,
    *,
    fmax: float = 0.05,
    max_steps: int = 1500,
    cell: bool = True,
    curvatures: Sequence[float] = CURVATURES,
) -> Relaxation:
    """Structure relaxed by LBFGS to an energy minimum; ``atoms`` is not changed.

    fmax: force tolerance, eV/A; with ``cell`` also the tolerance of each row of (volume / atoms) x stress, eV
    max_steps: largest number of steps of each attempt
    cell: also relax all components of the cell, to zero stress
    curvatures: curvatures of the energy that LBFGS assumes at its start, eV/A^2: one attempt with each, from where the
        one before ended, until one converges

    Raises EvaluationFailed if the energy of the structure cannot be evaluated at some step.
    """
    relaxed = atoms.copy()
    relaxable = _Relaxable(relaxed, calculator, cell=cell)
    converged, steps = _minimise(relaxable, fmax, max_steps, curvatures)
    energy = relaxable.get_potential_energy()
    return Relaxation(atoms=relaxed, converged=converged, steps=steps, energy=energy)


def elastic_constants(
    atoms: Atoms,
    calculator: Calculator,
    *,
    components: Sequence[int] = range(6),
    strain: float = STRAIN,
    fmax: float | None = None,
    max_steps: int = 1500,
) -> ElasticConstants:
    """Elastic constants of a structure that was relaxed by ``relax``, including its cell.

    components: indices of the Voigt strains to apply, from 0; each takes two relaxations
    strain: magnitude of the strain; a shear strain is an engineering strain, 2 epsilon_xy
    fmax: force tolerance in the strained cells, eV/A; the default is ``FORCE_PER_STRAIN * strain``
    max_steps: largest number of steps of each attempt (``CURVATURES``) in each cell

    Column j of the stiffness is (stress(+strain) - stress(-strain)) / (2 strain) of the j-th Voigt strain; a residual
    stress of the unstrained structure cancels. The first relaxation that does not converge ends the calculation.
    Raises EvaluationFailed if the energy of the structure cannot be evaluated at some step.
    """
    from ase.units import GPa

    tolerance = FORCE_PER_STRAIN * strain if fmax is None else fmax
    # The strained cells must start from positions that are relaxed to the same tolerance. Otherwise their relaxation
    # would first complete that of the unstrained structure.
    start = relax(atoms, calculator, fmax=tolerance, max_steps=max_steps, cell=False)
    if not start.converged:
        return _unconverged(start.steps)
    steps = start.steps
    stiffness = np.full((6, 6), np.nan)
    for component in components:
        stresses = []
        for sign in (1, -1):
            deformed = start.atoms.copy()
            deformed.set_cell(deformed.cell.array @ _deformation(component, sign * strain), scale_atoms=True)
            relaxable = _Relaxable(deformed, calculator, cell=False)
            converged, relaxation_steps = _minimise(relaxable, tolerance, max_steps)
            steps += relaxation_steps
            if not converged:
                return _unconverged(steps)
            stresses.append(relaxable.stress)
        stiffness[:, component] = (stresses[0] - stresses[1]) / (2 * strain * GPa)
    return ElasticConstants(stiffness=stiffness, converged=True, steps=steps)


def _unconverged(steps: int) -> ElasticConstants:
    return ElasticConstants(stiffness=np.full((6, 6), np.nan), converged=False, steps=steps)


def _deformation(component: int, strain: float) -> np.ndarray:
    """Deformation I + epsilon [3, 3] of one Voigt component; both off-diagonal elements hold half of a shear."""
    deformation = np.eye(3)
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
    deformation[row, column] += strain / 2
    deformation[column, row] += strain / 2
    return deformation


def _minimise(
    relaxable: _Relaxable, fmax: float, max_steps: int, curvatures: Sequence[float] = CURVATURES
) -> tuple[bool, int]:
    """Whether LBFGS converged in one of its attempts, and the number of steps of all."""
    from ase.optimize import LBFGS

    # LBFGS has no line search. Where a bond is as long as the cutoff of Tersoff's potential the curvature is large, and
    # steps that assume a small one go to and fro between the two sides for ever. FIRE takes more steps than a second
    # attempt, and does not end for some glasses.
    steps = 0
    for curvature in curvatures:
        with LBFGS(relaxable, logfile=None, alpha=curvature) as optimiser:  # type: ignore[arg-type]  # ASE: Atoms
            converged = bool(optimiser.run(fmax=fmax, steps=max_steps))
            steps += int(optimiser.nsteps)
        if converged:
            return True, steps
    return False, steps


class _Relaxable(Filter):
    """Coordinates of a relaxation: the positions and, with ``cell``, a deformation D [3, 3] of the cell.

    With ``cell`` the coordinates are the positions in the undeformed cell, X = x D^-1, and n D with the number of
    atoms n, so that cell and atoms have similar stiffness.
    """

    # FrechetCellFilter of ASE uses the logarithm of D. It takes as many steps on these glasses, and 10 ms per step in
    # matrix functions. The optimiser asks for the same forces three times per step; they are computed once.

    def __init__(self, atoms: Atoms, calculator: Calculator, *, cell: bool) -> None:
        super().__init__(atoms, indices=np.arange(len(atoms)))
        self._calculator = calculator
        self._cell = atoms.cell.array.copy() if cell else None
        self._deformation = np.eye(3)
        self._results: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.atoms) + (0 if self._cell is None else 3)

    @property
    def stress(self) -> np.ndarray:
        """Stress [6] in Voigt order, eV/A^3."""
        return self._evaluated()["stress"]

    def get_positions(self) -> np.ndarray:
        if self._cell is None:
            return self.atoms.get_positions()
        undeformed = self.atoms.positions @ np.linalg.inv(self._deformation)
        return np.vstack([undeformed, len(self.atoms) * self._deformation])

    def set_positions(self, positions: np.ndarray, **kwargs: Any) -> None:
        self._results = {}
        if self._cell is None:
            self.atoms.positions = positions
            return
        self._deformation = positions[-3:] / len(self.atoms)
        self.atoms.set_cell(self._cell @ self._deformation)
        self.atoms.positions = positions[:-3] @ self._deformation

    def get_potential_energy(self, **kwargs: Any) -> float:
        return float(self._evaluated()["energy"])

    def get_forces(self, *args: Any, **kwargs: Any) -> np.ndarray:
        results = self._evaluated()
        if self._cell is None:
            return results["forces"]
        xx, yy, zz, yz, xz, xy = results["stress"]
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        # dE = V stress : (D^-1 dD), since the rows of the cell and the positions are X D.
        cell_forces = -self.atoms.get_volume() * np.linalg.solve(self._deformation.T, stress)
        return np.vstack([results["forces"] @ self._deformation.T, cell_forces / len(self.atoms)])

    def _evaluated(self) -> dict[str, Any]:
        """Energy, forces and stress at the present coordinates."""
        if not self._results:
            self._calculator.calculate(self.atoms, ["energy", "forces", "stress"], all_changes)
            self._results = dict(self._calculator.results)
        return self._results
