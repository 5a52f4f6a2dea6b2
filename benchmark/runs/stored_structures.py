"""Structures of stored results, from their extended XYZ files or small ones; copies of results with small ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ..system.compact_structures import on_grid, read_compact, write_compact
from ..system.files import write_bytes
from ..system.structure_files import read_structures
from .results import COMPACT, STRUCTURES, TABLE, Result, ResultFiles, ResultKey, ResultStore, check_file

if TYPE_CHECKING:
    from ase import Atoms

ROUNDING = 1e-6
"""Largest distance from its grid point of an atom whose position was written with eight decimals, angstrom."""


def structures_path(files: ResultFiles, key: ResultKey) -> Path | None:
    """The file with the structures of a result: extended XYZ, else the small one; None if there is neither."""
    paths = [files.path(key, suffix) for suffix in (STRUCTURES, COMPACT)]
    return next((path for path in paths if path.is_file()), None)


def stored_structures(files: ResultFiles, result: Result) -> list[Atoms] | None:
    """The structures of a result as they were measured, also those that no metric can measure; None without a file.

    AmsbenchError for a file that is damaged or not the one that was stored with the result.
    """
    path = structures_path(files, result.key)
    if path is None:
        return None
    check_file(path, result)
    if path.suffix == COMPACT:
        return read_compact(path)
    return [on_grid(atoms) for atoms in read_structures(path)]


def copy_with_compact(files: ResultFiles, result: Result, target: ResultStore) -> Result:
    """Write a result, its table and its structures in small into ``target`` and return it with their hashes.

    In its own folder the result gets the small file in addition. AmsbenchError if structures or table are missing, are
    not those that were stored with the result, or are off the grid on which structures are measured.
    """
    key = result.key
    source, table = structures_path(files, key), files.path(key, TABLE)
    if source is None:
        raise AmsbenchError(
            f"{files.path(key)} has no structures beside it ({STRUCTURES} or {COMPACT}); copy them there, or run again "
            "to generate them"
        )
    if not table.is_file():
        raise AmsbenchError(f"{table} is missing; copy it beside its .json, or delete that and run again")
    for path in (source, table):
        check_file(path, result)
    place = target.path(key, COMPACT)
    if source.suffix == COMPACT:
        frames = None if source == place else read_compact(source)
    else:
        frames = grid_structures(source)
    if target.path(key).is_file():
        stored = target.find(key)
        assert stored is not None
        if stored.model_copy(update={"files": result.files}) != result:
            raise AmsbenchError(
                f"{target.path(key)} is another result of the same name; delete it or choose another folder"
            )
    if frames is not None:
        write_compact(place, frames)
    if table != target.path(key, TABLE):
        copy_file(table, target.path(key, TABLE))
    copy = result.model_copy(update={"files": target.file_hashes(key)})
    target.write(copy)
    return copy


def grid_structures(path: Path) -> list[Atoms]:
    """The structures of an extended XYZ file on the grid; AmsbenchError if they are not those of a run, which are."""
    structures = read_structures(path)
    frames = [on_grid(atoms) for atoms in structures]
    for name, atoms, moved in zip(structures.names, structures, frames, strict=True):
        finite = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
        if finite and len(atoms) and np.abs(atoms.positions - moved.positions).max() > ROUNDING:
            raise AmsbenchError(
                f"{name} ({path.parent}) is not on the grid on which 'amsbench run' measures structures; delete the "
                "result and run again"
            )
    return frames


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes, atomically."""
    write_bytes(target, source.read_bytes())
