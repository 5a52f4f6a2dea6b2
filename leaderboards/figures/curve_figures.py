"""The figure of mean curves: those of every model and step count over that of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...benchmark.display.mean_curve_chart import ReferenceCurve, draw_reference
from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import ResultFiles
from ..comparisons import Comparison, Entry
from ..curve_overlay import CurveOverlay
from ..tables.quantities import curve_metric
from .plot_style import Drawing, label_panels, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_COLOURS = "viridis"
"""Few steps are dark and many are bright; colour-blind readers see the order."""
_BRIGHTEST = 0.9
"""Of the colour map; what is above is too bright on white paper."""


def curves_figure(comparison: Comparison, name: str, files: ResultFiles) -> Drawing | None:
    """A curve such as g(r): a panel per model, a line per step count, over the reference and its noise.

    The band is the standard deviation of the mean curve of as many structures of a perfect generator. None where no
    result has the curve, or where the reference is not at hand.
    """
    overlay = CurveOverlay(comparison.key, files)
    reference = next((item for item in overlay.reference_data() if item["name"] == name), None)
    if reference is None:
        return None
    lines = {
        entry.label: {
            steps: curves[name]
            for steps, result in entry.results.items()
            if name in (curves := overlay.curves_of(result))
        }
        for entry in comparison.entries
    }
    entries = [entry for entry in comparison.entries if lines[entry.label]]
    if not entries:
        return None
    figure, axes = panels(len(entries), _COLUMNS, 1.8)
    metric = curve_metric(name)
    mean, spread = _numbers(reference["mean"]), _numbers(reference["spread"])
    band = ReferenceCurve(metric.head, metric.axis, np.array(reference["grid"]), mean, spread)
    colours = _colours(sorted({steps for drawn in lines.values() for steps in drawn}))
    for ax, entry in zip(axes, entries, strict=True):
        draw_reference(ax, band)
        for steps, values in lines[entry.label].items():
            ax.plot(reference["grid"], _numbers(values), color=colours[steps], linewidth=0.9)
        ax.set_title(entry.label)
    _limit(axes[0], reference, lines, entries)
    label_panels(axes, _COLUMNS, metric.axis, metric.head)
    _add_legend(figure, colours)
    split = overlay.reference.split if overlay.reference else ""
    caption = [
        f"{metric.title}: {comparison.label}.",
        f"The black line is the mean of the {'held-out' if split == 'test' else 'training'} structures; the band is "
        f"the standard deviation of the mean of {comparison.key.count:,} structures of a perfect generator.",
        f"Panels end at {_HEADROOM:g} times its largest value.",
    ]
    without = len(comparison.results) - sum(map(len, lines.values()))
    if without:
        caption.append(f"Left out: {without} of {len(comparison.results)} results, which hold no such curve.")
    return Drawing(figure, tuple(caption))


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


_HEADROOM = 1.8
"""Largest value of a panel over that of the reference: peaks of overlapping atoms would hide everything else."""


def _limit(
    ax: Axes, reference: dict[str, Any], lines: dict[str, dict[int, Any]], entries: Sequence[Entry]
) -> None:
    top = max(reference["mean"])
    highest = max(np.nanmax(_numbers(v)) for entry in entries for v in lines[entry.label].values())
    ax.set_ylim(0.0, 1.05 * min(max(top, highest), _HEADROOM * top))


def _colours(steps: Sequence[int]) -> dict[int, Any]:
    """Colours of step counts, evenly spaced in their order."""
    from matplotlib import colormaps

    places = np.linspace(0.0, _BRIGHTEST, len(steps)) if len(steps) > 1 else [0.0]
    return {number: colormaps[_COLOURS](place) for number, place in zip(steps, places, strict=True)}


def _add_legend(figure: Any, colours: dict[int, Any]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="black", linewidth=1.4, label="reference")]
    handles += [Line2D([], [], color=colour, label=steps_text(steps)) for steps, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
