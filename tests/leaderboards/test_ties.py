"""Ties: paired tests where the values of single structures are at hand, overlapping intervals elsewhere."""

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.ties import ties_of

N = 50
TARGET = np.linspace(10.0, 50.0, N)
METHODS = ("amshortcut", "material-sde", "graphite")


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path)


@pytest.fixture
def add(store, inverse):
    """``add(errors, method=..., steps=...)``: a result with these errors [s], NaN where not measured, and its file."""

    def make(errors, *, charge=10.0, with_file=True, **changes):
        errors = np.abs(np.asarray(errors, dtype=float))
        measured = np.isfinite(errors)
        mae = float(errors[measured].mean())
        result = inverse(
            mae,
            mae,
            None,
            spread=0.2,
            measured=int(measured.sum()),
            penalised=float(np.where(measured, errors, charge).mean()),
            **changes,
        )
        path = store.write(result).with_suffix(".parquet")
        if with_file:
            pd.DataFrame({"target_shear_modulus": TARGET, "shear_modulus": TARGET + errors}).to_parquet(path)
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


def test_failed_structures_count_with_the_mean_charge(add, store):
    """Errors are better where measured, and failures cost more."""
    errors = np.abs(np.random.default_rng(3).normal(size=N)) + 1
    failing = errors - 0.5
    failing[::3] = np.nan
    results = [add(errors, method="amshortcut"), add(failing, method="material-sde", charge=20.0)]
    assert tied(results, store)[0] == {("amshortcut", 1)}


def test_a_result_of_which_less_than_half_was_measured_is_never_best(add, store):
    few = np.full(N, np.nan)
    few[:10] = 0.01
    results = [add(few, method="amshortcut", charge=0.01), add(np.arange(N) / 10, method="material-sde")]
    assert tied(results, store)[0] == {("material-sde", 1)}


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
    with pytest.raises(AmsbenchError, match=r"has other values of 'shear_modulus' than its result"):
        inverse_design_tables([result, other], files=store)


def test_mean_curves_are_tied_by_intervals(structural, store):
    results = [structural(0.100, 0.001, method="amshortcut"), structural(0.115, 0.001, method="graphite")]
    (comparison,) = comparisons_of(results, "structural", store)
    assert len(ties_of(comparison)["rdf"].tied) == 2
    caption = " ".join(structural_tables(results, files=store)[0].caption)
    assert "overlapping 95 % intervals" in caption
