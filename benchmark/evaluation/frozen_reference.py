"""Frozen references: files with all reference values of a dataset, so that structures are scored without the data.

A file is an ``.npz`` without pickled objects. It holds the packed training structures (``fractional``, ``cells``,
``species``, ``counts``, as in a dataset file; of large datasets a part), the element fractions of all training
structures (``fractions`` [s, e]), for each curve ``curve/<metric>/grid`` and per split its ``mean``, ``variance`` and
``mean_variance`` [bins], and as JSON in ``metadata`` the rest. ``content_hash`` is a sha256 over all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.design.inverse_design import TrainingLabels
from ...metrics.novelty.structure_index import TypedStructure
from ...metrics.structural_errors import FrozenCurve
from ..datasets.definition import Split
from ..datasets.storage import decode_positions
from ..system.checked_files import hash_of_arrays, read_npz, write_npz
from ..system.files import parsed_json, reason_of
from .material_limits import MaterialLimits, MaterialReference

REFERENCE_FORMAT = "amsbench-reference"
REFERENCE_FORMAT_VERSION = 2
FROZEN = Path(__file__).parent.parent / "datasets" / "references"
"""Folder of the files of the bundled datasets, made by ``amsbench data freeze``."""
STRUCTURES_IN_FILE = 500
"""Largest number of training structures in a file; of more, these are chosen evenly."""
REFERENCE_SPLITS: tuple[Split, ...] = ("test", "train")
"""Splits that mean curves are compared with."""

_STRUCTURES = ("fractional", "cells", "species", "counts")
_CURVE = ("mean", "variance", "mean_variance")


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenReference:
    """The reference values of a dataset, as stored in a file.

    dataset: its name; dataset_hash: its content hash; elements: its chemical symbols
    limits: limits of the material
    structures: packed training structures, see the module's docstring
    training_structures: number of training structures of the dataset, of which ``structures`` may be a part
    fractions [s, e]: element fractions of all training structures
    curves: mean curves by split and metric
    labels: statistics of the training labels by property, of those that have labels
    descriptors: means of the standard descriptors over the training set
    metric_code: hash of the code of each metric whose values these are
    """

    dataset: str
    dataset_hash: str
    elements: tuple[str, ...]
    limits: MaterialLimits
    structures: Mapping[str, np.ndarray]
    training_structures: int
    fractions: np.ndarray
    curves: Mapping[Split, Mapping[str, FrozenCurve]]
    labels: Mapping[str, TrainingLabels]
    descriptors: Mapping[str, float | None]
    metric_code: Mapping[str, str]

    @cached_property
    def material(self) -> MaterialReference:
        """The limits, and the structures as those of the dataset, to the last bit."""
        counts, cells = self.structures["counts"], self.structures["cells"]
        positions = decode_positions(self.structures["fractional"], cells, counts)
        ends = np.cumsum(counts)[:-1]
        # a dataset has its positions and cells in float32
        positions, cells = (array.astype(np.float32).astype(np.float64) for array in (positions, cells))
        species = self.structures["species"].astype(np.int64)
        return MaterialReference(
            limits=self.limits,
            structures=tuple(
                TypedStructure(positions=part, cell=cell, species=kinds)
                for part, cell, kinds in zip(
                    np.split(positions, ends), cells, np.split(species, ends), strict=True
                )
            ),
        )

    @cached_property
    def content_hash(self) -> str:
        """Hex sha256 of all values."""
        return hash_of_arrays(*self._packed())

    def write(self, path: Path) -> None:
        """Write the file atomically; AmsbenchError if that is impossible."""
        arrays, text = self._packed()
        write_npz(path, {**arrays, "metadata": np.array(text), "content_hash": np.array(self.content_hash)})

    def _packed(self) -> tuple[dict[str, np.ndarray], str]:
        """Arrays by name, and the metadata as JSON text."""
        arrays = {name: self.structures[name] for name in _STRUCTURES} | {"fractions": self.fractions}
        counted: dict[str, dict[str, dict[str, int]]] = {}
        for split, curves in self.curves.items():
            for name, curve in curves.items():
                arrays[f"curve/{name}/grid"] = curve.grid
                arrays |= {f"curve/{name}/{split}/{part}": getattr(curve, part) for part in _CURVE}
                counted.setdefault(split, {})[name] = {"samples": curve.samples, "groups": curve.groups}
        metadata = {
            "format": REFERENCE_FORMAT,
            "version": REFERENCE_FORMAT_VERSION,
            "dataset": self.dataset,
            "dataset_hash": self.dataset_hash,
            "elements": list(self.elements),
            "limits": self.limits.to_json(),
            "training_structures": self.training_structures,
            "curves": counted,
            "labels": {name: asdict(labels) for name, labels in self.labels.items()},
            "descriptors": dict(self.descriptors),
            "metric_code": dict(self.metric_code),
        }
        return arrays, json.dumps(metadata, allow_nan=False)


def frozen_path(name: str) -> Path:
    """Path of the frozen reference of a bundled dataset, whether it exists or not."""
    return FROZEN / f"{name}.npz"


def read_reference(path: Path) -> FrozenReference:
    """The reference in a file; the same object for the same file, since an index of its structures takes seconds.

    Raises AmsbenchError for a missing, damaged or edited file, and for one of another format.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise AmsbenchError(f"there is no reference {path}; make it with 'amsbench data freeze'") from error
    return _read(path, changed)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> FrozenReference:
    advice = "make it again with 'amsbench data freeze'"
    try:
        arrays = read_npz(path)
    except AmsbenchError as error:
        raise AmsbenchError(f"{path} is damaged or is not a reference; {advice}") from error
    try:
        text = str(arrays.pop("metadata"))
        stored_hash = str(arrays.pop("content_hash"))
        metadata = parsed_json(text)
        form = metadata["format"], metadata["version"]
    except (KeyError, TypeError, ValueError) as error:
        raise AmsbenchError(f"{path} is not a reference of this version; {advice}") from error
    if form != (REFERENCE_FORMAT, REFERENCE_FORMAT_VERSION):
        raise AmsbenchError(
            f"{path} has the format {form[0]} {form[1]}, this version reads {REFERENCE_FORMAT} "
            f"{REFERENCE_FORMAT_VERSION}; {advice}"
        )
    if hash_of_arrays(arrays, text) != stored_hash:
        raise AmsbenchError(
            f"{path} has been changed since it was written: its content hash does not match; {advice}"
        )
    try:
        reference = _unpacked(arrays, metadata)
        len(reference.material.structures)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AmsbenchError) as error:
        raise AmsbenchError(
            f"{path} is not a reference of this version ({reason_of(error)}); {advice}"
        ) from error
    return reference


def _unpacked(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> FrozenReference:
    curves: dict[Split, dict[str, FrozenCurve]] = {
        split: {
            name: FrozenCurve(
                grid=arrays[f"curve/{name}/grid"],
                mean=arrays[f"curve/{name}/{split}/mean"],
                variance=arrays[f"curve/{name}/{split}/variance"],
                mean_variance=arrays[f"curve/{name}/{split}/mean_variance"],
                samples=counts["samples"],
                groups=counts["groups"],
            )
            for name, counts in metadata["curves"][split].items()
        }
        for split in REFERENCE_SPLITS
        if split in metadata["curves"]
    }
    return FrozenReference(
        dataset=metadata["dataset"],
        dataset_hash=metadata["dataset_hash"],
        elements=tuple(metadata["elements"]),
        limits=MaterialLimits.from_json(metadata["limits"]),
        structures={name: arrays[name] for name in _STRUCTURES},
        training_structures=metadata["training_structures"],
        fractions=arrays["fractions"],
        curves=curves,
        labels={name: TrainingLabels(**labels) for name, labels in metadata["labels"].items()},
        descriptors=metadata["descriptors"],
        metric_code=metadata["metric_code"],
    )


def chosen_structures(
    packed: Mapping[str, np.ndarray], rows: Sequence[int] | np.ndarray
) -> dict[str, np.ndarray]:
    """Packed structures of some rows of a dataset file, at most STRUCTURES_IN_FILE, evenly chosen."""
    rows = np.asarray(rows)
    if len(rows) > STRUCTURES_IN_FILE:
        rows = rows[np.linspace(0, len(rows) - 1, STRUCTURES_IN_FILE).round().astype(int)]
    starts = np.cumsum(packed["counts"]) - packed["counts"]
    atoms = np.concatenate([np.arange(starts[k], starts[k] + packed["counts"][k]) for k in rows])
    return {
        "fractional": packed["fractional"][atoms],
        "cells": packed["cells"][rows],
        "species": packed["species"][atoms],
        "counts": packed["counts"][rows],
    }
