"""Import of existing structures as a dataset file; structures unsuitable for training are rejected before writing."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.metric import StructureMetric
from ...metrics.neighbours.neighbour_list import neighbour_list
from .. import registry
from ..system.files import sha256_of
from ..system.structure_files import read_structures, structure_paths
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
LEAST_DISTANCE = 0.5
"""Smallest distance of two atoms, angstrom; the shortest bond, that of H2, is 0.74 A long."""


def import_structures(
    file: Path,
    output: Path,
    *,
    name: str,
    properties: Sequence[str] = (),
    elements: Sequence[str] = (),
    types: Sequence[str] = (),
    group: str | None = None,
    ghost_density: float | None = None,
) -> Dataset:
    """Write the structures of a file (or of all files in a folder) as a dataset file, and return the dataset.

    name: name of the dataset, for ``--dataset`` beside ``--data`` with its file
    properties: keys of the structures' ``info`` whose numbers become labels; a structure without a value has NaN
    elements: needed if not all structures have the same ones
    types: elements of LAMMPS' atom types, as in ``read_structures``
    group: key of the structures' ``info`` that tells independent simulations apart; structures with the same value,
        such as frames of one trajectory, come into the same split. By default every structure is independent
    ghost_density: atoms plus ghosts per A^3, so that models decide density and composition; None keeps the atom count
        of every cell
    Raises AmsbenchError, and writes nothing, if the structures are unsuitable for training.
    """
    _check_names(name, properties)
    if output.exists():
        raise AmsbenchError(f"{output} is there already; choose another --output-file, or delete it")
    frames = read_structures(file, types)
    definition = ImportedStructures(
        name=name,
        elements=_elements(frames, tuple(elements), file),
        ghost_density=ghost_density,
        properties=tuple(properties),
    )
    _check_columns(definition, properties)
    groups = _groups(frames, group, definition, file)
    _check_structures(frames, ghost_density, file)
    arrays = encode_structures(frames, definition.elements)
    arrays |= {"groups": groups, "properties": _labels(frames, properties, file)}
    provenance: dict[str, Any] = {
        "recipe": "imported",
        "file": file.name,
        "sha256": _sha256(file),
        "samples": len(frames),
    }
    if group is not None:
        provenance["group"] = group
    dataset = dataset_in_memory(definition, arrays, provenance, str(output))
    task_of(dataset, tuple(properties))  # raises for labels that cannot be trained on
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
    if len(set(properties)) < len(properties):
        raise AmsbenchError(f"--properties names a key twice: {', '.join(properties)}")


def _check_columns(definition: DatasetDefinition, properties: Sequence[str]) -> None:
    """Raise AmsbenchError for a property that has the name of a column in tables of measured structures."""
    charged = SimpleNamespace(
        elements=definition.elements, formal_charges=dict.fromkeys(definition.elements, 1)
    )
    taken = set(_EXPORTED_KEYS)
    for name in registry.names("metrics"):
        metric = registry.load("metrics", name)
        if issubclass(metric, StructureMetric):
            taken |= {name, *(quantity.name for quantity in metric().quantities(charged))}
    for item in properties:
        if item in taken or item.startswith("target_") or item.endswith("_failure"):
            raise AmsbenchError(
                f"'{item}' is what amsbench calls a column of its own; rename the key in the file, such as my_{item}"
            )


def _groups(
    frames: Sequence[Atoms], key: str | None, definition: DatasetDefinition, file: Path
) -> np.ndarray:
    """Number of the independent simulation of each structure, [s], chosen so that no split is empty."""
    values: list[Any] = list(range(len(frames)))
    if key is not None:
        for k, frame in enumerate(frames):
            if key not in frame.info:
                raise AmsbenchError(
                    f"structure {k} in {file} has no '{key}' in its info, which holds {_keys(frame)}; give --group a "
                    "key that all structures have"
                )
        values = [str(frame.info[key]) for frame in frames]
    numbers = {value: k for k, value in enumerate(dict.fromkeys(values))}
    # the splits of the first numbers: a few groups take numbers of all three splits
    first = splits_of_groups(np.arange(_least_groups(definition)), definition.split_fractions)
    least = len(first) if key is None else len(SPLITS)
    if len(numbers) < least:
        sets = "structures" if key is None else f"groups by '{key}'"
        raise AmsbenchError(
            f"{file} has {len(numbers)} {sets}; {least} are needed, so that there are some to train on, to validate "
            "with and to compare with"
        )
    groups = np.arange(len(numbers))
    if len(numbers) < len(first):
        one_each = [int(np.flatnonzero(first == split)[0]) for split in range(len(SPLITS))]
        others = [k for k in range(len(first)) if k not in one_each]
        groups = np.array(sorted([*one_each, *others[: len(numbers) - len(one_each)]]))
    return groups[[numbers[value] for value in values]]


def _least_groups(definition: DatasetDefinition) -> int:
    """Smallest number of groups, numbered from 0, with which no split is empty."""
    count = len(SPLITS)
    while len(np.unique(splits_of_groups(np.arange(count), definition.split_fractions))) < len(SPLITS):
        count += 1
    return count


def _elements(frames: Sequence[Atoms], requested: tuple[str, ...], file: Path) -> tuple[str, ...]:
    """The requested elements, or those of all structures by atomic number."""
    from ase.data import atomic_numbers, chemical_symbols

    unknown = [symbol for symbol in requested if not atomic_numbers.get(symbol)]
    if unknown:
        raise AmsbenchError(f"'{unknown[0]}' is no chemical symbol; give --elements such as Si,O")
    if len(set(requested)) < len(requested):
        raise AmsbenchError(f"--elements names an element twice: {', '.join(requested)}")
    expected = set(requested) or set(frames[0].get_chemical_symbols())
    present: set[str] = set()
    for k, frame in enumerate(frames):
        symbols = set(frame.get_chemical_symbols())
        present |= symbols
        if "X" in symbols:
            raise AmsbenchError(
                f"structure {k} in {file} has an atom of no element (X); give every atom its element"
            )
        if requested and symbols - expected:
            raise AmsbenchError(
                f"structure {k} in {file} has {', '.join(sorted(symbols - expected))}, which --elements "
                f"{','.join(requested)} does not"
            )
        if not requested and symbols != expected:
            raise AmsbenchError(
                f"structure {k} in {file} has the elements {', '.join(sorted(symbols))}, structure 0 "
                f"{', '.join(sorted(expected))}; where they belong together, name all elements with --elements"
            )
    if requested and expected - present:
        raise AmsbenchError(
            f"no structure in {file} has {', '.join(sorted(expected - present))}; leave it out of --elements"
        )
    return requested or tuple(sorted(expected, key=chemical_symbols.index))


def _check_structures(frames: Sequence[Atoms], ghost_density: float | None, file: Path) -> None:
    if ghost_density is not None and not 0 < ghost_density < math.inf:
        raise AmsbenchError(f"a ghost density is above 0, in atoms per A^3, not {ghost_density}")
    copies: dict[str, int] = {}
    for k, frame in enumerate(frames):
        if len(frame) == 0:
            raise AmsbenchError(f"structure {k} in {file} has no atoms; leave it out")
        if not np.isfinite(frame.positions).all():
            raise AmsbenchError(f"structure {k} in {file} has positions that are not finite; leave it out")
        digest = _digest(frame)
        if digest in copies:
            raise AmsbenchError(
                f"structure {k} in {file} is the same as structure {copies[digest]}; leave one of them out, since "
                "copies in two splits would make a model look better than it is"
            )
        copies[digest] = k
        if ghost_density is not None and len(frame) > math.floor(ghost_density * frame.cell.volume):
            raise AmsbenchError(
                f"structure {k} in {file} has {len(frame) / frame.cell.volume:.4g} atoms per A^3, which leaves no room "
                f"for ghosts at {ghost_density}; raise --ghost-density"
            )

    _check_distances(frames, file)


def _check_distances(frames: Sequence[Atoms], file: Path) -> None:
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
            f"structure {k} in {file} has two atoms closer than {LEAST_DISTANCE} A; leave it out, or give positions "
            "and cell in angstrom"
        )


def _labels(frames: Sequence[Atoms], properties: Sequence[str], file: Path) -> np.ndarray:
    """Labels [s, p] from the structures' info; NaN for absent values."""
    values = np.zeros((len(frames), len(properties)))
    for k, frame in enumerate(frames):
        for column, name in enumerate(properties):
            if name not in frame.info:
                raise AmsbenchError(
                    f"structure {k} in {file} has no '{name}' in its info, which holds {_keys(frame)}; write nan "
                    "where a value is not known"
                )
            value = frame.info[name]
            number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
            if np.ndim(value) or not number:
                raise AmsbenchError(f"structure {k} in {file} has a '{name}' that is no number: {value!r}")
            values[k, column] = float(value)
            with np.errstate(over="ignore"):
                infinite = np.isinf(np.float32(values[k, column]))
            if infinite:
                raise AmsbenchError(
                    f"structure {k} in {file} has an infinite '{name}'; write nan where it is not known"
                )
    return values


def _keys(frame: Atoms) -> str:
    return ", ".join(map(str, frame.info)) or "nothing"


def _digest(frame: Atoms) -> str:
    """Hash of elements, cell and positions."""
    digest = hashlib.sha256(frame.numbers.tobytes())
    digest.update(frame.cell.array.tobytes())
    digest.update(frame.positions.tobytes())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    """Hex digest of a file, or of the digests of a folder's files in the order of their names."""
    if not path.is_dir():
        return sha256_of(path)
    digests = "".join(sha256_of(item) for item in structure_paths(path))
    return hashlib.sha256(digests.encode()).hexdigest()
