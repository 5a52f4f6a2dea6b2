"""Periodic structures as arrays, and their neighbour pairs through vesin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms


class SupportsPacking(Protocol):
    """StructureInput in packed arrays, periodic in all three directions; a loaded ``Dataset`` is one already.

    positions [n, 3]: angstrom, the atoms of all structures one after the other
    cells [s, 3, 3]: angstrom, rows are lattice vectors
    counts [s]: atoms of each structure
    """

    @property
    def positions(self) -> np.ndarray: ...
    @property
    def cells(self) -> np.ndarray: ...
    @property
    def counts(self) -> np.ndarray: ...


StructureInput: TypeAlias = "Sequence[Atoms] | SupportsPacking"
"""What the metrics take: a list of ASE Atoms, or packed arrays where Atoms objects would cost too much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedStructures:
    """The plainest ``SupportsPacking``: positions [n, 3], cells [s, 3, 3] in angstrom, counts [s]."""

    positions: np.ndarray
    cells: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        shapes = (np.shape(self.positions), np.shape(self.cells), np.shape(self.counts))
        structures, atoms = len(self.counts), int(np.sum(self.counts))
        if shapes != ((atoms, 3), (structures, 3, 3), (structures,)):
            raise AmsbenchError(
                f"positions, cells and counts of shapes {shapes} do not fit together; {structures} counts "
                f"that sum to {atoms} need ({atoms}, 3), ({structures}, 3, 3) and ({structures},)"
            )

    @classmethod
    def from_atoms(cls, structures: Sequence[Atoms]) -> PackedStructures:
        """Pack ASE Atoms; AmsbenchError when one is not periodic in all three directions."""
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
        )


def pack(structures: StructureInput) -> SupportsPacking:
    """The structures in packed form; what is packed already passes through."""
    if isinstance(structures, Sequence):
        return PackedStructures.from_atoms(structures)
    return structures


def cartesian(fractional: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cartesian coordinates [n, 3] in A of fractional ones [n, 3], each in its own cell of cells [n, 3, 3]."""
    return np.einsum("ni,nij->nj", fractional, cells)


def each_structure(packed: SupportsPacking) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [n, 3] and cell [3, 3] of one structure after the other."""
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for start, stop, cell in zip(offsets[:-1], offsets[1:], packed.cells, strict=True):
        yield packed.positions[start:stop], cell
