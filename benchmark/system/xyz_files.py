"""XYZ and extended XYZ files, read in full; ASE's reader ends at the first empty line without an error."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .files import reason_of
from .lammps_files import element_table, refuse_types

if TYPE_CHECKING:
    from ase import Atoms


def read_xyz_file(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """All structures of an (extended) XYZ file; empty lines between them are skipped.

    name: of the file, for messages; types: chemical symbols of types 1, 2, ... where these stand for the elements
    Raises AmsbenchError for text that belongs to no structure, and for what cannot be parsed.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # behind the last line break
    frames = []
    numbered = False
    for number, (start, stop) in enumerate(_blocks(lines, name)):
        where = f"structure {number} in {name} (lines {start + 1} to {stop})"
        block = lines[start:stop]
        column = _type_column(block)
        if column is not None:
            block, numbered = _with_elements(block, column, types, name), True
        frames.append(_parsed(block, where))
    if not numbered:
        refuse_types(types, name)
    return frames


def _parsed(block: Sequence[str], where: str) -> Atoms:
    from ase.io.extxyz import read_xyz

    try:
        frames: list[Atoms] = list(read_xyz(io.StringIO("\n".join(block) + "\n"), index=slice(None)))
    except Exception as error:  # ASE's reader raises many kinds
        raise AmsbenchError(
            f"{where} cannot be read ({_reason(error)}); correct it or leave it out"
        ) from error
    return frames[0]


def _reason(error: Exception) -> str:
    """What is wrong, in the words of the user where Python's are about its own objects."""
    text = reason_of(error)
    if isinstance(error, KeyError):
        return f"{text} is no element"
    if number := re.search(r"could not convert string to float: (.*)", text):
        return f"{number[1]} is no number, which is written like -1.5 or 1.5e-3"
    return text


def _blocks(lines: Sequence[str], name: str) -> Iterator[tuple[int, int]]:
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
                f"line {start + 1} of {name} is {lines[start][:40]!r} and should be the atom count of structure "
                f"{number}; correct the file, or name its format with --format if it is not extended XYZ"
            ) from error
        stop = start + 2 + atoms
        if atoms < 0 or stop > len(lines):
            raise AmsbenchError(
                f"structure {number} in {name} (from line {start + 1}) should have {atoms} atoms, but the file ends "
                "before; copy it again or correct the count"
            )
        while stop < len(lines) and lines[stop].startswith("VEC"):  # an older way to write the cell
            stop += 1
        yield start, stop
        start, number = stop, number + 1


def _type_column(block: Sequence[str]) -> int | None:
    """The column with LAMMPS' atom types of a structure that has these in place of elements; None for elements.

    OVITO writes a column ``type``, or numbers in the column of the species, for types without names.
    """
    match = re.search(r'Properties="?([\w:]+)', block[1]) if len(block) > 1 else None
    parts = (match[1] if match else "species:S:1:pos:R:3").split(":")
    columns: dict[str, int] = {}
    place = 0
    for key, width in zip(parts[::3], parts[2::3], strict=False):
        columns[key] = place
        place += int(width) if width.isdigit() else 1
    if "Z" in columns or len(block) < 3:
        return None
    if "species" not in columns:
        return columns.get("type")
    species = block[2].split()[columns["species"] : columns["species"] + 1]
    return columns["species"] if species and species[0].isdigit() else None


def _with_elements(block: Sequence[str], column: int, types: Sequence[str], name: str) -> list[str]:
    """The lines of a structure with the elements of its types in the column of the species."""
    from ase.data import chemical_symbols

    rows = [line.split() for line in block[2:]]
    try:
        kinds = np.array([int(row[column]) for row in rows])
    except (ValueError, IndexError) as error:
        raise AmsbenchError(f"{name} has an atom without a type; correct the file") from error
    if kinds.min() < 1:
        raise AmsbenchError(f"{name} has an atom of type {kinds.min()}; types are numbered from 1")
    table = element_table(int(kinds.max()), {}, {}, types, name)
    for row, kind in zip(rows, kinds, strict=True):
        row[column] = chemical_symbols[table[kind]]
    head = re.sub(r"\btype:I:1\b", "species:S:1", block[1]) if "species:" not in block[1] else block[1]
    return [block[0], head, *(" ".join(row) for row in rows)]
