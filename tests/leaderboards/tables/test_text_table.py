"""What a table is printed as reads back as the same table."""

import io
import xml.etree.ElementTree as ElementTree
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


def test_a_notebook_shows_the_same_cells():
    page = AWKWARD._repr_html_()
    cells = ElementTree.fromstring(page[page.index("<table") : page.index("</table>") + 8]).iter()
    texts = [cell.text.strip() for cell in cells if cell.tag in ("th", "td")]
    assert texts == [*AWKWARD.columns, *(text for row in AWKWARD.rows for text in row)]
    assert page.startswith("<p><b>50% of a_b &amp; c</b></p>")


@pytest.fixture
def everything(structural, inverse):
    results = [
        structural(0.2, 0.001),
        structural(0.1, 0.002, method="amshortcut", step_label="shortcut", steps=5),
    ]
    return tables_of([*results, inverse(3.0, 4.0, 16.0, steps=5)], with_paper=True, detail=True)


def test_csv_has_a_number_per_row_once_however_many_tables_show_it(everything):
    frame = pd.read_csv(io.StringIO(render(everything, "csv")))
    place = ["source", "comparison", "entry", "steps", "quantity", "statistic"]
    assert not frame.duplicated(place).any()
    values = frame.set_index(["entry", "steps", "quantity", "statistic"]).value
    assert values["amshortcut", 5, "rdf", "rmsd"] == 0.1
    assert values["amshortcut", 5, "rdf", "high"] == pytest.approx(0.11)
    measured = frame[frame.source == "measured"].set_index(["kind", "quantity", "statistic"])
    inverse = measured.loc["inverse-design"].value
    assert inverse["shear_modulus", "mae"] == 3.0
    assert inverse["shear_modulus", "penalised_mae_high"] == pytest.approx(3.3)
    assert inverse["shear_modulus", "shuffled_mae"] == 14.5
    assert inverse["fraction_O", "mean"] == 0.66
    assert inverse["energy_per_atom", "median"] == -6.1
    assert inverse["density", "standard_deviation"] == 0.06
    assert inverse["cost", "seconds_scaled"] == 40.0
    assert set(measured.loc["inverse-design"].training) == {"All"}
    training = frame[(frame.source == "training set") & (frame.kind == "inverse-design")]
    assert training.set_index("quantity").value["fraction_O"] == pytest.approx(2 / 3)


def test_csv_has_the_values_of_the_paper_as_rows_of_their_own(everything):
    frame = pd.read_csv(io.StringIO(render(everything, "csv")))
    paper = frame[frame.source == "reported"].set_index(["entry", "steps", "quantity", "statistic"]).value
    assert paper["amshortcut (reported)", 1, "rdf", "rmsd"] == 0.02513
    assert paper["amshortcut (reported)", 1, "adf", "rmsd"] == 0.00067
    assert paper["amshortcut (reported)", 1, "cost", "seconds_scaled"] == 132.0


def test_any_table_alone_gives_its_numbers_as_csv(everything):
    for table in everything:
        assert "measured" in set(pd.read_csv(io.StringIO(render(table, "csv"))).source)


def test_markdown_has_as_many_columns_in_every_row(everything):
    for table in [*everything, AWKWARD]:
        lines = [line for line in render(table, "github").splitlines() if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.replace("\\|", "").count("|") for line in lines} == {len(table.columns) + 1}
        read = [
            result.strip().replace("\\|", "|") for result in lines[2].replace("\\|", "\0").split("|")[1:-1]
        ]
        assert tuple(result.replace("\0", "|") for result in read) == table.rows[0]
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


def test_a_table_wider_than_the_terminal_says_how_to_see_fewer_columns():
    hint = "Choose columns with --methods."
    assert hint in " ".join(render(AWKWARD, "plain", width=20, hint=hint).split())
    assert hint not in render(AWKWARD, "plain", width=200, hint=hint)
    assert hint not in render(AWKWARD, "plain", hint=hint)


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
