"""Known structural errors in, exact text out: fields, rows, columns, ties and levels of the tables."""

from amsbench.benchmark.evaluation.structural_scores import CurveScores, StructuralScores
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.tables.text_table import render


def text(table, row, column):
    return table.frame().loc[row, column]


def caption(table):
    return " ".join(table.caption)


def test_a_structural_result_reads_as_in_the_paper(structural):
    # 0.8448 s for 64 structures are 132 s for 10,000.
    (table,) = structural_tables([structural(0.02513, 0.00067, seconds=0.8448)])
    assert table.columns == ("steps", "material-sde")
    assert [row[0] for row in table.rows] == ["1", "noise floor", "random positions"]
    assert text(table, "1", "material-sde") == "0.0251 / 0.00067 (2.2 m)"
    assert text(table, "noise floor", "material-sde") == "0.0132 / 0.00014"
    assert text(table, "random positions", "material-sde") == "0.6900 / 0.00285"


def test_rows_are_steps_and_columns_methods_in_the_order_of_the_paper(structural):
    results = [
        structural(0.1, 0.001, steps=25, method="amshortcut", step_label="shortcut"),
        structural(0.2, 0.001, steps=2, method="amshortcut", step_label="shortcut"),
        structural(0.3, 0.001, steps=10, method="zeolite-net", sampler="own"),
        structural(0.3, 0.001, steps=10, method="material-ode", sampler="ode", step_label="ODE"),
    ]
    (table,) = structural_tables(results)
    assert table.columns == ("steps", "material-ode", "amshortcut", "zeolite-net")
    assert [row[0] for row in table.rows][:3] == ["2", "10", "25"]
    assert text(table, "2", "material-ode") == "-"
    assert text(table, "10", "amshortcut") == "-"


def test_ties_are_marked_and_lone_columns_are_not(structural):
    # Intervals of 10 %: 0.100 and 0.115 overlap (0.1035 <= 0.11), 0.130 (0.117) does not reach 0.100's.
    results = [
        structural(0.100, 0.0010, method="amshortcut", step_label="shortcut"),
        structural(0.115, 0.0020, method="material-sde"),
        structural(0.130, 0.0021, method="material-ode", sampler="ode", step_label="ODE"),
        structural(0.5, 0.001, method="material-ode", sampler="ode", step_label="ODE", steps=2),
    ]
    (table,) = structural_tables(results)
    assert text(table, "1", "amshortcut").startswith("0.1000* / 0.00100* (")
    assert text(table, "1", "material-sde").startswith("0.1150* / 0.00200 (")
    assert text(table, "1", "material-ode").startswith("0.1300 / 0.00210 (")
    assert text(table, "2", "material-ode").startswith("0.5000 / 0.00100 (")
    assert "* marks the best error of a row" in caption(table)
    assert "trailing *" in caption(structural_tables(results, detail=True)[0])
    (alone,) = structural_tables(results[:1])
    assert "*" not in render(alone, "plain")


def test_a_single_structure_has_no_interval_and_so_wins_nothing(structural):
    results = [structural(value, 0.001, 0.0, count=1, method=m) for value, m in ((0.1, "a"), (0.2, "b"))]
    tables = structural_tables(results, detail=True)
    assert "*" not in "".join(render(table, "plain") for table in tables)
    assert "[0." not in "".join(render(table, "plain") for table in tables)


def with_curves(result, **changes):
    """The result with further or changed curves."""
    curves = {**result.structural.curves, **changes}
    return result.model_copy(
        update={"structural": StructuralScores(reference="test", curves=curves, means={})}
    )


def test_a_floor_that_is_not_the_same_at_all_steps_shows_its_range(structural):
    first, second = structural(0.2, 0.001, steps=1), structural(0.1, 0.001, steps=2)
    wider = with_curves(second, rdf=second.structural.curves["rdf"].model_copy(update={"floor": 0.02}))
    (table,) = structural_tables([first, wider])
    assert text(table, "noise floor", "material-sde") == "0.0132 to 0.0200 / 0.00014"


def test_detail_gives_intervals_and_noise_corrected_errors(structural):
    tables = structural_tables([structural(0.02, 0.001)], detail=True)
    intervals = next(table for table in tables if table.title.startswith("RDF RMSD with intervals"))
    # sqrt(0.02^2 - 0.0132^2) = 0.0150
    assert text(intervals, "1", "material-sde") == "0.0200 [0.0180, 0.0220], 0.0150"
    distances = next(table for table in tables if table.title.startswith("Wasserstein"))
    assert text(distances, "1", "material-sde") == "0.2000 / 0.010"
    descriptors = next(table for table in tables if table.title.startswith("Descriptors"))
    assert text(descriptors, "training set", "density (g/cm³)") == "2.40 ± 0.03"
    assert text(descriptors, "material-sde, 1 step", "density (g/cm³)") == "2.41 ± 0.02"
    assert text(descriptors, "material-sde, 1 step", "network evaluations") == "1"


def test_a_further_curve_has_a_table_of_its_own_as_its_metric_declares(structural):
    scores = CurveScores(
        rmsd=0.1234,
        low=0.11,
        high=0.13,
        floor=0.012,
        corrected=0.1228,
        ceiling=0.9,
        wasserstein=None,
    )
    results = [with_curves(structural(0.2, 0.001, steps=5), sq=scores), structural(0.3, 0.002, steps=10)]
    tables = structural_tables(results, detail=True)
    assert text(tables[0], "5", "material-sde").startswith("0.2000 / 0.00100 (")  # RDF and ADF alone
    (table,) = [table for table in tables if table.title.startswith("S(q) RMSD with intervals")]
    assert text(table, "5", "material-sde") == "0.1234 [0.1100, 0.1300], 0.1228"
    assert text(table, "10", "material-sde") == "-"
    assert text(table, "noise floor", "material-sde") == "0.0120"
    assert text(table, "random positions", "material-sde") == "0.9000"
    distances = next(table for table in tables if table.title.startswith("Wasserstein"))
    assert text(distances, "5", "material-sde") == "2.0000 / 0.010"  # S(q) is no distribution


def test_descriptors_are_shown_as_their_metrics_declare_and_unknown_ones_by_their_name(structural):
    means = {"density": 2.41, "density_std": 0.02, "coordination_Si_Si": 4.021, "tetrahedrality": 0.8767}
    result = structural(0.2, 0.001, descriptors=means, training_descriptors=means)
    table = structural_tables([result], detail=True)[-1]
    assert text(table, "training set", "density (g/cm³)") == "2.41 ± 0.02"
    assert text(table, "training set", "Si around Si") == "4.02"
    assert text(table, "training set", "tetrahedrality") == "0.877"


def test_the_table_of_a_further_curve_has_its_distance_in_its_unit(structural):
    result = structural(0.02, 0.0002, steps=5)
    curves = {**result.structural.curves, "qn": result.structural.curves["rdf"]}
    scores = result.structural.model_copy(update={"curves": curves})
    tables = structural_tables([result.model_copy(update={"structural": scores})], metrics=("qn",))
    (table,) = [table for table in tables if table.title.startswith("Q^n RMSD")]
    assert table.frame().loc["5"].tolist() == ["0.0200 [0.0180, 0.0220], 0.0150; 0.200"]
    assert "Wasserstein-1 distance (bridges)" in " ".join(table.caption)
