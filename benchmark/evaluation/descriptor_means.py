"""Descriptors of structures: one row per structure, and their means over a set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.composition import fraction_distance
from ...metrics.metric import StructureMetric
from ...metrics.potentials.potential import EvaluationFailed
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..registry import load_metric

if TYPE_CHECKING:
    from ase import Atoms

STANDARD_DESCRIPTORS = ("atoms", "density", "minimum_distance", "composition", "charge", "energy")
"""Metrics of single structures that are computed for every result."""


def structure_metrics(names: Sequence[str]) -> list[StructureMetric]:
    """The registered metrics of these names; AmsbenchError for an unknown name or a metric of curves."""
    return [load_metric(name, StructureMetric) for name in names]


def structure_row(
    atoms: Atoms,
    definition: DatasetDefinition,
    names: Sequence[str] = STANDARD_DESCRIPTORS,
    *,
    failure: str | None = None,
) -> dict[str, Any]:
    """The descriptors of one structure by name; NaN with ``<metric>_failure`` where one cannot be measured.

    failure: reason for which metrics that need the potential are not tried
    """
    row: dict[str, Any] = {}
    for metric in structure_metrics(names):
        fallible = "potential" in metric.needs
        try:
            if fallible and failure is not None:
                raise EvaluationFailed(failure)
            row |= metric.measure(atoms, definition)
            reason = None
        except EvaluationFailed as problem:
            row |= {quantity.name: math.nan for quantity in metric.quantities(definition)}
            reason = str(problem)
        if fallible or reason is not None:
            row[f"{metric.name}_failure"] = reason
    return row


def element_fractions(dataset: Dataset) -> np.ndarray:
    """Share of each element in each structure of a dataset, [s, e]."""
    kinds = len(dataset.definition.elements)
    sample = np.repeat(np.arange(len(dataset)), dataset.counts)
    counted = np.bincount(sample * kinds + dataset.species, minlength=len(dataset) * kinds)
    return counted.reshape(len(dataset), kinds) / dataset.counts[:, None]


def descriptor_means(
    rows: Sequence[Mapping[str, Any]],
    definition: DatasetDefinition,
    training: np.ndarray,
    names: Sequence[str] = STANDARD_DESCRIPTORS,
) -> dict[str, float | None]:
    """Means (or medians, as each metric declares) of the descriptors over structures.

    rows: ``structure_row`` of each structure; training [s, e]: element fractions of the training set
    Where the elements have formal charges also ``composition_distance`` from the training set
    (``metrics.composition.fraction_distance``).
    """
    columns = {
        name: np.array([row.get(name, math.nan) for row in rows], dtype=float)
        for name in dict.fromkeys(name for row in rows for name in row)
        if not name.endswith("_failure")
    }
    means: dict[str, float | None] = {}
    for metric in structure_metrics(names):
        means |= metric.summary(columns, definition)
    occupied = [row for row in rows if row["atoms"] > 0]
    if definition.formal_charges and occupied:
        fractions = np.array([[row[f"fraction_{e}"] for e in definition.elements] for row in occupied])
        means["composition_distance"] = fraction_distance(fractions, training)
    return means
