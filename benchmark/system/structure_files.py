"""Files of structures: reading in any format of ASE, writing extended XYZ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .files import write_atomically

if TYPE_CHECKING:
    from ase import Atoms


def read_structures(path: Path) -> list[Atoms]:
    """All structures of a file that ASE reads; AmsbenchError where there are none or they have no cell."""
    from ase.io import read

    if not path.is_file():
        raise AmsbenchError(f"no structures at {path}; give a file that ASE reads, such as .extxyz")
    try:
        found = read(path, index=":")
    except Exception as error:  # every reader of ASE fails in its own way
        raise AmsbenchError(
            f"{path} cannot be read as structures ({error}); give a valid .extxyz file"
        ) from error
    frames = found if isinstance(found, list) else [found]
    for k, frame in enumerate(frames):
        closed = frame.pbc.all() and np.isfinite(frame.cell.array).all()
        if not closed or abs(frame.cell.volume) < 1.0:
            raise AmsbenchError(f"structure {k} in {path} has no periodic cell; amorphous samples need one")
    if not frames:
        raise AmsbenchError(f"{path} holds no structures; give a file with at least one")
    return frames


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Structures as extxyz, atomically; an iterator's are written as they come."""
    from ase.io.extxyz import write_extxyz

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            for frame in frames:
                write_extxyz(file, [frame])

    write_atomically(path, write)


class _GivenUp(Exception):
    """In place of the next structures when there will be none."""


@contextmanager
def frame_writer(path: Path) -> Iterator[Callable[[list[Atoms]], None]]:
    """Structures as extxyz, written by a thread while the caller makes the next ones.

    Gives a function that takes the next structures. The file is there when the block has ended, whole; after an
    error in the block it is not. Raises AmsbenchError as ``write_atomically`` does, at the latest at the end.
    """
    queue: SimpleQueue[list[Atoms] | BaseException | None] = SimpleQueue()

    def arriving() -> Iterator[Atoms]:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item

    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write_frames, path, arriving())

        def put(frames: list[Atoms]) -> None:
            if writing.done():
                writing.result()  # only an error ends it before the end: no more work for a file that cannot be
            queue.put(frames)

        try:
            yield put
        except BaseException:
            queue.put(_GivenUp())
            raise
        queue.put(None)
        writing.result()
