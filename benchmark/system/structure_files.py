"""Structure files: reading in any format of ASE, writing extended XYZ."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .files import write_atomically
from .structure_formats import parse_file

if TYPE_CHECKING:
    from ase import Atoms


THINNEST_CELL = 1.0
"""Smallest height of a cell, angstrom; neighbour searches in thinner cells do not terminate."""
LEAST_VOLUME = 1.0
"""Smallest volume per atom, A^3; that of diamond is 5.7."""
FARTHEST = 1e6
"""Largest distance of an atom from the origin, angstrom; farther positions have lost significant digits."""
STRUCTURE_SUFFIXES = (".extxyz", ".xyz")
"""Suffixes of the structure files that are written, all in extended XYZ."""


def read_structures(path: Path, types: Sequence[str] = ()) -> list[Atoms]:
    """All structures of a file in one of ASE's formats, or of all files in a folder in the order of their names.

    types: chemical symbols of LAMMPS' atom types 1, 2, ..., for files that number their atoms by type alone
    Raises AmsbenchError if there are no structures, if a file cannot be parsed in full, and for structures whose cell
    is not periodic in all directions or has no sensible size. Positions may be NaN.
    """
    frames: list[Atoms] = []
    for file in structure_paths(path):
        parsed = parse_file(file, types)
        for k, frame in enumerate(parsed):
            _check_structure(frame, f"structure {k} in {file}")
        frames += parsed
    if not frames:
        raise AmsbenchError(f"{path} holds no structures; give a file with at least one")
    return frames


def structure_paths(path: Path) -> list[Path]:
    """The file itself, or the visible files of a folder by name; AmsbenchError if there are none."""
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        if not files:
            raise AmsbenchError(f"the folder {path} holds no files; give one with structures")
        return files
    if not path.is_file():
        raise AmsbenchError(f"no structures at {path}; give a file that ASE reads, such as .extxyz")
    if zipfile.is_zipfile(path):
        raise AmsbenchError(f"{path} is an archive; unpack it and give its folder")
    return [path]


def check_structure_suffix(path: Path) -> None:
    """Raise AmsbenchError for the name of an output file that is not one of extended XYZ."""
    if path.suffix not in STRUCTURE_SUFFIXES:
        raise AmsbenchError(
            f"structures are written as .extxyz, not '{path.suffix}' ({path}); rename the output"
        )


def _check_structure(frame: Atoms, name: str) -> None:
    periodic = int(frame.pbc.sum())
    if 0 < periodic < 3:
        raise AmsbenchError(
            f"{name} is periodic along {periodic} of its 3 lattice vectors only; amorphous samples need all three"
        )
    cell = frame.cell.array
    with np.errstate(over="ignore", invalid="ignore"):
        crosses = np.array([np.cross(cell[k - 2], cell[k - 1]) for k in range(3)])
        volume = abs(float(cell[0] @ crosses[0]))
    if not periodic or not 0 < volume < math.inf:
        raise AmsbenchError(f"{name} has no periodic cell; amorphous samples need one")
    height = volume / float(np.linalg.norm(crosses, axis=1).max())
    if height < THINNEST_CELL:
        raise AmsbenchError(
            f"the cell of {name} has a height of {height:.3g} A, less than an atom; give lattice vectors that are "
            "longer or less skewed, in angstrom"
        )
    if len(frame) and volume / len(frame) < LEAST_VOLUME:
        raise AmsbenchError(
            f"{name} has {volume / len(frame):.3g} A^3 per atom, less than any solid; give the cell in angstrom"
        )
    if np.abs(frame.positions[np.isfinite(frame.positions)]).max(initial=0.0) > FARTHEST:
        raise AmsbenchError(
            f"{name} has an atom more than {FARTHEST:g} A from the origin; wrap its atoms into the cell"
        )


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, atomically; those of an iterator are written as they come."""
    from ase.io.extxyz import write_extxyz

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            for frame in frames:
                write_extxyz(file, [frame])

    write_atomically(path, write)


class _Cancelled(Exception):
    """Sent to the writing thread instead of further structures after an error."""


@contextmanager
def frame_writer(path: Path) -> Iterator[Callable[[list[Atoms]], None]]:
    """Function that queues structures for a thread, which writes them to an extended XYZ file meanwhile.

    The file appears in full when the block ends, and not at all after an error in the block. Raises AmsbenchError as
    ``write_atomically`` does, at the latest at the end.
    """
    queue: SimpleQueue[list[Atoms] | BaseException | None] = SimpleQueue()

    def queued_frames() -> Iterator[Atoms]:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item

    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write_frames, path, queued_frames())

        def put(frames: list[Atoms]) -> None:
            if writing.done():
                writing.result()  # it ends before the last structure only by an error, which is raised here
            queue.put(frames)

        try:
            yield put
        except BaseException:
            queue.put(_Cancelled())
            raise
        queue.put(None)
        writing.result()
