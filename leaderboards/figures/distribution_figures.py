"""The figure of distributions: a property of training and of generated structures, and the range of the targets."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ...benchmark import registry
from ...benchmark.datasets.storage import load_dataset
from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import ResultFiles, ResultKey
from ..comparisons import Comparison, with_unit
from ..structure_values import structure_values
from .plot_style import Drawing, label_panels, panels, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_BINS = 24
_LETTERS = 38
"""Letters of a panel's width in the size of its title."""
_FEWEST = 8
"""Fewest values of a histogram."""


def distribution_figure(comparison: Comparison, name: str, files: ResultFiles) -> Drawing | None:
    """Densities of a property: training structures, and those that each model generates in its most steps.

    Models of which fewer than ``_FEWEST`` structures could be measured have no panel. None where no model is left,
    where all targets are the same, or where the data are not those that are installed.
    """
    first, last = sorted(comparison.key.targets[name])
    labels = _training_labels(comparison.key, name)
    if labels is None or first == last:
        return None
    shown = []
    for entry in comparison.entries:
        steps = max(entry.results)
        _, obtained = structure_values(files, entry.results[steps], name)
        obtained = obtained[np.isfinite(obtained)]
        if len(obtained) >= _FEWEST:
            shown.append((entry, steps, obtained))
    if not shown:
        return None
    figure, axes = panels(len(shown), _COLUMNS, 1.8)
    values = np.concatenate([labels, *(obtained for *_, obtained in shown)])
    low, high = np.quantile(values, [0.005, 0.995])
    bins = np.linspace(min(low, first, labels.min()), max(high, last, labels.max()), _BINS + 1)
    styles = styles_of(comparison.entries)
    for ax, (entry, steps, obtained) in zip(axes, shown, strict=True):
        ax.axvspan(first, last, color="#F0E442", alpha=0.35, linewidth=0, zorder=0)
        _density(ax, labels, bins, "#666666", filled=True)
        _density(ax, obtained, bins, styles[entry.label].colour, filled=False)
        share = len(obtained) / comparison.key.count
        title = [*textwrap.wrap(entry.label, _LETTERS), f"{steps_text(steps)}, {share:.0%} measured"]
        ax.set_title("\n".join(title))
    label_panels(axes, _COLUMNS, with_unit(comparison.key.dataset, name), "density")
    caption = [
        f"Distribution of {with_unit(comparison.key.dataset, name)}: {comparison.label}.",
        f"Grey: the {len(labels):,} labelled training structures; lines: the generated structures that could be "
        f"measured, of each model in its most steps; yellow: the range of the targets, {first:g} to {last:g}.",
        "Values beyond the axis are in its outermost bins.",
    ]
    drawn = {entry.label for entry, *_ in shown}
    left_out = [entry.label for entry in comparison.entries if entry.label not in drawn]
    if left_out:
        caption.append(f"Left out, with fewer than {_FEWEST} measured structures: {', '.join(left_out)}.")
    return Drawing(figure, tuple(caption))


def _training_labels(key: ResultKey, name: str) -> np.ndarray | None:
    """Labels of the training split of the dataset of a result; None where it is not installed or has other data."""
    if key.dataset not in registry.names("datasets"):
        return None
    dataset = load_dataset(key.dataset)
    if dataset.content_hash != key.dataset_hash:
        return None
    labels = dataset.split("train").properties[:, dataset.property_names.index(name)]
    return np.asarray(labels[np.isfinite(labels)], dtype=float)


def _density(ax: Axes, values: np.ndarray, bins: np.ndarray, colour: str, *, filled: bool) -> None:
    shown = np.clip(values, bins[0], bins[-1])
    if filled:
        ax.hist(shown, list(bins), density=True, color=colour, alpha=0.45)
    else:
        ax.hist(shown, list(bins), density=True, color=colour, histtype="step", linewidth=1.2)
