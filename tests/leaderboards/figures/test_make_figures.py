"""Figures show what the results and the per-structure files hold."""

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.figures.make_figures import (
    errors_figure,
    save_figures,
    structural_figure,
    structure_values,
    targets_figure,
)


def lines_of(ax):
    """(x, y) of every line, as lists."""
    return [
        (list(np.atleast_1d(line.get_xdata())), list(np.atleast_1d(line.get_ydata()))) for line in ax.lines
    ]


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


def with_values(store, result, obtained, name="shear_modulus"):
    """The result, stored with a table of these values."""
    target = np.linspace(*result.key.targets[name], len(obtained))
    return with_table(store, result, pd.DataFrame({f"target_{name}": target, name: obtained}).to_parquet())


def with_table(store, result, content):
    path = store.path(result.key, ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    result = result.model_copy(update={"files": store.file_hashes(result.key)})
    store.write(result)
    return result


def test_errors_floor_and_paper_are_in_the_panels(structural):
    results = [structural(0.4, 0.002, steps=2, seconds=0.64), structural(0.1, 0.001, steps=10, seconds=6.4)]
    (comparison,) = comparisons_of(results, "structural")
    by_steps, by_time, *_ = structural_figure(comparison).axes
    assert ([2.0, 10.0], [0.4, 0.1]) in lines_of(by_steps)
    assert ([100.0, 1000.0], [0.4, 0.1]) in [(pytest.approx(x), y) for x, y in lines_of(by_time)]
    bars = [(x, pytest.approx(y)) for x, y in lines_of(by_steps)]
    assert ([2.0, 2.0], [0.36, 0.44]) in bars
    paper = [y for x, y in lines_of(by_steps) if x == [1, 2, 3, 4, 5, 10, 25, 50, 100, 250]]
    assert len(paper) == 6
    assert paper[-1][0] == 0.02513
    assert any(set(y) == {0.0132} for _, y in lines_of(by_steps))


def test_every_curve_of_the_results_has_panels_and_the_paper_s_lines_where_it_reports_them(structural):
    result = structural(0.1, 0.001)
    scores = result.structural
    curves = {**scores.curves, "sq": scores.curves["rdf"].model_copy(update={"rmsd": 0.5})}
    more = result.model_copy(update={"structural": scores.model_copy(update={"curves": curves})})
    (comparison,) = comparisons_of([more, structural(0.2, 0.001, steps=5)], "structural")
    axes = structural_figure(comparison).axes
    assert [ax.get_ylabel() for ax in axes[::2]] == ["RDF RMSD", "ADF RMSD", "S(q) RMSD"]
    assert ([1.0], [0.5]) in lines_of(axes[4])


def test_an_interval_down_to_zero_does_not_stretch_the_axis(structural):
    (comparison,) = comparisons_of([structural(0.02, 0.001, 1.0, dataset="other")], "structural")
    low, _ = structural_figure(comparison).axes[0].get_ylim()
    assert low > 0.001


def test_a_method_that_measured_nothing_is_left_out_of_the_errors(inverse):
    nothing = inverse(None, None, None, measured=0, penalised=11.0, spearman=None, steps=1)
    (comparison,) = comparisons_of([nothing, inverse(3.0, 4.0, 16.0, steps=5)], "inverse-design")
    by_steps, by_time = errors_figure(comparison, "shear_modulus").axes
    assert ([5.0], [3.0]) in lines_of(by_steps)
    # 1 s for 50 structures is 40 s for 2,000.
    assert ([40.0], [3.0]) in lines_of(by_time)


def test_targets_against_obtained_values(inverse, store):
    obtained = np.linspace(12.0, 48.0, 50)
    obtained[7] = np.nan
    result = with_values(store, inverse(3.0, 4.0, 16.0, measured=49), obtained)
    target, values = structure_values(store, result, "shear_modulus")
    assert target[[0, -1]] == pytest.approx([10.0, 50.0])
    assert np.array_equal(values, obtained, equal_nan=True)
    (comparison,) = comparisons_of([result], "inverse-design")
    (ax,) = targets_figure(comparison, "shear_modulus", store).axes
    assert ([10.0, 50.0], [10.0, 50.0]) in lines_of(ax)
    assert sum(len(x) for x, _ in lines_of(ax)[1:2]) == 49
    assert "98% measured" in ax.get_title()


def test_far_outliers_are_marked_at_the_edge(inverse, store):
    obtained = np.linspace(10.0, 50.0, 500)
    obtained[3] = 1e4
    result = with_values(store, inverse(3.0, 4.0, 16.0, requested=500, measured=500), obtained)
    (comparison,) = comparisons_of([result], "inverse-design")
    (ax,) = targets_figure(comparison, "shear_modulus", store).axes
    _, (_, inside), (_, beyond) = lines_of(ax)[:3]
    assert len(inside) == 499
    assert beyond == [ax.get_ylim()[1]]
    assert ax.get_ylim()[1] < 60


def test_one_target_for_all_gives_histograms(inverse, store):
    result = inverse(1.0, 2.0, 3.0, targets={"ring_size": (5.0, 5.0)}, plan="ring_size", spearman=None)
    result = with_values(store, result, np.full(50, 5.25), "ring_size")
    (comparison,) = comparisons_of([result], "inverse-design")
    (ax,) = targets_figure(comparison, "ring_size", store).axes
    assert sum(patch.get_height() for patch in ax.patches) == 50


def test_long_labels_stay_within_their_panels(inverse, store):
    names = ("ring_size", "shear_modulus", "youngs_modulus")
    results = [
        with_values(
            store,
            inverse(3.0, 4.0, 16.0, trained_on=names, method=method, sampler="predictor-corrector"),
            np.linspace(10, 50, 50),
        )
        for method in ("amshortcut", "material-sde")
    ]
    (comparison,) = comparisons_of(results, "inverse-design")
    figure = targets_figure(comparison, "shear_modulus", store)
    figure.draw_without_rendering()
    for ax in figure.axes:
        label, panel = ax.yaxis.label.get_window_extent(), ax.get_window_extent()
        assert "trained on" in ax.get_ylabel().replace("\n", " ")
        assert label.height <= panel.height
    title = figure.get_suptitle()
    assert "50 structures" in title.replace("\n", " ")
    assert figure._suptitle.get_window_extent().width <= figure.bbox.width


def test_all_figures_of_a_folder_are_saved(structural, inverse, store, tmp_path):
    store.write(structural(0.2, 0.001))
    with_values(store, inverse(3.0, 4.0, 16.0), np.linspace(10, 50, 50))
    paths = save_figures(store, tmp_path / "figures", list(store.results()))
    assert [path.name.split("-")[0] for path in paths] == ["structural", "errors", "targets"]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_missing_and_foreign_files_are_named(inverse, store, tmp_path):
    result = inverse(3.0, 4.0, 16.0)
    store.write(result)
    path = store.path(result.key, ".parquet")
    with pytest.raises(AmsbenchError, match=rf"{path.name} with the values .* is missing"):
        save_figures(store, tmp_path / "figures", list(store.results()))
    result = with_table(store, result, pd.DataFrame({"shear_modulus": [1.0]}).to_parquet())
    with pytest.raises(AmsbenchError, match="lacks the columns target_shear_modulus"):
        structure_values(store, result, "shear_modulus")
    result = with_table(store, result, b"not parquet")
    with pytest.raises(AmsbenchError, match="is damaged"):
        structure_values(store, result, "shear_modulus")
    result = with_values(store, result, np.zeros(3))
    with pytest.raises(AmsbenchError, match="has 3 structures where its result has 50"):
        structure_values(store, result, "shear_modulus")
    path.write_bytes(pd.DataFrame({"shear_modulus": np.zeros(50)}).to_parquet())
    with pytest.raises(AmsbenchError, match=rf"{path.name} is not the file that was stored with"):
        structure_values(store, result, "shear_modulus")


def test_an_empty_results_folder_is_refused(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(AmsbenchError, match="no results to draw; run"):
        save_figures(ResultStore(tmp_path / "results"), tmp_path / "figures", [])
