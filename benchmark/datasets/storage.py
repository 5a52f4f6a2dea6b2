"""Packed dataset files: one ``.npz`` without pickled objects, whose hash is checked when it is read.

Arrays (``s`` samples, ``n`` atoms in all, ``p`` properties):
fractional [n, 3] uint16 (2.6e-4 A in a cell of 17 A), cells [s, 3, 3] float64 in angstrom, species [n] uint8,
counts [s] int64, properties [s, p] float64 (NaN: no label), groups [s] int64, splits [s] int8,
metadata: a JSON text (0-d string), content_hash: sha256 over all of them (0-d string).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from .. import registry
from ..system import arguments
from ..system.checked_files import read_npz, write_npz
from ..system.files import parsed_json, write_atomically
from ..system.structure_checks import FARTHEST
from .dataset import Dataset
from .definition import SPLITS, DatasetDefinition, Split
from .imported import ImportedStructures

if TYPE_CHECKING:
    from ase import Atoms

DATASET_FORMAT = "amsbench-dataset"
DATASET_FORMAT_VERSION = 1
FRACTION_STEPS = 1 << 16
"""Fractional coordinates are stored as multiples of 1 / FRACTION_STEPS."""
ARRAYS = ("fractional", "cells", "species", "counts", "properties", "groups", "splits")

_KINDS = {
    **dict.fromkeys(("fractional", "species"), "u"),
    **dict.fromkeys(("cells", "properties"), "f"),
    **dict.fromkeys(("counts", "groups", "splits"), "iu"),
}
"""Kinds of numpy's types that each array may have."""
_METADATA = {"dataset": str, "elements": list, "properties": list, "provenance": dict}


def bundled_path(name: str) -> Path:
    """Path of a bundled dataset: ``benchmark/datasets/bundled/<name>.npz``."""
    return Path(__file__).parent / "bundled" / f"{name}.npz"


def load_dataset(name: str, path: str | Path | None = None) -> Dataset:
    """The dataset called ``name`` from its bundled file, or from the file at ``path``, also of imported structures.

    Raises AmsbenchError if the file is missing, damaged, of another format version or of another dataset.
    """
    arguments.text(name, "dataset")
    if path is None:
        names = registry.names("datasets")
        if name not in names:
            raise AmsbenchError(
                f"unknown dataset '{name}' (one of your own is given with its file, --data); "
                f"{registry.near_matches(name, names)}"
            )
        path = bundled_path(name)
        if not path.is_file():
            raise AmsbenchError(
                f"no data of '{name}' are bundled with this installation; build them with "
                f"'amsbench data build {name} --output-file {name}.npz' and pass that file"
            )
    dataset = load_dataset_file(arguments.path_of(path, "the file of a dataset"))
    if dataset.definition.name != name:
        raise AmsbenchError(
            f"{path} holds the dataset '{dataset.definition.name}', not '{name}'; change --dataset or the file"
        )
    return dataset


def load_dataset_file(path: str | Path) -> Dataset:
    """Dataset of a packed file, with all checks.

    The definition is that of the registered dataset named in the file, or, for imported structures, in the file itself.
    """
    path = Path(path)
    arrays, metadata, content_hash = read_packed(path)
    definition: DatasetDefinition
    if "imported" in metadata:
        definition = ImportedStructures.from_json(metadata["dataset"], metadata["imported"])
    else:
        definition = registry.load("datasets", metadata["dataset"])()
    _check_definition(path, metadata, definition)
    return _unpacked(definition, arrays, metadata["provenance"], content_hash, str(path))


def dataset_in_memory(
    definition: DatasetDefinition, arrays: dict[str, np.ndarray], provenance: dict[str, Any], path: str
) -> Dataset:
    """The dataset that ``load_dataset_file`` would return after ``save_dataset``, without the file.

    path: name of the dataset's file in messages
    """
    arrays, _, content_hash = _packed(definition, arrays, provenance)
    return _unpacked(definition, arrays, provenance, content_hash, path)


def _unpacked(
    definition: DatasetDefinition,
    arrays: dict[str, np.ndarray],
    provenance: dict[str, Any],
    content_hash: str,
    path: str,
) -> Dataset:
    counts = arrays["counts"]
    return Dataset(
        definition=definition,
        positions=decode_positions(arrays["fractional"], arrays["cells"], counts).astype(np.float32),
        cells=arrays["cells"].astype(np.float32),
        species=arrays["species"].astype(np.int64),
        counts=counts.astype(np.int64),
        properties=arrays["properties"].astype(np.float32),
        groups=arrays["groups"].astype(np.int64),
        splits=arrays["splits"].astype(np.int8),
        provenance=provenance,
        content_hash=content_hash,
        path=path,
    )


def save_dataset(
    path: str | Path, definition: DatasetDefinition, arrays: dict[str, np.ndarray], provenance: dict[str, Any]
) -> str:
    """Write a packed file atomically and return its content hash.

    arrays: as in the module's docstring, without ``splits``, which follow from ``groups``
    provenance: plain JSON data
    """
    arrays, text, content_hash = _packed(definition, arrays, provenance)
    contents = {**{name: arrays[name] for name in ARRAYS}, "metadata": np.array(text)}
    write_npz(Path(path), {**contents, "content_hash": np.array(content_hash)})
    return content_hash


def _packed(
    definition: DatasetDefinition, arrays: dict[str, np.ndarray], provenance: dict[str, Any]
) -> tuple[dict[str, np.ndarray], str, str]:
    """Arrays with splits added, metadata as JSON text, and the hash of both."""
    arrays = {**arrays, "splits": splits_of_groups(arrays["groups"], definition.split_fractions)}
    metadata = {
        "format": DATASET_FORMAT,
        "version": DATASET_FORMAT_VERSION,
        "dataset": definition.name,
        "elements": list(definition.elements),
        "properties": [item.name for item in definition.properties],
        "provenance": provenance,
    }
    if isinstance(definition, ImportedStructures):
        metadata["imported"] = definition.to_json()
    text = json.dumps(metadata, sort_keys=True)
    return arrays, text, _hash(arrays, text)


def read_packed(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Arrays, metadata and content hash of a packed file; AmsbenchError if it is missing, damaged or edited."""
    if not path.is_file():
        raise AmsbenchError(
            f"there is no dataset file {path}; give a file that 'amsbench data build' or 'import' wrote"
        )
    contents = read_npz(path)
    if "metadata" not in contents:
        raise AmsbenchError(
            f"{path} is not an amsbench dataset: it has no metadata; build or import it again"
        )
    try:
        metadata = parsed_json(str(contents["metadata"]))
    except ValueError as error:
        raise AmsbenchError(
            f"{path} has been changed: its metadata is not JSON ({error}); build or import it again"
        ) from error
    if not isinstance(metadata, dict) or metadata.get("format") != DATASET_FORMAT:
        raise AmsbenchError(f"{path} is not an amsbench dataset; build or import it again")
    if metadata.get("version") != DATASET_FORMAT_VERSION:
        raise AmsbenchError(
            f"{path} has dataset format {metadata.get('version')!r:.50}, this amsbench reads {DATASET_FORMAT_VERSION}; "
            "build it again or install the matching version"
        )
    missing = [name for name in (*ARRAYS, "content_hash") if name not in contents]
    if missing:
        raise AmsbenchError(
            f"{path} is not a complete dataset: it lacks {', '.join(missing)}; build or import it again"
        )
    content_hash = str(contents["content_hash"])
    arrays = {name: contents[name] for name in ARRAYS}
    if _hash(arrays, str(contents["metadata"])) != content_hash:
        raise AmsbenchError(
            f"{path} has been changed since it was written: its content hash does not match; build or import it again"
        )
    wrong = _what_is_wrong(arrays, metadata)
    if wrong:
        raise AmsbenchError(f"{path} {wrong}; build or import it again")
    return arrays, metadata, content_hash


def _what_is_wrong(arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> str | None:
    """The end of a sentence about the first array or entry that does not fit the others; None if all fit."""
    for name, kind in _METADATA.items():
        if not isinstance(metadata.get(name), kind):
            return f"has no '{name}' in its metadata"
    if not isinstance(metadata["provenance"].get("recipe"), str):
        return "has no 'recipe' in the provenance of its metadata"
    for name, kinds in _KINDS.items():
        if arrays[name].dtype.kind not in kinds:
            return f"has {name} of type {arrays[name].dtype}"
    counts = arrays["counts"]
    if counts.ndim != 1 or (counts < 0).any():
        return "has atom counts that are no list of numbers from 0 on"
    atoms, samples = int(counts.sum()), len(counts)
    shapes = {
        "fractional": (atoms, 3),
        "cells": (samples, 3, 3),
        "species": (atoms,),
        "properties": (samples, len(metadata["properties"])),
        "groups": (samples,),
        "splits": (samples,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            return f"has {name} of shape {arrays[name].shape}, its counts and properties need {shape}"
    elements = metadata["elements"]
    if atoms and not 0 <= arrays["species"].min() <= arrays["species"].max() < len(elements):
        return f"has an element number beyond {', '.join(map(str, elements))}"
    if samples and not 0 <= arrays["splits"].min() <= arrays["splits"].max() < len(SPLITS):
        return f"has a split number beyond {', '.join(SPLITS)}"
    cells = arrays["cells"]
    if not (np.abs(cells) < FARTHEST).all() or not np.abs(np.linalg.det(cells)).min(initial=1) > 0:
        return f"has a cell without volume, or longer than {FARTHEST:g} A"
    return None


def encode_structures(structures: Sequence[Atoms], elements: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays ``fractional``, ``cells``, ``species`` and ``counts`` of structures, in the file's format."""
    for atoms in structures:
        foreign = set(atoms.get_chemical_symbols()) - set(elements)
        if foreign:
            raise ValueError(f"a structure has {sorted(foreign)}, the dataset has {list(elements)}")
    fractional = [atoms.get_scaled_positions(wrap=True).reshape(-1, 3) for atoms in structures]
    levels = np.round(np.concatenate([np.zeros((0, 3)), *fractional]) * FRACTION_STEPS).astype(np.int64)
    kinds = [elements.index(symbol) for atoms in structures for symbol in atoms.get_chemical_symbols()]
    return {
        "fractional": (levels % FRACTION_STEPS).astype(np.uint16),
        "cells": np.array([atoms.cell.array for atoms in structures], dtype=np.float64).reshape(-1, 3, 3),
        "species": np.array(kinds, dtype=np.uint8),
        "counts": np.array([len(atoms) for atoms in structures], dtype=np.int64),
    }


def decode_positions(fractional: np.ndarray, cells: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Cartesian positions [n, 3] inside the cells, angstrom, float64."""
    sample = np.repeat(np.arange(len(counts)), counts)
    return np.einsum("ni,nij->nj", fractional / FRACTION_STEPS, cells[sample])


def decode_structures(arrays: dict[str, np.ndarray], elements: Sequence[str]) -> list[Atoms]:
    """Stored structures as ASE Atoms; labels are measured on them, so that a file reproduces its labels."""
    from ase import Atoms

    positions = decode_positions(arrays["fractional"], arrays["cells"], arrays["counts"])
    ends = np.cumsum(arrays["counts"])
    return [
        Atoms(
            [elements[kind] for kind in arrays["species"][end - count : end]],
            positions=positions[end - count : end],
            cell=cell,
            pbc=True,
        )
        for end, count, cell in zip(ends, arrays["counts"], arrays["cells"], strict=True)
    ]


def splits_of_groups(groups: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
    """Split index [s] of samples, which follows from their group alone, so that a growing dataset moves no sample.

    The fractional part of ``(group + 1/2) * golden ratio`` fills [0, 1) evenly from the first groups on (Fibonacci
    hashing), so that even a few melts have nearly the given fractions.
    """
    place = (np.asarray(groups, dtype=np.float64) + 0.5) * ((1 + 5**0.5) / 2) % 1.0
    edges = np.cumsum(fractions)[:-1]
    return np.searchsorted(edges, place, side="right").astype(np.int8)


def export_extxyz(dataset: Dataset, output: str | Path, split: Split | None = None) -> int:
    """Write all samples, or those of one split, as extended XYZ and return their number."""
    from ase.io import write

    chosen = np.arange(len(dataset)) if split is None else dataset.indices(split)
    if len(chosen) == 0:
        where = dataset.path if split is None else f"the split '{split}' of {dataset.path}"
        raise AmsbenchError(f"there are no samples in {where}; choose another split or a larger dataset")
    structures = [dataset.atoms(int(index)) for index in chosen]
    write_atomically(Path(output), lambda temporary: write(temporary, structures, format="extxyz"))
    return len(chosen)


def _check_definition(path: Path, metadata: dict[str, Any], definition: DatasetDefinition) -> None:
    stored = (metadata["elements"], metadata["properties"])
    expected = (list(definition.elements), [item.name for item in definition.properties])
    if stored != expected:
        raise AmsbenchError(
            f"{path} was written for elements {stored[0]} and properties {stored[1]}, "
            f"but '{definition.name}' now has {expected[0]} and {expected[1]}; build it again"
        )


def _hash(arrays: dict[str, np.ndarray], metadata: str) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
