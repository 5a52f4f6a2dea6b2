"""Mean curves over those of a reference as a picture within a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ReferenceCurve:
    """What a mean curve is compared with.

    head, axis: labels of the values and of the grid
    grid, mean, spread [bins]: spread is the standard deviation of the mean of as many structures of a perfect generator
    """

    head: str
    axis: str
    grid: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def draw_reference(ax: Axes, reference: ReferenceCurve) -> None:
    """The mean of the reference as a black line in its band of noise."""
    low, high = reference.mean - reference.spread, reference.mean + reference.spread
    ax.fill_between(reference.grid, low, high, color="black", alpha=0.25, linewidth=0)
    ax.plot(reference.grid, reference.mean, color="black", linewidth=1.4)


def mean_curve_svg(references: Mapping[str, ReferenceCurve], curves: Mapping[str, Sequence[float]]) -> str:
    """An SVG with a panel per curve: those of the structures in orange over those of the reference."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 8, "svg.hashsalt": "amsbench"}):
        figure = Figure(figsize=(3.4 * len(curves), 2.3), layout="constrained")
        axes = figure.subplots(1, len(curves), squeeze=False)[0]
        for ax, (name, curve) in zip(axes, curves.items(), strict=True):
            reference = references[name]
            draw_reference(ax, reference)
            ax.plot(reference.grid, curve, color="#D55E00", linewidth=1.2)
            ax.set(xlabel=reference.axis, ylabel=reference.head)
        return svg_of(figure)


def svg_of(figure: Figure) -> str:
    """The figure as an SVG element; the same figure gives the same text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
