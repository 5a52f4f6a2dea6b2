"""Figures show what the results and the per-structure files hold."""

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.figures.error_figures import errors_figure, structural_figure
from amsbench.leaderboards.figures.make_figures import save_figures
from amsbench.leaderboards.figures.obtained_values import targets_figure
from amsbench.leaderboards.figures.plot_style import FADED
from amsbench.leaderboards.structure_values import structure_values


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
    by_steps, by_time, *_ = structural_figure(comparison).figure.axes
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
    axes = structural_figure(comparison).figure.axes
    assert [ax.get_ylabel() for ax in axes[::2]] == ["RDF RMSD", "ADF RMSD", "S(q) RMSD"]
    assert ([1.0], [0.5]) in lines_of(axes[4])


def test_an_interval_down_to_zero_does_not_stretch_the_axis(structural):
    (comparison,) = comparisons_of([structural(0.02, 0.001, 1.0, dataset="other")], "structural")
    low, _ = structural_figure(comparison).figure.axes[0].get_ylim()
    assert low > 0.001


def test_a_method_that_measured_nothing_is_left_out_of_the_errors(inverse):
    nothing = inverse(None, None, None, measured=0, spearman=None, steps=1)
    (comparison,) = comparisons_of([nothing, inverse(3.0, 4.0, 16.0, steps=5)], "inverse-design")
    by_steps, by_time = errors_figure(comparison, "shear_modulus").figure.axes[2:4]
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
    (ax,) = targets_figure(comparison, "shear_modulus", store).figure.axes
    assert ([10.0, 50.0], [10.0, 50.0]) in lines_of(ax)
    assert sum(len(x) for x, _ in lines_of(ax)[1:2]) == 49
    assert "98% measured" in ax.get_title()


def test_far_outliers_are_marked_at_the_edge(inverse, store):
    obtained = np.linspace(10.0, 50.0, 500)
    obtained[3] = 1e4
    result = with_values(store, inverse(3.0, 4.0, 16.0, requested=500, measured=500), obtained)
    (comparison,) = comparisons_of([result], "inverse-design")
    (ax,) = targets_figure(comparison, "shear_modulus", store).figure.axes
    _, (_, inside), (_, beyond) = lines_of(ax)[:3]
    assert len(inside) == 499
    assert beyond == [ax.get_ylim()[1]]
    assert ax.get_ylim()[1] < 60


def test_one_target_for_all_gives_histograms(inverse, store):
    result = inverse(1.0, 2.0, 3.0, targets={"ring_size": (5.0, 5.0)}, plan="ring_size", spearman=None)
    result = with_values(store, result, np.full(50, 5.25), "ring_size")
    (comparison,) = comparisons_of([result], "inverse-design")
    (ax,) = targets_figure(comparison, "ring_size", store).figure.axes
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
    figure, caption = targets_figure(comparison, "shear_modulus", store)
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert "trained on" in ax.get_title().replace("\n", " ")
        assert ax.title.get_window_extent().width <= ax.get_window_extent().width
    assert "50 structures" in caption[0]


def test_only_results_with_measured_structures_have_panels(inverse, store):
    nothing = inverse(None, None, None, measured=0, spearman=None, steps=1)
    nothing = with_values(store, nothing, np.full(50, np.nan))
    results = [nothing]
    for steps, measured in ((5, 7), (25, 50)):
        obtained = np.where(np.arange(50) < measured, 30.0, np.nan)
        results.append(with_values(store, inverse(3.0, 4.0, 16.0, measured=measured, steps=steps), obtained))
    (comparison,) = comparisons_of(results, "inverse-design")
    figure, caption = targets_figure(comparison, "shear_modulus", store)
    few, many = (ax.get_title() for ax in figure.axes)
    assert "5 steps (14% measured)" in few
    assert "rank corr." not in few, "seven structures have no rank correlation, as in the tables"
    assert "rank corr. 0.90" in many
    assert caption[-1].startswith("Left out: 1 of 3 results")
    (alone,) = comparisons_of([nothing], "inverse-design")
    assert targets_figure(alone, "shear_modulus", store) is None


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def drawn_points(ax):
    """Steps, opacity and hollowness of each marker."""
    return {
        float(line.get_xdata()[0]): (line.get_alpha(), line.get_markerfacecolor() == "white")
        for line in ax.lines
        if line.get_marker() not in ("None", "_")
    }


def test_results_of_low_coverage_are_faded_and_on_no_line(inverse):
    results = [
        inverse(value, value, 16.0, measured=measured, steps=steps)
        for steps, value, measured in (
            (1, 9.0, 50),
            (5, 8.0, 25),
            (25, 0.5, 24),
            (50, 4.0, 50),
            (100, 3.0, 50),
        )
    ]
    (comparison,) = comparisons_of(results, "inverse-design")
    figure = errors_figure(comparison, "shear_modulus").figure
    for ax in figure.axes[2::2]:
        points = drawn_points(ax)
        assert {steps for steps, (alpha, _) in points.items() if alpha == FADED} == {25.0}
        segments = [x for x, _ in lines_of(ax) if len(set(x)) == 2 and max(x) > 1.5]
        assert segments == [[1.0, 5.0], [50.0, 100.0]]
    assert "faded: fewer than half of the structures measured" in legend_of(figure)
    (whole,) = comparisons_of(results[:2], "inverse-design")
    assert not any("faded" in text for text in legend_of(errors_figure(whole, "shear_modulus").figure))


def test_steps_of_different_kinds_are_not_joined(structural):
    labels = {1: "shortcut", 2: "shortcut", 5: "SDE", 10: "SDE"}
    results = [structural(0.1, 0.001, steps=n, step_label=label) for n, label in labels.items()]
    (comparison,) = comparisons_of(results, "structural")
    ax = structural_figure(comparison).figure.axes[0]
    # the usual step is that of the most steps
    assert {n for n, (_, hollow) in drawn_points(ax).items() if hollow} == {1.0, 2.0}
    segments = [x for x, _ in lines_of(ax) if len(x) == 2 and x[0] != x[1] and min(x) > 0]
    assert segments == [[1.0, 2.0], [5.0, 10.0]]


def paper_lines(ax):
    return [line for line in ax.lines if len(line.get_xdata()) == 7]


def test_the_paper_is_drawn_only_beside_its_own_targets_and_cells(inverse):
    own = {"protocol": "paper", "requested": 2000, "measured": 2000}
    cases = (
        (inverse(3.0, 4.0, 16.0, **own), 8, ""),
        (inverse(3.0, 4.0, 16.0, **own | {"requested": 100, "measured": 100}), 8, ""),
        (inverse(3.0, 4.0, 16.0, **own | {"requested": 99, "measured": 99}), 0, "2,000 structures"),
        (inverse(3.0, 4.0, 16.0, **own, cube=14.0), 0, "cubes of 18 Å"),
        (
            inverse(3.0, 4.0, 16.0, **own, targets={"shear_modulus": (18.0, 29.0)}),
            0,
            "targets of shear_modulus 10 to 50 GPa",
        ),
    )
    for result, number, words in cases:
        (comparison,) = comparisons_of([result], "inverse-design")
        figure, caption = errors_figure(comparison, "shear_modulus")
        assert [len(paper_lines(ax)) for ax in figure.axes] == [0, 0, number, 0, number, 0]
        assert any("left out" in sentence for sentence in caption) == bool(words)
        assert words in " ".join(caption)
        assert any("paper" in text for text in legend_of(figure)) == bool(number)


def test_the_paper_s_curves_lie_above_the_noise_floor_or_are_left_out(structural):
    result = structural(0.1, 0.001)
    high = {
        name: scores.model_copy(update={"floor": 0.016}) if name == "rdf" else scores
        for name, scores in result.structural.curves.items()
    }
    noisy = result.model_copy(update={"structural": result.structural.model_copy(update={"curves": high})})
    (comparison,) = comparisons_of([noisy], "structural")
    figure, caption = structural_figure(comparison)
    counts = [sum(len(line.get_xdata()) == 10 for line in ax.lines) for ax in figure.axes]
    assert counts == [0, 0, 6, 6]
    assert any("RDF of the paper is left out" in sentence for sentence in caption)


def test_relative_errors_have_panels_where_no_target_is_0(inverse):
    (comparison,) = comparisons_of([inverse(3.0, 4.0, 16.0, steps=5)], "inverse-design")
    axes = errors_figure(comparison, "shear_modulus").figure.axes
    assert [ax.get_ylabel() for ax in axes[::2]] == [
        "shear_modulus (GPa)\nMAE, all requests",
        "MAE, measured",
        "MAPE (%)",
    ]
    assert all(([x], [16.0]) in lines_of(ax) for ax, x in zip(axes[4:], (5.0, 40.0), strict=True))
    (zero,) = comparisons_of([inverse(3.0, 4.0, None)], "inverse-design")
    assert len(errors_figure(zero, "shear_modulus").figure.axes) == 4


def test_failures_count_in_the_panels_of_all_requests(inverse):
    result = inverse(3.0, 4.0, 16.0, measured=25, steps=5)
    (comparison,) = comparisons_of([result], "inverse-design")
    all_requests, _, measured, *_ = errors_figure(comparison, "shear_modulus").figure.axes
    penalised = result.inverse_design["shear_modulus"].penalised_mae
    assert penalised == pytest.approx((3.0 + 30.0) / 2)
    assert ([5.0], [penalised]) in lines_of(all_requests)
    assert ([5.0], [3.0]) in lines_of(measured)


def test_all_figures_of_a_folder_are_saved(structural, inverse, store, tmp_path):
    store.write(structural(0.2, 0.001))
    with_values(store, inverse(3.0, 4.0, 16.0), np.linspace(10, 50, 50))
    paths = save_figures(store, tmp_path / "figures", list(store.results()))
    stems = [
        "errors-asi-structure-quick",
        "errors-shear-modulus-asio2-quick",
        "targets-shear-modulus-asio2-quick",
    ]
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    names = [f"{stem}.{name}" for stem in stems for name in starts]
    assert [path.name for path in paths] == [*names, "captions.md"]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    assert all(path.read_bytes().startswith(starts[path.suffix[1:]]) for path in paths[:-1])
    captions = paths[-1].read_text(encoding="utf-8")
    assert all(f"`{stem}`: " in captions for stem in stems)
    again = save_figures(store, tmp_path / "again", list(store.results()))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_comparisons_that_differ_in_other_conditions_have_files_of_their_own(inverse, store, tmp_path):
    for cube in (14.0, 18.0):
        with_values(store, inverse(3.0, 4.0, 16.0, cube=cube), np.linspace(10, 50, 50))
    paths = save_figures(store, tmp_path / "figures", list(store.results()), ["png"])
    assert len({path.name for path in paths}) == 5
    assert "errors-shear-modulus-asio2-quick-2.png" in {path.name for path in paths}


def test_a_drawing_shows_itself_in_a_notebook(structural):
    (comparison,) = comparisons_of([structural(0.2, 0.001)], "structural")
    text = structural_figure(comparison)._repr_html_()
    assert text.startswith("<svg")
    assert "Errors of mean curves: asi" in text


def test_unknown_formats_are_refused_before_anything_is_drawn(structural, tmp_path):
    with pytest.raises(AmsbenchError, match="no format 'gif'; choose from svg, pdf, png"):
        save_figures(None, tmp_path / "figures", [structural(0.2, 0.001)], ["png", "gif"])
    assert not (tmp_path / "figures").exists()


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
