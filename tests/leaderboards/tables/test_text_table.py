"""What a table is printed as reads back as the same table."""

import io
from dataclasses import replace

import pandas as pd
import pytest

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.tables.formatting import decimal, duration, interval
from amsbench.leaderboards.tables.make_tables import tables_of
from amsbench.leaderboards.tables.text_table import Table, render

AWKWARD = Table(
    title="50% of a_b & c",
    columns=("steps", "a_b|c", "d & e"),
    rows=(("1", "1.0* / 2%", "3 #4"), ("10", "-", "~x^2 {y} $z$ \\w <5")),
    caption=("A trailing * marks a_b.", "Costs 5 $ & more."),
    records=(),
)


@pytest.fixture
def everything(structural, inverse):
    cells = [
        structural(0.2, 0.001),
        structural(0.1, 0.002, method="amshortcut", step_label="shortcut", steps=5),
    ]
    return tables_of([*cells, inverse(3.0, 4.0, 16.0, steps=5)], with_paper=True, detail=True)


def test_csv_holds_every_number_once_however_many_tables_show_it(everything):
    frame = pd.read_csv(io.StringIO(render(everything, "csv")))
    ours, theirs = frame[frame.source == "measured"], frame[frame.source == "reported"]
    assert len(ours) == 3
    assert len(theirs) == 60 + 56
    row = ours[ours.method == "amshortcut"].iloc[0]
    assert (row.rdf_rmsd, row.rdf_high, row.steps) == (0.1, pytest.approx(0.11), 5)
    assert row.seconds_scaled == pytest.approx(1.0 * 10_000 / 64)
    asked = ours[ours.kind == "inverse-design"].iloc[0]
    assert (asked.property, asked.mae, asked.spearman, asked.descriptor_fraction_O) == (
        "shear_modulus",
        3.0,
        0.9,
        0.66,
    )
    assert (asked.target_first, asked.target_last, asked.training) == (10.0, 50.0, "All")
    paper = theirs[
        (theirs.method == "amshortcut") & (theirs.steps == 1) & (theirs.kind == "structural")
    ].iloc[0]
    assert (paper.rdf_rmsd, paper.adf_rmsd, paper.seconds_scaled) == (0.02513, 0.00067, 132.0)


def test_any_table_alone_gives_its_numbers_as_csv(everything):
    for table in everything:
        assert "measured" in set(pd.read_csv(io.StringIO(render(table, "csv"))).source)


def test_markdown_has_as_many_columns_in_every_row(everything):
    for table in [*everything, AWKWARD]:
        lines = [line for line in render(table, "github").splitlines() if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.replace("\\|", "").count("|") for line in lines} == {len(table.columns) + 1}
        read = [cell.strip().replace("\\|", "|") for cell in lines[2].replace("\\|", "\0").split("|")[1:-1]]
        assert tuple(cell.replace("\0", "|") for cell in read) == table.rows[0]
    assert "A trailing \\* marks" in render(AWKWARD, "github")


def test_latex_is_balanced_and_escaped(everything):
    for table in [*everything, AWKWARD]:
        text = render(table, "latex")
        assert text.count("\\begin{") == text.count("\\end{") == 2
        assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
        (columns,) = [line for line in text.splitlines() if line.startswith("\\begin{tabular}")]
        assert columns == "\\begin{tabular}{" + "l" * len(table.columns) + "}"
        body = text.split("\\toprule")[1].split("\\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert len(rows) == len(table.rows) + 1
        assert {row.replace("\\&", "").count("&") for row in rows} == {len(table.columns) - 1}
        without_comment = text.split("\n", 1)[1]
        for character in "%#_":
            assert without_comment.count(character) == without_comment.count(f"\\{character}")
    assert "50\\% of a\\_b \\& c. A trailing * marks a\\_b. Costs 5 \\$ \\& more." in render(AWKWARD, "latex")


def test_a_narrow_terminal_gets_blocks_of_columns(everything):
    wide = max(everything, key=lambda table: len(table.columns))
    text = render(wide, "plain", width=80)
    assert max(map(len, text.splitlines())) <= 80
    for label in wide.columns[1:]:
        assert text.count(f" {label}") >= 1
    assert text.count("\nsteps ") > 1
    assert render(wide, "plain").count("\nsteps ") == 1


def test_a_terminal_shows_every_sentence_once(everything):
    again = replace(AWKWARD, title="another", caption=(*AWKWARD.caption, "Only here."))
    text = render([AWKWARD, again, *everything], "plain")
    for sentence in (*again.caption, *(s for table in everything for s in table.caption)):
        assert text.count(f"\n{sentence}") == 1
    assert render([AWKWARD, again], "github").count("Costs 5 $ & more.") == 2


def test_an_unknown_format_is_refused(everything):
    with pytest.raises(AmsbenchError, match="unknown table format 'html'; known: plain, github, csv, latex"):
        render(everything, "html")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2561, "0.26 s"),
        (9.94, "9.9 s"),
        (9.96, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1.0 m"),
        (132.0, "2.2 m"),
        (1362.0, "22.7 m"),
        (3599.0, "1.0 h"),
        (12960.0, "3.6 h"),
        (None, "-"),
    ],
)
def test_times_are_in_a_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.02513, 4, "0.0251"),
        (0.0, 4, "0.0000"),
        (0.00042, 4, "0.00042"),
        (0.099999, 2, "0.10"),
        (-3.456, 2, "-3.46"),
        (0.00012, 2, "0.00012"),
        (None, 2, "-"),
    ],
)
def test_small_numbers_keep_their_digits(value, places, text):
    assert decimal(value, places) == text


def test_an_interval_without_limits_is_nothing():
    assert interval(None, 1.0, 2) == ""
    assert interval(0.5, 1.0, 2) == " [0.50, 1.00]"
