"""Files of crystallography and of simulation codes whose readers in ASE guess: CIF, POSCAR, PDB, GEN, RES."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from .lammps_files import refuse_types

if TYPE_CHECKING:
    from ase import Atoms
    from ase.io.cif import CIFBlock

_LABEL = re.compile(r"([A-Z][a-z]?)\d*")
"""Name of an atom that begins with its element without doubt: Si1, O2; not CA, which is calcium or a carbon."""
_SPACE_GROUP = ("it_number", "int_tables_number", "name_h-m", "name_h-m_alt")
"""Ends of the keys of space groups, which ASE writes in small letters."""
_NUMBERS = (
    "_atom_site_occupancy",
    *(f"_atom_site_fract_{axis}" for axis in "xyz"),
    *(f"_atom_site_cartn_{axis}" for axis in "xyz"),
)
_SYMMETRY = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)


def read_cif_file(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The structures of all blocks of a CIF, with the atoms that its symmetry operators make.

    Raises AmsbenchError for partial occupancies, for a formula that its atoms do not have, and for space groups whose
    operators would have to be guessed.
    """
    from ase.io.cif import parse_cif

    refuse_types(types, name)
    blocks = [block for block in parse_cif(io.StringIO(text)) if block.has_structure()]
    return [_from_block(block, f"structure {k} in {name}") for k, block in enumerate(blocks)]


def _from_block(block: CIFBlock, name: str) -> Atoms:
    for column in _NUMBERS:
        texts = [item for item in block.get(column) or [] if isinstance(item, str)]
        if texts:
            raise AmsbenchError(f"{name} has '{texts[0]}' in {column}, which is no number; correct the file")
    shares: Any = block.get("_atom_site_occupancy") or []
    if any(share < 1 for share in shares):
        raise AmsbenchError(
            f"{name} has sites with partial occupancy, of which whole atoms cannot be made; give a structure with one "
            "element on every site"
        )
    grouped = next((block[key] for key in block if key.endswith(_SPACE_GROUP)), None)
    operators = any(block.get(key) for key in _SYMMETRY)
    if operators and not grouped:
        raise AmsbenchError(
            f"{name} has symmetry operators without the number of their space group, which ASE needs; add "
            "_space_group_IT_number"
        )
    frame = block.get_atoms()
    checked = _check_formula(block, frame, name)
    if not operators and not checked and grouped and str(grouped).replace(" ", "") not in ("1", "P1"):
        raise AmsbenchError(
            f"{name} names space group {grouped}, but neither its symmetry operators nor a formula to check the atoms "
            "by; write the CIF with operators, or with all atoms in P 1"
        )
    frame.info = {}
    return frame


def _check_formula(block: CIFBlock, frame: Atoms, name: str) -> bool:
    """Whether the CIF has a formula; AmsbenchError if the atoms do not have its composition."""
    text = block.get("_chemical_formula_sum")
    if not isinstance(text, str):
        return False
    formula = {
        symbol: float(number or 1) for symbol, number in re.findall(r"([A-Z][a-z]?)\s*(\d*\.?\d*)", text)
    }
    counts = {"H" if key == "D" else key: value for key, value in formula.items()}
    atoms = Counter(frame.get_chemical_symbols())
    units: Any = block.get("_cell_formula_units_z")
    scale = float(units) if isinstance(units, int | float) else len(frame) / max(sum(counts.values()), 1e-9)
    rounding = 0.006 * scale  # of formulas with two decimals
    if counts.keys() != atoms.keys() or any(
        abs(scale * counts[key] - atoms[key]) > rounding for key in counts
    ):
        raise AmsbenchError(
            f"{name} has the atoms {frame.symbols.formula.format('metal')}, but its formula is {text!r}"
            f"{f' with {units} formula units' if units else ''}; correct the sites, the symmetry or the formula"
        )
    return True


def read_poscar(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The structure of a POSCAR or CONTCAR.

    types: elements of the numbers of atoms, for VASP 4 files, which do not name them (ASE looks for words in the
        comment and in other files)
    Raises AmsbenchError for missing elements and for further text behind the atoms and velocities.
    """
    from ase.io.vasp import read_vasp

    lines = text.splitlines()
    if len(lines) < 7:
        raise AmsbenchError(f"{name} has {len(lines)} lines, which is no POSCAR; copy it again")
    named = not lines[5].split()[0].isdigit() if lines[5].split() else True
    if named:
        refuse_types(types, name)
    else:
        kinds = len(lines[5].split("!")[0].split())
        if len(types) != kinds:
            raise AmsbenchError(
                f"{name} has the atom numbers {lines[5].strip()!r} and no line with their elements; name them in this "
                "order with --types, such as --types Si,O"
            )
        lines.insert(5, " ".join(types))
    atoms = sum(int(word) for word in lines[6].split("!")[0].split())
    start = 8 + (lines[7].strip()[:1].lower() == "s")
    stop = start + atoms
    if len(lines) < stop:
        raise AmsbenchError(f"{name} should have {atoms} atoms, but the file ends before; copy it again")
    for k, line in enumerate(lines[stop:], start=stop + (1 if named else 0)):
        words = line.split()
        if words and not all(_is_number(word) for word in words):
            if words[0].lower() in ("direct", "cartesian", "lattice"):
                continue  # heads of velocities
            raise AmsbenchError(
                f"line {k} of {name}, behind the {atoms} atoms, is {line[:40]!r}; a POSCAR holds one structure, give "
                "each a file of its own"
            )
    frame: Any = read_vasp(io.StringIO("\n".join(lines[:stop]) + "\n"))
    return [frame]


def read_pdb(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The models of a PDB file; the unit cell at its beginning holds for all of them.

    Raises AmsbenchError for partial occupancies, for symmetry, which ASE's reader leaves out, and for atoms without an
    element in columns 77 and 78 whose name does not tell it.
    """
    from ase.data import atomic_numbers
    from ase.io.proteindatabank import read_proteindatabank

    refuse_types(types, name)
    lines = [line.ljust(80) for line in text.splitlines()]
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    for line in atoms:
        label = _LABEL.fullmatch(line[12:16].strip())
        element = line[76:78].strip().capitalize() or (label[1] if label else "")
        if not atomic_numbers.get(element):
            raise AmsbenchError(
                f"{name} does not say which element the atom {line[12:16].strip()!r} is; write it in columns 77 and 78"
            )
        occupancy = line[54:60].strip()
        if occupancy and _is_number(occupancy) and 0 < float(occupancy) < 1:
            raise AmsbenchError(
                f"{name} has atoms with a partial occupancy of {occupancy}; keep one of each place"
            )
    cells = [line for line in lines if line.startswith("CRYST1")]
    group = next(
        (line[55:66].strip() for line in cells if line[55:66].replace(" ", "") not in ("", "P1")), None
    )
    if group is not None:
        raise AmsbenchError(
            f"{name} has the space group {group}, whose other atoms are left out; write it with all atoms in P 1"
        )
    models: list[list[str]] = [[]]
    for line in lines:
        if line.startswith(("ATOM", "HETATM")):
            models[-1].append(line)
        elif line.startswith("END") and models[-1]:
            models.append([])
    models = [model for model in models if model]
    if len(cells) not in (0, 1, len(models)):
        raise AmsbenchError(
            f"{name} has {len(cells)} cells (CRYST1) for {len(models)} models; give each its own"
        )
    frames = []
    for k, model in enumerate(models):
        cell = cells[:1] if len(cells) < 2 else [cells[k]]
        block = io.StringIO("\n".join([*cell, *model, "END"]) + "\n")
        frames.append(read_proteindatabank(block, index=0, read_arrays=False))
    return frames


def read_gen_file(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The structure of a GEN file of DFTB+; AmsbenchError for further text behind it."""
    from ase.io.gen import read_gen

    refuse_types(types, name)
    lines = text.splitlines()
    count, kind = lines[0].split()[:2]
    stop = 2 + int(count) + (0 if kind == "C" else 4)
    for k, line in enumerate(lines[stop:], start=stop + 1):
        if line.strip():
            raise AmsbenchError(
                f"line {k} of {name}, behind the {count} atoms, is {line[:40]!r}; GEN holds one structure, give each a "
                "file of its own"
            )
    return [read_gen(io.StringIO(text))]


def read_res_file(text: str, name: str, types: Sequence[str]) -> list[Atoms]:
    """The structure of a SHELX file; AmsbenchError for symmetry, which ASE's reader leaves out, and unread atoms."""
    from ase.io.res import Res

    refuse_types(types, name)
    lines = text.splitlines()
    keys = [line.split()[0].upper() for line in lines if line.strip()]
    lattice = next((line.split()[1:2] for line in lines if line.upper().startswith("LATT")), ["1"])
    if "SYMM" in keys or lattice != ["-1"]:
        raise AmsbenchError(f"{name} has symmetry (SYMM, LATT); write it with all atoms and 'LATT -1'")
    if keys.count("TITL") > 1:
        raise AmsbenchError(f"{name} has several structures; give each a file of its own")
    begin = keys.index("SFAC") + 1
    filled = [line for line in lines if line.strip()]
    rows = filled[begin : keys.index("END") if "END" in keys else None]
    frame: Any = Res.from_string(text).atoms
    if len(frame) != len(rows):
        raise AmsbenchError(
            f"{name} has {len(rows)} lines behind SFAC, of which {len(frame)} are atoms; correct it"
        )
    return [frame]


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


CAREFUL_READERS: dict[str, Callable[[str, str, Sequence[str]], list[Atoms]]] = {
    "cif": read_cif_file,
    "vasp": read_poscar,
    "proteindatabank": read_pdb,
    "gen": read_gen_file,
    "res": read_res_file,
}
"""Readers by ASE's name of the format, called with text, name of the file and types."""
