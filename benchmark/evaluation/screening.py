"""Structures that cannot be measured at all: a metric would fail, or its neighbour lists would fill the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.definition import DatasetDefinition
from .descriptor_means import structure_metrics

if TYPE_CHECKING:
    from ase import Atoms

STRUCTURE_FAILURE = "structure_failure"
"""Column with the reason why a structure could not be measured at all; such a structure has no curves either."""

CROWD, CROWDED_LENGTH = 200, 2.0
"""Most atoms in a part of the cell with edges of at least this length (angstrom), at most twice as long.

A solid has fewer than 20 there. The numbers of neighbours and of angles within the cutoffs of the metrics grow with the
second and third power of a crowd."""


def unusable(atoms: Atoms) -> str | None:
    """The reason why no metric can measure a structure; None for all others, however unphysical."""
    if not np.isfinite(atoms.positions).all():
        return "positions that are not finite"
    if len(atoms) <= CROWD:
        return None
    cell = atoms.cell.array
    inverse = np.linalg.inv(cell)
    parts = np.maximum(1, np.floor(1 / np.linalg.norm(inverse, axis=0) / CROWDED_LENGTH)).astype(np.int64)
    places = np.floor(atoms.positions @ inverse % 1.0 * parts).astype(np.int64) % parts
    _, counts = np.unique(places @ np.array([1, parts[0], parts[0] * parts[1]]), return_counts=True)
    return f"more than {CROWD} atoms in one place" if counts.max() > CROWD else None


def unmeasured_row(
    definition: DatasetDefinition, properties: Sequence[str], descriptors: Sequence[str], reason: str
) -> dict[str, Any]:
    """The row of a structure that cannot be measured: NaN for every quantity, and the reason."""
    row: dict[str, Any] = {STRUCTURE_FAILURE: reason}
    for metric in structure_metrics(descriptors):
        row |= {quantity.name: math.nan for quantity in metric.quantities(definition)}
        if "potential" in metric.needs:
            row[f"{metric.name}_failure"] = reason
    for name in properties:
        row |= {name: math.nan, f"{name}_failure": reason}
    return row
