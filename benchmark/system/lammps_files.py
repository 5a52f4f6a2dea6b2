"""LAMMPS dump and data files, read by ASE after checks: completeness, units, and the elements of the atom types."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from .files import reason_of

if TYPE_CHECKING:
    from ase import Atoms

ANGSTROM_UNITS = ("metal", "real")
"""LAMMPS' unit styles with lengths in angstrom."""
MASS_TOLERANCE = 0.1
"""Largest difference of a mass from an element's, u, by which it names the element."""
LIGHTEST = 6.0
"""Smallest mass that names an element, u; smaller ones, such as 1 and 4, are common in reduced units."""

_STYLES = {"atomic": (5, 1, None), "charge": (6, 1, None), "molecular": (6, 2, 1), "full": (7, 2, 1)}
"""Columns of each atom style without image flags, and the columns of the type and of the molecule."""
_TYPES_ADVICE = "name the elements of types 1, 2, ... with --types, such as --types Si,O"


def is_dump(header: str) -> bool:
    """Whether text begins as a LAMMPS dump does."""
    return header.lstrip().startswith("ITEM: ")


def is_data(header: str) -> bool:
    """Whether text begins as a LAMMPS data file does."""
    atoms = re.search(r"^\s*\d+\s+atoms\b", header, re.MULTILINE)
    return bool(atoms and re.search(r"\sxlo\s+xhi\b|\savec\b", header))


# -- dumps -------------------------------------------------------------------------------------------------


def read_dump(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """Structures of a text dump.

    name: of the file, for messages; types: chemical symbols of the atom types 1, 2, ...
    Raises AmsbenchError for a dump that is incomplete, in other units than angstrom, or without elements and ``types``.
    """
    from ase.io.lammpsrun import read_lammps_dump_text

    frames = []
    for number, (lines, where) in enumerate(_dump_frames(text.splitlines(), name)):
        frame_name = f"structure {number} in {name} ({where})"
        columns = _dump_columns(lines)
        elements = _has_elements(lines, columns)
        if elements:
            refuse_types(types, name)
        if not elements:
            # under other names ASE takes neither for elements
            lines = [
                re.sub(r" (element|mass)\b", r" v_\1", line) if line.startswith("ITEM: ATOMS") else line
                for line in lines
            ]
            if "element" in columns:
                lines = _without_column(lines, columns.index("element"))
        try:
            frame: Any = read_lammps_dump_text(io.StringIO("\n".join(lines) + "\n"), index=0)
        except Exception as error:  # ASE's reader raises many kinds
            raise AmsbenchError(
                f"{frame_name} cannot be read ({reason_of(error)}); write the dump again"
            ) from error
        if not elements:
            frame.numbers = _elements_of_dump(frame, types, name)[frame.numbers]
        frames.append(frame)
    return frames


def _dump_frames(lines: Sequence[str], name: str) -> Iterator[tuple[list[str], str]]:
    """Lines of each structure and where they stand; AmsbenchError for text that belongs to none."""
    start, number = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        first, columns = start, None
        header: dict[str, Sequence[str]] = {}
        while start < len(lines) and columns is None:
            line = lines[start]
            if not line.startswith("ITEM: "):
                raise AmsbenchError(
                    f"line {start + 1} of {name} is {line[:40]!r} and should begin with 'ITEM: '; correct the dump"
                )
            if line.startswith("ITEM: ATOMS"):
                columns = line.split()[2:]
                start += 1
            else:
                size = 4 if line.startswith("ITEM: BOX BOUNDS") else 2
                header[line.removeprefix("ITEM: ").strip()] = lines[start + 1 : start + size]
                start += size
        unit = "".join(header.get("UNITS", [])).strip()
        if unit and unit not in ANGSTROM_UNITS:
            raise AmsbenchError(
                f"{name} says that its units are '{unit}', in which lengths are not in angstrom; convert it to metal "
                "or real units"
            )
        counts = header.get("NUMBER OF ATOMS", [])
        if columns is None or len(counts) != 1 or not counts[0].strip().isdigit():
            raise AmsbenchError(
                f"structure {number} in {name} (from line {first + 1}) has no atoms behind its header; the dump is cut "
                "off, write it again or leave the structure out"
            )
        atoms = int(counts[0])
        stop = start + atoms
        for k in range(start, stop):
            if k >= len(lines) or len(lines[k].split()) != len(columns):
                line = repr(lines[k][:40]) if k < len(lines) else "missing"
                raise AmsbenchError(
                    f"structure {number} in {name} should have {atoms} atoms with {len(columns)} columns, but line "
                    f"{k + 1} is {line}; the dump is cut off or damaged"
                )
        yield list(lines[first:stop]), f"lines {first + 1} to {stop}"
        start, number = stop, number + 1


def _dump_columns(lines: Sequence[str]) -> list[str]:
    return next(line.split()[2:] for line in lines if line.startswith("ITEM: ATOMS"))


def _has_elements(lines: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a column names the elements; LAMMPS writes C for every type where nobody named them."""
    if "element" not in columns:
        return False
    begin = next(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS")) + 1
    rows = [line.split() for line in lines[begin:]]
    symbols = {row[columns.index("element")] for row in rows}
    several = "type" in columns and len({row[columns.index("type")] for row in rows}) > 1
    return not (symbols == {"C"} and several)


def _without_column(lines: Sequence[str], column: int) -> list[str]:
    """The lines of one structure without one column of its table of atoms."""
    begin = next(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
    head = lines[begin].split()
    table = [" ".join(head[: column + 2] + head[column + 3 :])]
    table += [" ".join(row[:column] + row[column + 1 :]) for row in map(str.split, lines[begin + 1 :])]
    return [*lines[:begin], *table]


def _elements_of_dump(frame: Atoms, types: Sequence[str], name: str) -> np.ndarray:
    """Atomic number of each type, from 0, of one structure whose numbers are types."""
    masses: dict[int, float] = {}
    if "v_mass" in frame.arrays:
        for kind, mass in zip(frame.numbers.tolist(), frame.arrays["v_mass"].tolist(), strict=True):
            if masses.setdefault(kind, mass) != mass:
                raise AmsbenchError(f"{name} has atoms of type {kind} with different masses; {_TYPES_ADVICE}")
    return element_table(int(frame.numbers.max(initial=0)), masses, {}, types, name)


# -- elements ----------------------------------------------------------------------------------------------


def refuse_types(types: Sequence[str], name: str) -> None:
    """Raise AmsbenchError for ``types`` of a file that has elements."""
    if types:
        raise AmsbenchError(f"{name} has elements, not atom types; leave out --types {','.join(types)}")


def element_table(
    count: int, masses: Mapping[int, float], labels: Mapping[int, str], types: Sequence[str], name: str
) -> np.ndarray:
    """Atomic numbers [count + 1] of the types 1 to ``count``, from ``types``, or else from labels and masses.

    masses, labels: of each type, as far as the file has them
    Raises AmsbenchError where they contradict each other, and where a type has none of them.
    """
    from ase.data import atomic_numbers, chemical_symbols

    unknown = [symbol for symbol in types if not atomic_numbers.get(symbol)]
    if unknown:
        raise AmsbenchError(f"'{unknown[0]}' is no chemical symbol; give --types such as Si,O")
    if types and count > len(types):
        raise AmsbenchError(
            f"{name} has atoms of type {count}, but --types {','.join(types)} names {len(types)} elements; name one "
            "for every type"
        )
    table = np.zeros(count + 1, dtype=int)
    for kind in range(1, count + 1):
        labelled = atomic_numbers.get(labels.get(kind, ""), 0)
        weighed = element_of_mass(masses[kind]) if kind in masses else 0
        present = [n for n in (atomic_numbers[types[kind - 1]] if types else 0, labelled, weighed) if n]
        if len(set(present)) > 1:
            symbols = " and ".join(dict.fromkeys(chemical_symbols[n] for n in present))
            raise AmsbenchError(
                f"type {kind} in {name} is {symbols} at once, by --types, its label or its mass "
                f"{masses.get(kind, '-')}; correct the file or --types"
            )
        if not present:
            has = f" (a mass of {masses[kind]:g} names none)" if kind in masses else ""
            raise AmsbenchError(
                f"{name} numbers its atoms by type and does not say which element type {kind} is{has}; {_TYPES_ADVICE}"
            )
        table[kind] = present[0]
    return table


def element_of_mass(mass: float) -> int:
    """Atomic number of the only element with this mass (u); 0 if none or several are as heavy."""
    from ase.data import atomic_masses

    difference = np.abs(atomic_masses[1:] - mass)
    nearest, second = np.argsort(difference)[:2]
    clear = difference[nearest] <= MASS_TOLERANCE and difference[second] > 3 * difference[nearest]
    if float(mass).is_integer():
        clear = clear and difference[second] > 0.5  # rounded from the mass of either
    return int(nearest) + 1 if mass >= LIGHTEST and clear else 0


# -- data files --------------------------------------------------------------------------------------------


@dataclass
class _DataFile:
    """What the header and the sections of a data file say beside the atoms."""

    atoms: int = 0
    types: int = 0
    style: str = ""
    rows: list[list[str]] = field(default_factory=list)
    masses: dict[int, float] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)


def read_data(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The structure of a data file; arguments and errors as of ``read_dump``, and an error for unclear atom styles."""
    from ase.io.lammpsdata import read_lammps_data

    unit = re.search(r"units = (\w+)", text.split("\n", 1)[0])
    if unit and unit[1] not in ANGSTROM_UNITS:
        raise AmsbenchError(
            f"{name} says that its units are '{unit[1]}', in which lengths are not in angstrom; convert it to metal or "
            "real units"
        )
    try:
        data = _scanned(text)
        style = data.style or _style_of(data, name)
        if len(data.rows) != data.atoms:
            raise AmsbenchError(
                f"{name} should have {data.atoms} atoms and has {len(data.rows)} lines of them; the file is cut off or "
                "damaged"
            )
        table = element_table(max(data.types, 1), data.masses, data.labels, types, name)
        numbers = {kind: int(number) for kind, number in enumerate(table) if kind}
        frame: Any = read_lammps_data(
            io.StringIO(text), Z_of_type=numbers, atom_style=style, read_image_flags=False
        )
    except AmsbenchError:
        raise
    except Exception as error:  # ASE's reader raises many kinds
        raise AmsbenchError(
            f"{name} cannot be read as a LAMMPS data file ({type(error).__name__}: {reason_of(error)}); correct it"
        ) from error
    frame.info.clear()  # the comment of the first line
    return [frame]


def _scanned(text: str) -> _DataFile:
    data, section = _DataFile(), ""
    for line in text.splitlines()[1:]:
        content, _, comment = (part.strip() for part in line.partition("#"))
        if not content:
            continue
        words = content.split()
        if content[0].isupper() and words[-1].isalpha():
            section = content
            data.style = comment.split()[0] if section == "Atoms" and comment else data.style
        elif not section and words[1:] == ["atoms"]:
            data.atoms = int(words[0])
        elif not section and words[1:] == ["atom", "types"]:
            data.types = int(words[0])
        elif section == "Atoms":
            data.rows.append(words)
        elif section == "Masses":
            data.masses[int(words[0])] = float(words[1])
            if comment:
                data.labels.setdefault(int(words[0]), comment.split()[0])
        elif section == "Atom Type Labels":
            data.labels[int(words[0])] = words[1]
    return data


def _style_of(data: _DataFile, name: str) -> str:
    """The only atom style whose columns fit all atoms; AmsbenchError if none or several do."""
    fitting = [style for style in _STYLES if all(_fits(row, style, data.types) for row in data.rows)]
    if len(fitting) != 1 or not data.rows:
        styles = f"{' or '.join(fitting)}" if fitting else "none of atomic, charge, molecular and full"
        raise AmsbenchError(
            f"the atoms of {name} could be of the atom style {styles}; write the style behind the heading, such as "
            "'Atoms # charge'"
        )
    return fitting[0]


def _fits(row: Sequence[str], style: str, types: int) -> bool:
    columns, kind, molecule = _STYLES[style]
    if len(row) not in (columns, columns + 3):
        return False
    integers = [row[kind], *([] if molecule is None else [row[molecule]]), *row[columns:]]
    return all(re.fullmatch(r"[+-]?\d+", item) for item in integers) and 1 <= int(row[kind]) <= types
