"""Descriptors of a single structure: composition, density, coordination numbers, shortest distance.

They are reported with every inverse-design result, because a generator can meet a target property with the wrong
composition or density. The shear modulus, for example, depends on the density.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AmsbenchError
from .neighbours.packed import each_structure, pack
from .neighbours.pairs import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

OVERLAP = 1.0
"""Distance in A below which two atoms overlap; the shortest bond of silica is 1.5 A long."""

GRAMS_PER_CM3 = 1.66053906660
"""One atomic mass unit per cubic angstrom, in g/cm^3 (CODATA 2018)."""

# For a given number density the shortest periodic distance is largest in a close packing: 2^(1/6) (V/n)^(1/3)
# (proved by Gauss for lattices, by Hales for all packings). A neighbour search with this cutoff therefore finds the
# shortest pair of every structure.
_CLOSE_PACKING = 2.0 ** (1.0 / 6.0) * (1.0 + 1e-6)


@dataclass(frozen=True, kw_only=True, eq=False)
class StructureFacts:
    """Descriptors of one structure that need no interatomic potential.

    n_atoms: number of atoms in the cell
    element_fractions: atoms of an element divided by all atoms, by chemical symbol
    mass_density: g/cm^3
    number_density: atoms per A^3
    minimum_distance: shortest distance between two atoms in A, including periodic images of the same atom; None
        without atoms
    coordination: histogram of coordination numbers for every requested pair "A-B": number of B neighbours of an A
        atom -> number of A atoms
    """

    n_atoms: int
    element_fractions: dict[str, float]
    mass_density: float
    number_density: float
    minimum_distance: float | None
    coordination: dict[str, dict[int, int]]

    def mean_coordination(self, pair: str) -> float | None:
        """Mean number of B neighbours of an A atom for the pair "A-B"; None if there are no A atoms.

        Raises AmsbenchError for a pair whose neighbours were not counted.
        """
        if pair not in self.coordination:
            counted_pairs = ", ".join(self.coordination) or "none"
            raise AmsbenchError(f"the coordination of '{pair}' was not counted; counted are: {counted_pairs}")
        histogram = self.coordination[pair]
        atoms = sum(histogram.values())
        return sum(number * count for number, count in histogram.items()) / atoms if atoms else None


def structure_facts(
    structures: Sequence[Atoms], *, cutoffs: Mapping[str, float] | None = None
) -> list[StructureFacts]:
    """Descriptors of each structure.

    cutoffs: longest bond in A for each pair of elements whose coordination numbers are counted, {"Si-O": 2.3};
        neighbours are counted in both directions, "Si-O" and "O-Si"

    Raises AmsbenchError for a structure that is not periodic in all directions, has no volume, or is not finite.
    """
    pairs = {pair: (_elements(pair), cutoff) for pair, cutoff in (cutoffs or {}).items()}
    for a, b in (elements for elements, _ in pairs.values()):
        if a != b and f"{b}-{a}" in pairs:
            raise AmsbenchError(
                f"'{a}-{b}' and '{b}-{a}' are the same pair of elements; give one cutoff for it"
            )
    packed = pack(structures)
    return [
        _facts(atoms, positions, cell, pairs)
        for atoms, (positions, cell) in zip(structures, each_structure(packed), strict=True)
    ]


def _facts(
    atoms: Atoms,
    positions: np.ndarray,
    cell: np.ndarray,
    pairs: Mapping[str, tuple[tuple[str, str], float]],
) -> StructureFacts:
    """Descriptors of one structure; pairs: the two elements and the cutoff (A) by the name of the pair."""
    symbols = np.asarray(atoms.get_chemical_symbols(), dtype=np.str_)
    volume = abs(float(np.linalg.det(cell)))
    if volume == 0.0:
        raise AmsbenchError(f"a structure has a cell without volume, {cell.tolist()}; set its cell")
    packing_cutoff = _CLOSE_PACKING * (volume / max(len(atoms), 1)) ** (1.0 / 3.0)
    search_cutoff = max([packing_cutoff, *(cutoff for _, cutoff in pairs.values())])
    i, j, distances = neighbour_pairs(positions, cell, True, search_cutoff, full_list=True, quantities="ijd")
    coordination: dict[str, dict[int, int]] = {}
    for (a, b), cutoff in pairs.values():
        bonded = distances < cutoff
        for centre, neighbour in dict.fromkeys([(a, b), (b, a)]):
            counts = np.bincount(i[bonded & (symbols[j] == neighbour)], minlength=len(symbols))
            atoms_by_count = Counter(counts[symbols == centre].tolist())
            coordination[f"{centre}-{neighbour}"] = dict(sorted(atoms_by_count.items()))
    element_counts = sorted(Counter(symbols.tolist()).items())
    return StructureFacts(
        n_atoms=len(atoms),
        element_fractions={symbol: count / len(atoms) for symbol, count in element_counts},
        mass_density=GRAMS_PER_CM3 * float(atoms.get_masses().sum()) / volume,
        number_density=len(atoms) / volume,
        minimum_distance=float(distances.min()) if len(atoms) else None,
        coordination=coordination,
    )


def _elements(pair: str) -> tuple[str, str]:
    """The two chemical symbols of a pair "A-B"; AmsbenchError if it is not one."""
    from ase.data import atomic_numbers

    symbols = pair.split("-")
    if len(symbols) != 2 or any(symbol not in atomic_numbers for symbol in symbols):
        raise AmsbenchError(f"'{pair}' is not a pair of elements; write it like 'Si-O'")
    return symbols[0], symbols[1]


def has_overlap(atoms: Atoms, distance: float = OVERLAP) -> bool:
    """Whether two atoms, including periodic images, are closer than ``distance`` (A)."""
    (close_distances,) = neighbour_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, distance, full_list=False, quantities="d"
    )
    return len(close_distances) > 0
