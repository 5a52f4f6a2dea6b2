"""How results look in the figures: sizes for print, colours, markers, error bars, the paper's curves, axes, legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...benchmark.display.mean_curve_chart import svg_of
from .. import reported_values
from ..comparisons import Comparison, Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALETTE = ("#CC79A7", "#E69F00", "#8C6D46", "#009E73", "#0072B2", "#D55E00")
_COLOURS = dict(zip(reported_values.METHODS, _PALETTE, strict=True))
"""One colour per method of the paper, after Okabe and Ito, whose palette colour-blind readers can tell apart."""
_MORE_COLOURS = ("#56B4E9", "#6A3D9A", "#7F7F7F", "#B2DF8A", "#000000")
_MARKERS = "os^DvPX"
_GREY = "#666666"
FADED = 0.3
"""Opacity of results of which fewer than half of the structures could be measured."""


WIDTH = 7.0
"""Inches; the width of a page of two columns, so that letters are as large in print as here."""
PRINT: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 7.0,
    "legend.fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # letters stay letters, which journals ask for
    "svg.hashsalt": "amsbench",  # the same results give the same bytes
}
"""Settings of matplotlib that all figures are drawn and saved with."""


class Drawing(NamedTuple):
    """A figure without a title, and the sentences of its caption."""

    figure: Figure
    caption: tuple[str, ...]

    def _repr_html_(self) -> str:
        """What a notebook shows: the figure and its caption."""
        return f"{svg_of(self.figure)}<p>{escape(' '.join(self.caption))}</p>"


class Point(NamedTuple):
    """A result in a panel: its cost, and its error with the limits of its interval.

    step_label: kind of step where it is not the entry's usual one, else empty
    is_partial: whether fewer than half of the structures could be measured
    """

    cost: float
    error: float
    low: float | None
    high: float | None
    step_label: str = ""
    is_partial: bool = False


class Style(NamedTuple):
    """How an entry is drawn: the colour of its method, a marker of its own."""

    colour: str
    marker: str


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # drawn without pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def panels(number: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many equal panels, at most ``columns`` beside each other, and its panels; they share their axes.

    height: of a panel, inches
    """
    columns = min(columns, number)
    rows = math.ceil(number / columns)
    figure = new_figure(WIDTH if columns > 1 else WIDTH / 2, 0.6 + height * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[number:]:
        ax.set_axis_off()
    return figure, list(axes.flat[:number])


def label_panels(axes: Sequence[Axes], columns: int, x: str, y: str) -> None:
    """Name the axes at the left and below the panels that have no other panel there."""
    columns = min(columns, len(axes))
    for k, ax in enumerate(axes):
        if k % columns == 0:
            ax.set_ylabel(y)
        if k + columns >= len(axes):
            ax.set_xlabel(x)
            ax.tick_params(labelbottom=True)


def log_scales(ax: Axes) -> None:
    """Logarithmic axes with plain numbers beside the errors."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ax.set(xscale="log", yscale="log")
    ax.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    for axis_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        axis_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def styles_of(entries: Sequence[Entry]) -> dict[str, Style]:
    """Colours by method; the entries of one method differ in their markers."""
    others = [method for method in dict.fromkeys(entry.method for entry in entries) if method not in _COLOURS]
    colours = _COLOURS | {m: _MORE_COLOURS[k % len(_MORE_COLOURS)] for k, m in enumerate(others)}
    used: dict[str, int] = {}
    styles = {}
    for entry in entries:
        number = used[entry.method] = used.get(entry.method, -1) + 1
        styles[entry.label] = Style(colours[entry.method], _MARKERS[number % len(_MARKERS)])
    return styles


def draw(ax: Axes, points: Sequence[Point], style: Style) -> None:
    """Markers with error bars, and lines between neighbours of one kind of step.

    Results of another kind of step than the entry's usual one have hollow markers. Results of which fewer than half of
    the structures could be measured are faded and on no line: their error is that of the structures that succeed.
    """
    from matplotlib.lines import Line2D

    for before, after in pairwise(points):
        if before.step_label == after.step_label and not (before.is_partial or after.is_partial):
            x, y = [before.cost, after.cost], [before.error, after.error]
            ax.plot(x, y, color=style.colour, zorder=3)
    for point in points:
        alpha = FADED if point.is_partial else 1.0
        if point.low is not None and point.high is not None:
            bar: dict[str, Any] = {"color": style.colour, "linewidth": 0.8, "zorder": 3, "alpha": alpha}
            bottom = point.low if point.low > 0 else point.error
            ax.plot([point.cost] * 2, [bottom, point.high], "_-", markersize=4, **bar)
            if point.low <= 0:
                # On a logarithmic axis it has no end: it leaves the panel, whose limits it does not change.
                ax.add_artist(Line2D([point.cost] * 2, [1e-9 * point.error, point.error], **bar))
        marker: dict[str, Any] = {"color": style.colour, "markersize": 3.5, "zorder": 4, "alpha": alpha}
        face = "white" if point.step_label else style.colour
        ax.plot(point.cost, point.error, style.marker, mfc=face, **marker)


def draw_reported(
    ax: Axes, points: Sequence[tuple[float | None, float | None]], method: str, training: str = ""
) -> None:
    """A line of the paper, dashed (dotted for models trained on the target alone); gaps where unreadable."""
    x = [np.nan if cost is None or error is None else cost for cost, error in points]
    y = [np.nan if cost is None or error is None else error for cost, error in points]
    ax.plot(x, y, **_reported_style(method, training))


def _reported_style(method: str, training: str) -> dict[str, Any]:
    return {
        "color": _COLOURS[method],
        "linestyle": ":" if training == "Target" else "--",
        "linewidth": 0.8,
        "alpha": 0.7,
    }


def level(ax: Axes, label: str, values: Sequence[float], *, is_below: bool = False) -> None:
    """A horizontal line with its label above or below it, or a band where the level differs between results."""
    low, high = min(values), max(values)
    if high > low:
        ax.axhspan(low, high, color=_GREY, alpha=0.2, linewidth=0)
    else:
        ax.axhline(low, color=_GREY, linewidth=1, linestyle=(0, (1, 2)))
    ax.annotate(
        label,
        (0.99, low if is_below else high),
        xycoords=("axes fraction", "data"),
        xytext=(0, -2 if is_below else 2),
        textcoords="offset points",
        ha="right",
        va="top" if is_below else "bottom",
        fontsize="small",
        color=_GREY,
    )


_UNITS = (("s", 1), ("m", 60), ("h", 3600))
_TIMES = {0.01: "10 ms", 0.1: "0.1 s"} | {
    n * size: f"{n} {unit}" for unit, size in _UNITS for n in (1, 3, 10, 30)
}
_SPACING = 1.2
"""Step counts closer than this factor share one tick label."""


def label_costs(axes: Sequence[Axes], comparison: Comparison, steps: Sequence[int]) -> None:
    """Step counts on the left, time in seconds, minutes or hours on the right."""
    from matplotlib.ticker import NullLocator

    ticks: list[int] = []
    for number in sorted({*comparison.steps, *steps}):
        if not ticks or number > _SPACING * ticks[-1]:
            ticks.append(number)
    axes[0].set_xticks(ticks, [str(number) for number in ticks])
    low, high = axes[1].get_xlim()
    times = [seconds for seconds in _TIMES if low <= seconds <= high]
    axes[1].set_xticks(times, [_TIMES[seconds] for seconds in times])
    for ax in axes:
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].set_xlabel("sampling steps")
    axes[1].set_xlabel(
        f"generation time, scaled to {reported_values.COUNTS[comparison.key.kind]:,} structures"
    )


def add_legend(
    figure: Figure,
    comparison: Comparison,
    styles: dict[str, Style],
    reported: Sequence[tuple[str, str]],
    *,
    has_partial: bool = False,
) -> None:
    """One legend below the panels.

    reported: method and training of the paper's lines
    has_partial: whether fewer than half of the structures of any result could be measured
    """
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, markersize=3.5, label=label)
        for label, style in styles.items()
    ]
    labelled = {
        entry.step_label(steps)
        for entry in comparison.entries
        for steps in entry.results
        if entry.step_label(steps)
    }
    dot: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 3.5, "ls": ""}
    if labelled:
        handles.append(Line2D([], [], mfc="white", label=f"hollow: {', '.join(sorted(labelled))}", **dot))
    if has_partial:
        text = "faded: fewer than half of the structures measured"
        handles.append(Line2D([], [], alpha=FADED, label=text, **dot))
    for method, training in reported:
        text = f"{method} ({training}), paper" if training else f"{method}, paper"
        handles.append(Line2D([], [], **_reported_style(method, training), label=text))
    widest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(2, min(5, int(130 / (widest + 8))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
