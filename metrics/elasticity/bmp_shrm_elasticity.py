"""One smooth piece of the BMP-shrm energy, and the elastic constants of a structure on it.

The published potential ends sharply: the energy jumps where two network formers pass 7 A and, by up to a tenth of an
eV, where an atom passes the end of the three-body term. No minimiser converges beside such a jump, and a stress from
either side of it has no slope. Between the jumps the energy is smooth. So pairs and angles are taken from one structure
and stay the same while its atoms move: the published energy exactly as long as none of them passes a cutoff, and its
smooth continuation beyond. A relaxation takes them again from its result; elastic constants are derivatives.
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
from .finite_strain import ElasticConstants, Relaxation, relax
from .linear_response import EnergyTerm, lengths, softest_mode, stiffness

COULOMB = 14.399645
"""eV A / e^2, as LAMMPS has it."""
ANGLE = np.deg2rad(109.47)
"""The angle at oxygen without energy."""
ANGLE_CONSTANTS = {("Si", "Si"): 12.5, ("P", "Si"): 60.0, ("P", "P"): 32.5}
"""eV/rad^2 of K exp(-(r1 + r2) / 1 A) (theta - ANGLE)^2 at an oxygen between two network formers."""
LEGS = {"Si": 3.3, "P": 2.0}
"""A; up to here a former is a leg of an angle at oxygen."""
FORCE = 0.005
"""eV/A; a softest mode of 0.01 eV/A^2 is then 0.5 A from its minimum at most, and moduli are within 1 %."""
FIRST_STEPS, MOVED, FAR = 10, 0.5, 10
"""Pairs and angles are taken again after 10, 20, 40 ... steps; after 10 again where an atom moved further (A), but ten
times at most: a glass between two pieces, each with its minimum in the other's reach, would go around in circles."""
ROUNDS = 3
"""So many minima in a row, each with the pairs and angles of the one before, and the last one counts: some atom may
be in reach at the minimum without it and out of reach at the minimum with it."""
MAX_STEPS = 4000
"""Enough for every generated glass of the tables of ``meg``; the 1,500 of the paper are for a tenfold ``FORCE``."""
SADDLES, PUSH = 3, 0.2
"""So many minima are looked for where the first is a saddle; its softest mode moves some atom by so much (A)."""


class BMPShrmPiece(Calculator):
    """Energy (eV), forces (eV/A) and stress (eV/A^3, ASE's sign) with the pairs and angles of one structure.

    atoms: that structure, until ``fix`` is given another
    EvaluationFailed where numbers are not finite or the cell has left ``VOLUME_PER_ATOM``.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        self.terms: list[EnergyTerm] = []
        self._self_energy = 0.0
        self.fix(atoms)

    def fix(self, atoms: Atoms) -> None:
        """Take the pairs within their cutoffs and the angles with both legs in reach."""
        check_volume_and_positions(atoms)
        symbols = np.array(atoms.get_chemical_symbols())
        charges = np.array([CHARGES[symbol] for symbol in symbols])
        own = _coulomb_end()[0] / 2 + COULOMB_DAMPING / np.sqrt(np.pi)
        self._self_energy = -COULOMB * own * float((charges**2).sum())
        i, j, shifts, distances = _edges(atoms, COULOMB_CUTOFF, full_list=False)
        near = distances < PAIR_CUTOFF
        one, other = symbols[i], symbols[j]
        bonds = np.flatnonzero(near & ((one == "O") | (other == "O")))
        morse = [
            MORSE_WITH_OXYGEN[b if a == "O" else a] for a, b in zip(one[bonds], other[bonds], strict=True)
        ]
        heights, decays = np.zeros(len(i)), np.ones(len(i))
        for pair, values in REPULSION.items():
            there = near & ((one == pair[0]) & (other == pair[1]) | (one == pair[1]) & (other == pair[0]))
            heights[there], decays[there] = values
        formers = np.flatnonzero(heights)
        legs, constants = _angles(atoms, symbols)

        def pairs(at: Any, function: Any) -> EnergyTerm:
            return EnergyTerm(
                centres=i[at], ends=j[at][:, None], shifts=shifts[at][:, None], function=function
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
    """i [e], j [e], shift [e, 3] of the image of j from where the atoms are, wrapped or not, and distance [e]."""
    i, j, vectors, distances = neighbour_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, cutoff, full_list=full_list, quantities="ijDd"
    )
    images = (vectors - atoms.positions[j] + atoms.positions[i]) @ np.linalg.inv(atoms.cell.array)
    return i, j, np.rint(images), distances


def _angles(atoms: Atoms, symbols: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The angles at oxygen as arguments of ``EnergyTerm``, and their constants [m]."""
    centres, ends, shifts, distances = _edges(atoms, max(LEGS.values()), full_list=True)
    reach = np.array([LEGS.get(symbol, 0.0) for symbol in symbols])
    legs = np.flatnonzero((symbols[centres] == "O") & (distances < reach[ends]))
    legs = legs[np.argsort(centres[legs], kind="stable")]
    at = centres[legs]
    # each leg of an oxygen with each of those that come after it
    most = int(np.bincount(at).max(initial=0))
    first = [np.flatnonzero(at[k:] == at[:-k]) for k in range(1, most)]
    one = legs[np.concatenate([np.zeros(0, dtype=int), *first])]
    two = legs[np.concatenate([np.zeros(0, dtype=int), *(p + k for k, p in enumerate(first, start=1))])]
    kinds = zip(symbols[ends[one]].tolist(), symbols[ends[two]].tolist(), strict=True)
    constants = np.array([ANGLE_CONSTANTS[min(pair), max(pair)] for pair in kinds])
    both = np.stack([one, two], axis=1)
    return {"centres": centres[one], "ends": ends[both], "shifts": shifts[both]}, constants


def _radial(of_distance: Any) -> Any:
    """A pair term from its energies and slopes at distances r [m]."""

    def function(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r = lengths(vectors[:, 0])
        energies, slopes = of_distance(r)
        return energies, (slopes / r)[:, None, None] * vectors

    return function


def _coulomb_end() -> tuple[float, float]:
    """What energy (1/A) and force (1/A^2) of two unit charges are lowered by, so that both end at the cutoff."""
    a, end = COULOMB_DAMPING, COULOMB_CUTOFF
    force = float(erfc(a * end) / end + 2 * a / np.sqrt(np.pi) * np.exp(-((a * end) ** 2))) / end
    return float(erfc(a * end)) / end + force * end, force


def _coulomb(strength: np.ndarray) -> Any:
    """Damped shifted forces (Fennell and Gezelter, J. Chem. Phys. 124, 234104 (2006)); strength [m] in eV A."""
    a, (energy, force) = COULOMB_DAMPING, _coulomb_end()

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        damped = erfc(a * r) / r
        slopes = force - (damped + 2 * a / np.sqrt(np.pi) * np.exp(-((a * r) ** 2))) / r
        return strength * (damped - energy + force * r), strength * slopes

    return _radial(of_distance)


def _morse(parameters: np.ndarray) -> Any:
    """D ((1 - exp(-a (r - r0)))^2 - 1) + C / r^12; parameters [m, 4] are D, a, r0, C."""
    depth, a, r0, wall = parameters.T

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decay, core = np.exp(-a * (r - r0)), wall / r**12
        return depth * ((1 - decay) ** 2 - 1) + core, 2 * depth * a * decay * (1 - decay) - 12 * core / r

    return _radial(of_distance)


def _repulsion(heights: np.ndarray, decays: np.ndarray) -> Any:
    """A exp(-r / rho)."""

    def of_distance(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = heights * np.exp(-r / decays)
        return energies, -energies / decays

    return _radial(of_distance)


def _bending(constants: np.ndarray) -> Any:
    """K exp(-r1 - r2) (theta - ANGLE)^2."""

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
    """Relax positions and cell, with pairs and angles taken again on the way and from the result.

    Returns the relaxation and the last piece. fmax, max_steps and errors: as of ``elasticity.relax``
    """
    piece, taken, chunk, minima, far_moves = BMPShrmPiece(atoms), 0, FIRST_STEPS, 0, 0
    while True:
        piece.fix(atoms)
        relaxed = relax(atoms, piece, fmax=fmax, max_steps=min(chunk, max_steps - taken))
        taken += relaxed.steps
        minima = minima + 1 if relaxed.converged else 0
        if minima == ROUNDS or taken >= max_steps:
            return Relaxation(
                atoms=relaxed.atoms, converged=relaxed.converged, steps=taken, energy=relaxed.energy
            ), piece
        moved = np.abs(
            relaxed.atoms.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        )
        far = float((moved @ np.abs(atoms.cell.array)).max()) > MOVED
        short_again = far and far_moves < FAR
        far_moves += 1 if far else 0
        atoms, chunk = relaxed.atoms, FIRST_STEPS if short_again else 2 * chunk


def elastic_constants_of(atoms: Atoms) -> ElasticConstants:
    """Of the minimum that a structure relaxes to, cell included, by linear response.

    A relaxation that ends at a saddle goes on downhill. Not converged where the relaxation was not, or where it ends at
    saddles only. EvaluationFailed where the structure breaks down on the way.
    """
    found, steps = None, 0
    for _ in range(SADDLES):
        relaxed, piece = relax_on_pieces(atoms)
        steps += relaxed.steps
        found = stiffness(relaxed.atoms, piece.terms) if relaxed.converged else None
        if found is not None or not relaxed.converged:
            break
        mode = softest_mode(relaxed.atoms, piece.terms)
        atoms = relaxed.atoms.copy()
        atoms.positions += PUSH * mode / np.linalg.norm(mode, axis=1).max()
    return ElasticConstants(
        stiffness=np.full((6, 6), np.nan) if found is None else found,
        converged=found is not None,
        steps=steps,
    )
