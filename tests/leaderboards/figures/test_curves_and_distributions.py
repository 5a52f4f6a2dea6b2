"""Figures of mean curves and of distributions show the published results over the data that they are compared with."""

import numpy as np
import pytest

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.figures.curve_figures import curves_figure
from amsbench.leaderboards.figures.distribution_figures import distribution_figure


def test_mean_curves_are_drawn_over_the_reference(published, published_results):
    silicon = [r for r in published_results if r.key.dataset == "asi" and r.key.protocol == "standard"]
    chosen = [r for r in silicon if r.key.method == "amshortcut" and r.key.sampler == "shortcut"]
    comparison = comparisons_of(chosen, "structural", published)[0]
    figure, caption = curves_figure(comparison, "rdf", published)
    (ax,) = figure.axes
    drawn = [list(line.get_ydata()) for line in ax.lines]
    stored = [r.structural.means["rdf"] for r in comparison.results if "rdf" in r.structural.means]
    assert drawn[1:] == stored
    reference = np.array(drawn[0])
    errors = [np.sqrt(np.mean((np.array(line) - reference) ** 2)) for line in drawn[1:]]
    assert errors == pytest.approx(
        [r.structural.curves["rdf"].rmsd for r in comparison.results if r.structural.means], rel=2e-3
    )
    assert "256 structures of a perfect generator" in caption[1]
    assert (
        curves_figure(comparison, "sq", published) is not None
    )  # of the results whose structures are stored


def test_distributions_stand_over_the_training_data_and_the_targets(published, published_results):
    chosen = [
        r
        for r in published_results
        if r.key.plan == "shear_modulus" and r.key.dataset == "asio2" and r.key.sampler == "shortcut-guided"
        if r.key.protocol == "standard"
    ]
    comparison = comparisons_of(chosen, "inverse-design", published)[0]
    figure, caption = distribution_figure(comparison, "shear_modulus", published)
    (ax,) = figure.axes
    areas = [patch for patch in ax.patches if hasattr(patch, "get_height") and patch.get_alpha() == 0.45]
    assert sum(patch.get_width() * patch.get_height() for patch in areas) == pytest.approx(1)
    (last,) = [r for r in comparison.results if r.key.steps == 25]
    measured = last.inverse_design["shear_modulus"].coverage
    assert f"25 steps, {measured:.0f}% measured" in ax.get_title()
    assert "18 to 29" in caption[1]
    labels = load_dataset("asio2").split("train").properties[:, 1]
    assert f"{np.isfinite(labels).sum():,} labelled" in caption[1]


def test_other_data_and_single_targets_have_no_distribution(published, published_results, inverse):
    (elsewhere,) = comparisons_of([inverse(3.0, 4.0, 16.0)], "inverse-design")
    assert distribution_figure(elsewhere, "shear_modulus", published) is None
    lithium = [r for r in published_results if r.key.plan == "youngs_modulus" and r.key.steps == 25]
    for comparison in comparisons_of(lithium, "inverse-design", published):
        assert distribution_figure(comparison, "li_concentration", published) is None
