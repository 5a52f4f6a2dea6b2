"""Periodic structures as arrays, and their neighbour pairs through vesin."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms


class Packed(Protocol):
    """Structures in packed arrays, periodic in all three directions; a loaded ``Dataset`` is one already.

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


Structures: TypeAlias = "Sequence[Atoms] | Packed"
"""What the metrics take: a list of ASE Atoms, or packed arrays where Atoms objects would cost too much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedStructures:
    """The plainest ``Packed``: positions [n, 3], cells [s, 3, 3] in angstrom, counts [s]."""

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


def pack(structures: Structures) -> Packed:
    """The structures in packed form; what is packed already passes through."""
    if isinstance(structures, Sequence):
        return PackedStructures.from_atoms(structures)
    return structures


def each_structure(packed: Packed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [n, 3] and cell [3, 3] of one structure after the other."""
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for start, stop, cell in zip(offsets[:-1], offsets[1:], packed.cells, strict=True):
        yield packed.positions[start:stop], cell


@functools.lru_cache(maxsize=16)
def _neighbor_list(cutoff: float, full_list: bool) -> Any:
    from vesin import NeighborList

    # One thread: callers spread structures over processes, and a few hundred atoms are too few to share.
    return NeighborList(cutoff=cutoff, full_list=full_list, sorted=full_list, n_threads=1)


def neighbor_pairs(
    positions: np.ndarray,
    cell: np.ndarray,
    periodic: Any,
    cutoff: float,
    *,
    full_list: bool,
    quantities: str,
) -> list[np.ndarray]:
    """All pairs closer than ``cutoff``, every periodic image its own pair, also in cells below the cutoff.

    positions [n, 3]: angstrom, wrapped or not
    cell [3, 3]: angstrom, rows are lattice vectors
    quantities: letters of ``vesin``: i, j (indices), S (shift between the wrapped atoms), d (distance),
        D (vector from i to j)
    full_list: both i-j and j-i, sorted by i; otherwise each pair once

    Raises AmsbenchError for positions or cells that are not finite and for a periodic cell without volume.
    """
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise AmsbenchError(
            "a structure has positions or a cell that are not finite numbers; drop it and count it as failed"
        )
    if np.any(periodic) and abs(np.linalg.det(cell)) < 1e-6:
        raise AmsbenchError(
            f"a periodic structure has a cell without volume, {np.asarray(cell).tolist()}; set its cell"
        )
    if len(positions) == 0:
        empty = {"i": (0,), "j": (0,), "d": (0,), "S": (0, 3), "D": (0, 3)}
        return [np.zeros(empty[q], dtype=np.int64 if q in "ijS" else np.float64) for q in quantities]
    points = np.ascontiguousarray(positions, dtype=np.float64)
    box = np.ascontiguousarray(cell, dtype=np.float64)
    if np.any(periodic):
        # Wrapped, so that an atom that drifted over many cells costs neither precision nor a huge shift.
        fractional = points @ np.linalg.inv(box)
        points = points - np.where(periodic, np.floor(fractional), 0.0) @ box
    found = _neighbor_list(float(cutoff), full_list).compute(
        points=points, box=box, periodic=periodic, quantities=quantities
    )
    # Unsigned indices make poor arithmetic.
    return [q.astype(np.int64) if letter in "ijS" else q for letter, q in zip(quantities, found, strict=True)]
