"""Parsing of structure files in ASE's formats, with the checks that ASE's readers leave out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms

_XYZ_SUFFIXES = (".xyz", ".extxyz")
_HEADER_LINES = 30
"""Lines of a file that are read to recognise LAMMPS data files."""
_LAMMPS_DATA = re.compile(r"^\s*\d+\s+atoms\s*$.*^\s*\S+\s+\S+\s+xlo\s+xhi", re.MULTILINE | re.DOTALL)


def parse_file(path: Path, types: Sequence[str]) -> list[Atoms]:
    """All structures of one file, unchecked.

    types: chemical symbols of LAMMPS' atom types 1, 2, ..., for files that number their atoms by type alone
    Raises AmsbenchError for files that cannot be parsed in full, for atom types without ``types``, and for ``types``
    where the file has elements.
    """
    name = _format_of(path)
    if name == "extxyz" and path.suffix in _XYZ_SUFFIXES:
        frames = list(_xyz_frames(path))
    else:
        frames = _parsed_by_ase(path, name)
    if _numbered_by_type(path, name):
        if not types:
            raise AmsbenchError(
                f"{path} numbers its atoms by type and does not say which elements these are; name the elements of "
                "types 1, 2, ... with --types, such as --types Si,O"
            )
        _set_elements(frames, types, path)
    elif types:
        raise AmsbenchError(f"{path} has elements, not atom types; leave out --types {','.join(types)}")
    return frames


def _format_of(path: Path) -> str | None:
    """ASE's name of the file's format; None where ASE is to guess and to complain."""
    from ase.io.formats import UnknownFileTypeError, filetype

    if path.suffix in _XYZ_SUFFIXES:
        return "extxyz"
    # ASE takes the suffix .data for the format of another program
    with open(path, encoding="utf-8", errors="replace") as file:
        header = "".join(islice(file, _HEADER_LINES))
    if _LAMMPS_DATA.search(header):
        return "lammps-data"
    try:
        name: str = filetype(str(path))
    except (UnknownFileTypeError, OSError):
        return None
    return name


def _parsed_by_ase(path: Path, name: str | None) -> list[Atoms]:
    from ase.io import read

    try:
        # without the last argument ASE takes "a@1" for structure 1 of another file, "a"
        parsed: Any = read(path, index=":", format=name, do_not_split_by_at_sign=True)
    except Exception as error:  # every reader of ASE raises its own exceptions
        raise AmsbenchError(
            f"{path} cannot be read as structures ({error}); give a valid .extxyz file"
        ) from error
    frames = parsed if isinstance(parsed, list) else [parsed]
    for k, frame in enumerate(frames):
        occupancies = frame.info.get("occupancy") or {}
        if any(share < 1 for site in occupancies.values() for share in site.values()):
            raise AmsbenchError(
                f"structure {k} in {path} has sites with partial occupancy, of which whole atoms cannot be made; give "
                "a structure with one element on every site"
            )
    return frames


def _xyz_frames(path: Path) -> Iterator[Atoms]:
    """Structures of an (extended) XYZ file, one after the other; empty lines between them are skipped.

    ASE's reader ends at the first empty line without an error.
    """
    from ase.io.extxyz import read_xyz

    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise AmsbenchError(
            f"{path} cannot be read as structures ({error}); give a valid .extxyz file"
        ) from error
    if not lines[-1]:
        lines.pop()  # behind the last line break
    for number, (start, stop) in enumerate(_xyz_blocks(lines, path)):
        block = io.StringIO("\n".join(lines[start:stop]) + "\n")
        try:
            (frame,) = read_xyz(block, index=slice(None))
        except Exception as error:
            raise AmsbenchError(
                f"structure {number} in {path} (lines {start + 1} to {stop}) cannot be read ({error}); correct it or "
                "leave it out"
            ) from error
        yield frame


def _xyz_blocks(lines: Sequence[str], path: Path) -> Iterator[tuple[int, int]]:
    """First line of each structure and the line after its last one."""
    start, number = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        try:
            atoms = int(lines[start])
        except ValueError as error:
            raise AmsbenchError(
                f"line {start + 1} of {path} is {lines[start][:40]!r} and should be the atom count of structure "
                f"{number}; correct the file"
            ) from error
        stop = start + 2 + atoms
        if atoms < 0 or stop > len(lines):
            raise AmsbenchError(
                f"structure {number} in {path} (from line {start + 1}) should have {atoms} atoms, but the file ends "
                "before; copy it again or correct the count"
            )
        while stop < len(lines) and lines[stop].startswith("VEC"):  # an older way to write the cell
            stop += 1
        yield start, stop
        start, number = stop, number + 1


def _numbered_by_type(path: Path, name: str | None) -> bool:
    """Whether a file has LAMMPS' atom types and neither elements nor masses to tell the elements by."""
    if name == "lammps-dump-binary":
        return True
    if name not in ("lammps-dump-text", "lammps-data"):
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        if name == "lammps-data":
            return not any(line.split()[:1] == ["Masses"] for line in file)
        columns = next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), [])
    return not {"element", "mass"} & set(columns)


def _set_elements(frames: Sequence[Atoms], types: Sequence[str], path: Path) -> None:
    """Replace the types 1, 2, ..., which ASE takes for atomic numbers, by elements."""
    from ase.data import atomic_numbers

    unknown = [symbol for symbol in types if not atomic_numbers.get(symbol)]
    if unknown:
        raise AmsbenchError(f"'{unknown[0]}' is no chemical symbol; give --types such as Si,O")
    numbers = np.array([0, *(atomic_numbers[symbol] for symbol in types)])
    for k, frame in enumerate(frames):
        largest = int(frame.numbers.max(initial=0))
        if largest > len(types):
            raise AmsbenchError(
                f"structure {k} in {path} has atoms of type {largest}, but --types {','.join(types)} names "
                f"{len(types)} elements; name one for every type"
            )
        frame.numbers = numbers[frame.numbers]
