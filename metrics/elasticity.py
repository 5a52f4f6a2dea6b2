"""Elastic constants of relaxed structures: central differences of the stress, atoms relaxed in every strain.

Relaxing the atoms again in the strained cell is what matters: silica glass has a shear modulus of 117 to 163 GPa
without it and near 24 GPa with it. Central differences matter next: one-sided ones of 2 % put C11 of silicon
2 % and C12 5 % off. And the forces must be relaxed well below what the strain puts on the atoms, so the
tolerance goes with the strain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._structures import neighbor_pairs

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

OVERLAP = 1.0
"""A; atoms closer than this overlap. The shortest bond of silica is 1.5 A, and no relaxation starts below."""
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

    stiffness: NaN-free also when not converged, but then it means nothing
    converged: whether the atoms relaxed in all strained cells
    steps: relaxation steps in all strained cells together
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


def overlapping(atoms: Atoms, distance: float = OVERLAP) -> bool:
    """Whether two atoms, periodic images included, are closer than ``distance`` (A)."""
    (found,) = neighbor_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, distance, full_list=False, quantities="d"
    )
    return len(found) > 0


def relax(
    atoms: Atoms, calculator: Calculator, *, fmax: float = 0.05, max_steps: int = 1500, cell: bool = True
) -> Relaxation:
    """Relax positions and, with ``cell``, all of the cell to zero stress; ``atoms`` is left as it is.

    fmax: largest force in eV/A; with ``cell`` the stress counts too, as forces of the Frechet cell filter
    Raises FloatingPointError when energies are no longer finite.
    """
    from ase.filters import FrechetCellFilter

    relaxed = atoms.copy()
    with _calculating(relaxed, calculator):
        target: Any = FrechetCellFilter(relaxed) if cell else relaxed
        converged, steps = _minimise(target, fmax, max_steps)
        energy = float(relaxed.get_potential_energy())
    return Relaxation(atoms=relaxed, converged=converged, steps=steps, energy=energy)


def elastic_constants(
    atoms: Atoms,
    calculator: Calculator,
    *,
    strain: float = STRAIN,
    fmax: float | None = None,
    max_steps: int = 1500,
) -> ElasticConstants:
    """Stiffness of a structure that ``relax`` has relaxed, cell included.

    Column j is (stress(+strain) - stress(-strain)) / (2 strain) for the j-th Voigt strain, in which a residual
    stress of the reference cancels; shear strains are engineering strains (2 epsilon_xy).

    fmax: force tolerance in the strained cells, eV/A; ``FORCE_PER_STRAIN * strain`` by default
    max_steps: cap on the steps in each strained cell
    Raises FloatingPointError when energies are no longer finite.
    """
    from ase.units import GPa

    tolerance = FORCE_PER_STRAIN * strain if fmax is None else fmax
    # The strained cells start from positions as well relaxed as theirs will be, or they would first finish
    # the relaxation of the reference.
    start = relax(atoms, calculator, fmax=tolerance, max_steps=max_steps, cell=False)
    converged, steps = start.converged, start.steps
    stiffness = np.zeros((6, 6))
    for component in range(6):
        for sign in (1, -1):
            deformed = start.atoms.copy()
            deformed.set_cell(
                deformed.cell.array @ _deformation(component, sign * strain), scale_atoms=True
            )
            with _calculating(deformed, calculator):
                relaxed, taken = _minimise(deformed, tolerance, max_steps)
                stress = deformed.get_stress(voigt=True)
            converged, steps = converged and relaxed, steps + taken
            stiffness[:, component] += sign * stress / (2 * strain * GPa)
    return ElasticConstants(stiffness=stiffness, converged=converged, steps=steps)


def _deformation(component: int, strain: float) -> np.ndarray:
    """I + epsilon [3, 3] for one Voigt component; a shear is shared between both off-diagonal elements."""
    deformation = np.eye(3)
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
    deformation[row, column] += strain / 2
    deformation[column, row] += strain / 2
    return deformation


def _minimise(target: Any, fmax: float, max_steps: int) -> tuple[bool, int]:
    from ase.optimize import LBFGS

    with LBFGS(target, logfile=None) as optimizer:
        converged = optimizer.run(fmax=fmax, steps=max_steps)
        return bool(converged), int(optimizer.nsteps)


@contextmanager
def _calculating(atoms: Atoms, calculator: Calculator) -> Iterator[None]:
    """Lend the calculator to ``atoms``, which go on without it: results hold plain structures."""
    atoms.calc = calculator
    try:
        yield
    finally:
        atoms.calc = None
