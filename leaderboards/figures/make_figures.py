"""Figures of the leaderboards: errors against steps and time, and obtained against target properties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...benchmark.runs.results import Result, ResultFiles
from ...benchmark.system.files import check_writable, write_atomically
from ...errors import AmsbenchError
from ...metrics.design.inverse_design import InverseDesignErrors
from .. import reported_values
from ..comparisons import Comparison, comparisons_of, with_unit
from ..paper_conditions import comparable_curves, differing_conditions
from ..tables.quantities import curve_metric
from ..tables.result_numbers import property_errors, scaled_seconds, structural_scores
from .obtained_values import targets_figure
from .plot_style import (
    Point,
    draw,
    draw_reported,
    finish,
    label_costs,
    level,
    log_scales,
    new_figure,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = "bars: 95 % bootstrap intervals over structures"
PAPER_STRUCTURE = (
    f"{reported_values.COUNTS['structural']:,} structures against its training set, on its own hardware"
)


def save_figures(store: ResultFiles, output_folder: Path | str, results: Sequence[Result]) -> list[Path]:
    """Draw every figure that the results allow into ``output_folder`` as PNG and return the files.

    Per structural comparison the errors of its curves; per property with targets its error, and the obtained against
    the target values of the single structures, which are read from the parquet files beside the results.
    AmsbenchError where there are no results, where a parquet file is missing or damaged, and where the folder cannot
    be written.
    """
    folder = Path(output_folder)
    kinds = {result.key.kind for result in results}
    if not kinds:
        raise AmsbenchError(
            "there are no results to draw; run 'amsbench run' first or give another --results"
        )
    check_writable(folder)
    paths: list[Path] = []

    def save(figure: Figure, name: str) -> None:
        path = folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
        write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=160))
        paths.append(path)

    if "structural" in kinds:
        for comparison in _with_models(comparisons_of(results, "structural")):
            save(structural_figure(comparison), f"structural {comparison.label}")
    if "inverse-design" in kinds:
        for comparison in _with_models(comparisons_of(results, "inverse-design")):
            for name in comparison.key.targets:
                save(errors_figure(comparison, name), f"errors {name} {comparison.label}")
                figure = targets_figure(comparison, name, store)
                if figure is not None:
                    save(figure, f"targets {name} {comparison.label}")
    return paths


def _with_models(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that have lines to draw: non-learned baselines take no steps."""
    return [comparison for comparison in comparisons if comparison.entries]


def structural_figure(comparison: Comparison) -> Figure:
    """Errors of each curve against steps and time, with intervals, noise floor, ceiling and the paper's lines.

    The paper's lines are drawn where they lie above the noise floor of the results.
    """
    scores = [structural_scores(result).curves for result in comparison.results]
    names = list(dict.fromkeys(name for curves in scores for name in curves))
    figure = new_figure(11.0, 4.2 * len(names))
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
            level(ax, "random positions", [curve.ceiling for curve in measured])
            log_scales(ax)
        panels[0].set_ylabel(f"{curve_metric(name).head} RMSD")
    label_costs(axes[-1], comparison, [r.steps for r in reported])
    left_out = [name for name in names if every and name not in comparable and name in every[0].curves]
    notes = [
        BARS,
        *([f"paper: {PAPER_STRUCTURE}"] if comparable else []),
        *(f"{curve_metric(name).head} of the paper left out: below this noise floor" for name in left_out),
    ]
    finish(figure, comparison, styles, [f"Structure: {comparison.label}", *notes], models)
    return figure


def errors_figure(comparison: Comparison, name: str) -> Figure:
    """MAE and MAPE of one property against steps and time, with intervals of the MAE and the paper's lines.

    There is no MAPE where a target is 0. The paper's lines are drawn where its targets and cells are those of the
    results; its tables give no times of inverse design, so they stand against steps only.
    """
    errors = [property_errors(result, name) for result in comparison.results]
    statistics = ["mae"] + ["mape"] * any(item.mape is not None for item in errors)
    figure = new_figure(11.0, 1.4 + 3.9 * len(statistics))
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
            for model in models if cost is _steps else ():
                line = [(r.steps, getattr(r, statistic)) for r in reported if (r.method, r.training) == model]
                draw_reported(ax, line, *model)
            if statistic == "mae":
                level(ax, "training mean", [item.training_mean_mae for item in errors])
            log_scales(ax)
    unit = with_unit(comparison.key.dataset, name)
    axes[0, 0].set_ylabel(f"MAE of {unit}")
    if len(axes) > 1:
        axes[1, 0].set_ylabel(f"MAPE of {name} (%)")
    label_costs(axes[-1], comparison, [r.steps for r in reported])
    notes = [BARS if len(statistics) == 1 else f"{BARS}, of the MAE"]
    if any(item.measured == 0 for item in errors):
        notes.append("not shown: results of which nothing could be measured")
    if differing:
        notes.append(f"values of the paper left out: {differing}")
    title = [f"Inverse design of {unit}: {comparison.label}", *notes]
    partial = any(_is_partial(item) for item in errors)
    finish(figure, comparison, styles, title, models, has_partial=partial)
    return figure


LEAST_SHARE = 0.5
"""Share of measured structures below which a point is faded: those that can be measured differ from the others."""


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
    limits = errors.mae_interval if statistic == "mae" else None
    low, high = (limits.low, limits.high) if limits else (None, None)
    return Point(cost, value, low, high, step_label, _is_partial(errors))
