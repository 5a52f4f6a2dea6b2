"""The numbers of one result by quantity and statistic."""

from __future__ import annotations

from collections.abc import Mapping

from ...benchmark.evaluation.structural_scores import StructuralScores
from ...benchmark.runs.results import Result
from ...errors import AmsbenchError
from ...metrics.design.inverse_design import InverseDesignErrors
from .. import reported_values
from .quantities import elements_in, quantities, statistic_of

COST = "cost"
FAILED = "failed: "
HITS = "hits"

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
    numbers |= _hit_numbers(result)
    numbers |= descriptor_numbers(result.key.dataset, result.descriptors)
    numbers |= {
        (COST, "seconds"): generation_seconds(result),
        (COST, "seconds_per_structure"): generation_seconds(result) / result.key.count,
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
    return generation_seconds(result) * reported_values.COUNTS[result.key.kind] / result.key.count


def generation_seconds(result: Result) -> float:
    """Seconds of one processor core, or of the GPU, for the generation; where it was not recorded, wall-clock time."""
    return result.seconds if result.cpu_seconds is None else result.cpu_seconds


def _curve_numbers(result: Result) -> Numbers:
    numbers: Numbers = {}
    for name, scores in structural_scores(result).curves.items():
        numbers |= {
            (name, statistic): value for statistic, value in scores.model_dump(exclude={"version"}).items()
        }
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
        "worst_mae",
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


def _hit_numbers(result: Result) -> Numbers:
    """The share of hits, the conditions they meet, and core seconds per hit; nothing for results without hit scores."""
    hits = result.hits
    if hits is None:
        return {}
    conditions = ("measured", "right_substance", "novel", "within_tolerance", "hits", "requested")
    numbers: Numbers = {(HITS, name): getattr(hits, name) for name in conditions}
    numbers |= {(HITS, name): getattr(hits, name) for name in ("share", "share_low", "share_high")}
    generating, measuring = generation_seconds(result), result.measuring_cpu_seconds
    numbers[HITS, "seconds_per_hit"] = generating / hits.hits if hits.hits else None
    both = None if measuring is None or not hits.hits else (generating + measuring) / hits.hits
    numbers[HITS, "seconds_per_hit_measured"] = both
    return numbers


def descriptor_numbers(dataset: str, descriptors: Mapping[str, float | None]) -> Numbers:
    """The numbers of stored means over a set of structures."""
    declared = quantities(dataset, elements_in(descriptors))
    return {statistic_of(name, declared): value for name, value in descriptors.items()}
