"""Parsing of structure files in ASE's formats, with the checks that ASE's readers leave out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from .compact_structures import is_compact, read_compact
from .crystal_files import CAREFUL_READERS
from .files import reason_of
from .lammps_files import is_data, is_dump, read_data, read_dump, refuse_types
from .structure_sources import SourceFile
from .xyz_files import read_xyz_file

if TYPE_CHECKING:
    from ase import Atoms

_DATABASE_KEYS = ("key_value_pairs", "data", "unique_id")
"""What ASE's databases add to ``info``."""
_HEADER = 8_000
"""Characters of a file that are read to recognise its format."""
_TEXT_READERS: dict[str, Callable[[str, str, Sequence[str]], list[Atoms]]] = {
    "extxyz": read_xyz_file,
    "xyz": read_xyz_file,
    "lammps-dump-text": read_dump,
    "lammps-data": read_data,
    **CAREFUL_READERS,
}
_GUESSED = {
    "gromacs": "names its atoms by labels, not by elements",
    "gromos": "names its atoms by labels, not by elements",
    "dlp4": "names its atoms by labels, not by elements",
    "dlp-history": "names its atoms by labels, not by elements",
    "lammps-dump-binary": "numbers its atoms by type in columns without names",
    "cp2k-dcd": "has no elements",
    "netcdftrajectory": "numbers its atoms by type",
    "bundletrajectory": "is a folder of another kind",
}
"""Formats that do not say which elements their atoms are, so that ASE guesses."""


def parse_file(file: SourceFile, types: Sequence[str], format_name: str | None) -> tuple[list[Atoms], str]:
    """All structures of one file, unchecked, with nothing but atoms, cell and ``info``; and ASE's name of its format.

    types: chemical symbols of LAMMPS' atom types 1, 2, ..., for files that number their atoms by type alone
    format_name: ASE's name of the format; None recognises it by content and name
    Raises AmsbenchError for files that cannot be parsed in full, for atom types without ``types``, and for ``types``
    where the file has elements.
    """
    if format_name is None and is_compact(file.path):
        refuse_types(types, file.name)
        return read_compact(file.path), "compact structures"
    name = format_name or _recognised(file)
    if name in _GUESSED:
        raise AmsbenchError(
            f"{file.name} ({name}) {_GUESSED[name]}; convert it to extended XYZ with its elements"
        )
    reader = _TEXT_READERS.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of ASE's readers, about what is checked here or beside the structure
        try:
            if reader is not None:
                frames = reader(_text_of(file), file.name, types)
            else:
                refuse_types(types, file.name)
                frames = _read_by_ase(file.path, name)
            return [_plain(frame, file.name) for frame in frames], name
        except AmsbenchError:
            raise
        except Exception as error:  # every reader of ASE raises its own exceptions
            raise AmsbenchError(
                f"{file.name} cannot be read as {name} ({type(error).__name__}: {reason_of(error)}); correct it, or "
                "name another --format"
            ) from error


def check_format(name: str) -> str:
    """``name`` itself; AmsbenchError if it is not ASE's name of a format that can be read."""
    from ase.io.formats import ioformats

    readable = [key for key, value in ioformats.items() if value.can_read]
    if name not in readable:
        raise AmsbenchError(
            f"unknown format '{name}'; ASE reads {', '.join(readable[:-1])} and {readable[-1]}"
        )
    return name


def _recognised(file: SourceFile) -> str:
    """ASE's name of the file's format, by its content where that is clear, else by its name."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    with open(file.path, encoding="utf-8", errors="replace") as opened:
        header = opened.read(_HEADER)
    suffix = file.path.suffix.lower()
    if suffix in (".xyz", ".extxyz"):
        return "extxyz"
    if suffix == ".npz":
        raise AmsbenchError(
            f"{file.name} is a file of arrays; give structures, or a dataset of amsbench with --data"
        )
    if is_dump(header):
        return "lammps-dump-text"
    # ASE takes the suffix .data for the format of another program
    if is_data(header):
        return "lammps-data"
    if not header.strip():
        raise AmsbenchError(f"{file.name} is empty and holds no structures; copy it again or leave it out")
    try:
        name: str = filetype(str(file.path))
    except (UnknownFileTypeError, OSError):
        name = ""
    if name not in ioformats or not ioformats[name].can_read:
        raise AmsbenchError(
            f"the format of {file.name} cannot be recognised; name it with --format, such as --format lammps-data"
        )
    return name


def _text_of(file: SourceFile) -> str:
    try:
        return file.path.read_text(encoding="utf-8")
    except UnicodeError:
        return file.path.read_text(encoding="latin-1")  # of comments, which are not read
    except OSError as error:
        raise AmsbenchError(f"{file.name} cannot be read ({error.strerror}); copy it again") from error


def _read_by_ase(path: Path, name: str) -> list[Atoms]:
    from ase.db import connect
    from ase.io import read

    if name in ("db", "json"):
        rows = connect(path, type=name).select()
        return [row.toatoms(add_additional_information=True) for row in rows]
    # without the last argument ASE takes "a@1" for structure 1 of another file, "a"
    parsed: Any = read(path, index=":", format=name, do_not_split_by_at_sign=True)
    frames = parsed if isinstance(parsed, list) else [parsed]
    for k, frame in enumerate(frames):
        for key in ("occupancies", "occupancy"):
            if np.any(np.asarray(frame.arrays.get(key, 1.0)) < 1):
                raise AmsbenchError(
                    f"structure {k} in {path.name} has sites with partial occupancy, of which whole atoms cannot be "
                    "made; give a structure with one element on every site"
                )
    return frames


def _plain(frame: Atoms, place: str) -> Atoms:
    """Elements, positions, cell and ``info`` of a structure, with the single numbers of its calculator in ``info``."""
    from ase import Atoms
    from ase.data import chemical_symbols

    if len(frame) and not 0 <= frame.numbers.min() <= frame.numbers.max() < len(chemical_symbols):
        numbers = {int(frame.numbers.min()), int(frame.numbers.max())} - set(range(len(chemical_symbols)))
        raise AmsbenchError(
            f"{place} has an atom with the atomic number {min(numbers)}, which no element has; correct it"
        )
    results = getattr(frame.calc, "results", {}) or {}
    info = {key: value for key, value in results.items() if np.ndim(value) == 0}
    info |= frame.info.get("key_value_pairs", {})
    info |= {key: value for key, value in frame.info.items() if key not in _DATABASE_KEYS}
    return Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc, info=info)
