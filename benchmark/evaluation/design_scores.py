"""Judgement of structures beyond their errors: substance, novelty, and hits of inverse design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...metrics.design.hits import HitScores, hit_scores
from ...metrics.design.inverse_design import TrainingLabels
from ...metrics.novelty.structure_index import Resemblance, TypedStructure, duplicate_groups
from .material_limits import MaterialLimits, MaterialReference, environment_classes, typed_structure

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

TOLERANCE = 0.5
"""Largest difference of a hit from its target, in standard deviations of the training labels."""
COMPARED_STRUCTURES = 16
"""Largest number of structures without targets that are compared with the training structures; chosen evenly."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is said of each structure, and of all of them.

    columns: per structure [s]: deviations in standard deviations of the data, ``environment_distance`` (Å),
        ``largest_overlap``, ``duplicate_of`` (index of the first structure of the set that it is a copy of, else -1),
        ``right_substance`` and, with targets, ``novel``, ``within_tolerance`` and ``hit``; comparisons with other
        structures are NaN or -1 for structures that were not compared
    summary: over all structures, by name: medians of deviations, distances of their distributions from those of the
        data (Wasserstein-1, in standard deviations), shares of the right substance, of copies and of duplicates
    hits: None without targets
    """

    columns: dict[str, np.ndarray]
    summary: dict[str, float | None]
    hits: HitScores | None


def judge_structures(
    table: pd.DataFrame,
    frames: Sequence[Atoms],
    relaxed: Sequence[Atoms | None],
    usable: np.ndarray,
    reference: MaterialReference,
    targets: Mapping[str, np.ndarray],
    labels: Mapping[str, TrainingLabels],
) -> Judgement:
    """Judgement of measured structures.

    table: row of each structure with its descriptors and properties, and relaxed quantities if it was relaxed
    relaxed: relaxed structures, None where there is none
    usable [s]: structures that have atoms, at finite positions and of the dataset's elements
    targets: target values [s] by property; labels: statistics of the training labels of these
    """
    limits = reference.limits
    rows = {str(name): table[name].to_numpy() for name in table}
    columns = dict(limits.deviations(rows))
    columns["right_substance"] = limits.right_substance(rows)
    compared = _compared(usable, bool(targets))
    columns |= resemblances(frames, relaxed, reference, compared)
    columns["duplicate_of"] = np.full(len(frames), -1)
    columns["duplicate_of"][compared] = duplicates(
        [frames[k] for k in compared], [relaxed[k] for k in compared], reference, compared
    )
    summary = judgement_summary(columns, usable, limits, has_targets=bool(targets))
    if not targets:
        return Judgement(columns=columns, summary=summary, hits=None)
    tolerance = tolerances(labels)
    obtained = {name: rows[name].astype(float) for name in targets}
    # structures that were not compared have no atoms
    columns["novel"] = (columns["largest_overlap"] < limits.overlap) & (columns["duplicate_of"] < 0)
    columns["within_tolerance"] = np.logical_and.reduce(
        [np.abs(obtained[name] - targets[name]) <= tolerance[name] for name in targets]
    )
    conditions = hit_conditions(columns, obtained)
    columns["hit"] = np.logical_and.reduce(list(conditions.values()))
    return Judgement(columns=columns, summary=summary, hits=hit_scores(conditions, tolerance))


def judgement_summary(
    columns: Mapping[str, np.ndarray], usable: np.ndarray, limits: MaterialLimits, *, has_targets: bool
) -> dict[str, float | None]:
    """The summary of a ``Judgement``, from its columns [s] of single structures.

    usable [s]: as in ``judge_structures``
    """
    summary = {name: _median(values) for name, values in columns.items() if name.endswith("_deviation")}
    for name, model in limits.models.items():
        if f"{name}_deviation" in columns:
            summary[f"{name}_distance"] = model.distance(columns[f"{name}_deviation"])
    if usable.any():
        summary["right_substance"] = float(columns["right_substance"][usable].mean())
    compared = _compared(usable, has_targets)
    if len(compared):
        copies = columns["largest_overlap"][compared] >= limits.overlap
        summary["copies"] = float(copies.mean())
        summary["duplicates"] = float((columns["duplicate_of"][compared] >= 0).mean())
        summary["environment_distance"] = _median(columns["environment_distance"][compared])
    return summary


def hit_conditions(
    columns: Mapping[str, np.ndarray], obtained: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The conditions of a hit [s], from the columns of a ``Judgement`` and the measured values [s] by property."""
    return {
        "measured": np.logical_and.reduce([np.isfinite(values) for values in obtained.values()]),
        **{name: columns[name] for name in ("right_substance", "novel", "within_tolerance")},
    }


def tolerances(labels: Mapping[str, TrainingLabels]) -> dict[str, float]:
    """Largest difference of a hit from its target by property, in its unit."""
    return {name: TOLERANCE * item.standard_deviation for name, item in labels.items()}


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def _compared(usable: np.ndarray, has_targets: bool) -> np.ndarray:
    """Indices of the structures that are compared with others."""
    indices = np.flatnonzero(usable)
    if has_targets or len(indices) <= COMPARED_STRUCTURES:
        return indices
    return indices[np.linspace(0, len(indices) - 1, COMPARED_STRUCTURES).round().astype(int)]


def resemblances(
    frames: Sequence[Atoms],
    relaxed: Sequence[Atoms | None],
    reference: MaterialReference,
    compared: np.ndarray,
) -> dict[str, np.ndarray]:
    """Resemblance [s] to training structures, NaN for those that are not among the indices ``compared``.

    The overlap is that of the structure as generated or relaxed, whichever is larger.
    """
    elements = reference.limits.elements
    columns = {
        "environment_distance": np.full(len(frames), np.nan),
        "largest_overlap": np.full(len(frames), np.nan),
    }
    for k in compared:
        minimum = relaxed[k]
        results: list[Resemblance] = [reference.index.resemblance(typed_structure(frames[k], elements))]
        if minimum is not None:
            # a copy with displaced atoms relaxes back to what it was copied from
            results.append(reference.index.resemblance(typed_structure(minimum, elements)))
        distance = results[0].environment_distance
        columns["environment_distance"][k] = np.nan if distance is None else distance
        columns["largest_overlap"][k] = max(result.largest_overlap for result in results)
    return columns


def duplicates(
    frames: Sequence[Atoms],
    relaxed: Sequence[Atoms | None],
    reference: MaterialReference,
    numbers: Sequence[int] | np.ndarray,
) -> np.ndarray:
    """For each structure the number of the first one that it is a copy of, as generated or relaxed; else -1: [s].

    numbers: of the structures, by which they are called
    """
    elements = reference.limits.elements
    generated = [typed_structure(atoms, elements) for atoms in frames]
    minima: list[TypedStructure] = [
        own if minimum is None else typed_structure(minimum, elements)
        for own, minimum in zip(generated, relaxed, strict=True)
    ]
    classes = environment_classes(elements, reference.charges)
    firsts = np.full(len(generated), -1)
    for structures in [generated] if minima == generated else [generated, minima]:
        for place, first in enumerate(duplicate_groups(structures, classes, reference.limits.overlap)):
            if first != place:
                firsts[place] = numbers[first]
    return firsts
