"""The curves of the page are those that the results were scored by."""

import numpy as np
import pytest

from amsbench.leaderboards.curve_overlay import CurveOverlay


@pytest.fixture(scope="module")
def silicon(published_results, published):
    """A structural result with stored structures, and the overlay of its comparison."""
    result = next(r for r in published_results if r.key.kind == "structural" and ".npz" in r.files)
    return result, CurveOverlay(result.key, published)


def test_the_curve_of_a_result_has_its_stored_error(silicon):
    result, overlay = silicon
    curves = overlay.curves_of(result)
    for reference in overlay.reference_data():
        if reference["name"] in result.structural.curves:
            difference = np.subtract(curves[reference["name"]], reference["mean"])
            stored = result.structural.curves[reference["name"]].rmsd
            assert np.sqrt(np.mean(difference**2)) == pytest.approx(stored, rel=2e-3)


def test_a_result_without_structures_has_the_curves_that_were_stored_with_its_scores(
    published_results, silicon
):
    _, overlay = silicon
    without = [r for r in published_results if r.structural and r.structural.means and ".npz" not in r.files]
    assert len(without) > 20
    for result in without:
        assert overlay.curves_of(result) == result.structural.means
    scores = result.structural
    changed = scores.curves | {"rdf": scores.curves["rdf"].model_copy(update={"version": 2})}
    other_version = result.model_copy(update={"structural": scores.model_copy(update={"curves": changed})})
    assert overlay.curves_of(other_version).keys() == {"adf"}


def test_stored_mean_curves_have_the_error_that_was_stored_with_them(published_results, silicon):
    _, overlay = silicon
    means = {item["name"]: np.array(item["mean"]) for item in overlay.reference_data()}
    for result in published_results:
        for name, curve in (result.structural.means if result.structural else {}).items():
            error = np.sqrt(np.mean((curve - means[name]) ** 2))
            assert error == pytest.approx(result.structural.curves[name].rmsd, rel=2e-3)


def test_the_band_is_the_noise_floor(silicon):
    result, overlay = silicon
    spreads = {item["name"]: np.array(item["spread"]) for item in overlay.reference_data()}
    assert set(spreads) == {"rdf", "adf", "sq"}
    for name, scores in result.structural.curves.items():
        assert np.sqrt(np.mean(spreads[name] ** 2)) == pytest.approx(scores.floor, rel=1e-3)


def test_results_of_other_data_have_no_curves(silicon, published):
    result, _ = silicon
    overlay = CurveOverlay(result.key.model_copy(update={"dataset_hash": "d" * 64}), published)
    assert overlay.curves_of(result) == {}
    assert overlay.reference_data() == []
