"""Hits: their numbers, their table, and their column beside the errors; - where there are none or no scores."""

import pytest

from amsbench.benchmark.runs.results import NO_STEPS
from amsbench.leaderboards.tables.formatting import percent
from amsbench.leaderboards.tables.hits import MEANING
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.summary import summary_tables

RING = {"plan": "ring_size", "targets": {"ring_size": (4.0, 6.0)}}
SIMULATION = {"method": "simulation", "sampler": "protocol", "step_label": "protocol", "steps": NO_STEPS}


def numbers(table, steps=1):
    """The numbers of the hits among the records of a table."""
    return {
        row["statistic"]: row["value"]
        for row in table.records
        if (row["quantity"], row["steps"]) == ("hits", steps)
    }


def table_of(tables, start):
    (table,) = [table for table in tables if table.title.startswith(start)]
    return table


def test_the_records_have_the_conditions_the_interval_and_the_times_of_a_hit(inverse, hits):
    """400 s of four cores and 300 s of measurement for ten hits: 40 s and 70 s of a core for each."""
    result = inverse(
        3.0, 4.0, 16.0, hits=hits(10), seconds=100.0, cpu_seconds=400.0, measuring_cpu_seconds=300.0
    )
    stored = numbers(inverse_design_tables([result])[0])
    assert stored == {
        "requested": 50,
        "measured": 40,
        "right_substance": 30,
        "novel": 49,
        "within_tolerance": 20,
        "hits": 10,
        "share": 0.2,
        # Wilson: (0.2 + z^2 / 100 -+ z sqrt(0.2 x 0.8 / 50 + z^2 / 10,000)) / (1 + z^2 / 50) with z = 1.96
        "share_low": pytest.approx(0.1124, abs=1e-4),
        "share_high": pytest.approx(0.3304, abs=1e-4),
        "seconds_per_hit": 40.0,
        "seconds_per_hit_measured": 70.0,
    }


def test_the_table_of_hits_has_every_condition_and_what_a_hit_costs(inverse, hits):
    results = [
        inverse(3.0, 4.0, 16.0, hits=hits(10), seconds=100.0, measuring_cpu_seconds=300.0),
        inverse(3.0, 4.0, 16.0, steps=5, hits=hits(0), seconds=100.0, measuring_cpu_seconds=300.0),
        inverse(3.0, 4.0, 16.0, steps=25, hits=hits(10), seconds=100.0, measuring_cpu_seconds=None),
        inverse(11.0, 12.0, 60.0, spearman=None, trained_on=(), hits=hits(1), seconds=50.0, **SIMULATION),
    ]
    table = table_of(inverse_design_tables(results, detail=True), "Hits: ")
    assert table.columns == (
        *("structures", "steps", "measured", "right substance", "novel", "within tolerance"),
        *("hits", "time per hit", "with measurement"),
    )
    conditions = "80%", "60%", "98%", "40%"
    assert table.rows == (
        ("material-sde (All)", "1", *conditions, "20% [11, 33]", "10.0 s", "40.0 s"),
        ("material-sde (All)", "5", *conditions, "0% [0, 7]", "-", "-"),
        ("material-sde (All)", "25", *conditions, "20% [11, 33]", "10.0 s", "-"),
        ("simulation", "-", *conditions, "2% [0, 10]", "50.0 s", "1.5 m"),
    )
    assert MEANING in table.caption


def test_results_without_hit_scores_are_in_no_table_of_hits(inverse, hits):
    results = [inverse(3.0, 4.0, 16.0, hits=hits(10)), inverse(3.0, 4.0, 16.0, steps=5)]
    assert [row[1] for row in table_of(inverse_design_tables(results, detail=True), "Hits: ").rows] == ["1"]
    titles = [table.title for table in inverse_design_tables(results[1:], detail=True)]
    assert not any(title.startswith("Hits") for title in titles)
    assert numbers(inverse_design_tables(results)[0], steps=5) == {}


@pytest.mark.parametrize("detail", [False, True])
def test_an_overview_has_the_hits_of_each_set_of_targets(inverse, hits, detail):
    results = [
        inverse(3.0, 4.0, 16.0, hits=hits(10), seconds=100.0),
        inverse(3.0, 4.0, 16.0, steps=5, hits=hits(0)),
        inverse(0.2, 0.3, 4.0, hits=hits(4), seconds=100.0, **RING),
        inverse(0.2, 0.3, 4.0, steps=5, **RING),
    ]
    overview = inverse_design_tables(results, detail=detail)[0]
    frame = overview.frame()
    assert frame["hits, shear_modulus"].tolist() == ["20% at 10.0 s", "0%", "-"]
    assert frame["hits, ring_size"].tolist() == ["8% at 25.0 s", "-", "-"]
    assert "Hits: share of usable answers" in " ".join(overview.caption)


def test_an_overview_of_results_without_hit_scores_has_no_column_of_hits(inverse):
    overview = inverse_design_tables([inverse(3.0, 4.0, 16.0), inverse(0.2, 0.3, 4.0, **RING)])[0]
    assert not any("hits" in column for column in overview.columns)
    assert "Hits" not in " ".join(overview.caption)


@pytest.mark.parametrize("has_scores", [False, True])
def test_baselines_without_a_model_have_their_hits_beside_their_errors(inverse, hits, has_scores):
    scores = hits(5) if has_scores else None
    result = inverse(11.0, 12.0, 60.0, spearman=None, trained_on=(), hits=scores, seconds=50.0, **SIMULATION)
    table = table_of(inverse_design_tables([result], detail=True), "Non-learned baselines")
    assert ("hits" in table.columns) is has_scores
    if has_scores:
        assert table.frame()["hits"].tolist() == ["10% at 10.0 s"]


@pytest.mark.parametrize(
    ("number", "of", "text"),
    [(0, 50, "0%"), (50, 50, "100%"), (39, 50, "78%"), (1, 2000, "0.05%"), (1999, 2000, "99.9%")],
)
def test_a_single_hit_or_miss_never_rounds_away(number, of, text):
    assert percent(number, of) == text


def test_the_summary_has_the_result_with_the_most_hits_of_each_method_and_baseline(inverse, hits):
    """Of all steps and samplers: 20 of 50 hits in 25 steps beat 10 in one, and a tie goes to the fewer steps."""
    results = [
        inverse(3.0, 4.0, 16.0, hits=hits(10), cpu_seconds=10.0),
        inverse(3.0, 4.0, 16.0, steps=25, hits=hits(20), cpu_seconds=100.0),
        inverse(3.0, 4.0, 16.0, steps=50, hits=hits(20), cpu_seconds=200.0),
        inverse(3.0, 4.0, 16.0, method="graphite", hits=hits(0), cpu_seconds=10.0),
        inverse(3.0, 4.0, 16.0, method="cdvae", cpu_seconds=10.0),
        inverse(11.0, 12.0, 60.0, spearman=None, trained_on=(), hits=hits(1), cpu_seconds=50.0, **SIMULATION),
    ]
    table = table_of(summary_tables(results), "Hits")
    heads = ("dataset", "targets", "material-sde", "graphite", "cdvae", "simulation")
    assert set(table.columns) == set(heads)
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert [row[head] for head in heads] == [
        *("asio2", "shear_modulus"),
        *("40% at 5 s (25)", "0% (1)", "-", "2% at 50.0 s"),
    ]


def test_without_hit_scores_the_summary_has_no_table_of_hits(inverse):
    assert [table.title for table in summary_tables([inverse(3.0, 4.0, 16.0)])] == ["Inverse design"]


def test_wide_targets_are_the_main_ones_only_where_there_are_no_others(inverse, hits):
    standard = inverse(3.0, 4.0, 16.0, protocol="standard", hits=hits(1), cpu_seconds=1.0)
    wide = [
        inverse(3.0, 4.0, 16.0, protocol="wide", method=method, hits=hits(20), cpu_seconds=1.0)
        for method in ("material-sde", "graphite")
    ]
    quick = inverse(3.0, 4.0, 16.0, protocol="quick", hits=hits(10), cpu_seconds=1.0)
    assert "2% at 1 s (1)" in table_of(summary_tables([*wide, quick, standard]), "Hits").rows[0]
    assert "40% at 0.05 s (1)" in table_of(summary_tables([*wide, quick]), "Hits").rows[0]
