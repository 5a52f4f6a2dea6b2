"""Ties: paired tests where the values of single structures are at hand, overlapping intervals elsewhere."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.ties import ties_of
from amsbench.metrics.bootstrap import Interval
from amsbench.metrics.design.inverse_design import TrainingLabels, inverse_design_errors

N = 50
TARGET = np.linspace(10.0, 50.0, N)
LABELS = TrainingLabels.of([0.0, 60.0])
METHODS = ("amshortcut", "material-sde", "graphite")


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path)


@pytest.fixture
def add(store, inverse):
    """``add(errors, method=..., steps=...)``: a result with these errors [s], NaN where not measured, and its file.

    Its interval is 20 % of the error to both sides.
    """

    def make(errors, *, with_file=True, **changes):
        obtained = TARGET + np.abs(np.asarray(errors, dtype=float))
        scores = inverse_design_errors(TARGET, obtained, training=LABELS)
        value = scores.penalised_mae
        wide = Interval(value=value, low=0.8 * value, high=1.2 * value, level=0.95, samples=1000)
        scores = dataclasses.replace(scores, penalised_mae_interval=wide)
        result = inverse(1.0, 1.0, None, **changes)
        result = result.model_copy(update={"inverse_design": {"shear_modulus": scores}})
        if with_file:
            path = store.path(result.key, ".parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame({"target_shear_modulus": TARGET, "shear_modulus": obtained}).to_parquet(path)
        result = result.model_copy(update={"files": store.file_hashes(result.key)})
        store.write(result)
        return result

    return make


def tied(results, store):
    (comparison,) = comparisons_of(results, "inverse-design", store)
    ties = ties_of(comparison)["shear_modulus"]
    return {(label.split()[0], steps) for label, steps in ties.tied}, ties


def test_common_noise_is_no_tie(add, store):
    """Intervals of +- 20 % overlap, and every structure of one result is worse: only the paired test sees it."""
    noise = np.abs(np.random.default_rng(0).normal(size=N)) + 1
    results = [add(noise, method="amshortcut"), add(noise * 1.1, method="material-sde")]
    assert tied(results, None)[0] == {("amshortcut", 1), ("material-sde", 1)}
    assert tied(results, store)[0] == {("amshortcut", 1)}


def test_independent_noise_is_a_tie(add, store):
    rng = np.random.default_rng(1)
    results = [add(np.abs(rng.normal(size=N)) + 1, method=method) for method in METHODS]
    assert len(tied(results, store)[0]) == 3


def test_comparisons_of_all_rows_are_corrected_together(add, store):
    """A difference that is significant alone is not among many: its p-value is multiplied by their number."""
    rng = np.random.default_rng(2)
    noise = np.abs(rng.normal(size=N)) + 1
    first, second = (
        add(noise, method="amshortcut"),
        add(noise + 0.3 + rng.normal(size=N), method="material-sde"),
    )
    _, alone = tied([first, second], store)
    (p_value,) = alone.p_values.values()
    assert 0.005 < p_value < 0.05
    others = [
        add(np.abs(rng.normal(size=N)) + 1, method=method, steps=steps)
        for method in ("amshortcut", "material-sde")
        for steps in range(2, 12)
    ]
    places, ties = tied([first, second, *others], store)
    assert len(ties.p_values) == 11
    assert ("material-sde", 1) in places


@pytest.mark.parametrize("with_files", [False, True])
def test_a_few_small_errors_are_no_match_for_an_answer_to_every_request(add, store, with_files):
    """Errors are better where measured, and each failure costs the worst answer of the training set."""
    errors = np.abs(np.random.default_rng(3).normal(size=N)) + 1
    failing = errors - 0.5
    failing[::3] = np.nan
    results = [add(errors, method="amshortcut"), add(failing, method="material-sde")]
    assert tied(results, store if with_files else None)[0] == {("amshortcut", 1)}


@pytest.mark.parametrize("left_out", [1, 10, 25, 40, 49, 50])
def test_leaving_answers_out_never_improves_a_rank(add, left_out):
    """Not even the worst ones: the errors of one result are far beyond those of all training structures."""
    errors = np.linspace(1, 200, N)
    rival = add(np.full(N, 24.0), method="graphite", sampler="own")

    def rank_and_error(answered):
        (comparison,) = comparisons_of([answered, rival], "inverse-design")
        results = sorted(
            comparison.results, key=lambda result: result.inverse_design["shear_modulus"].penalised_mae
        )
        return results.index(answered), answered.inverse_design["shear_modulus"].penalised_mae

    all_answers = rank_and_error(add(errors, method="amshortcut"))
    errors[N - left_out :] = np.nan  # the worst answers
    some_answers = rank_and_error(add(errors, method="amshortcut"))
    assert some_answers[0] >= all_answers[0]
    assert some_answers[1] >= all_answers[1]


@pytest.mark.parametrize("with_files", [False, True])
def test_a_result_of_which_nothing_was_measured_is_never_best(add, store, with_files):
    """Even where no answer of the others is better than the worst of the training set."""
    nothing = add(np.full(N, np.nan), method="amshortcut")
    others = [
        add(np.full(N, 1e3), method="material-sde"),
        add(np.full(N, np.nan), method="amshortcut", steps=5),
        add(np.full(N, np.nan), method="material-sde", steps=5),
    ]
    assert nothing.inverse_design["shear_modulus"].penalised_mae == pytest.approx(
        others[0].inverse_design["shear_modulus"].penalised_mae
    )
    assert tied([nothing, *others], store if with_files else None)[0] == {("material-sde", 1)}


def test_without_files_intervals_decide_and_the_caption_says_so(add, store):
    noise = np.abs(np.random.default_rng(0).normal(size=N)) + 1
    results = [
        add(noise, method="amshortcut"),
        add(noise * 1.1, method="material-sde"),
        add(noise, method="amshortcut", steps=5),
        add(noise * 1.1, method="material-sde", steps=5, with_file=False),
    ]
    places, ties = tied(results, store)
    assert places == {("amshortcut", 1), ("amshortcut", 5), ("material-sde", 5)}
    assert ties.interval_steps == (5,)
    for detail, words in (
        (False, "Holm-corrected; in 5 steps, without values"),
        (True, "Holm-corrected over the 1 "),
    ):
        caption = " ".join(inverse_design_tables(results, detail=detail, files=store)[0].caption)
        assert words in caption
        assert "overlapping 95 % intervals" in caption
    alone = " ".join(inverse_design_tables(results)[0].caption)
    assert "tied with it (overlapping 95 % intervals)" in alone
    assert "paired" not in alone


def test_the_caption_of_paired_tests_names_no_intervals(add, store):
    results = [add(np.linspace(1, 2 + k, N), method=METHODS[k]) for k in range(2)]
    for detail in (False, True):
        caption = " ".join(inverse_design_tables(results, detail=detail, files=store)[0].caption)
        assert "paired bootstrap" in caption
        assert "overlap" not in caption


def test_corrected_p_values_are_among_the_records(add, store):
    results = [add(np.linspace(1, 2 + 3 * k, N), method=METHODS[k]) for k in range(2)]
    (table,) = inverse_design_tables(results, files=store)
    p_values = {row["entry"]: row["value"] for row in table.records if row["statistic"] == "best_p_value"}
    assert list(p_values) == ["material-sde (All)"]
    assert 0 < p_values["material-sde (All)"] < 0.01


def test_a_file_of_another_result_is_refused(add, store):
    result = add(np.linspace(1, 2, N), method="amshortcut")
    other = add(np.linspace(1, 3, N), method="material-sde")
    foreign = store.path(other.key, ".parquet").read_bytes()
    store.path(result.key, ".parquet").write_bytes(foreign)
    with pytest.raises(AmsbenchError, match=r"is not the file that was stored with"):
        inverse_design_tables([result, other], files=store)


def test_mean_curves_are_tied_by_intervals(structural, store):
    results = [structural(0.100, 0.001, method="amshortcut"), structural(0.115, 0.001, method="graphite")]
    (comparison,) = comparisons_of(results, "structural", store)
    assert len(ties_of(comparison)["rdf"].tied) == 2
    caption = " ".join(structural_tables(results, files=store)[0].caption)
    assert "overlapping 95 % intervals" in caption


def structural_pair(structural, store, first, second):
    """Two results with these parts of the squared RMSD of g(r) [64 structures], and their intervals overlap."""
    results = []
    for method, parts in (("amshortcut", first), ("graphite", second)):
        result = structural(float(np.sqrt(np.nanmean(parts))), 0.001, spread=0.5, method=method)
        store.write_table(result.key, pd.DataFrame({"rdf_squared_error": parts}))
        result = result.model_copy(update={"files": store.file_hashes(result.key)})
        store.write(result)
        results.append(result)
    return results


def tied_curves(results, files):
    (comparison,) = comparisons_of(results, "structural", files)
    ties = ties_of(comparison)["rdf"]
    return {label.split()[0] for label, _ in ties.tied}, ties.interval_steps


def test_mean_curves_are_tied_by_the_parts_of_their_structures_in_the_error(structural, store):
    """Structures of one index share their noise: intervals overlap, and the paired test sees the difference."""
    common = 0.01 + 0.004 * np.random.default_rng(0).normal(size=64)
    results = structural_pair(structural, store, common, common + 0.001)
    assert tied_curves(results, None) == ({"amshortcut", "graphite"}, (1,))
    assert tied_curves(results, store) == ({"amshortcut"}, ())
    caption = " ".join(structural_tables(results, files=store)[0].caption)
    assert "paired bootstrap" in caption


def test_curves_of_independent_noise_are_tied(structural, store):
    rng = np.random.default_rng(1)
    parts = [0.01 + 0.004 * rng.normal(size=64) for _ in range(2)]
    assert tied_curves(structural_pair(structural, store, *parts), store)[0] == {"amshortcut", "graphite"}


def test_structures_without_a_curve_have_no_part_in_the_test(structural, store):
    common = 0.01 + 0.004 * np.random.default_rng(2).normal(size=64)
    gaps = common + 0.001
    gaps[::5] = np.nan
    assert tied_curves(structural_pair(structural, store, common, gaps), store)[0] == {"amshortcut"}
    gaps[1:] = np.nan  # one structure says nothing
    gaps[0] = np.nanmean(common) + 0.001
    assert tied_curves(structural_pair(structural, store, common, gaps), store)[0] == {
        "amshortcut",
        "graphite",
    }
