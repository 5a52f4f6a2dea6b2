"""Figures of errors against steps and time: those of mean curves, and those of properties with targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...benchmark.runs.results import Result
from ...metrics.design.inverse_design import InverseDesignErrors
from .. import reported_values
from ..comparisons import Comparison, with_unit
from ..paper_conditions import comparable_curves, differing_conditions
from ..tables.quantities import curve_metric
from ..tables.result_numbers import property_errors, scaled_seconds, structural_scores
from .plot_style import (
    WIDTH,
    Drawing,
    Point,
    add_legend,
    draw,
    draw_reported,
    label_costs,
    level,
    log_scales,
    new_figure,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = "Bars are 95 % bootstrap intervals over structures."
PAPER_STRUCTURE = (
    f"Dashed lines are the paper's, of {reported_values.COUNTS['structural']:,} structures against its training set "
    "and on its own hardware."
)
LEAST_SHARE = 0.5
"""Share of measured structures below which a point is faded: those that can be measured differ from the others."""


def structural_figure(comparison: Comparison) -> Drawing:
    """Errors of each curve against steps and time, with intervals, noise floor, ceiling and the paper's lines.

    The paper's lines are drawn where they lie above the noise floor of the results.
    """
    scores = [structural_scores(result).curves for result in comparison.results]
    names = list(dict.fromkeys(name for curves in scores for name in curves))
    figure = new_figure(WIDTH, 0.7 + 2.3 * len(names))
    axes = figure.subplots(len(names), 2, sharex="col", sharey="row", squeeze=False)
    styles = styles_of(comparison.entries)
    comparable = comparable_curves(comparison)
    every = reported_values.reported_structure(comparison.key.dataset)
    reported = every if comparable else ()
    models = [(method, "") for method in dict.fromkeys(r.method for r in reported)]
    for panels, name in zip(axes, names, strict=True):
        for ax, cost in zip(panels, (_steps, scaled_seconds), strict=True):
            for entry in comparison.entries:
                points = [
                    _curve_point(result, name, cost(result), entry.step_label(steps))
                    for steps, result in entry.results.items()
                    if name in structural_scores(result).curves
                ]
                draw(ax, points, styles[entry.label])
            for method, _ in models if name in comparable else ():
                line = [
                    (r.steps if cost is _steps else r.seconds, r.curves.get(name))
                    for r in reported
                    if r.method == method
                ]
                draw_reported(ax, line, method)
            measured = [curves[name] for curves in scores if name in curves]
            level(ax, "noise floor", [curve.floor for curve in measured])
            level(ax, "random positions", [curve.ceiling for curve in measured], is_below=True)
            log_scales(ax)
        panels[0].set_ylabel(f"{curve_metric(name).head} RMSD")
    label_costs(axes[-1], comparison, [r.steps for r in reported])
    number_panels(axes.flat)
    add_legend(figure, comparison, styles, models)
    left_out = [name for name in names if every and name not in comparable and name in every[0].curves]
    caption = [
        f"Errors of mean curves: {comparison.label}.",
        BARS,
        *([PAPER_STRUCTURE] if comparable else []),
        *(
            f"The {curve_metric(name).head} of the paper is left out: it is below this noise floor."
            for name in left_out
        ),
    ]
    return Drawing(figure, tuple(caption))


def errors_figure(comparison: Comparison, name: str) -> Drawing:
    """Errors of one property against steps and time, with intervals of the MAE and the paper's lines.

    The MAE over all requests, where failures cost the worst answer; MAE and MAPE over the structures that could be
    measured, which are the paper's. There is no MAPE where a target is 0. The paper's lines are drawn where its targets
    and cells are those of the results; its tables give no times of inverse design, so they stand against steps only.
    """
    errors = [property_errors(result, name) for result in comparison.results]
    statistics = ["penalised_mae", "mae"] + ["mape"] * any(item.mape is not None for item in errors)
    figure = new_figure(WIDTH, 0.9 + 2.0 * len(statistics))
    axes = figure.subplots(len(statistics), 2, sharex="col", sharey="row", squeeze=False)
    styles = styles_of(comparison.entries)
    every = reported_values.reported_errors(comparison.key.dataset, name)
    differing = differing_conditions(comparison.key, name) if every else ""
    reported = () if differing else every
    models = list(dict.fromkeys((r.method, r.training) for r in reported))
    for panels, statistic in zip(axes, statistics, strict=True):
        for ax, cost in zip(panels, (_steps, scaled_seconds), strict=True):
            for entry in comparison.entries:
                points = [
                    point
                    for steps, result in entry.results.items()
                    if (point := _error_point(result, name, statistic, cost(result), entry.step_label(steps)))
                ]
                draw(ax, points, styles[entry.label])
            for model in models if cost is _steps and statistic != "penalised_mae" else ():
                line = [(r.steps, getattr(r, statistic)) for r in reported if (r.method, r.training) == model]
                draw_reported(ax, line, *model)
            if statistic != "mape":
                level(ax, "training mean", [item.training_mean_mae for item in errors])
            log_scales(ax)
    unit = with_unit(comparison.key.dataset, name)
    for ax, label in zip(
        axes[:, 0], (f"{unit}\nMAE, all requests", "MAE, measured", "MAPE (%)"), strict=False
    ):
        ax.set_ylabel(label)
    label_costs(axes[-1], comparison, [r.steps for r in reported])
    number_panels(axes.flat)
    partial = any(_is_partial(item) for item in errors)
    add_legend(figure, comparison, styles, models, has_partial=partial)
    caption = [
        f"Errors of {unit}: {comparison.label}.",
        "Over all requests a structure that could not be measured costs the worst answer that the training set holds.",
        BARS.replace("intervals", "intervals of the MAE"),
    ]
    if any(item.measured == 0 for item in errors):
        caption.append("Results of which nothing could be measured have no error over measured structures.")
    if differing:
        caption.append(f"Values of the paper are left out: they are for {differing}.")
    return Drawing(figure, tuple(caption))


def number_panels(axes: Iterable[Axes]) -> None:
    """Letters (a), (b), ... at the upper left of the panels, in their order."""
    panels = list(axes)
    if len(panels) > 1:
        for ax, letter in zip(panels, "abcdefghijklmnopqrstuvwxyz", strict=False):
            ax.annotate(
                f"({letter})",
                (0.0, 1.0),
                xycoords="axes fraction",
                xytext=(0, 2),
                textcoords="offset points",
                va="bottom",
            )


def _is_partial(errors: InverseDesignErrors) -> bool:
    return 0 < errors.measured < LEAST_SHARE * errors.requested


def _steps(result: Result) -> float:
    return float(result.key.steps)


def _curve_point(result: Result, name: str, cost: float, step_label: str) -> Point:
    scores = structural_scores(result).curves[name]
    return Point(cost, scores.rmsd, scores.low, scores.high, step_label)


def _error_point(result: Result, name: str, statistic: str, cost: float, step_label: str) -> Point | None:
    """A MAE with its interval, or a MAPE; None where there is no value."""
    errors = property_errors(result, name)
    value = getattr(errors, statistic)
    if value is None:
        return None
    limits = None if statistic == "mape" else getattr(errors, f"{statistic}_interval")
    low, high = (limits.low, limits.high) if limits else (None, None)
    is_partial = statistic != "penalised_mae" and _is_partial(errors)
    return Point(cost, value, low, high, step_label, is_partial)
