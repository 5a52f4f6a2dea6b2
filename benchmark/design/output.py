"""Files of glasses, in any format of ASE by the suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import AmsbenchError
from ..system.structure_files import STRUCTURE_SUFFIXES, write_frames
from .folder import DesignFolder
from .run import Design

if TYPE_CHECKING:
    from ase import Atoms


def format_of(path: Path, count: int) -> str:
    """ASE's name of the format that the suffix of ``path`` stands for.

    Raises AmsbenchError for a suffix that ASE does not know or cannot write, and for a format of single structures
    where ``count`` is more than one.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    if path.suffix in STRUCTURE_SUFFIXES:
        return "extxyz"
    try:
        name = str(filetype(path.name, read=False))
        form = ioformats[name]
    except (UnknownFileTypeError, KeyError) as error:
        raise AmsbenchError(
            f"'{path.suffix}' ({path}) is the suffix of no format of structures; give one such as .extxyz"
        ) from error
    if not form.can_write or not path.suffix:
        raise AmsbenchError(
            f"ASE cannot write structures as '{path.suffix}' ({path}); give one such as .extxyz"
        )
    if form.single and count > 1:
        raise AmsbenchError(
            f"a file of the format {name} ({path}) holds one structure, not {count}; give one such as .extxyz"
        )
    return name


def write_glasses(temporary: Path, frames: Sequence[Atoms], format_name: str) -> None:
    """Write structures in a format of ASE, whatever the suffix of the file."""
    if format_name == "extxyz":
        write_frames(temporary, frames)
        return
    from ase.io import write

    write(temporary, frames if len(frames) > 1 else frames[0], format=format_name)


def write_results(folder: DesignFolder, output: Path, design: Design, format_name: str) -> None:
    """Write the glasses to ``output``, if there are any, and the table and the nearest structure into the folder."""
    folder.write_table(design.table)
    if design.nearest is not None:
        write_frames(folder.nearest, [design.nearest])
    if design.frames:
        folder.write_output(output, lambda temporary: write_glasses(temporary, design.frames, format_name))
