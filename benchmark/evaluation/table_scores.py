"""Scores that follow from the table of single structures alone, without the structures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.design.hits import hit_scores
from ...metrics.design.inverse_design import inverse_design_errors
from .descriptor_means import descriptor_means
from .design_scores import hit_conditions, judgement_summary, tolerances
from .reference import Reference
from .unmeasurable import UNMEASURABLE

if TYPE_CHECKING:
    import pandas as pd

_JUDGED = ("right_substance", "largest_overlap", "duplicate_of", "environment_distance")
"""Columns of a table whose structures were judged (``judge_structures``)."""


def scores_of_table(
    table: pd.DataFrame,
    reference: Reference,
    targets: Mapping[str, np.ndarray],
    descriptors: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Fields ``inverse_design``, ``descriptors``, ``failures`` and ``hits`` of a result that has this table.

    targets: target values [s] by property; descriptors: names of the metrics of single structures
    Hits and the summary of the judgement are left out where the table does not have them. KeyError for a table that
    lacks a property or a descriptor.
    """
    columns = {str(name): table[name].to_numpy() for name in table}
    usable = table[UNMEASURABLE].isna().to_numpy() if UNMEASURABLE in table else np.full(len(table), True)
    measured = table[usable | (columns["atoms"] == 0)]
    definition = reference.definition
    names = [name for name in table if not str(name).endswith("_failure")]
    records = (measured if len(measured) else table)[names].to_dict("records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    labels = {name: reference.labels(name) for name in targets}
    obtained = {name: columns[name].astype(float) for name in targets}
    scores: dict[str, Any] = {
        "inverse_design": {
            name: inverse_design_errors(target, obtained[name], training=labels[name], seed=seed)
            for name, target in targets.items()
        },
        "descriptors": descriptor_means(rows, definition, reference.fractions, descriptors),
        "failures": failures_of(table),
    }
    if all(name in columns for name in _JUDGED):
        limits = reference.material(relaxed=bool(targets)).limits
        scores["descriptors"] |= judgement_summary(columns, usable, limits, has_targets=bool(targets))
        if targets:
            scores["hits"] = hit_scores(hit_conditions(columns, obtained), tolerances(labels))
    return scores


def failures_of(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Structures that could not be measured, per property or metric and reason."""
    failures = {
        str(name).removesuffix("_failure"): dict(Counter(table[name].dropna()))
        for name in table
        if str(name).endswith("_failure")
    }
    return {name: reasons for name, reasons in failures.items() if reasons}
