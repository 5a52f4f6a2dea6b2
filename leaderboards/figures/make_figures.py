"""Figures of the leaderboards: errors against steps and time, and obtained against target properties."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import Result, ResultKey, check_file
from ...benchmark.system.files import check_writable, write_atomically
from ...errors import AmsbenchError
from .. import reported_values
from ..comparisons import Comparison, Entry, comparisons_of, with_unit
from ..tables.formatting import coverage_text, decimal, joined
from ..tables.quantities import curve_metric
from ..tables.result_numbers import property_errors, scaled_seconds, structural_scores
from .plot_style import (
    Point,
    draw,
    draw_reported,
    finish,
    label_costs,
    level,
    log_scales,
    new_figure,
    set_title,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ResultFiles(Protocol):
    """Where results and the files beside them lie: a ``ResultStore``, or several folders together."""

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        """The file of a result with this suffix."""
        ...


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
                save(targets_figure(comparison, name, store), f"targets {name} {comparison.label}")
    return paths


def _with_models(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that have lines to draw: non-learned baselines take no steps."""
    return [comparison for comparison in comparisons if comparison.entries]


def structural_figure(comparison: Comparison) -> Figure:
    """Errors of each curve against steps and time, with intervals, noise floor, ceiling and the paper's lines."""
    scores = [structural_scores(result).curves for result in comparison.results]
    names = list(dict.fromkeys(name for curves in scores for name in curves))
    figure = new_figure(11.0, 4.2 * len(names))
    axes = figure.subplots(len(names), 2, sharex="col", sharey="row", squeeze=False)
    styles = styles_of(comparison.entries)
    reported = reported_values.reported_structure(comparison.key.dataset)
    models = [(method, "") for method in dict.fromkeys(r.method for r in reported)]
    for panels, name in zip(axes, names, strict=True):
        for ax, cost in zip(panels, (_steps, scaled_seconds), strict=True):
            for entry in comparison.entries:
                points = [
                    _curve_point(result, name, cost(result), bool(entry.step_label(steps)))
                    for steps, result in entry.results.items()
                    if name in structural_scores(result).curves
                ]
                draw(ax, points, styles[entry.label])
            for method, _ in models:
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
    finish(figure, comparison, styles, f"Structure: {comparison.label}", models)
    return figure


def errors_figure(comparison: Comparison, name: str) -> Figure:
    """MAE of one property against steps and time, with intervals and the paper's lines.

    The paper's tables give no times of inverse design, so its lines stand against steps only.
    """
    figure = new_figure(11.0, 5.4)
    axes = figure.subplots(1, 2, sharey=True)
    styles = styles_of(comparison.entries)
    reported = reported_values.reported_errors(comparison.key.dataset, name)
    models = list(dict.fromkeys((r.method, r.training) for r in reported))
    for ax, cost in zip(axes, (_steps, scaled_seconds), strict=True):
        for entry in comparison.entries:
            points = []
            for steps, result in entry.results.items():
                errors = property_errors(result, name)
                if errors.mae is not None:
                    limits = errors.mae_interval
                    low, high = (limits.low, limits.high) if limits else (None, None)
                    points.append(Point(cost(result), errors.mae, low, high, bool(entry.step_label(steps))))
            draw(ax, points, styles[entry.label])
        for model in models if cost is _steps else ():
            line = [(r.steps, r.mae) for r in reported if (r.method, r.training) == model]
            draw_reported(ax, line, *model)
        means = [property_errors(result, name).training_mean_mae for result in comparison.results]
        level(ax, "training mean", means)
        log_scales(ax)
    axes[0].set_ylabel(f"MAE of {with_unit(comparison.key.dataset, name)}")
    label_costs(axes, comparison, [r.steps for r in reported])
    finish(figure, comparison, styles, f"Inverse design: {comparison.label}", models)
    return figure


def targets_figure(comparison: Comparison, name: str, store: ResultFiles) -> Figure:
    """Obtained against target value of every structure: a row per model, a column per step count.

    Where all targets are the same, histograms of the obtained values about the target.
    """
    values = {result.key.digest: structure_values(store, result, name) for result in comparison.results}
    first, last = sorted(comparison.key.targets[name])
    low, high = _panel_limits([obtained for _, obtained in values.values()], first, last)
    constant = first == last
    rows, columns = len(comparison.entries), len(comparison.steps)
    figure = new_figure(max(6.0, 1.4 + 2.2 * columns), 1.4 + 2.3 * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    styles = styles_of(comparison.entries)
    for panels, entry in zip(axes, comparison.entries, strict=True):
        for ax, steps in zip(panels, comparison.steps, strict=True):
            if steps not in entry.results:
                ax.set_facecolor("#F4F4F4")
                continue
            target, obtained = values[entry.results[steps].key.digest]
            if constant:
                _draw_histogram(ax, obtained, first, (low, high), styles[entry.label].colour)
            else:
                ax.plot([first, last], [first, last], color="black", linewidth=1)
                _draw_obtained(ax, target, obtained, (low, high), styles[entry.label].colour)
            ax.set_title(_panel_title(entry, steps, name), fontsize=8)
        axis = "structures" if constant else "obtained"
        panels[0].set_ylabel("\n".join([*textwrap.wrap(entry.label, 24), axis]), fontsize=8)
    if not constant:
        axes[0, 0].set_ylim(low, high)
    for ax in axes[-1]:
        ax.set_xlabel("obtained" if constant else "target", fontsize=9)
    legend = (
        "line: the target; outermost bars: all beyond"
        if constant
        else "line: obtained equals target; x: beyond the panel"
    )
    set_title(figure, f"{with_unit(comparison.key.dataset, name)}: {comparison.label}", legend)
    return figure


def _draw_histogram(
    ax: Axes, obtained: np.ndarray, target: float, limits: tuple[float, float], colour: str
) -> None:
    shown = np.clip(obtained, *limits)
    ax.hist(shown[np.isfinite(shown)], list(np.linspace(*limits, 31)), color=colour)
    ax.axvline(target, color="black", linewidth=1)


def _draw_obtained(
    ax: Axes, target: np.ndarray, obtained: np.ndarray, limits: tuple[float, float], colour: str
) -> None:
    shown = np.clip(obtained, *limits)
    outside = shown != obtained  # also where nothing was measured, which is not drawn
    ax.plot(target[~outside], shown[~outside], "o", color=colour, markersize=2.5, alpha=0.6)
    edge = outside & np.isfinite(shown)
    if edge.any():  # unclipped, so that an empty line would count as one at the figure's corner
        ax.plot(target[edge], shown[edge], "x", color=colour, markersize=4, clip_on=False)


def structure_values(store: ResultFiles, result: Result, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Target and obtained value of each structure of a result, NaN where it could not be measured: [s], [s].

    AmsbenchError where the parquet file beside the result is missing, damaged, edited or of another result.
    """
    import pandas as pd

    path = store.path(result.key, ".parquet")
    if not path.is_file():
        raise AmsbenchError(
            f"{path} with the values of the single structures is missing; copy it beside its .json, "
            "or delete that and run again"
        )
    check_file(path, result)
    names = [f"target_{name}", name]
    try:
        table = pd.read_parquet(path, columns=names)
    except (OSError, ValueError) as error:
        raise AmsbenchError(
            f"{path} is damaged or lacks the columns {', '.join(names)}; "
            "delete it and its .json and run again"
        ) from error
    if len(table) != result.key.count:
        raise AmsbenchError(
            f"{path} has {len(table)} structures where its result has {result.key.count}; "
            "delete it and its .json and run again"
        )
    return table[names[0]].to_numpy(dtype=float), table[name].to_numpy(dtype=float)


def _panel_limits(obtained: Sequence[np.ndarray], first: float, last: float) -> tuple[float, float]:
    """Limits that hold the targets and 98 % of the obtained values; far outliers would hide the rest."""
    finite = np.concatenate([values[np.isfinite(values)] for values in obtained])
    low, high = (first, last) if len(finite) == 0 else np.quantile(finite, [0.01, 0.99])
    low, high = min(low, first), max(high, last)
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _panel_title(entry: Entry, steps: int, name: str) -> str:
    errors = property_errors(entry.results[steps], name)
    first = joined(steps_text(steps), entry.step_label(steps))
    correlation = "" if errors.spearman is None else f", rank corr. {errors.spearman:.2f}"
    second = f"MAE {decimal(errors.mae, 2)}{correlation}"
    return "\n".join(filter(None, [first, second, coverage_text(errors.measured, errors.requested)]))


def _steps(result: Result) -> float:
    return float(result.key.steps)


def _curve_point(result: Result, name: str, cost: float, labelled: bool) -> Point:
    scores = structural_scores(result).curves[name]
    single = result.key.count < 2  # a single structure has no interval
    return Point(cost, scores.rmsd, None if single else scores.low, None if single else scores.high, labelled)
