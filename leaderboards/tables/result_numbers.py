"""The numbers of one result by quantity and statistic, and which results are the best of their step count."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...benchmark.evaluation.structural_scores import StructuralScores
from ...benchmark.runs.results import Result
from ...errors import AmsbenchError
from ...metrics.bootstrap import Interval, tie_groups
from ...metrics.inverse_design import InverseDesignErrors
from .. import reported_values
from ..comparisons import Comparison
from .quantities import elements_in, quantities, statistic_of

COST = "cost"
FAILED = "failed: "
INTERVAL_LEVEL = 0.95
LEAST_SHARE = 0.5
"""Least share of measured structures with which a result can be best: the structures that can be measured differ from
the others."""

Numbers = dict[tuple[str, str], float | None]
"""Values by quantity and statistic."""


def numbers_of(result: Result) -> Numbers:
    """All numbers of a result: scores, errors, descriptors, cost and failures.

    AmsbenchError where it lacks the scores that its key declares.
    """
    numbers: Numbers = {}
    if result.key.kind == "structural" or result.structural is not None:  # inverse design: with --metrics
        numbers |= _curve_numbers(result)
    for name in result.key.targets:
        numbers |= _property_numbers(property_errors(result, name), name)
    numbers |= descriptor_numbers(result.key.dataset, result.descriptors)
    numbers |= {
        (COST, "seconds"): result.seconds,
        (COST, "seconds_per_structure"): result.seconds / result.key.count,
        (COST, "seconds_scaled"): scaled_seconds(result),
        (COST, "evaluations"): result.evaluations,
    }
    for name, reasons in result.failures.items():
        numbers |= {(name, f"{FAILED}{reason}"): count for reason, count in reasons.items()}
    return numbers


def structural_scores(result: Result) -> StructuralScores:
    """The scores of the mean curves of a structural result; AmsbenchError where it has none."""
    if result.structural is None or not result.structural.curves:
        raise AmsbenchError(
            f"result {result.key.stem} is structural but holds no structural errors; delete it and run it again"
        )
    return result.structural


def property_errors(result: Result, name: str) -> InverseDesignErrors:
    """The errors of one property of an inverse-design result; AmsbenchError where it has none."""
    if name not in result.inverse_design:
        raise AmsbenchError(
            f"result {result.key.stem} has targets of '{name}' but holds no errors of it; "
            "delete it and run it again"
        )
    return result.inverse_design[name]


def scaled_seconds(result: Result) -> float:
    """Generation time for as many structures as the paper's tables count."""
    return result.seconds * reported_values.COUNTS[result.key.kind] / result.key.count


def _curve_numbers(result: Result) -> Numbers:
    numbers: Numbers = {}
    for name, scores in structural_scores(result).curves.items():
        for statistic, value in scores.model_dump(exclude={"version"}).items():
            # a single structure cannot be resampled: it has no interval
            known = result.key.count > 1 or statistic not in ("low", "high")
            numbers[name, statistic] = value if known else None
    return numbers


def _property_numbers(errors: InverseDesignErrors, name: str) -> Numbers:
    single = (
        "requested",
        "measured",
        "coverage",
        "mae",
        "rmse",
        "mape",
        "penalised_mae",
        "training_mean_mae",
    )
    numbers: Numbers = {(name, statistic): getattr(errors, statistic) for statistic in single}
    for statistic in ("mae", "rmse", "penalised_mae"):
        interval = getattr(errors, f"{statistic}_interval")
        numbers[name, f"{statistic}_low"] = interval.low if interval else None
        numbers[name, f"{statistic}_high"] = interval.high if interval else None
    for statistic in ("spearman", "spearman_low", "spearman_high"):
        numbers[name, statistic] = getattr(errors, statistic)
    for statistic in ("correlation", "low", "high", "mae", "p_value"):
        numbers[name, f"shuffled_{statistic}"] = getattr(errors.shuffled, statistic, None)
    return numbers


def descriptor_numbers(dataset: str, descriptors: Mapping[str, float | None]) -> Numbers:
    """The numbers of stored means over a set of structures."""
    declared = quantities(dataset, elements_in(descriptors))
    return {statistic_of(name, declared): value for name, value in descriptors.items()}


def tied_results(comparison: Comparison) -> dict[str, set[tuple[str, int]]]:
    """By quantity the results (entry, steps) that are best at their step count, or tied with the best."""
    curves = dict.fromkeys(
        name for result in comparison.results if result.structural for name in result.structural.curves
    )
    return {name: _tied_for_best(comparison, _curve_interval, name) for name in curves} | {
        name: _tied_for_best(comparison, _penalised_interval, name) for name in comparison.key.targets
    }


def _tied_for_best(
    comparison: Comparison, interval_of: Callable[[Result, str], Interval | None], name: str
) -> set[tuple[str, int]]:
    tied: set[tuple[str, int]] = set()
    for steps in comparison.steps:
        intervals = {
            entry.label: interval_of(entry.results[steps], name)
            for entry in comparison.entries
            if steps in entry.results
        }
        if len(intervals) > 1 and any(interval is not None for interval in intervals.values()):
            tied |= {(label, steps) for label in tie_groups(intervals)[0]}
    return tied


def _curve_interval(result: Result, name: str) -> Interval | None:
    scores = result.structural.curves.get(name) if result.structural else None
    if scores is None or result.key.count < 2:
        return None
    # the number of resamples is not stored, and a tie does not depend on it
    return Interval(value=scores.rmsd, low=scores.low, high=scores.high, level=INTERVAL_LEVEL, samples=0)


def _penalised_interval(result: Result, name: str) -> Interval | None:
    errors = property_errors(result, name)
    if errors.measured < LEAST_SHARE * errors.requested:
        return None
    return errors.penalised_mae_interval
