"""Which results of a comparison are the best of their step count, or cannot be distinguished from the best.

Where the values of the single structures are at hand, the differences to the best of each step count are tested by a
paired bootstrap over structures, and the p-values of all step counts of a quantity are corrected together. Elsewhere
those results are tied whose intervals overlap that of the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..benchmark.runs.results import Result
from ..metrics.bootstrap import Interval, tie_groups
from ..metrics.paired_bootstrap import holm, paired_differences, tied_with_best
from .comparisons import Comparison
from .structure_values import penalised_errors, squared_curve_errors
from .tables.result_numbers import property_errors, structural_scores

INTERVAL_LEVEL = 0.95
Place = tuple[str, int]
"""An entry and a step count."""


@dataclass(frozen=True, kw_only=True)
class Ties:
    """The best results of one quantity.

    tied: results that are the best of their step count, or not distinguishable from it
    p_values: corrected p-values of the differences to the best of the step count
    interval_steps: step counts at which overlapping intervals decide, for want of values of single structures
    """

    tied: frozenset[Place]
    p_values: Mapping[Place, float]
    interval_steps: tuple[int, ...]


def ties_of(comparison: Comparison) -> dict[str, Ties]:
    """By quantity (property with targets, or curve metric that any result has) the best results of each step count."""
    properties = {name: _ties(comparison, name, _penalised_interval) for name in comparison.key.targets}
    curves = dict.fromkeys(
        name
        for result in comparison.results
        if _has_curves(result)
        for name in structural_scores(result).curves
    )
    return properties | {name: _ties(comparison, name, _curve_interval) for name in curves}


def _ties(comparison: Comparison, name: str, interval_of: Callable[[Result, str], Interval | None]) -> Ties:
    tied: set[Place] = set()
    p_values: dict[Place, float] = {}
    tested: dict[int, dict[str, float]] = {}
    by_intervals: list[int] = []
    for steps in comparison.steps:
        results = {
            entry.label: entry.results[steps] for entry in comparison.entries if steps in entry.results
        }
        intervals = {
            label: interval
            for label, result in results.items()
            if (interval := interval_of(result, name)) is not None
        }
        if len(results) < 2 or not intervals:
            continue
        errors = {
            label: of_structures
            for label in intervals
            if (of_structures := _errors(comparison, results[label], name)) is not None
        }
        if len(errors) < len(intervals):
            tied |= {(label, steps) for label in tie_groups(intervals)[0]}
            by_intervals.append(steps)
            continue
        tested[steps] = {label: interval.value for label, interval in intervals.items()}
        best, *others = sorted(intervals, key=lambda label: intervals[label].value)
        if others:
            p_values |= {
                (label, steps): p for label, p in zip(others, _p_values(errors, best, others), strict=True)
            }
    corrected = holm(p_values)
    for steps, values in tested.items():
        of_row = {label: p for (label, at), p in corrected.items() if at == steps}
        tied |= {(label, steps) for label in tied_with_best(values, of_row)}
    return Ties(tied=frozenset(tied), p_values=corrected, interval_steps=tuple(by_intervals))


def _p_values(errors: Mapping[str, np.ndarray], best: str, others: Sequence[str]) -> list[float]:
    """p-values of the differences to the best; a structure without a curve in either result has no part in its one."""
    differences = np.stack([errors[label] - errors[best] for label in others], axis=1)
    if np.isfinite(differences).all():
        return [pair.p_value for pair in paired_differences(differences)]
    finite = [column[np.isfinite(column)] for column in differences.T]
    # of less than two structures nothing can be said
    return [paired_differences(column)[0].p_value if len(column) > 1 else 1.0 for column in finite]


def _errors(comparison: Comparison, result: Result, name: str) -> np.ndarray | None:
    """The error of each structure, NaN for those without a curve; None where no file has these values."""
    if name not in comparison.key.targets:
        return squared_curve_errors(comparison.files, result, name)
    return penalised_errors(comparison.files, result, name)


def _has_curves(result: Result) -> bool:
    """Whether a result has, or by its kind must have, scores of mean curves."""
    return result.key.kind == "structural" or result.structural is not None


def _curve_interval(result: Result, name: str) -> Interval | None:
    scores = structural_scores(result).curves.get(name) if _has_curves(result) else None
    if scores is None or scores.low is None or scores.high is None:
        return None
    # the number of resamples is not stored, and a tie does not depend on it
    return Interval(value=scores.rmsd, low=scores.low, high=scores.high, level=INTERVAL_LEVEL, samples=0)


def _penalised_interval(result: Result, name: str) -> Interval | None:
    """The interval of the error over all requests; None where nothing was measured, which is never the best."""
    errors = property_errors(result, name)
    return errors.penalised_mae_interval if errors.measured else None
