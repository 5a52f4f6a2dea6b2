"""Structures of which nothing can be measured: why, their rows in the table, and refusal where all are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ..datasets.definition import DatasetDefinition
from ..system.structure_checks import fault_of
from .descriptor_means import structure_metrics

if TYPE_CHECKING:
    from ase import Atoms

UNMEASURABLE = "structure_failure"
"""Column of the per-structure table with the reason; it is there only if some structure has one."""

CROWD, CROWDED_LENGTH = 200, 2.0
"""Most atoms in a part of the cell with edges of at least this length (angstrom), at most twice as long.

A solid has fewer than 20 there. The numbers of neighbours and of angles within the cutoffs of the metrics grow with the
second and third power of a crowd."""

NO_ATOMS = "has no atoms"
"""Reason of an empty cell, which counts in mean curves all the same: it has g(r) = 0."""


def unmeasurable(atoms: Atoms, definition: DatasetDefinition) -> str | None:
    """Why nothing can be measured on a structure; None if something can, as on an empty cell."""
    if (fault := fault_of(atoms, may_be_empty=True)) is not None:
        return fault
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(definition.elements))
    if foreign:
        return (
            f"has {', '.join(foreign)}, which dataset '{definition.name}' does not; its elements are "
            f"{', '.join(definition.elements)}"
        )
    return f"has more than {CROWD} atoms in one place" if _is_crowded(atoms) else None


def _is_crowded(atoms: Atoms) -> bool:
    """Whether a part of the cell holds more than CROWD atoms, with which neighbour lists would fill the memory."""
    if len(atoms) <= CROWD:
        return False
    inverse = np.linalg.inv(atoms.cell.array)
    parts = np.maximum(1, np.floor(1 / np.linalg.norm(inverse, axis=0) / CROWDED_LENGTH)).astype(np.int64)
    places = np.floor(atoms.positions @ inverse % 1.0 * parts).astype(np.int64) % parts
    _, counts = np.unique(places @ np.array([1, parts[0], parts[0] * parts[1]]), return_counts=True)
    return bool(counts.max() > CROWD)


def is_measured(row: Mapping[str, Any]) -> bool:
    """Whether a structure counts in mean curves and descriptors: all but those of ``unmeasured_row``."""
    return UNMEASURABLE not in row or not row["atoms"]


def check_any_measurable(
    frames: Sequence[Atoms], definition: DatasetDefinition, names: Sequence[str] | None = None
) -> None:
    """Raise AmsbenchError, with the reason of the first, if nothing can be measured on any of the structures.

    names: of the structures, for the message
    """
    first = None
    for k, atoms in enumerate(frames):
        reason = fault_of(atoms) or unmeasurable(atoms, definition)
        if reason is None:
            return
        first = first or f"{names[k] if names else f'structure {k}'} {reason}"
    if first is not None:
        others = (
            f", and none of the other {len(frames) - 1} can be measured either" if len(frames) > 1 else ""
        )
        raise AmsbenchError(f"{first}{others}")


def unmeasured_row(
    atoms: Atoms,
    reason: str,
    definition: DatasetDefinition,
    properties: Sequence[str],
    descriptors: Sequence[str],
) -> dict[str, Any]:
    """Row of a structure of which nothing can be measured: its atom count, else NaN, and the reason."""
    metrics = structure_metrics(descriptors)
    row: dict[str, Any] = {
        quantity.name: math.nan for metric in metrics for quantity in metric.quantities(definition)
    }
    row |= {"atoms": len(atoms), UNMEASURABLE: reason}
    row |= dict.fromkeys(properties, math.nan)
    return row | {f"{name}_failure": reason for name in properties}
