"""Cache of the finished simulations of a build, and their packing into one dataset file."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ..system.checked_files import read_checked_json, read_checked_npz, write_checked_json, write_checked_npz
from .definition import DatasetDefinition, Recipe
from .storage import read_packed, save_dataset

STRUCTURE_ARRAYS = ("fractional", "cells", "species", "counts")
ADVICE = "delete it and start the build again, which computes it again"


@dataclass(frozen=True)
class PackedPart:
    """Hash and provenance of a packed file."""

    content_hash: str
    provenance: dict[str, Any]


class BuildCache:
    """Folder ``<output>.parts`` with an npz of structures and JSON files of labels and failures per simulation."""

    def __init__(self, output: Path, definition: DatasetDefinition, made_with: dict[str, Any]) -> None:
        self.output = output
        self.recipe: Recipe = made_with["recipe"]
        self.seed: int = made_with["seed"]
        self._definition = definition
        self._made_with = made_with
        self.folder = _folder(output)

    @classmethod
    def open(cls, output: Path, definition: DatasetDefinition, *, recipe: Recipe, seed: int) -> BuildCache:
        """The cache beside ``output``, new or of an earlier build with the same arguments.

        A packed file without a cache, such as a bundled one, is unpacked, so that the build continues from it. Raises
        AmsbenchError if the cache was made with another dataset, recipe, seed, protocol or potential.
        """
        made_with = {
            "dataset": definition.name,
            "recipe": recipe,
            "seed": seed,
            "protocol": definition.simulation_recipe(recipe),
            "engine": definition.engine(),
        }
        manifest = _folder(output) / "build.json"
        exists = manifest.is_file()
        if exists:
            _check_made_with(_read(manifest), made_with, manifest.parent)
        elif output.exists():
            arrays, metadata, _ = read_packed(output)
            _check_made_with(metadata["provenance"], made_with, output)
        parts = cls(output, definition, made_with)
        if not exists:
            if output.exists():
                parts._unpack(arrays)
            # written last, so that an interrupted unpacking is repeated
            write_checked_json(manifest, made_with)
        return parts

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        """Store the simulations and labels of a packed file in the cache; failed labels are measured again."""
        names = [item.name for item in self._definition.properties]
        ends = np.cumsum(arrays["counts"])
        for group in np.unique(arrays["groups"]):
            rows = np.flatnonzero(arrays["groups"] == group)
            start, stop = ends[rows[0]] - arrays["counts"][rows[0]], ends[rows[-1]]
            sliced = {name: arrays[name][start:stop] for name in ("fractional", "species")}
            sliced |= {name: arrays[name][rows] for name in ("cells", "counts")}
            # the file does not hold the time of a simulation
            self.store_simulation(int(group), sliced, len(rows), float("nan"))
            values = [
                {name: float(value) for name, value in zip(names, row, strict=True) if np.isfinite(value)}
                for row in arrays["properties"][rows]
            ]
            if any(values):
                self.store_labels(int(group), [{"values": item, "failures": {}} for item in values])

    def finished(self, requested: dict[int, int] | None = None) -> list[int]:
        """Sorted numbers of the stored simulations, or of those with at least the requested number of samples.

        requested: number of samples by simulation; None for all stored simulations
        """
        matches = [re.fullmatch(r"simulation-(\d{5,})\.npz", path.name) for path in self.folder.glob("*.npz")]
        numbers = sorted(int(match[1]) for match in matches if match is not None)
        if requested is None:
            return numbers
        return [n for n in numbers if n in requested and self._requested(n) >= requested[n]]

    def arrays(self, index: int) -> dict[str, np.ndarray]:
        """Packed arrays of the structures of one simulation."""
        stored = self._simulation(index)
        return {name: stored[name] for name in STRUCTURE_ARRAYS}

    def store_simulation(
        self, index: int, arrays: dict[str, np.ndarray], requested: int, seconds: float
    ) -> None:
        """Store the structures of one simulation, with the number of requested samples and its time in seconds."""
        # a longer run of the same simulation has other structures after the old ones, so all are labelled again
        self._labels_path(index).unlink(missing_ok=True)
        extra = {"requested": np.array(requested), "seconds": np.array(seconds)}
        write_checked_npz(self._simulation_path(index), {**arrays, **extra})

    def failures(self, index: int) -> list[str]:
        """Reasons of the failed attempts at one simulation."""
        path = self.folder / f"failures-{index:05d}.json"
        return _read(path)["reasons"] if path.is_file() else []

    def store_failures(self, index: int, reasons: list[str]) -> None:
        """Add failed attempts at one simulation to those of earlier builds."""
        if reasons:
            earlier = self.failures(index)
            write_checked_json(self.folder / f"failures-{index:05d}.json", {"reasons": [*earlier, *reasons]})

    def labels(self, index: int) -> list[dict[str, Any]]:
        """Measured values and failures of each sample of one simulation."""
        path = self._labels_path(index)
        if path.is_file():
            return _read(path)["labels"]
        return [{"values": {}, "failures": {}} for _ in self.arrays(index)["counts"]]

    def missing_labels(self, index: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """Properties without a value or a failure for some sample of one simulation."""
        if not names:
            return ()
        tried = [set(item["values"]) | set(item["failures"]) for item in self.labels(index)]
        return tuple(name for name in names if any(name not in of_sample for of_sample in tried))

    def store_labels(self, index: int, measured: list[dict[str, Any]]) -> None:
        """Add measurements to those of one simulation."""
        merged = [
            {key: {**old[key], **new[key]} for key in ("values", "failures")}
            for old, new in zip(self.labels(index), measured, strict=True)
        ]
        write_checked_json(self._labels_path(index), {"labels": merged})

    def pack(self, samples: int) -> PackedPart:
        """Write the first ``samples`` stored samples to the output file; AmsbenchError if there are none."""
        finished = self.finished()
        if not finished:
            reasons = Counter(self._all_failures()).most_common(1)
            raise AmsbenchError(
                f"no simulation of '{self._definition.name}' succeeded"
                + (f"; the most frequent reason: {reasons[0][0]}" if reasons else "")
            )
        names = [item.name for item in self._definition.properties]
        groups: list[dict[str, np.ndarray]] = []
        labels: list[dict[str, Any]] = []
        left = samples
        for index in finished:
            stored = self._simulation(index)
            keep = min(left, len(stored["counts"]))
            atoms = int(stored["counts"][:keep].sum())
            groups.append(
                {
                    "fractional": stored["fractional"][:atoms],
                    "species": stored["species"][:atoms],
                    "cells": stored["cells"][:keep],
                    "counts": stored["counts"][:keep],
                    "groups": np.full(keep, index, dtype=np.int64),
                }
            )
            labels.extend(self.labels(index)[:keep])
            left -= keep
            if left == 0:
                break
        arrays = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
        values = [[item["values"].get(name, np.nan) for name in names] for item in labels]
        arrays["properties"] = np.array(values, dtype=np.float64).reshape(len(labels), len(names))
        provenance = {
            **self._made_with,
            "samples": len(labels),
            "samples_requested": samples,
            "simulations": len(groups),
            "simulation_failures": self._all_failures(),
            "labelled": {name: sum(name in item["values"] for item in labels) for name in names},
            "label_failures": {
                name: dict(Counter(item["failures"][name] for item in labels if name in item["failures"]))
                for name in names
            },
        }
        return PackedPart(save_dataset(self.output, self._definition, arrays, provenance), provenance)

    def _all_failures(self) -> list[str]:
        return [
            reason
            for path in sorted(self.folder.glob("failures-?????*.json"))
            for reason in _read(path)["reasons"]
        ]

    def _requested(self, index: int) -> int:
        return int(self._simulation(index)["requested"])

    def _simulation(self, index: int) -> dict[str, np.ndarray]:
        return read_checked_npz(self._simulation_path(index), ADVICE)

    def _simulation_path(self, index: int) -> Path:
        return self.folder / f"simulation-{index:05d}.npz"

    def _labels_path(self, index: int) -> Path:
        return self.folder / f"labels-{index:05d}.json"


def _check_made_with(stored: dict[str, Any], made_with: dict[str, Any], place: Path) -> None:
    changed = [key for key in made_with if stored.get(key) != made_with[key]]
    if changed:
        details = ", ".join(f"{key} {_short(stored.get(key))}" for key in changed)
        raise AmsbenchError(
            f"{place} was made with another {' and '.join(changed)} ({details}); "
            "use those arguments, another --output-file, or delete it"
        )


def _folder(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(path: Path) -> dict[str, Any]:
    return read_checked_json(path, ADVICE)
