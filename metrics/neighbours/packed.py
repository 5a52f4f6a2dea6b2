"""Periodic structures in packed arrays: the atoms of all structures one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms


class SupportsPacking(Protocol):
    """Structures in packed arrays, periodic in all three directions; a loaded ``Dataset`` is one of them.

    positions [n, 3]: A, the atoms of all structures one after the other
    cells [s, 3, 3]: A, rows are lattice vectors
    counts [s]: number of atoms of each structure
    numbers [n]: atomic numbers; None for points without species
    """

    @property
    def positions(self) -> np.ndarray: ...
    @property
    def cells(self) -> np.ndarray: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def numbers(self) -> np.ndarray | None: ...


StructureInput: TypeAlias = "Sequence[Atoms] | SupportsPacking"
"""Input of the metrics: a list of ASE Atoms, or packed arrays, which are faster for many structures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedStructures:
    """Positions [n, 3] and cells [s, 3, 3] in A, counts [s] and atomic numbers [n] or None.

    AmsbenchError if their shapes do not match.
    """

    positions: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    numbers: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = (np.shape(self.positions), np.shape(self.cells), np.shape(self.counts))
        structures, atoms = len(self.counts), int(np.sum(self.counts))
        if shapes != ((atoms, 3), (structures, 3, 3), (structures,)):
            raise AmsbenchError(
                f"positions, cells and counts of shapes {shapes} do not fit together; {structures} counts "
                f"that sum to {atoms} need ({atoms}, 3), ({structures}, 3, 3) and ({structures},)"
            )
        if self.numbers is not None and np.shape(self.numbers) != (atoms,):
            raise AmsbenchError(f"{atoms} atoms need an atomic number each, got {np.shape(self.numbers)}")

    @classmethod
    def from_atoms(cls, structures: Sequence[Atoms]) -> PackedStructures:
        """Packed arrays of ASE Atoms; AmsbenchError if one is not periodic in all three directions."""
        for index, atoms in enumerate(structures):
            if not atoms.pbc.all():
                raise AmsbenchError(
                    f"structure {index} ({atoms.get_chemical_formula()}) has pbc {atoms.pbc.tolist()}; "
                    "metrics of bulk materials need all three directions periodic, set pbc=True"
                )
        return cls(
            positions=np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in structures)]),
            cells=np.array([atoms.cell.array for atoms in structures], dtype=np.float64).reshape(-1, 3, 3),
            counts=np.array([len(atoms) for atoms in structures], dtype=np.int64),
            numbers=np.concatenate([np.zeros(0, np.int64), *(atoms.numbers for atoms in structures)]),
        )


def pack(structures: StructureInput) -> SupportsPacking:
    """The structures in packed form; packed structures are returned unchanged."""
    if isinstance(structures, Sequence):
        return PackedStructures.from_atoms(structures)
    return structures


def in_chunks(structures: StructureInput, size: int) -> Iterator[StructureInput]:
    """The structures in parts of at most ``size``, in their order; parts of packed structures are packed."""
    if isinstance(structures, Sequence):
        for first in range(0, len(structures), size):
            yield structures[first : first + size]
        return
    offsets = np.concatenate([[0], np.cumsum(structures.counts)])
    for first in range(0, len(structures.counts), size):
        last = min(first + size, len(structures.counts))
        atoms = slice(offsets[first], offsets[last])
        yield PackedStructures(
            positions=structures.positions[atoms],
            cells=structures.cells[first:last],
            counts=structures.counts[first:last],
            numbers=None if structures.numbers is None else structures.numbers[atoms],
        )


def structure_of_atoms(packed: SupportsPacking) -> np.ndarray:
    """Number of the structure [n] that each atom belongs to."""
    return np.repeat(np.arange(len(packed.counts)), packed.counts)


def selected_atoms(packed: SupportsPacking, chosen: np.ndarray) -> PackedStructures:
    """The same structures with the atoms of ``chosen`` [n] (bool) alone."""
    return PackedStructures(
        positions=packed.positions[chosen],
        cells=packed.cells,
        counts=np.bincount(structure_of_atoms(packed)[chosen], minlength=len(packed.counts)),
        numbers=None if packed.numbers is None else packed.numbers[chosen],
    )


def each_atoms(structures: StructureInput) -> Iterator[Atoms]:
    """The structures as ASE Atoms, one after the other; AmsbenchError for packed structures without species."""
    if isinstance(structures, Sequence):
        yield from structures
        return
    from ase import Atoms

    if structures.numbers is None:
        raise AmsbenchError("packed structures without atomic numbers are no Atoms; give them 'numbers'")
    offsets = np.concatenate([[0], np.cumsum(structures.counts)])
    for index, (positions, cell) in enumerate(each_structure(structures)):
        numbers = structures.numbers[offsets[index] : offsets[index + 1]]
        yield Atoms(numbers, positions=positions, cell=cell, pbc=True)


def cartesian(fractional: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cartesian coordinates [n, 3] in A of fractional coordinates [n, 3]; cells [n, 3, 3]: the cell of each atom."""
    return np.einsum("ni,nij->nj", fractional, cells)


def each_structure(packed: SupportsPacking) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [n, 3] and cell [3, 3] of each structure, A."""
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for start, stop, cell in zip(offsets[:-1], offsets[1:], packed.cells, strict=True):
        yield packed.positions[start:stop], cell
