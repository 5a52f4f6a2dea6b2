"""The headline number of a result, for the messages of a run, and those of several results as bars in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..benchmark.interface.evaluation_plan import steps_text
from ..benchmark.runs.results import Result
from .comparisons import with_unit
from .tables.quantities import curve_metric
from .tables.result_numbers import property_errors, structural_scores

BAR = "█"
_LEAST_WIDTH = 60
"""Columns below which a terminal has no room for bars."""
_LONGEST = 40
"""Columns of the longest bar."""


@dataclass(frozen=True)
class Headline:
    """The number that a result is read by first; lower is better.

    name: what it is, with its unit
    value: the number
    level: what it is compared with: the name and value of the noise floor, or of always answering the training mean
    """

    name: str
    value: float
    level: tuple[str, float]

    @property
    def text(self) -> str:
        return f"{self.name} {self.value:.3g}"


def headline(result: Result) -> Headline:
    """The error of the first mean curve, or the mean error of the first target over all requests."""
    if result.key.kind == "structural":
        name, scores = next(iter(structural_scores(result).curves.items()))
        return Headline(f"{curve_metric(name).head} RMSD", scores.rmsd, ("noise floor", scores.floor))
    name = next(iter(result.key.targets))
    errors = property_errors(result, name)
    return Headline(
        f"MAE of {with_unit(result.key.dataset, name)} over all requests",
        errors.penalised_mae,
        ("training mean", errors.training_mean_mae),
    )


def outcome(result: Result, earlier: Iterable[Result]) -> str:
    """The headline of a result in words, its hits, and the best one of its plan so far where that is another."""
    own = headline(result)
    text = own.text
    if result.hits is not None:
        text += f", {result.hits.hits} of {result.hits.requested} requests hit"
    rivals = [other for other in earlier if other.key.plan == result.key.plan]
    best = min(rivals, key=lambda other: headline(other).value, default=None)
    if best is not None and headline(best).value < own.value:
        text += f" (best so far {headline(best).value:.3g}: {_label(best)})"
    return text


def bars(results: Sequence[Result], width: int | None) -> list[str]:
    """Lines with a bar per result, for each plan with several; none where the terminal is narrow or no terminal.

    width: columns of the terminal, None without one
    """
    if width is None or width < _LEAST_WIDTH:
        return []
    lines: list[str] = []
    for plan in dict.fromkeys(result.key.plan for result in results):
        own = [result for result in results if result.key.plan == plan]
        if len(own) < 2:
            continue
        first = headline(own[0])
        rows = [(_label(result), headline(result).value) for result in own] + [first.level]
        lines += ["", first.name if plan in first.name else f"{first.name}, {plan}", *_bars(rows, width)]
    return lines


def _bars(rows: Sequence[tuple[str, float]], width: int) -> list[str]:
    labels = max(len(label) for label, _ in rows)
    longest = min(_LONGEST, width - labels - 12)
    top = max(value for _, value in rows) or 1.0
    return [
        f"  {label:<{labels}}  {BAR * max(1, round(longest * value / top))} {value:.3g}"
        for label, value in rows
    ]


def _label(result: Result) -> str:
    return ", ".join(filter(None, [result.key.sampler, steps_text(result.key.steps)]))
