"""BMP-shrm energy with fixed lists of pairs and angles, and elastic constants with it.

The published potential has sharp cutoffs. Its energy is discontinuous where two network formers pass 7 A and, by up to
0.1 eV, where an atom passes the cutoff of the three-body term. Minimisers do not converge near such a discontinuity,
and a difference of stresses across it is not a derivative. Here the pairs and angles are listed once, for one
structure, and stay the same while its atoms move. The energy then equals the published energy as long as no atom passes
a cutoff, and is its smooth continuation beyond ("piece" in docs/metrics.md). A relaxation updates the lists on its way
and repeats until they no longer change; elastic constants are derivatives at the minimum.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from scipy.special import erfc

from ..neighbours.pairs import neighbour_pairs
from ..potentials.bmp_shrm import (
    CHARGES,
    COULOMB_CUTOFF,
    COULOMB_DAMPING,
    MORSE_WITH_OXYGEN,
    PAIR_CUTOFF,
    REPULSION,
)
from ..potentials.lammps_calculator import check_volume_and_positions
from ..potentials.potential import EvaluationFailed
from .finite_strain import CURVATURES, ElasticConstants, Relaxation, relax
from .linear_response import EnergyTerm, lengths, softest_mode, stiffness

COULOMB = 14.399645
"""Coulomb constant in eV A / e^2, with the digits of LAMMPS."""

ANGLE = np.deg2rad(109.47)
"""Equilibrium angle at oxygen, radians."""

ANGLE_CONSTANTS = {("Si", "Si"): 12.5, ("P", "Si"): 60.0, ("P", "P"): 32.5}
"""K in eV/rad^2 of K exp(-(r1 + r2) / 1 A) (theta - ANGLE)^2 at an oxygen between two network formers."""

LEGS = {"Si": 3.3, "P": 2.0}
"""Longest leg of an angle at oxygen by its network former, A."""

FORCE = 0.005
"""Force tolerance, eV/A: a mode of 0.01 eV/A^2 is then at most 0.5 A from its minimum, and moduli are within 1 %."""

FIRST_STEPS, MOVED, FAR = 10, 0.5, 10
"""The lists are updated after 10, 20, 40, ... steps (``FIRST_STEPS``, doubled), and after 10 again if an atom has moved
by more than ``MOVED`` (A), at most ``FAR`` times.

Without this limit a relaxation can alternate for ever between two lists, each with its minimum beyond a cutoff of the
other."""

ROUNDS = 3
"""Number of minima in a row after which a relaxation ends, each with the lists of the minimum before.

One minimum is not enough, and the lists may never become self-consistent: an atom can lie within a cutoff at the
minimum without it in the lists, and beyond the cutoff at the minimum with it."""

MAX_STEPS = 4000
"""Largest number of steps of a relaxation, enough for every generated glass in the tables of ``meg``. The paper's 1,500
are for a tenfold ``FORCE``."""

SADDLES, PUSH = 3, 0.2
"""Largest number of relaxations if they end at saddles; before the next one the structure is displaced along its
softest mode, by ``PUSH`` (A) for the atom that moves most."""


class BMPShrmPiece(Calculator):
    """Energy (eV), forces (eV/A) and stress (eV/A^3, sign of ASE) with the pairs and angles of one structure.

    atoms: structure whose pairs and angles are listed; ``fix`` replaces the lists

    Raises EvaluationFailed if numbers are not finite and for a cell outside of ``VOLUME_PER_ATOM``.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        self.terms: list[EnergyTerm] = []
        self._self_energy = 0.0
        self.fix(atoms)

    def fix(self, atoms: Atoms) -> None:
        """List the pairs of ``atoms`` within their cutoffs, and the angles with both legs within theirs."""
        check_volume_and_positions(atoms)
        symbols = np.array(atoms.get_chemical_symbols())
        charges = np.array([CHARGES[symbol] for symbol in symbols])
        self_term = _coulomb_shifts()[0] / 2 + COULOMB_DAMPING / np.sqrt(np.pi)
        self._self_energy = -COULOMB * self_term * float((charges**2).sum())
        i, j, shifts, distances = _edges(atoms, COULOMB_CUTOFF, full_list=False)
        near = distances < PAIR_CUTOFF
        first, second = symbols[i], symbols[j]
        bonds = np.flatnonzero(near & ((first == "O") | (second == "O")))
        morse = [
            MORSE_WITH_OXYGEN[b if a == "O" else a] for a, b in zip(first[bonds], second[bonds], strict=True)
        ]
        heights, decays = np.zeros(len(i)), np.ones(len(i))
        for (a, b), values in REPULSION.items():
            matching = near & ((first == a) & (second == b) | (first == b) & (second == a))
            heights[matching], decays[matching] = values
        formers = np.flatnonzero(heights)
        legs, constants = _angles(atoms, symbols)

        def pairs(rows: Any, function: Any) -> EnergyTerm:
            return EnergyTerm(
                centres=i[rows], ends=j[rows][:, None], shifts=shifts[rows][:, None], function=function
            )

        self.terms = [
            pairs(slice(None), _coulomb(COULOMB * charges[i] * charges[j])),
            pairs(bonds, _morse(np.array(morse).reshape(-1, 4))),
            pairs(formers, _repulsion(heights[formers], decays[formers])),
            EnergyTerm(**legs, function=_bending(constants)),
        ]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute all properties of ``atoms`` into ``results``."""
        super().calculate(atoms, properties, system_changes)
        if atoms is None:
            raise ValueError("calculate() needs the atoms")
        check_volume_and_positions(atoms)
        energies, forces, virials = zip(*(term.evaluate(atoms) for term in self.terms), strict=True)
        energy = self._self_energy + sum(energies)
        force, virial = np.sum(forces, axis=0), np.sum(virials, axis=0)
        if not (np.isfinite(energy) and np.isfinite(force).all()):
            raise EvaluationFailed("energy or forces are not finite")
        stress = (virial + virial.T) / (2 * atoms.get_volume())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": force,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def _edges(atoms: Atoms, cutoff: float, *, full_list: bool) -> tuple[np.ndarray, ...]:
    """i [e], j [e], lattice translation of the image of j [e, 3] and distance [e] in A of pairs within ``cutoff`` (A).

    The translations refer to the positions of ``atoms``, wrapped or not.
    """
    i, j, vectors, distances = neighbour_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, cutoff, full_list=full_list, quantities="ijDd"
    )
    images = (vectors - atoms.positions[j] + atoms.positions[i]) @ np.linalg.inv(atoms.cell.array)
    return i, j, np.rint(images), distances


def _angles(atoms: Atoms, symbols: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Angles at oxygen as the arguments centres, ends and shifts of ``EnergyTerm``, and their K [m] in eV/rad^2."""
    centres, ends, shifts, distances = _edges(atoms, max(LEGS.values()), full_list=True)
    reach = np.array([LEGS.get(symbol, 0.0) for symbol in symbols])
    legs = np.flatnonzero((symbols[centres] == "O") & (distances < reach[ends]))
    legs = legs[np.argsort(centres[legs], kind="stable")]
    oxygens = centres[legs]
    # Each leg of an oxygen forms an angle with each later leg of the same oxygen: rows of the legs k apart.
    most_legs = int(np.bincount(oxygens).max(initial=0))
    rows = [np.flatnonzero(oxygens[k:] == oxygens[:-k]) for k in range(1, most_legs)]
    no_rows = np.zeros(0, dtype=int)
    first = legs[np.concatenate([no_rows, *rows])]
    second = legs[np.concatenate([no_rows, *(row + k for k, row in enumerate(rows, start=1))])]
    formers = zip(symbols[ends[first]].tolist(), symbols[ends[second]].tolist(), strict=True)
    constants = np.array([ANGLE_CONSTANTS[min(pair), max(pair)] for pair in formers])
    both = np.stack([first, second], axis=1)
    return {"centres": centres[first], "ends": ends[both], "shifts": shifts[both]}, constants


def _radial(of_distance: Any) -> Any:
    """Function of a pair term for ``EnergyTerm``.

    of_distance: maps distances r [m] in A to energies [m] in eV and their derivatives [m] in eV/A
    """

    def function(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r = lengths(vectors[:, 0])
        energies, slopes = of_distance(r)
        return energies, (slopes / r)[:, None, None] * vectors

    return function


def _coulomb_shifts() -> tuple[float, float]:
    """Shifts of the energy (1/A) and force (1/A^2) of two unit charges that make both zero at the cutoff."""
    a, cutoff = COULOMB_DAMPING, COULOMB_CUTOFF
    force = float(erfc(a * cutoff) / cutoff + 2 * a / np.sqrt(np.pi) * np.exp(-((a * cutoff) ** 2))) / cutoff
    return float(erfc(a * cutoff)) / cutoff + force * cutoff, force


def _coulomb(strength: np.ndarray) -> Any:
    """Damped shifted Coulomb term (Fennell and Gezelter, J. Chem. Phys. 124, 234104 (2006)).

    strength [m]: Coulomb constant times both charges, eV A
    """
    a, (energy, force) = COULOMB_DAMPING, _coulomb_shifts()

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        damped = erfc(a * r) / r
        slopes = force - (damped + 2 * a / np.sqrt(np.pi) * np.exp(-((a * r) ** 2))) / r
        return strength * (damped - energy + force * r), strength * slopes

    return _radial(of_distance)


def _morse(parameters: np.ndarray) -> Any:
    """Morse term with a wall, D ((1 - exp(-a (r - r0)))^2 - 1) + C / r^12.

    parameters [m, 4]: D (eV), a (1/A), r0 (A), C (eV A^12)
    """
    depth, a, r0, wall = parameters.T

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decay, core = np.exp(-a * (r - r0)), wall / r**12
        return depth * ((1 - decay) ** 2 - 1) + core, 2 * depth * a * decay * (1 - decay) - 12 * core / r

    return _radial(of_distance)


def _repulsion(heights: np.ndarray, decays: np.ndarray) -> Any:
    """Repulsion A exp(-r / rho); heights [m]: A (eV), decays [m]: rho (A)."""

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = heights * np.exp(-r / decays)
        return energies, -energies / decays

    return _radial(of_distance)


def _bending(constants: np.ndarray) -> Any:
    """Three-body term K exp(-(r1 + r2) / 1 A) (theta - ANGLE)^2; constants [m]: K (eV/rad^2)."""

    def function(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r = lengths(vectors)
        units = vectors / r[:, :, None]
        cosine = np.clip((units[:, 0] * units[:, 1]).sum(1), -1, 1)
        bend = np.arccos(cosine) - ANGLE
        screened = constants * np.exp(-r.sum(1))
        energies = screened * bend**2
        by_cosine = -2 * screened * bend / np.sqrt(np.maximum(1 - cosine**2, 1e-12))
        across = units[:, ::-1] - cosine[:, None, None] * units
        return energies, (by_cosine[:, None] / r)[:, :, None] * across - energies[:, None, None] * units

    return function


def relax_on_pieces(
    atoms: Atoms, *, fmax: float = FORCE, max_steps: int = MAX_STEPS
) -> tuple[Relaxation, BMPShrmPiece]:
    """Relaxation of positions and cell with updates of the pairs and angles, and the calculator at its end.

    fmax: force tolerance, eV/A; as of ``finite_strain.relax``
    max_steps: largest number of steps

    Raises EvaluationFailed if the energy of the structure cannot be evaluated at some step.
    """
    piece, steps, block_steps, minima, far_moves = BMPShrmPiece(atoms), 0, FIRST_STEPS, 0, 0
    while True:
        piece.fix(atoms)
        # A block that ends without converging is no reason to try other steps: the lists are out of date.
        most = min(block_steps, max_steps - steps)
        relaxed = relax(atoms, piece, fmax=fmax, max_steps=most, curvatures=CURVATURES[:1])
        steps += relaxed.steps
        minima = minima + 1 if relaxed.converged else 0
        if minima == ROUNDS or steps >= max_steps:
            return Relaxation(
                atoms=relaxed.atoms, converged=relaxed.converged, steps=steps, energy=relaxed.energy
            ), piece
        moved = np.abs(
            relaxed.atoms.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        )
        # From fractional coordinates, so that the deformation of the cell does not count; an upper bound by component.
        far = float((moved @ np.abs(atoms.cell.array)).max()) > MOVED
        short_again = far and far_moves < FAR
        far_moves += 1 if far else 0
        atoms, block_steps = relaxed.atoms, FIRST_STEPS if short_again else 2 * block_steps


def elastic_constants_of(atoms: Atoms) -> tuple[ElasticConstants, Relaxation]:
    """Elastic constants by linear response at the minimum to which a structure relaxes with its cell, and the minimum.

    A relaxation that ends at a saddle continues downhill. The result is not converged if the relaxation is not, or if
    all relaxations end at saddles. Raises EvaluationFailed if the energy of the structure cannot be evaluated at some
    step.
    """
    constants, steps = None, 0
    for _ in range(SADDLES):
        relaxed, piece = relax_on_pieces(atoms)
        steps += relaxed.steps
        constants = stiffness(relaxed.atoms, piece.terms) if relaxed.converged else None
        if constants is not None or not relaxed.converged:
            break
        mode = softest_mode(relaxed.atoms, piece.terms)
        atoms = relaxed.atoms.copy()
        atoms.positions += PUSH * mode / np.linalg.norm(mode, axis=1).max()
    elastic = ElasticConstants(
        stiffness=np.full((6, 6), np.nan) if constants is None else constants,
        converged=constants is not None,
        steps=steps,
    )
    return elastic, relaxed
