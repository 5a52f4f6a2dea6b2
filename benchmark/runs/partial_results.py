"""Finished tasks of a non-learned baseline on disk, so that an interrupted run resumes and plans share structures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from ..system.files import write_atomically

if TYPE_CHECKING:
    from ase import Atoms

FinishedTask = tuple[list["Atoms"], float]
"""Structures of one task and its CPU seconds."""


@dataclass(frozen=True)
class PartialResults:
    """Folder of finished tasks; structures are stored exactly, to the last bit."""

    folder: Path

    def read(self, name: str) -> FinishedTask | None:
        """The finished task called ``name``, or None if it has no complete file."""
        from ase import Atoms

        try:
            with open(self._path(name), "rb") as opened, np.load(opened, allow_pickle=False) as file:
                ends = np.cumsum(file["counts"])[:-1]
                structures = zip(
                    np.split(file["numbers"], ends),
                    np.split(file["positions"], ends),
                    file["cells"],
                    strict=True,
                )
                frames = [
                    Atoms(numbers, positions, cell=cell, pbc=True) for numbers, positions, cell in structures
                ]
                return frames, float(file["seconds"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def write(self, name: str, task: FinishedTask) -> None:
        """Store a finished task; AmsbenchError if the folder cannot be written."""
        frames, seconds = task
        arrays = {
            "counts": np.array([len(atoms) for atoms in frames]),
            "numbers": np.concatenate([atoms.numbers for atoms in frames]),
            "positions": np.concatenate([atoms.positions for atoms in frames]),
            "cells": np.array([atoms.cell.array for atoms in frames]),
            "seconds": np.array(seconds),
        }

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:  # a file object, since numpy adds a suffix to a name
                np.savez(file, allow_pickle=False, **arrays)

        write_atomically(self._path(name), write)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


@contextmanager
def kept_until_done(folder: Path) -> Iterator[PartialResults]:
    """Partial results in ``folder``; the folder is removed on success and kept if the block raises."""
    yield PartialResults(folder)
    shutil.rmtree(folder, ignore_errors=True)
