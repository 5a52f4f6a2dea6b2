"""Elastic constants of relaxed structures: central differences of the stress, atoms relaxed in every strain.

Relaxing the atoms again in the strained cell is what matters: silica glass has a shear modulus of 117 to
163 GPa without it and near 24 GPa with it. Central differences matter next: one-sided ones of 2 % put C11 of
silicon 2 % and C12 5 % off. And the forces must be relaxed well below what the strain puts on the atoms, so
the tolerance goes with the strain.
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
"""Each strain component goes to plus and minus this."""
FORCE_PER_STRAIN = 0.5
"""eV/A; the force tolerance in a strained cell is this times the strain, 0.005 eV/A at 1 %."""


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """A structure relaxed to a local minimum of the energy.

    atoms: the relaxed structure, without a calculator
    converged: whether the largest force fell below the tolerance within the steps allowed
    steps: steps taken
    energy: eV, of the whole cell
    """

    atoms: Atoms
    converged: bool
    steps: int
    energy: float


@dataclass(frozen=True, kw_only=True)
class ElasticConstants:
    """Stiffness C [6, 6] in GPa, Voigt order xx, yy, zz, yz, xz, xy, engineering shear strains.

    stiffness: NaN throughout when not converged, and in the columns of strains that were not applied
    converged: whether the atoms relaxed in all strained cells; the first that does not ends the work
    steps: relaxation steps in all cells together
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
        """Mean of C44, C55 and C66, GPa: the shear modulus of the datasets."""
        return float(np.diag(self.stiffness)[3:].mean())

    @property
    def youngs_modulus(self) -> float:
        """(C11 - C12)(C11 + 2 C12) / (C11 + C12) of the averages, GPa."""
        return (self.c11 - self.c12) * (self.c11 + 2 * self.c12) / (self.c11 + self.c12)


def relax(
    atoms: Atoms, calculator: Calculator, *, fmax: float = 0.05, max_steps: int = 1500, cell: bool = True
) -> Relaxation:
    """Relax positions and, with ``cell``, all of the cell to zero stress; ``atoms`` is left as it is.

    fmax: largest force in eV/A; with ``cell`` also the largest row of (volume / atoms) x stress, in eV
    Raises EvaluationFailed where the structure breaks down on the way.
    """
    relaxed = atoms.copy()
    target = _Relaxable(relaxed, calculator, cell=cell)
    converged, steps = _minimise(target, fmax, max_steps)
    return Relaxation(atoms=relaxed, converged=converged, steps=steps, energy=target.get_potential_energy())


def elastic_constants(
    atoms: Atoms,
    calculator: Calculator,
    *,
    components: Sequence[int] = range(6),
    strain: float = STRAIN,
    fmax: float | None = None,
    max_steps: int = 1500,
) -> ElasticConstants:
    """Stiffness of a structure that ``relax`` has relaxed, cell included.

    Column j is (stress(+strain) - stress(-strain)) / (2 strain) for the j-th Voigt strain, in which a
    residual stress of the reference cancels; shear strains are engineering strains (2 epsilon_xy).

    components: the Voigt strains to apply, counted from 0; each costs two relaxations
    fmax: force tolerance in the strained cells, eV/A; ``FORCE_PER_STRAIN * strain`` by default
    max_steps: cap on the steps in each strained cell
    Raises EvaluationFailed where the structure breaks down on the way.
    """
    from ase.units import GPa

    tolerance = FORCE_PER_STRAIN * strain if fmax is None else fmax
    # The strained cells start from positions as well relaxed as theirs will be, or they would first finish
    # the relaxation of the reference.
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
            target = _Relaxable(deformed, calculator, cell=False)
            converged, taken = _minimise(target, tolerance, max_steps)
            steps += taken
            if not converged:
                return _unconverged(steps)
            stresses.append(target.stress)
        stiffness[:, component] = (stresses[0] - stresses[1]) / (2 * strain * GPa)
    return ElasticConstants(stiffness=stiffness, converged=True, steps=steps)


def _unconverged(steps: int) -> ElasticConstants:
    return ElasticConstants(stiffness=np.full((6, 6), np.nan), converged=False, steps=steps)


def _deformation(component: int, strain: float) -> np.ndarray:
    """I + epsilon [3, 3] for one Voigt component; a shear is shared between both off-diagonal elements."""
    deformation = np.eye(3)
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
    deformation[row, column] += strain / 2
    deformation[column, row] += strain / 2
    return deformation


def _minimise(target: _Relaxable, fmax: float, max_steps: int) -> tuple[bool, int]:
    from ase.optimize import LBFGS

    with LBFGS(target, logfile=None) as optimizer:  # type: ignore[arg-type]  # ASE annotates Atoms, takes Filter
        converged = optimizer.run(fmax=fmax, steps=max_steps)
        return bool(converged), int(optimizer.nsteps)


class _Relaxable(Filter):
    """What the optimizer moves: the positions and, with ``cell``, a deformation D of the cell.

    With ``cell`` the coordinates are the positions in the undeformed cell, X = x D^-1, and n D (n atoms, so
    that a step of the cell is as soft as one of the atoms). ASE's FrechetCellFilter does the same in the
    logarithm of D, takes as many steps on these glasses, and spends 10 ms of each in matrix functions. The
    optimizer asks for the same forces three times per step: they are computed once.
    """

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
        """Voigt stress [6], eV/A^3."""
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
        # dE = V stress : (D^-1 dD), since the cell's rows and the positions are X D.
        on_cell = -self.atoms.get_volume() * np.linalg.solve(self._deformation.T, stress)
        return np.vstack([results["forces"] @ self._deformation.T, on_cell / len(self.atoms)])

    def _evaluated(self) -> dict[str, Any]:
        if not self._results:
            self._calculator.calculate(self.atoms, ["energy", "forces", "stress"], all_changes)
            self._results = dict(self._calculator.results)
        return self._results
