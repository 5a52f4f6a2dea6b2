"""Under which conditions the paper's numbers hold, and whether results compare with them."""

from __future__ import annotations

from ..benchmark import registry
from ..benchmark.datasets.definition import plans_of
from ..benchmark.runs.results import ResultKey
from . import reported_values
from .comparisons import Comparison, targets_text
from .tables.result_numbers import structural_scores

LEAST_COUNT = 100
"""Least number of structures of an MAE that is drawn beside the paper's of 2,000: its error is then about a tenth."""


def comparable_curves(comparison: Comparison) -> tuple[str, ...]:
    """The curve metrics whose errors stand beside the paper's: those that the paper reports, above our noise floor.

    Few structures have a noise floor above the lowest errors that the paper reports, which they could not reach.
    """
    reported = reported_values.reported_structure(comparison.key.dataset)
    names = []
    for name in dict.fromkeys(name for entry in reported for name in entry.curves):
        errors = [error for entry in reported if (error := entry.curves.get(name)) is not None]
        floors = [
            scores.curves[name].floor
            for result in comparison.results
            if name in (scores := structural_scores(result)).curves
        ]
        if floors and errors and max(floors) < min(errors):
            names.append(name)
    return tuple(names)


def differing_conditions(key: ResultKey, name: str) -> str:
    """The paper's conditions of one property where they differ from those of a result; empty where they compare.

    ``targets of shear_modulus 10 to 50 GPa, cubes of 18 Å``
    """
    if key.dataset not in registry.names("datasets"):
        return _of_targets_alone(key, name)
    plans = plans_of(registry.load("datasets", key.dataset)(), "paper")
    plan = next((plan for plan in plans if set(plan.targets) == set(key.targets)), None)
    plan = plan or next((plan for plan in plans if name in plan.targets), None)
    if plan is None:
        return "no targets of it"
    theirs = key.model_copy(update={"targets": dict(plan.targets)})
    cells = "cells of the training set" if plan.cube is None else f"cubes of {plan.cube:g} Å"
    differing = (
        (dict(plan.targets) != dict(key.targets), f"targets of {targets_text(theirs)}"),
        (plan.cube != key.cube, cells),
        (key.count < min(LEAST_COUNT, plan.count), f"{plan.count:,} structures"),
    )
    return ", ".join(text for differs, text in differing if differs)


def _of_targets_alone(key: ResultKey, name: str) -> str:
    """For a dataset that is not installed, whose cells in the paper are not at hand."""
    targets = reported_values.TARGETS.get((key.dataset, name))
    if targets == key.targets[name] and key.count >= LEAST_COUNT:
        return ""
    return "other targets" if targets is None else f"targets of {name} {targets[0]:g} to {targets[1]:g}"
