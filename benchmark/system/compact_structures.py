"""Structures on a grid of 1/65,536 of the cell vectors, and small files that hold them to the last bit.

The structures of a run are moved onto this grid before they are measured, by at most 0.2 mA in a cell of 14 A, far less
than atoms vibrate. A file of 16-bit integers then holds exactly what was measured, and so does an extended XYZ file
with its eight decimals once it is read back onto the grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload
from zipfile import ZipFile

import numpy as np

from ...errors import AmsbenchError
from .checked_files import read_npz
from .files import DAMAGED, write_atomically

if TYPE_CHECKING:
    from ase import Atoms

GRID = 65_536
"""Grid points along each cell vector."""
FIELDS = ("counts", "numbers", "cells", "places", "finite")
LARGEST = 512 * 2**20
"""Most bytes of all arrays of a file, unpacked: a file of a few kilobytes can claim to hold any number."""
HEAVIEST = 118
"""Largest atomic number of an element."""


_KINDS = ("iu", "u", "f", "b")
"""Kinds of numbers of counts, numbers, cells and finite."""


def on_grid(atoms: Atoms) -> Atoms:
    """Copy of a structure with its atoms on the nearest grid points of the cell; the same one if it is on them.

    Positions are those of the periodic images inside the cell. A structure with a coordinate that is not finite, or
    without a cell, stays as it is.
    """
    copy = atoms.copy()
    places = _places(atoms)
    if places is not None:
        copy.positions = _positions(places, atoms.cell.array)
    return copy


class CompactFrames(Sequence["Atoms"]):
    """Structures on the grid that take seven bytes of memory per atom; each access makes the ASE Atoms anew.

    Species, grid points, cell and ``info`` are kept, and structures without finite coordinates as they are.
    """

    def __init__(self) -> None:
        self._kept: list[Atoms | tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]] = []

    def append(self, atoms: Atoms) -> None:
        """Take a structure, on the nearest grid points."""
        places = _places(atoms)
        if places is None:
            self._kept.append(atoms)
        else:
            self._kept.append(
                (atoms.numbers.astype(np.uint8), places, atoms.cell.array.copy(), dict(atoms.info))
            )

    def extend(self, frames: Iterable[Atoms]) -> None:
        """Take several structures."""
        for atoms in frames:
            self.append(atoms)

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Atoms: ...
    @overload
    def __getitem__(self, index: slice) -> list[Atoms]: ...
    def __getitem__(self, index: int | slice) -> Atoms | list[Atoms]:
        from ase import Atoms

        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        kept = self._kept[index]
        if isinstance(kept, Atoms):
            return kept
        numbers, places, cell, info = kept
        return Atoms(numbers, _positions(places, cell), cell=cell, pbc=True, info=info)

    def __iter__(self) -> Iterator[Atoms]:
        return (self[k] for k in range(len(self)))


def write_compact(path: Path, frames: Sequence[Atoms]) -> None:
    """Write structures on the grid into a compressed .npz file; those without finite coordinates keep no positions."""
    places = [_places(atoms) for atoms in frames]
    none = [np.zeros((len(atoms), 3), dtype=np.uint16) for atoms in frames]
    arrays = {
        "counts": np.array([len(atoms) for atoms in frames], dtype=np.int32),
        "numbers": np.concatenate([atoms.numbers for atoms in frames]).astype(np.uint8),
        "cells": np.array([atoms.cell.array for atoms in frames], dtype=np.float64),
        "places": np.concatenate([n if p is None else p for p, n in zip(places, none, strict=True)]),
        "finite": np.array([p is not None for p in places]),
    }

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:  # a file object, since numpy adds a suffix to a name
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)


def is_compact(path: Path) -> bool:
    """Whether a file has the arrays of ``write_compact``, by their names alone."""
    try:
        with ZipFile(path) as archive:
            return {f"{name}.npy" for name in FIELDS} == set(archive.namelist())
    except DAMAGED:
        return False


def read_compact(path: Path) -> list[Atoms]:
    """The structures of a file of ``write_compact``, to the last bit; NaN where there were no finite coordinates.

    Nothing in the file is executed, and no more than ``LARGEST`` bytes are unpacked.
    AmsbenchError for a file that is damaged or of another kind.
    """
    from ase import Atoms

    arrays = read_npz(path, "restore the file", largest=LARGEST)
    if not arrays.keys() >= set(FIELDS):
        raise AmsbenchError(f"{path} holds no structures on the grid; restore the file")
    counts, numbers, cells, places, finite = (arrays[name] for name in FIELDS)
    kinds = [
        array.dtype.kind in allowed
        for array, allowed in zip((counts, numbers, cells, finite), _KINDS, strict=True)
    ]
    if not all(kinds) or counts.ndim != 1 or not len(counts):
        raise AmsbenchError(f"{path} is damaged: its arrays are not those of structures; restore the file")
    atoms_in_all = int(counts.sum())
    if (
        (counts < 0).any()
        or (numbers > HEAVIEST).any()
        or places.dtype != np.uint16
        or places.shape != (atoms_in_all, 3)
        or numbers.shape != (atoms_in_all,)
        or cells.shape != (len(counts), 3, 3)
        or finite.shape != counts.shape
    ):
        raise AmsbenchError(
            f"{path} is damaged: its arrays are of different numbers of atoms; restore the file"
        )
    ends = np.cumsum(counts)[:-1]
    return [
        Atoms(
            species,
            _positions(own, cell) if usable else np.full(own.shape, np.nan),
            cell=cell,
            pbc=True,
        )
        for species, own, cell, usable in zip(
            np.split(numbers, ends), np.split(places, ends), cells, finite, strict=True
        )
    ]


def _places(atoms: Atoms) -> np.ndarray | None:
    """Grid points [n, 3] of the atoms; None without a cell or finite coordinates."""
    cell, positions = atoms.cell.array, atoms.positions
    if not (np.isfinite(cell).all() and np.isfinite(positions).all()) or abs(np.linalg.det(cell)) < 1e-9:
        return None
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.floor(fractional)
    return np.asarray(np.round(fractional * GRID).astype(np.int64) % GRID, dtype=np.uint16)


def _positions(places: np.ndarray, cell: np.ndarray) -> np.ndarray:
    # term by term: the order of the sums of a matrix product is that of a library, which differs between machines
    x, y, z = (places[:, k, None] / GRID * cell[k] for k in range(3))
    positions: np.ndarray = x + y + z
    return positions
