"""Known errors of inverse design in, exact text out: fields, coverage, ties, overviews, descriptors."""

import pytest

from amsbench.leaderboards.comparisons import comparisons_of
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.text_table import render


def text(table, row, column):
    return table.frame().loc[row, column]


def by_title(tables):
    return {table.title.split(":")[0]: table for table in tables}


def caption(table):
    return " ".join(table.caption)


def test_an_inverse_design_result_reads_as_in_the_paper(inverse):
    tables = by_title(inverse_design_tables([inverse(3.1, 4.1, 16.04, steps=5)], detail=True))
    errors, correlations, descriptors = (
        tables[title]
        for title in (
            "Inverse design, shear_modulus (GPa)",
            "Rank correlation, shear_modulus",
            "Descriptors and cost",
        )
    )
    assert text(errors, "5", "material-sde (All)") == "3.10 / 4.10 / 16.0%"
    assert text(errors, "training mean", "material-sde (All)") == "11.25"
    assert "Targets: shear_modulus 10 to 50 GPa" in caption(errors)
    assert "cubes of 18 Å" in caption(errors)
    assert text(correlations, "5", "material-sde (All)") == "0.90 [0.85, 0.95]; 0.01 [-0.28, 0.27]"
    row = descriptors.frame().loc["material-sde (All), 5 steps"]
    # 0.34 / 0.66, against 1 / 2 of the training set; 1 s for 50 structures is 40 s for 2,000.
    assert row["Si:O"] == "0.515"
    assert row["energy (eV/atom)"] == "-6.100"
    assert row["shortest distance (Å)"] == "1.43"
    assert row["time per 2,000"] == "40.0 s"
    assert text(descriptors, "training set", "Si:O") == "0.500"


def test_failures_show_as_coverage_and_a_failure_never_rounds_away(inverse):
    results = [
        inverse(3.0, 4.0, 16.0, requested=2000, measured=1999, steps=1),
        inverse(3.0, 4.0, None, requested=2000, measured=1842, steps=5),
        inverse(None, None, None, requested=2000, measured=0, spearman=None, steps=10),
    ]
    errors = inverse_design_tables(results)[0]
    column = "material-sde (All)"
    assert text(errors, "1", column) == "3.00 / 4.00 / 16.0% (99.9% measured)"
    assert text(errors, "5", column) == "3.00 / 4.00 / - (92.1% measured)"
    assert text(errors, "10", column) == "- / - / - (0% measured)"


def test_ties_count_failures_so_that_failing_does_not_win(inverse):
    failing = inverse(2.0, 3.0, 9.0, measured=20, method="graphite", sampler="own")
    honest = inverse(3.0, 4.0, 16.0)
    errors = inverse_design_tables([failing, honest])[0]
    assert text(errors, "1", "material-sde (All)") == "3.00* / 4.00 / 16.0%"
    assert text(errors, "1", "graphite (All)") == "2.00 / 3.00 / 9.0% (40% measured)"


@pytest.mark.parametrize(("measured", "best"), [(0, False), (20, False), (40, False), (49, True)])
def test_what_fails_pays_for_every_failure(inverse, measured, best):
    """2.0 where measured, 30 for every failure, against 3.0 without failures: 2.56 with one of 50, 7.6 with ten."""
    numbers = (2.0, 3.0, 9.0) if measured else (None, None, None)
    result = inverse(*numbers, measured=measured, spearman=None, method="graphite", sampler="own")
    errors = inverse_design_tables([result, inverse(3.0, 4.0, 16.0, spread=0.01)])[0]
    assert ("*" in text(errors, "1", "graphite (All)")) is best
    assert ("*" in text(errors, "1", "material-sde (All)")) is (measured < 49)
    assert "*" not in str(inverse_design_tables([inverse(3.0, 4.0, 16.0)])[0].rows)  # nothing to compare with


def test_where_nothing_was_measured_nothing_is_best(inverse):
    methods = ({"method": "graphite", "sampler": "own"}, {"method": "material-sde"})
    results = [inverse(None, None, None, measured=0, spearman=None, **method) for method in methods]
    (table,) = inverse_design_tables(results)
    assert table.rows[0] == ("1", *["- / - / - (0% measured)"] * 2)


@pytest.mark.parametrize("measured", [7, 8])
def test_a_few_structures_have_no_rank_correlation(inverse, measured):
    one = inverse(2.0, 3.0, 9.0, measured=measured, spearman=1.0)
    other = inverse(2.0, 3.0, 9.0, method="graphite", sampler="own", spearman=0.5)
    tables = by_title(inverse_design_tables([one, other], detail=True))
    ranks = tables["Rank correlation, shear_modulus"]
    assert text(ranks, "1", "graphite (All)").startswith("0.50")
    assert (text(ranks, "1", "material-sde (All)") == "-") is (measured == 7)
    alone = by_title(inverse_design_tables([one], detail=True))
    assert ("Rank correlation, shear_modulus" in alone) is (measured == 8)


def test_overviews_are_of_one_budget(inverse):
    """Models of the fixed budget have columns and rows of their own, not further columns of the same name."""
    fixed = {"samples_seen": 12_000}
    results = [
        inverse(
            error,
            2 * error,
            10.0,
            plan=plan,
            targets={plan: (1.0, 2.0)},
            training=training,
            checkpoint_hash=f"{error:064.0f}",
        )
        for plan in ("shear_modulus", "ring_size")
        for error, training in ((1.0, {}), (3.0, {"options": fixed, "init_from": None}))
    ]
    overviews = [t for t in inverse_design_tables(results) if t.title.startswith("Inverse design: ")]
    assert len(overviews) == 2
    best, same = overviews
    assert "fixed budget of 12,000" in same.title
    assert "budget" not in best.title
    for table, error in ((best, "1.00"), (same, "3.00")):
        assert len(set(table.columns)) == len(table.columns) == 5
        assert all(shown.startswith(error) for shown in table.rows[0][2:4])


def test_each_property_of_a_plan_has_its_table_and_constant_targets_no_correlation(inverse):
    result = inverse(
        1.5,
        1.9,
        10.0,
        dataset="meg",
        plan="youngs_modulus-li_concentration",
        targets={"youngs_modulus": (20.0, 160.0), "li_concentration": (15.0, 15.0)},
        spearman=None,
        trained_on=("youngs_modulus", "li_concentration"),
    )
    titles = [table.title.split(":")[0] for table in inverse_design_tables([result], detail=True)]
    assert titles == [
        "Inverse design",
        "Inverse design, youngs_modulus (GPa)",
        "MAE and RMSE with intervals, youngs_modulus (GPa)",
        "MAE over all requests, youngs_modulus (GPa)",
        "Inverse design, li_concentration (%)",
        "MAE and RMSE with intervals, li_concentration (%)",
        "MAE over all requests, li_concentration (%)",
        "Descriptors and cost",
    ]
    (comparison,) = comparisons_of([result], "inverse-design")
    assert comparison.entries[0].label == "material-sde (Target)"


def test_one_table_has_all_targets_of_a_protocol(inverse):
    """Young's modulus with lithium in one plan and the shear modulus in another, as in the paper's Table 3."""
    young = {
        "plan": "youngs_modulus",
        "targets": {"youngs_modulus": (20.0, 160.0), "li_concentration": (15.0, 15.0)},
        "seconds": 1.0,
    }
    shear = {"targets": {"shear_modulus": (10.0, 70.0)}, "seconds": 3.0}
    results = [
        inverse(1.5, 1.9, 10.0, steps=5, dataset="meg", measured=40, **young),
        inverse(1.0, 1.2, 8.0, steps=25, dataset="meg", **young),
        inverse(3.0, 4.0, 16.0, steps=5, dataset="meg", spearman=-0.001, **shear),
        inverse(2.0, 3.0, 9.0, steps=5, dataset="meg", method="amshortcut", step_label="shortcut", **shear),
    ]
    first, *others = inverse_design_tables(results, detail=True)
    assert first.title == "Inverse design: meg, protocol quick version 1, 50 structures"
    assert first.columns == (
        "model",
        "steps",
        "shear_modulus (GPa)",
        "youngs_modulus (GPa), with li_concentration 15",
        "li_concentration (%), with youngs_modulus 20 to 160",
        "time per 2,000",
    )
    sde = next(row for row in first.rows if row[0].startswith("material-sde"))[0]
    assert first.rows == (
        (
            sde,
            "5",
            "3.00, r 0.00",
            *["7.20 (1.50 of 80%), r 0.90"] * 2,  # 0.8 x 1.5 + 0.2 x 30
            "1.3 m",
        ),
        (sde, "25", "-", *["1.00, r 0.90"] * 2, "40.0 s"),
        (first.rows[2][0], "5", "2.00, r 0.90", "-", "-", "2.0 m"),
        ("training mean", "-", "11.25", "11.25", "11.25", "-"),
    )
    assert "evenly spaced over the structures" in caption(first)
    assert render([first, *others], "csv") == render(others, "csv")
    # a comparison of other conditions has a table of its own
    other = inverse(3.0, 4.0, 16.0, dataset="meg", cube=23.0, **shear)
    assert not any(table.title == first.title for table in inverse_design_tables([other]))


def test_detail_gives_errors_over_all_requests_and_the_reasons_of_failures(inverse):
    result = inverse(
        3.0, 4.0, 16.0, measured=47, penalised=3.5, failures={"shear_modulus": {"atoms overlap": 3}}, steps=5
    )
    tables = by_title(inverse_design_tables([result], detail=True))
    column = "material-sde (All)"
    assert text(tables["MAE and RMSE with intervals, shear_modulus (GPa)"], "5", column) == (
        "3.00 [2.70, 3.30] / 4.00 [3.60, 4.40]"
    )
    penalised = tables["MAE over all requests, shear_modulus (GPa)"]
    assert text(penalised, "5", column) == "3.50 [3.15, 3.85] / 14.50"
    assert tables["Failures"].rows == (
        ("material-sde (All), 5 steps", "shear_modulus", "atoms overlap", "3 of 50"),
    )


def test_more_than_two_elements_are_shown_as_shares(inverse):
    shares = {"fraction_Si": 0.25, "fraction_O": 0.6, "fraction_Li": 0.15, "density": 2.3}
    result = inverse(1.0, 2.0, 3.0, descriptors=shares, training_descriptors=shares)
    table = inverse_design_tables([result], detail=True)[-1]
    assert text(table, "training set", "Li (%)") == "15.0"


def test_charge_and_compositions_stand_beside_those_of_held_out_structures(inverse):
    held_out = {"density": 2.3, "neutral": 1.0, "imbalance": 0.0, "composition_distance": 0.004}
    generated = {"density": 2.3, "neutral": 0.25, "imbalance": 0.0123, "composition_distance": 0.0312}
    result = inverse(1.0, 2.0, 3.0, steps=5, descriptors=generated, training_descriptors=held_out)
    table = inverse_design_tables([result], detail=True)[-1]
    row = "material-sde (All), 5 steps"
    assert (text(table, row, "neutral (%)"), text(table, row, "charge per atom (e)")) == ("25", "0.0123")
    assert text(table, row, "distance of compositions (%)") == "3.12"
    assert text(table, "training set", "distance of compositions (%)") == "0.40"
    assert "in the first row for the held-out ones" in caption(table)


def test_curves_that_were_measured_are_shown_when_they_are_requested(inverse, structural):
    """Also beside results without them, with which they are compared all the same."""
    curves = structural(0.3, 0.001).structural
    results = [
        inverse(3.0, 4.0, 16.0, steps=5, structural=curves),
        inverse(2.0, 3.0, 12.0, steps=25),
        inverse(2.5, 3.0, 12.0, steps=5, method="amshortcut", structural=structural(0.4, 0.002).structural),
    ]
    assert len(comparisons_of(results, "inverse-design")) == 1
    assert "RDF RMSD with intervals" not in by_title(inverse_design_tables(results))
    requested = by_title(inverse_design_tables(results, metrics=("rdf", "sq")))
    assert "ADF RMSD with intervals" not in requested
    detailed = by_title(inverse_design_tables(results, detail=True))
    for tables in (requested, detailed):
        table = tables["RDF RMSD with intervals"]
        assert text(table, "5", "material-sde (All)").startswith("0.3000* [0.2700, 0.3300]")
        assert text(table, "5", "amshortcut (All)").startswith("0.4000 ")
        assert text(table, "25", "material-sde (All)") == "-"
        assert text(table, "noise floor", "material-sde (All)") == "0.0132"
    assert "0.0010" in text(detailed["ADF RMSD with intervals"], "5", "material-sde (All)")
    assert text(detailed["Wasserstein-1 distances"], "5", "material-sde (All)") == "3.0000 / 0.010"
