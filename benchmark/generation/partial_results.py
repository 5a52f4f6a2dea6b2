"""Finished parts of the structures of a result on disk, so that an interrupted run resumes within the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import AmsbenchError
from ..system.checked_files import read_checked_npz, write_checked_npz
from ..system.files import shared_folder, write_text

if TYPE_CHECKING:
    from ase import Atoms


class FinishedPart(NamedTuple):
    """Structures that were generated together, and the seconds of the wall clock and of processors that they took."""

    frames: list[Atoms]
    seconds: float
    cpu_seconds: float


_ENVIRONMENT, _COMPLETE = "environment", "complete"
"""Names of files without a suffix, so that nobody takes them for results."""


@dataclass(frozen=True)
class PartialResults:
    """Folder of finished parts; structures are stored exactly, to the last bit, without their ``info``."""

    folder: Path

    def names(self) -> list[str]:
        """Names of the parts that are stored."""
        return sorted(path.stem for path in self.folder.glob("*.npz") if not path.name.startswith("."))

    def read(self, name: str) -> FinishedPart | None:
        """The finished part called ``name``, or None if it has no complete file."""
        from ase import Atoms

        try:
            file = read_checked_npz(self._path(name), "run again")
            ends = np.cumsum(file["counts"])[:-1]
            structures = zip(
                np.split(file["numbers"], ends), np.split(file["positions"], ends), file["cells"], strict=True
            )
            frames = [
                Atoms(numbers, positions, cell=cell, pbc=True) for numbers, positions, cell in structures
            ]
            return FinishedPart(frames, float(file["seconds"]), float(file["cpu_seconds"]))
        except AmsbenchError:
            return None

    def complete_part(self, name: str) -> FinishedPart:
        """The finished part called ``name``; AmsbenchError if its file is gone or damaged."""
        part = self.read(name)
        if part is None:
            raise _gone(self._path(name))
        return part

    def write(self, name: str, part: FinishedPart) -> None:
        """Store a finished part; AmsbenchError if the folder cannot be written."""
        frames = part.frames
        arrays = {
            "counts": np.array([len(atoms) for atoms in frames]),
            "numbers": np.concatenate([atoms.numbers for atoms in frames]),
            "positions": np.concatenate([atoms.positions for atoms in frames]),
            "cells": np.array([atoms.cell.array for atoms in frames]),
            "seconds": np.array(part.seconds),
            "cpu_seconds": np.array(part.cpu_seconds),
        }
        write_checked_npz(self._path(name), arrays, compressed=False)

    def environment(self) -> str:
        """What ``record_environment`` has stored; AmsbenchError if it is gone."""
        try:
            return (self.folder / _ENVIRONMENT).read_text(encoding="utf-8")
        except OSError:
            raise _gone(self.folder / _ENVIRONMENT) from None

    def record_environment(self, text: str) -> None:
        """Store with which versions and hardware the parts are generated, unless that is stored already."""
        if not (self.folder / _ENVIRONMENT).is_file():
            write_text(self.folder / _ENVIRONMENT, text)

    def record_complete(self) -> None:
        """Store that all parts are there."""
        write_text(self.folder / _COMPLETE, "")

    @property
    def complete(self) -> bool:
        return (self.folder / _COMPLETE).is_file()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


def _gone(path: Path) -> AmsbenchError:
    return AmsbenchError(f"{path} was removed or changed while the command was using it; run it again")


@contextmanager
def kept_until_done(folder: Path, *, remove: bool = True) -> Iterator[PartialResults]:
    """Partial results in ``folder``, which other processes may use at the same time.

    They are kept if the block raises. After success, or without any part, the last of its users removes the folder.

    remove: False to keep the folder after success, too
    """
    with shared_folder(folder) as use:
        partial = PartialResults(folder)
        try:
            yield partial
        except BaseException:
            remove = not partial.names()
            raise
        finally:
            if remove:
                use.remove_if_unused()


def remove_unused(folders: Iterable[Path]) -> None:
    """Remove folders of partial results that no process is using."""
    for folder in folders:
        if folder.is_dir():
            with shared_folder(folder) as use:
                use.remove_if_unused()
