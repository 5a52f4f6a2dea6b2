"""Import of existing structures as a dataset file; structures unsuitable for training are rejected before writing."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.design import hits
from ...metrics.metric import StructureMetric
from ...metrics.neighbours.neighbour_list import neighbour_list
from .. import registry
from ..system.files import check_output_file, sha256_of
from ..system.structure_checks import number_in
from ..system.structure_files import StructureSet
from ..system.structure_sources import folder_files
from ..system.structure_summary import counted
from .dataset import Dataset, task_of
from .definition import SPLITS, DatasetDefinition
from .imported import ImportedStructures
from .storage import dataset_in_memory, encode_structures, save_dataset, splits_of_groups

if TYPE_CHECKING:
    from ase import Atoms

_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EXPORTED_KEYS = ("group", "split", "structure")
"""Keys of the ``info`` of exported structures."""
FILE_GROUP = "file"
"""Key that groups structures by the files that they come from."""
LEAST_DISTANCE = 0.5
"""Smallest distance of two atoms, angstrom; the shortest bond, that of H2, is 0.74 A long."""


def import_structures(
    structures: StructureSet,
    output: Path,
    *,
    name: str,
    properties: Sequence[str] = (),
    elements: Sequence[str] = (),
    group: str | None = None,
    ghost_density: float | None = None,
) -> Dataset:
    """Write structures of files (``read_structures``) as a dataset file, and return the dataset.

    name: name of the dataset, for ``--dataset`` beside ``--data`` with its file
    properties: keys of the structures' ``info`` whose numbers become labels; a structure without a value has NaN
    elements: needed if not all structures have the same ones
    group: key of the structures' ``info`` that tells independent simulations apart, or ``file`` for one simulation per
        file; structures with the same value, such as frames of one trajectory, come into the same split. None puts
        every structure into a group of its own, and the dataset does not call them independent
    ghost_density: atoms plus ghosts per A^3, so that models decide density and composition; None keeps the atom count
        of every cell
    Raises AmsbenchError, and writes nothing, if the structures are unsuitable for training.
    """
    check_request(name, properties, output)
    structures.check(all_sound=True)
    source = Path(structures.source)
    definition = ImportedStructures(
        name=name,
        elements=_elements(structures, tuple(elements)),
        ghost_density=ghost_density,
        properties=tuple(properties),
    )
    _check_columns(definition, properties)
    groups = _groups(structures, group, definition)
    _check_structures(structures, ghost_density)
    arrays = encode_structures(structures, definition.elements)
    arrays |= {"groups": groups, "properties": _labels(structures, properties)}
    provenance: dict[str, Any] = {
        "recipe": "imported",
        "file": source.name,
        "sha256": _sha256(source),
        "samples": len(structures),
        "group": group,
    }
    dataset = dataset_in_memory(definition, arrays, provenance, str(output))
    task_of(dataset, tuple(properties))  # raises for labels that cannot be trained on
    save_dataset(output, definition, arrays, provenance)
    return dataset


def check_request(name: str, properties: Sequence[str], output: Path) -> None:
    """Raise AmsbenchError for names and files that a dataset cannot have, whatever its structures are."""
    if output.suffix != ".npz":
        raise AmsbenchError(
            f"a dataset is written as .npz, not '{output.suffix}' ({output}); rename the output"
        )
    check_output_file(output)
    if output.exists():
        raise AmsbenchError(f"{output} is there already; choose another --output-file, or delete it")
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
    if len(set(properties)) < len(properties):
        raise AmsbenchError(f"--properties names a key twice: {', '.join(properties)}")


def _check_columns(definition: DatasetDefinition, properties: Sequence[str]) -> None:
    """Raise AmsbenchError for a property that has the name of a column in tables of measured structures."""
    charged = SimpleNamespace(
        elements=definition.elements, formal_charges=dict.fromkeys(definition.elements, 1)
    )
    taken = {*_EXPORTED_KEYS, *hits.COLUMNS}
    for name, metric in registry.usable("metrics").items():
        if issubclass(metric, StructureMetric):
            taken |= {name, *(quantity.name for quantity in metric().quantities(charged))}
    for item in properties:
        if item in taken or item.startswith("target_") or item.endswith(("_failure", "_squared_error")):
            raise AmsbenchError(
                f"'{item}' is what amsbench calls a column of its own; rename the key in the file, such as my_{item}"
            )


def _groups(frames: StructureSet, key: str | None, definition: DatasetDefinition) -> np.ndarray:
    """Number of the independent simulation of each structure, [s], chosen so that no split is empty."""
    values: list[Any] = list(range(len(frames)))
    if key is not None:
        values = group_values(frames, key)
    numbers = {value: k for k, value in enumerate(dict.fromkeys(values))}
    # the splits of the first numbers: a few groups take numbers of all three splits
    first = splits_of_groups(np.arange(_least_groups(definition)), definition.split_fractions)
    least = len(first) if key is None else len(SPLITS)
    if len(numbers) < least:
        sets = (
            counted(len(numbers), "structure")
            if key is None
            else f"{counted(len(numbers), 'group')} by '{key}'"
        )
        raise AmsbenchError(
            f"{frames.source} has {sets}; {least} are needed, so that there are some to train on, to "
            "validate with and to compare with"
        )
    groups = np.arange(len(numbers))
    if len(numbers) < len(first):
        one_each = [int(np.flatnonzero(first == split)[0]) for split in range(len(SPLITS))]
        others = [k for k in range(len(first)) if k not in one_each]
        groups = np.array(sorted([*one_each, *others[: len(numbers) - len(one_each)]]))
    return groups[[numbers[value] for value in values]]


def group_values(frames: StructureSet, key: str) -> list[str]:
    """Value by which each structure is grouped: of a key of ``info``, or its file for the key ``file``.

    A whole number is the same group whether it stands as 1, 1.0 or text. Raises AmsbenchError for a structure without
    the key, and for values that cannot tell groups apart: arrays, empty text, numbers that are not finite.
    """
    if key == FILE_GROUP:
        return frames.files
    values = []
    for frame, name in zip(frames, frames.names, strict=True):
        if key not in frame.info:
            raise AmsbenchError(
                f"{name} has no '{key}' in its info, which holds {_keys(frame)}; give --group a key that all "
                f"structures have, or --group {FILE_GROUP}"
            )
        value = frame.info[key]
        text = str(value).strip()
        if np.ndim(value) or not text or text.lower() in ("nan", "none", "inf", "-inf"):
            raise AmsbenchError(
                f"{name} has the {key} {text[:40]!r}, which names no simulation; give every structure a number or word"
            )
        number = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
        values.append(str(int(value)) if number else text)
    return values


def possible_group_keys(frames: StructureSet) -> list[str]:
    """Keys by which the structures could be grouped: of every ``info``, with fewer values than structures."""
    keys = [FILE_GROUP] if 1 < len(set(frames.files)) < len(frames) else []
    for key in frames[0].info:
        values = [str(frame.info.get(key)) for frame in frames if key in frame.info]
        if len(values) == len(frames) and 1 < len(set(values)) <= len(frames) // 2:
            keys.append(str(key))
    return keys


def _least_groups(definition: DatasetDefinition) -> int:
    """Smallest number of groups, numbered from 0, with which no split is empty."""
    count = len(SPLITS)
    while len(np.unique(splits_of_groups(np.arange(count), definition.split_fractions))) < len(SPLITS):
        count += 1
    return count


def _elements(frames: StructureSet, requested: tuple[str, ...]) -> tuple[str, ...]:
    """The requested elements, or those of all structures by atomic number."""
    from ase.data import atomic_numbers, chemical_symbols

    unknown = [symbol for symbol in requested if not atomic_numbers.get(symbol)]
    if unknown:
        raise AmsbenchError(f"'{unknown[0]}' is no chemical symbol; give --elements such as Si,O")
    if len(set(requested)) < len(requested):
        raise AmsbenchError(f"--elements names an element twice: {', '.join(requested)}")
    expected = set(requested) or set(frames[0].get_chemical_symbols())
    present: set[str] = set()
    for frame, name in zip(frames, frames.names, strict=True):
        symbols = set(frame.get_chemical_symbols())
        present |= symbols
        if requested and symbols - expected:
            raise AmsbenchError(
                f"{name} has {', '.join(sorted(symbols - expected))}, which --elements {','.join(requested)} does not"
            )
        if not requested and symbols != expected:
            raise AmsbenchError(
                f"{name} has the elements {', '.join(sorted(symbols))}, structure 0 {', '.join(sorted(expected))}; "
                "where they belong together, name all elements with --elements"
            )
    if requested and expected - present:
        raise AmsbenchError(
            f"no structure in {frames.source} has {', '.join(sorted(expected - present))}; leave it out of --elements"
        )
    return requested or tuple(sorted(expected, key=chemical_symbols.index))


def _check_structures(frames: StructureSet, ghost_density: float | None) -> None:
    if ghost_density is not None and not 0 < ghost_density < math.inf:
        raise AmsbenchError(f"a ghost density is above 0, in atoms per A^3, not {ghost_density}")
    if frames.copies:
        copy, first = min(frames.copies.items())
        raise AmsbenchError(
            f"{frames.names[copy]} is the same as {frames.names[first]} ({len(frames.copies)} of {len(frames)} are "
            "copies); leave one of them out, since copies in two splits would make a model look better than it is"
        )
    for frame, name in zip(frames, frames.names, strict=True):
        if ghost_density is not None and len(frame) > math.floor(ghost_density * frame.cell.volume):
            raise AmsbenchError(
                f"{name} has {len(frame) / frame.cell.volume:.4g} atoms per A^3, which leaves no room for ghosts at "
                f"{ghost_density}; raise --ghost-density"
            )
    _check_distances(frames)


def _check_distances(frames: StructureSet) -> None:
    """Raise AmsbenchError for the first structure with two atoms closer than LEAST_DISTANCE."""
    counts = np.array([len(frame) for frame in frames])
    receivers, *_ = neighbour_list(
        np.concatenate([frame.get_positions(wrap=True) for frame in frames]),
        np.array([frame.cell.array for frame in frames]),
        counts,
        LEAST_DISTANCE,
    )
    if len(receivers):
        k = int(np.searchsorted(np.cumsum(counts), receivers[0], side="right"))
        raise AmsbenchError(
            f"{frames.names[k]} has two atoms closer than {LEAST_DISTANCE} A; leave it out, or give positions and cell "
            "in angstrom"
        )


def _labels(frames: StructureSet, properties: Sequence[str]) -> np.ndarray:
    """Labels [s, p] from the structures' info; NaN for values that are not known."""
    values = [
        [number_in(frame, name, where, "write nan where a value is not known") for name in properties]
        for frame, where in zip(frames, frames.names, strict=True)
    ]
    return np.array(values, dtype=float).reshape(len(frames), len(properties))


def _keys(frame: Atoms) -> str:
    return ", ".join(map(str, frame.info)) or "nothing"


def _sha256(path: Path) -> str:
    """Hex digest of a file, or of the digests of a folder's files in the order of their names."""
    if not path.is_dir():
        return sha256_of(path)
    digests = "".join(sha256_of(item) for item in folder_files(path))
    return hashlib.sha256(digests.encode()).hexdigest()
