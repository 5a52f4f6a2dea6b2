"""Making a dataset file of structures that somebody else made: everything that could go wrong later is told now."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .. import registry
from ..system.files import sha256_of
from ..system.structure_files import read_structures
from .dataset import Dataset, task_of
from .definition import SPLITS, DatasetDefinition
from .imported import ImportedStructures
from .storage import dataset_in_memory, encode_structures, save_dataset, splits_of_groups

if TYPE_CHECKING:
    from ase import Atoms

_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = {
    *("atoms", "density", "minimum_distance", "charge", "energy", "energy_per_atom", "largest_force"),
    *("group", "split", "structure"),
}
"""Columns of the tables of structures, and what exported structures have in their info."""
_TAKEN_ENDS = ("_failure",)
_TAKEN_BEGINNINGS = ("fraction_", "target_")


def import_structures(
    file: Path,
    output: Path,
    *,
    name: str,
    properties: Sequence[str] = (),
    elements: Sequence[str] = (),
    ghost_density: float | None = None,
) -> Dataset:
    """Make a dataset file of structures that ASE reads, every one a sample of its own, and return the dataset.

    name: what it is called from then on, with ``--data`` and its file
    properties: keys of the structures' ``info`` whose numbers become labels; NaN where a structure has none
    elements: needed where not all structures have the same ones
    ghost_density: atoms plus ghosts per A^3, so that a model decides density and composition; None for atom counts
        that stay those of the cell
    Raises AmsbenchError for whatever could not be trained on later; nothing is written then.
    """
    _check_names(name, properties)
    if output.exists():
        raise AmsbenchError(f"{output} is there already; choose another --output-file, or delete it")
    frames = read_structures(file)
    definition = ImportedStructures(
        name=name,
        elements=_elements(frames, tuple(elements), file),
        ghost_density=ghost_density,
        properties=tuple(properties),
    )
    groups = np.arange(len(frames))
    splits = splits_of_groups(groups, definition.split_fractions)
    if len(np.unique(splits)) < len(SPLITS):
        raise AmsbenchError(
            f"{file} has {len(frames)} structures; {_least_samples(definition)} are needed, so that there are some to "
            "train on, to validate with and to compare with"
        )
    _check_structures(frames, ghost_density, file)
    arrays = encode_structures(frames, definition.elements)
    arrays |= {"groups": groups, "properties": _labels(frames, properties, file)}
    provenance = {"recipe": "imported", "file": file.name, "sha256": sha256_of(file), "samples": len(frames)}
    dataset = dataset_in_memory(definition, arrays, provenance, str(output))
    task_of(dataset, tuple(properties))  # labels that cannot be trained on are told now
    save_dataset(output, definition, arrays, provenance)
    return dataset


def _check_names(name: str, properties: Sequence[str]) -> None:
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise AmsbenchError(
            f"'{name}' cannot be the name of a dataset; use up to 40 small letters, digits and hyphens, like my-glass"
        )
    if name in registry.names("datasets"):
        raise AmsbenchError(
            f"the name '{name}' is taken by a dataset that is installed; choose another --name"
        )
    for item in properties:
        if not _PROPERTY.fullmatch(item):
            raise AmsbenchError(
                f"'{item}' cannot be the name of a property; rename the key in the file to letters, digits and _"
            )
        if item in _TAKEN or item.startswith(_TAKEN_BEGINNINGS) or item.endswith(_TAKEN_ENDS):
            raise AmsbenchError(
                f"'{item}' is what amsbench calls a column of its own; rename the key in the file, such as my_{item}"
            )
    if len(set(properties)) < len(properties):
        raise AmsbenchError(f"--properties names a key twice: {', '.join(properties)}")


def _elements(frames: Sequence[Atoms], asked: tuple[str, ...], file: Path) -> tuple[str, ...]:
    """The elements asked for, or those of all structures, by atomic number."""
    from ase.data import atomic_numbers, chemical_symbols

    unknown = [symbol for symbol in asked if not atomic_numbers.get(symbol)]
    if unknown:
        raise AmsbenchError(f"'{unknown[0]}' is no chemical symbol; give --elements such as Si,O")
    if len(set(asked)) < len(asked):
        raise AmsbenchError(f"--elements names an element twice: {', '.join(asked)}")
    known = set(asked) or set(frames[0].get_chemical_symbols())
    found: set[str] = set()
    for k, frame in enumerate(frames):
        own = set(frame.get_chemical_symbols())
        found |= own
        if "X" in own:
            raise AmsbenchError(
                f"structure {k} in {file} has an atom of no element (X); give every atom its element"
            )
        if asked and own - known:
            raise AmsbenchError(
                f"structure {k} in {file} has {', '.join(sorted(own - known))}, which --elements "
                f"{','.join(asked)} does not"
            )
        if not asked and own != known:
            raise AmsbenchError(
                f"structure {k} in {file} has the elements {', '.join(sorted(own))}, structure 0 "
                f"{', '.join(sorted(known))}; where they belong together, name all elements with --elements"
            )
    if asked and known - found:
        raise AmsbenchError(
            f"no structure in {file} has {', '.join(sorted(known - found))}; leave it out of --elements"
        )
    return asked or tuple(sorted(known, key=chemical_symbols.index))


def _check_structures(frames: Sequence[Atoms], ghost_density: float | None, file: Path) -> None:
    if ghost_density is not None and not 0 < ghost_density < math.inf:
        raise AmsbenchError(f"a ghost density is above 0, in atoms per A^3, not {ghost_density}")
    for k, frame in enumerate(frames):
        if len(frame) == 0:
            raise AmsbenchError(f"structure {k} in {file} has no atoms; leave it out")
        if not np.isfinite(frame.positions).all():
            raise AmsbenchError(f"structure {k} in {file} has positions that are not finite; leave it out")
        if ghost_density is not None and len(frame) > math.floor(ghost_density * frame.cell.volume):
            raise AmsbenchError(
                f"structure {k} in {file} has {len(frame) / frame.cell.volume:.4g} atoms per A^3, which leaves no room "
                f"for ghosts at {ghost_density}; raise --ghost-density"
            )


def _labels(frames: Sequence[Atoms], properties: Sequence[str], file: Path) -> np.ndarray:
    """The labels [s, p] from the structures' info."""
    values = np.zeros((len(frames), len(properties)))
    for k, frame in enumerate(frames):
        for column, name in enumerate(properties):
            if name not in frame.info:
                known = ", ".join(map(str, frame.info)) or "nothing"
                raise AmsbenchError(
                    f"structure {k} in {file} has no '{name}' in its info, which holds {known}; write nan where a "
                    "value is not known"
                )
            value = frame.info[name]
            if np.ndim(value) or not isinstance(value, float | int | np.number):
                raise AmsbenchError(f"structure {k} in {file} has a '{name}' that is no number: {value!r}")
            values[k, column] = float(value)
            if math.isinf(values[k, column]):
                raise AmsbenchError(
                    f"structure {k} in {file} has an infinite '{name}'; write nan where it is not known"
                )
    return values


def _least_samples(definition: DatasetDefinition) -> int:
    """How many samples it takes until every split has one."""
    count = len(SPLITS)
    while len(np.unique(splits_of_groups(np.arange(count), definition.split_fractions))) < len(SPLITS):
        count += 1
    return count
