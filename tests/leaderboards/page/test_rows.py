"""The page shows the numbers of the tables, for every row."""

import pytest

from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.page.columns import BEFORE_HITS, NO_HITS
from amsbench.leaderboards.page.dataset_data import comparisons_by_dataset
from amsbench.leaderboards.page.rows import comparison_data
from amsbench.leaderboards.tables.make_tables import tables_of


@pytest.fixture(scope="module")
def comparisons(published_results, published):
    """The data of every comparison of the published results by its label."""
    return {
        comparison.label: comparison_data(comparison, is_main=False)
        for group in comparisons_by_dataset(published_results, published).values()
        for comparison in group
    }


@pytest.fixture(scope="module")
def tables(published_results, published):
    return tables_of(published_results, detail=True, files=published)


def cell_of(data, row, key):
    place = [column["key"] for column in data["columns"]].index(key)
    return row["cells"][place]


def shown(cell):
    """The text of a cell with its mark and interval, as a table prints it."""
    star = "*" if cell.get("tied") else ""
    return f"{cell['text']}{star}" + (f" {cell['interval']}" if "interval" in cell else "")


def test_every_number_of_a_row_is_that_of_the_csv(comparisons, tables):
    records = {id(record): record for table in tables for record in table.records}.values()
    stored = {
        (r["comparison"], r["entry"], r["steps"], r["quantity"], r["statistic"]): r["value"]
        for r in records
        if r["source"] == "measured"
    }
    count = 0
    for label, data in comparisons.items():
        for row in data["rows"]:
            for (quantity, statistic), value in zip(data["statistics"], row["numbers"], strict=True):
                expected = stored.get((label, row["entry"], row["steps"], quantity, statistic))
                count += expected is not None
                assert value == (None if expected is None else pytest.approx(expected, rel=1e-5))
    assert count == sum(value is not None for value in stored.values())


TITLES = (("rdf rmsd", "RDF RMSD with intervals"), ("adf rmsd", "ADF RMSD with intervals"))


def test_texts_of_errors_are_those_of_the_tables(comparisons, tables):
    """Tables with a column per entry and a row per step count."""
    count = 0
    for table in tables:
        title, _, label = table.title.partition(": ")
        if label not in comparisons:
            continue
        data = comparisons[label]
        keys = [key for key, of_key in TITLES if of_key == title]
        if title.startswith("MAE over all requests, "):
            keys = [f"{title.removeprefix('MAE over all requests, ').split(' ')[0]} penalised_mae"]
        rows = {(row["entry"], str(row["steps"])): row for row in data["rows"]}
        for key in keys:
            for steps, *fields in table.rows:
                for entry, field in zip(table.columns[1:], fields, strict=True):
                    if (entry, steps) in rows:
                        first = field.replace(" / ", ", ").split("], ")[0].removesuffix("]")
                        assert first == shown(cell_of(data, rows[entry, steps], key)).removesuffix("]")
                        count += 1
    learned = [row for data in comparisons.values() for row in data["rows"] if row["learned"]]
    assert count >= len(learned)


def test_texts_of_hits_are_those_of_the_tables(comparisons, tables):
    count = 0
    for table in tables:
        title, _, label = table.title.partition(": ")
        if title != "Hits":
            continue
        data = comparisons[label]
        rows = {(row["entry"], str(row["steps"] or "-")): row for row in data["rows"]}
        hits, time = table.columns.index("hits"), table.columns.index("time per hit")
        for line in table.rows:
            row = rows[line[0], line[1]]
            assert shown(cell_of(data, row, "hits hits")) == line[hits]
            assert cell_of(data, row, "hits seconds_per_hit")["text"] == line[time]
            count += 1
    with_hits = [
        row
        for data in comparisons.values()
        for row in data["rows"]
        if data["kind"] == "inverse-design" and cell_of(data, row, "hits hits")["text"] != "-"
    ]
    assert count == len(with_hits) > 0


def test_cells_without_hits_say_why(inverse, hits):
    results = [
        inverse(3.0, 4.0, 16.0, steps=5),
        inverse(3.0, 4.0, 16.0, steps=10, hits=hits(0)),
        inverse(3.0, 4.0, 16.0, steps=25, hits=hits(10)),
    ]
    (comparison,) = comparisons_of(results, "inverse-design")
    data = comparison_data(comparison, is_main=True)
    assert [column["head"] for column in data["columns"][:2]] == ["Hits", "Time per hit"]
    cells = [[(cell["text"], cell.get("title", "")) for cell in row["cells"][:2]] for row in data["rows"]]
    assert cells == [
        [("-", BEFORE_HITS), ("-", BEFORE_HITS)],
        [("0%", ""), ("-", NO_HITS)],
        [("20%", ""), ("0.1 s", "")],
    ]


def test_structure_has_errors_before_energy_and_time(structural):
    (comparison,) = comparisons_of([structural(0.3, 0.001), structural(0.1, 0.001, steps=5)], "structural")
    data = comparison_data(comparison, is_main=True)
    heads = [column["head"] for column in data["columns"]]
    assert heads == ["RDF RMSD", "ADF RMSD", "Energy (σ)", "Time per structure"]
    assert data["columns"][0]["level"] == {"label": "noise floor", "low": 0.0132, "high": 0.0132}


def test_ties_of_a_step_count_are_marked_with_their_reason(structural):
    results = [
        structural(0.30, 0.001, method="cdvae"),
        structural(0.31, 0.002, method="graphite"),
        structural(0.90, 0.001, method="mattergen"),
    ]
    (comparison,) = comparisons_of(results, "structural")
    data = comparison_data(comparison, is_main=True)
    cells = {row["method"]: row["cells"][0] for row in data["rows"]}
    assert cells["cdvae"]["tied"]
    assert cells["graphite"]["tied"]
    assert "overlaps that of the best" in cells["graphite"]["title"]
    assert "tied" not in cells["mattergen"]


def test_baselines_alone_have_a_table(inverse):
    result = inverse(3.0, 4.0, 16.0, steps=0, method="simulation", sampler="protocol")
    (comparison,) = comparisons_of([result], "inverse-design")
    data = comparison_data(comparison, is_main=False)
    assert [row["learned"] for row in data["rows"]] == [False]
    assert data["conditions"] == []
