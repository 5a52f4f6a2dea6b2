"""Files of material references: limits and training structures, so that structures are judged without the dataset."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...errors import AmsbenchError
from ...metrics.novelty.structure_index import TypedStructure
from ..datasets.dataset import Dataset
from ..system.files import write_atomically
from .material_limits import MaterialLimits, MaterialReference, measure_material, training_structures

MATERIAL_FORMAT = 1
FROZEN = Path(__file__).parent.parent / "datasets" / "references"
"""Folder of the files of the bundled datasets, made by ``amsbench data freeze``."""
STRUCTURES_IN_FILE = 500
"""Largest number of training structures in a file; of more, these are chosen evenly."""
_STEPS = 2**16
"""Positions are stored in units of the lattice vectors divided by this, less than 0.001 Å in the bundled data."""


_MATERIALS: dict[tuple[int, Path], MaterialReference] = {}
"""Materials of datasets with frozen files, by the identity of the dataset, as long as it exists.

An index of the structures takes seconds to make, and every evaluation of a notebook needs it.
"""


def material_of(dataset: Dataset, *, relaxed: bool) -> MaterialReference:
    """The material of a dataset: from its frozen file if there is one, else measured now (``measure_material``).

    relaxed: whether structures are relaxed if they are measured now
    """
    path = frozen_path(dataset.definition.name)
    key = id(dataset), path
    if key in _MATERIALS:
        return _MATERIALS[key]
    if path.is_file():
        stored_hash, material = read_material(path)
        if stored_hash == dataset.content_hash:
            # the file has a part of the structures of large datasets
            _MATERIALS[key] = MaterialReference(
                limits=material.limits, structures=training_structures(dataset)
            )
            weakref.finalize(dataset, _MATERIALS.pop, key, None)
            return _MATERIALS[key]
    return measure_material(dataset, relaxed=relaxed)


def frozen_path(name: str) -> Path:
    """Path of the frozen file of a bundled dataset, whether it exists or not."""
    return FROZEN / f"{name}.npz"


def write_material(path: Path, dataset: Dataset, material: MaterialReference) -> None:
    """Write a material, with the hash of the dataset that it was measured on; AmsbenchError as ``write_atomically``."""
    chosen = np.linspace(0, len(material.structures) - 1, min(len(material.structures), STRUCTURES_IN_FILE))
    structures = [material.structures[int(k)] for k in chosen.round()]
    fractional = [
        np.floor(_STEPS * (np.linalg.solve(item.cell.T, item.positions.T).T % 1.0)) % _STEPS
        for item in structures
    ]
    arrays = {
        "format": np.array(MATERIAL_FORMAT),
        "dataset_hash": np.array(dataset.content_hash),
        "limits": np.array(json.dumps(material.limits.to_json())),
        "fractional": np.concatenate(fractional).astype(np.uint16),
        "cells": np.array([item.cell for item in structures], dtype=np.float32),
        "species": np.concatenate([item.species for item in structures]).astype(np.uint8),
        "counts": np.array([len(item.species) for item in structures], dtype=np.int32),
    }

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)


def read_material(path: Path) -> tuple[str, MaterialReference]:
    """Hash of the dataset and the material of a file; AmsbenchError for a damaged one or one of another format."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if int(arrays["format"]) != MATERIAL_FORMAT:
            raise ValueError(f"format {arrays['format']}, this version reads {MATERIAL_FORMAT}")
        ends = np.cumsum(arrays["counts"])[:-1]
        cells = arrays["cells"].astype(np.float64)
        fractional = np.split((arrays["fractional"] + 0.5) / _STEPS, ends)
        species = np.split(arrays["species"].astype(np.int64), ends)
        material = MaterialReference(
            limits=MaterialLimits.from_json(json.loads(str(arrays["limits"]))),
            structures=tuple(
                TypedStructure(positions=part @ cell, cell=cell, species=kinds)
                for part, cell, kinds in zip(fractional, cells, species, strict=True)
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise AmsbenchError(
            f"{path} is not a reference of this version or is damaged ({error}); make it again with "
            "'amsbench data freeze'"
        ) from error
    return str(arrays["dataset_hash"]), material
