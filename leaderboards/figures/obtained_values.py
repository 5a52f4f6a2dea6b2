"""The figure of inverse design structure by structure: obtained against target values."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import ResultFiles
from ..comparisons import Comparison, Entry, with_unit
from ..structure_values import structure_values
from ..tables.formatting import coverage_text, decimal, joined
from ..tables.inverse_design import LEAST_RANKED
from ..tables.result_numbers import property_errors
from .plot_style import Drawing, label_panels, panels, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_LETTERS = 34
"""Letters of a panel's width in the size of its title."""


def targets_figure(comparison: Comparison, name: str, store: ResultFiles) -> Drawing | None:
    """Obtained against target value of every structure: a panel per model and step count, in the order of the tables.

    Where all targets are the same, histograms of the obtained values about the target. Results of which nothing could
    be measured have no panel; None where that leaves none.
    """
    values = {result.key.digest: structure_values(store, result, name) for result in comparison.results}
    shown = [
        (entry, steps)
        for entry in comparison.entries
        for steps in entry.results
        if _measured(entry, steps, name)
    ]
    if not shown:
        return None
    missing = len(values) - len(shown)
    first, last = sorted(comparison.key.targets[name])
    low, high = _panel_limits([obtained for _, obtained in values.values()], first, last)
    constant = first == last
    figure, axes = panels(len(shown), _COLUMNS, 1.9)
    styles = styles_of(comparison.entries)
    for ax, (entry, steps) in zip(axes, shown, strict=True):
        target, obtained = values[entry.results[steps].key.digest]
        if constant:
            _draw_histogram(ax, obtained, first, (low, high), styles[entry.label].colour)
        else:
            ax.plot([first, last], [first, last], color="black", linewidth=1)
            _draw_obtained(ax, target, obtained, (low, high), styles[entry.label].colour)
        ax.set_title(_panel_title(entry, steps, name))
    if not constant:
        axes[0].set_ylim(low, high)
    x, y = ("obtained", "structures") if constant else ("target", "obtained")
    label_panels(axes, _COLUMNS, x, y)
    caption = [
        f"Obtained {with_unit(comparison.key.dataset, name)}: {comparison.label}.",
        "The line is the target; the outermost bars hold all values beyond."
        if constant
        else "Each dot is a structure; on the line the obtained value is the target; crosses are beyond the panel.",
    ]
    if missing:
        caption.append(f"Left out: {missing} of {len(values)} results, of which nothing could be measured.")
    return Drawing(figure, tuple(caption))


def _measured(entry: Entry, steps: int, name: str) -> bool:
    return property_errors(entry.results[steps], name).measured > 0


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
    ax.plot(target[~outside], shown[~outside], "o", color=colour, markersize=1.8, alpha=0.6)
    edge = outside & np.isfinite(shown)
    if edge.any():  # unclipped, so that an empty line would count as one at the figure's corner
        ax.plot(target[edge], shown[edge], "x", color=colour, markersize=3, clip_on=False)


def _panel_limits(obtained: Sequence[np.ndarray], first: float, last: float) -> tuple[float, float]:
    """Limits that hold the targets and 98 % of the obtained values; far outliers would hide the rest."""
    finite = np.concatenate([values[np.isfinite(values)] for values in obtained])
    low, high = (first, last) if len(finite) == 0 else np.quantile(finite, [0.01, 0.99])
    low, high = min(low, first), max(high, last)
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _panel_title(entry: Entry, steps: int, name: str) -> str:
    """The model, its steps, error and rank correlation, the latter where enough structures were measured."""
    errors = property_errors(entry.results[steps], name)
    step = joined(steps_text(steps), entry.step_label(steps))
    ranked = errors.spearman is not None and errors.measured >= LEAST_RANKED
    correlation = f", rank corr. {errors.spearman:.2f}" if ranked else ""
    error = f"MAE {decimal(errors.mae, 2)}{correlation}"
    coverage = coverage_text(errors.measured, errors.requested)
    lines = [*textwrap.wrap(entry.label, _LETTERS), joined(step, coverage), error]
    return "\n".join(filter(None, lines))
