"""Known numbers in, exact text out: cells, rows, columns, ties and captions of the tables."""

import pytest

from amsbench.benchmark.evaluation.structural_scores import StructuralScores
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import boards
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.make_tables import chosen, tables_of
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.tables.text_table import render


def text(table, row, column):
    return table.frame().loc[row, column]


def caption(table):
    return " ".join(table.caption)


def test_a_structural_cell_reads_as_in_the_paper(structural):
    # 0.8448 s for 64 structures are 132 s for 10,000.
    (table,) = structural_tables([structural(0.02513, 0.00067, seconds=0.8448)])
    assert table.columns == ("steps", "material-sde")
    assert [row[0] for row in table.rows] == ["1", "noise floor", "random positions"]
    assert text(table, "1", "material-sde") == "0.0251 / 0.00067 (2.2 m)"
    assert text(table, "noise floor", "material-sde") == "0.0132 / 0.00014"
    assert text(table, "random positions", "material-sde") == "0.6900 / 0.00285"


def test_rows_are_steps_and_columns_methods_in_the_order_of_the_paper(structural):
    cells = [
        structural(0.1, 0.001, steps=25, method="amshortcut", step_label="SDE"),
        structural(0.2, 0.001, steps=2, method="amshortcut", step_label="shortcut"),
        structural(0.3, 0.001, steps=10, method="zeolite-net", sampler="own"),
        structural(0.3, 0.001, steps=10, method="material-ode", sampler="ode", step_label="ODE"),
    ]
    (table,) = structural_tables(cells)
    assert table.columns == ("steps", "material-ode", "amshortcut", "zeolite-net")
    assert [row[0] for row in table.rows][:3] == ["2", "10", "25"]
    assert text(table, "2", "material-ode") == "-"
    assert text(table, "10", "amshortcut") == "-"


def test_cells_that_are_amshortcuts_sde_are_labelled(structural):
    cells = [
        structural(0.1, 0.001, steps=5, method="amshortcut", step_label="shortcut"),
        structural(0.1, 0.001, steps=10, method="amshortcut", step_label="SDE"),
        structural(0.1, 0.001, steps=10, step_label="SDE"),
    ]
    (table,) = structural_tables(cells)
    assert not text(table, "5", "amshortcut").endswith("SDE")
    assert text(table, "10", "amshortcut").endswith(" SDE")
    assert not text(table, "10", "material-sde").endswith("SDE")
    assert "amshortcut: shortcut at 5 steps and SDE at 10 steps" in caption(table)
    (alone,) = structural_tables(cells[1:2])
    assert text(alone, "10", "amshortcut").endswith(" SDE")


def test_what_a_step_costs_is_said_where_it_is_not_one_evaluation(structural):
    cells = [
        structural(0.1, 0.001, steps=steps, method=method, step_label="SDE", evaluations=evaluations)
        for method, steps, evaluations in (
            ("material-sde", 5, 5),
            ("mattergen", 1, 2),
            ("mattergen", 5, 10),
            ("graphite", 1, 1),
            ("graphite", 50, 75),
        )
    ]
    said = caption(structural_tables(cells)[0])
    assert "material-sde: SDE;" in said or "material-sde: SDE." in said
    assert "mattergen: SDE, 2 network evaluations" in said
    assert "graphite: SDE, 1 to 1.5 network evaluations" in said


def test_ties_are_marked_and_lone_columns_are_not(structural):
    # Intervals of 10 %: 0.100 and 0.115 overlap (0.1035 <= 0.11), 0.130 (0.117) does not reach 0.100's.
    cells = [
        structural(0.100, 0.0010, method="amshortcut", step_label="shortcut"),
        structural(0.115, 0.0020, method="material-sde"),
        structural(0.130, 0.0021, method="material-ode", sampler="ode", step_label="ODE"),
        structural(0.5, 0.001, method="material-ode", sampler="ode", step_label="ODE", steps=2),
    ]
    (table,) = structural_tables(cells)
    assert text(table, "1", "amshortcut").startswith("0.1000* / 0.00100* (")
    assert text(table, "1", "material-sde").startswith("0.1150* / 0.00200 (")
    assert text(table, "1", "material-ode").startswith("0.1300 / 0.00210 (")
    assert text(table, "2", "material-ode").startswith("0.5000 / 0.00100 (")
    assert "trailing *" in caption(table)
    (alone,) = structural_tables(cells[:1])
    assert "*" not in render(alone, "plain")


def test_a_single_structure_has_no_interval_and_so_wins_nothing(structural):
    cells = [structural(value, 0.001, 0.0, count=1, method=m) for value, m in ((0.1, "a"), (0.2, "b"))]
    tables = structural_tables(cells, detail=True)
    assert "*" not in "".join(render(table, "plain") for table in tables)
    assert "[0." not in "".join(render(table, "plain") for table in tables)


def test_some_methods_and_samplers_are_chosen(structural):
    kinds = [(m, s) for m in ("a", "b") for s in ("ode", "ancestral")]
    cells = [structural(0.1, 0.001, method=method, sampler=sampler) for method, sampler in kinds]
    assert chosen(cells) == cells
    found = chosen(cells, ["b"], ["ancestral", "ode"])
    assert {(cell.key.method, cell.key.sampler) for cell in found} == {("b", "ode"), ("b", "ancestral")}
    with pytest.raises(AmsbenchError, match="no result of sampler 'ancestal' here; did you mean 'ancestral'"):
        chosen(cells, None, ["ancestal"])
    with pytest.raises(AmsbenchError, match="no result of method 'c' here; known: a, b"):
        chosen(cells, ["c"])


def test_samplers_of_one_method_are_columns_and_the_papers_is_unnamed(structural):
    cells = [structural(0.2, 0.001), structural(0.1, 0.001, sampler="ancestral", step_label="ancestral")]
    (table,) = structural_tables(cells)
    assert table.columns == ("steps", "material-sde", "material-sde ancestral")
    (alone,) = structural_tables(cells[1:])
    assert alone.columns == ("steps", "material-sde ancestral")


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({"checkpoint_hash": "e" * 64}, ("checkpoint cccccccc", "checkpoint eeeeeeee")),
        ({"seed": 7}, ("seed 0", "seed 7")),
        ({"precision": "float32"}, ("precision bfloat16", "precision float32")),
        ({"sampler_version": 2}, ("sampler version 1", "sampler version 2")),
    ],
)
def test_other_trainings_seeds_and_precisions_are_columns_of_their_own(structural, change, labels):
    (table,) = structural_tables([structural(0.2, 0.001), structural(0.3, 0.001, **change)])
    assert sorted(table.columns[1:]) == [f"material-sde, {label}" for label in labels]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "standard"}, "protocol standard"),
        ({"protocol_version": 2}, "version 2"),
        ({"count": 256, "protocol": "custom"}, "256 structures"),
        ({"dataset_hash": "f" * 64}, "dataset file ffffffff"),
        ({"metrics_version": "2"}, "metrics 2"),
        ({"cube": 18.0}, "cube 18 Å"),
        ({"reference": "train", "checkpoint_hash": "e" * 64}, "reference train"),
    ],
)
def test_other_conditions_are_tables_of_their_own_and_say_so(structural, change, said):
    tables = structural_tables([structural(0.2, 0.001), structural(0.1, 0.001, **change)])
    assert len(tables) == 2
    assert len({table.title for table in tables}) == 2
    assert [said in table.title for table in tables].count(True) == 1
    for table in tables:
        assert len(table.columns) == 2
        assert "*" not in render(table, "plain")


def test_the_caption_names_conditions_reductions_and_hardware(structural):
    (table,) = structural_tables(
        [
            structural(
                0.2,
                0.001,
                training={"samples_seen": 12000, "seconds": 3600.0, "device": "AMD EPYC 9R14, x86_64"},
            )
        ]
    )
    said = caption(table)
    assert "liquid silicon at 2500 K" in said
    assert "protocol quick version 1" in said
    assert "Reduced protocol quick: 64 structures per result (the paper: 10,000)." in said
    assert "Reference: the test split (held out)." in said
    assert "Generated on AMD EPYC 9R14, x86_64, 1 thread, torch kernels, bfloat16." in said
    assert "material-sde: 12,000 in 1.0 h on AMD EPYC 9R14, x86_64" in said
    (full,) = structural_tables([structural(0.2, 0.001, count=10_000, protocol="paper", reference="train")])
    assert "Reduced" not in caption(full)
    assert "Reference: the training set." in caption(full)


def test_times_of_different_hardware_are_declared_as_such(structural):
    cells = [
        structural(0.2, 0.001, steps=1),
        structural(0.1, 0.001, steps=2, environment={"device": "NVIDIA H200", "threads": 8}),
        structural(0.2, 0.001, steps=1, method="graphite", sampler="own"),
    ]
    (table,) = structural_tables(cells)
    said = caption(table)
    assert "times do not compare" in said
    assert "graphite, material-sde at 1 steps on AMD EPYC 9R14, x86_64, 1 thread" in said
    assert "material-sde at 2 steps on NVIDIA H200, 8 threads" in said


def test_times_of_different_kernels_on_one_machine_do_compare(structural):
    cells = [
        structural(0.2, 0.001, steps=1),
        structural(0.2, 0.001, steps=1, method="graphite", environment={"native": "torch bfloat16"}),
    ]
    said = caption(structural_tables(cells)[0])
    assert "do not compare" not in said
    assert "graphite on AMD EPYC 9R14, x86_64, 1 thread, torch bfloat16 kernels" in said


def test_times_on_a_processor_of_unknown_model_are_never_said_to_compare(structural):
    unknown = {"device": "x86_64 processor, model not recorded"}
    cells = [
        structural(0.2, 0.001, environment=unknown),
        structural(0.2, 0.001, method="graphite", environment=unknown | {"native": "torch bfloat16"}),
    ]
    warning = "The model of the processor was not recorded"
    for chosen_cells in (cells, cells[:1]):
        assert f"{warning}, so these times may be of different machines and do not compare." in caption(
            structural_tables(chosen_cells)[0]
        )
    assert warning not in caption(structural_tables([structural(0.2, 0.001)])[0])


def test_a_floor_that_is_not_the_same_at_all_steps_shows_its_range(structural):
    first, second = structural(0.2, 0.001, steps=1), structural(0.1, 0.001, steps=2)
    curves = second.structural.curves
    higher = {"rdf": curves["rdf"].model_copy(update={"floor": 0.02}), "adf": curves["adf"]}
    wider = second.model_copy(update={"structural": StructuralScores(reference="test", curves=higher)})
    (table,) = structural_tables([first, wider])
    assert text(table, "noise floor", "material-sde") == "0.0132 to 0.0200 / 0.00014"


def test_detail_gives_intervals_and_noise_corrected_errors(structural):
    tables = structural_tables([structural(0.02, 0.001)], detail=True)
    intervals = next(table for table in tables if table.title.startswith("RDF RMSD with intervals"))
    # sqrt(0.02^2 - 0.0132^2) = 0.0150
    assert text(intervals, "1", "material-sde") == "0.0200 [0.0180, 0.0220], 0.0150"
    distances = next(table for table in tables if table.title.startswith("Wasserstein"))
    assert text(distances, "1", "material-sde") == "0.2000 / 0.010"
    substance = next(table for table in tables if table.title.startswith("Substance"))
    assert text(substance, "training set", "density (g/cm³)") == "2.40 ± 0.03"
    assert text(substance, "material-sde, 1 step", "density (g/cm³)") == "2.41 ± 0.02"
    assert text(substance, "material-sde, 1 step", "network evaluations") == "1"


def test_an_inverse_design_cell_reads_as_in_the_paper(inverse):
    errors, correlations, substance = inverse_design_tables([inverse(3.1, 4.1, 16.04, steps=5)])
    assert "shear_modulus (GPa)" in errors.title
    assert text(errors, "5", "material-sde (All)") == "3.10 / 4.10 / 16.0%"
    assert text(errors, "training mean", "material-sde (All)") == "11.25"
    assert "Asked for: shear_modulus 10 to 50 GPa" in caption(errors)
    assert "cubes of 18 Å" in caption(errors)
    assert text(correlations, "5", "material-sde (All)") == "0.90 [0.85, 0.95]; 0.01 [-0.28, 0.27]"
    row = substance.frame().loc["material-sde (All), 5 steps"]
    # 0.34 / 0.66, against 1 / 2 of the training set; 1 s for 50 structures is 40 s for 2,000.
    assert row["Si:O"] == "0.515"
    assert row["energy (eV/atom)"] == "-6.100"
    assert row["shortest distance (Å)"] == "1.43"
    assert row["time per 2,000"] == "40.0 s"
    assert text(substance, "training set", "Si:O") == "0.500"


def test_training_labels_tell_all_from_target_from_anything_else(inverse):
    trained = {
        "material-sde (All)": ("ring_size", "shear_modulus"),
        "material-sde (Target)": ("shear_modulus",),
        "material-sde (trained on shear_modulus, youngs_modulus)": ("shear_modulus", "youngs_modulus"),
        "material-sde": (),
    }
    cells = [
        inverse(3.0, 4.0, 16.0, trained_on=names, checkpoint_hash=f"{k}" * 64)
        for k, names in enumerate(trained.values())
    ]
    table = inverse_design_tables(cells)[0]
    assert set(table.columns[1:]) == set(trained)


def test_failures_show_as_coverage_and_a_failure_never_rounds_away(inverse):
    cells = [
        inverse(3.0, 4.0, 16.0, requested=2000, measured=1999, steps=1),
        inverse(3.0, 4.0, None, requested=2000, measured=1842, steps=5),
        inverse(None, None, None, requested=2000, measured=0, penalised=11.25, spearman=None, steps=10),
    ]
    errors = inverse_design_tables(cells)[0]
    column = "material-sde (All)"
    assert text(errors, "1", column) == "3.00 / 4.00 / 16.0% (99.9% measured)"
    assert text(errors, "5", column) == "3.00 / 4.00 / - (92.1% measured)"
    assert text(errors, "10", column) == "- / - / - (0% measured)"


def test_ties_count_failures_so_that_failing_does_not_win(inverse):
    failing = inverse(2.0, 3.0, 9.0, measured=20, penalised=8.0, method="graphite", sampler="own")
    honest = inverse(3.0, 4.0, 16.0)
    errors = inverse_design_tables([failing, honest])[0]
    assert text(errors, "1", "material-sde (All)") == "3.00* / 4.00 / 16.0%"
    assert text(errors, "1", "graphite (All)") == "2.00 / 3.00 / 9.0% (40% measured)"


@pytest.mark.parametrize(("measured", "best"), [(0, False), (24, False), (25, True)])
def test_what_could_measure_less_than_half_is_not_best(inverse, measured, best):
    """However small its error: the structures that can be measured are not like the others."""
    found = inverse(
        2.0 if measured else None,
        3.0 if measured else None,
        9.0 if measured else None,
        measured=measured,
        penalised=1.0,
        spearman=None,
        method="graphite",
        sampler="own",
    )
    errors = inverse_design_tables([found, inverse(3.0, 4.0, 16.0)])[0]
    assert ("*" in text(errors, "1", "graphite (All)")) is best
    assert ("*" in text(errors, "1", "material-sde (All)")) is not best
    assert "*" not in str(inverse_design_tables([inverse(3.0, 4.0, 16.0)])[0].rows)  # nothing to compare with


@pytest.mark.parametrize("measured", [7, 8])
def test_a_few_structures_have_no_rank_correlation(inverse, measured):
    one = inverse(2.0, 3.0, 9.0, measured=measured, spearman=1.0)
    other = inverse(2.0, 3.0, 9.0, method="graphite", sampler="own", spearman=0.5)
    tables = {table.title.split(":")[0]: table for table in inverse_design_tables([one, other])}
    ranks = tables["Rank correlation, shear_modulus"]
    assert text(ranks, "1", "graphite (All)").startswith("0.50")
    assert (text(ranks, "1", "material-sde (All)") == "-") is (measured == 7)
    alone = {table.title.split(":")[0] for table in inverse_design_tables([one])}
    assert ("Rank correlation, shear_modulus" in alone) is (measured == 8)


def test_overviews_are_of_one_budget(inverse):
    """Models of the fixed budget have columns and rows of their own, not further columns of the same name."""
    fixed = {"samples_seen": 12_000}
    cells = [
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
    overviews = [t for t in inverse_design_tables(cells) if t.title.startswith("Inverse design: ")]
    assert len(overviews) == 2
    best, same = overviews
    assert "fixed budget of 12,000" in same.title
    assert "budget" not in best.title
    for table, error in ((best, "1.00"), (same, "3.00")):
        assert len(set(table.columns)) == len(table.columns) == 5
        assert all(cell.startswith(error) for cell in table.rows[0][2:4])


def test_each_property_of_a_plan_has_its_table_and_constant_targets_no_correlation(inverse):
    cell = inverse(
        1.5,
        1.9,
        10.0,
        dataset="meg",
        plan="youngs_modulus-li_concentration",
        targets={"youngs_modulus": (20.0, 160.0), "li_concentration": (15.0, 15.0)},
        spearman=None,
        trained_on=("youngs_modulus", "li_concentration"),
    )
    titles = [table.title.split(":")[0] for table in inverse_design_tables([cell])]
    assert titles == [
        "Inverse design",
        "Inverse design, youngs_modulus (GPa)",
        "Inverse design, li_concentration (%)",
        "Substance and cost",
    ]
    (board,) = boards([cell], "inverse-design")
    assert board.columns[0].label == "material-sde (Target)"


def test_one_table_has_all_that_a_protocol_asks_for(inverse):
    """Young's modulus with lithium in one plan and the shear modulus in another, as in the paper's Table 3."""
    young = {
        "plan": "youngs_modulus",
        "targets": {"youngs_modulus": (20.0, 160.0), "li_concentration": (15.0, 15.0)},
        "seconds": 1.0,
    }
    shear = {"targets": {"shear_modulus": (10.0, 70.0)}, "seconds": 3.0}
    cells = [
        inverse(1.5, 1.9, 10.0, steps=5, dataset="meg", measured=40, **young),
        inverse(1.0, 1.2, 8.0, steps=25, dataset="meg", **young),
        inverse(3.0, 4.0, 16.0, steps=5, dataset="meg", spearman=-0.001, **shear),
        inverse(2.0, 3.0, 9.0, steps=5, dataset="meg", method="amshortcut", step_label="shortcut", **shear),
    ]
    first, *others = inverse_design_tables(cells)
    assert first.title == "Inverse design: meg, protocol quick version 1, 50 structures"
    assert first.columns == (
        "model",
        "steps",
        "shear_modulus (GPa)",
        "youngs_modulus (GPa), with li_concentration 15",
        "li_concentration (%), with youngs_modulus 20 to 160",
        "time per 2,000",
    )
    sde = next(cell for cell in first.rows if cell[0].startswith("material-sde"))[0]
    assert first.rows == (
        (
            sde,
            "5",
            "3.00 / 4.00 / 16.0%, r 0.00",
            *["1.50 / 1.90 / 10.0% (80% measured), r 0.90"] * 2,
            "1.3 m",
        ),
        (sde, "25", "-", *["1.00 / 1.20 / 8.0%, r 0.90"] * 2, "40.0 s"),
        (first.rows[2][0], "5", "2.00 / 3.00 / 9.0%, r 0.90", "-", "-", "2.0 m"),
        ("training mean", "-", "11.25", "11.25", "11.25", "-"),
    )
    assert "evenly spaced over the structures" in caption(first)
    assert render([first, *others], "csv") == render(others, "csv")
    # what was asked for under other conditions stands in a table of its own
    other = inverse(3.0, 4.0, 16.0, dataset="meg", cube=23.0, **shear)
    assert not any(table.title == first.title for table in inverse_design_tables([other]))


def test_inverse_design_detail_charges_failures_and_gives_their_reasons(inverse):
    cell = inverse(
        3.0, 4.0, 16.0, measured=47, penalised=3.5, failures={"shear_modulus": {"atoms overlap": 3}}, steps=5
    )
    tables = {table.title.split(":")[0]: table for table in inverse_design_tables([cell], detail=True)}
    column = "material-sde (All)"
    assert text(tables["MAE and RMSE with intervals, shear_modulus (GPa)"], "5", column) == (
        "3.00 [2.70, 3.30] / 4.00 [3.60, 4.40]"
    )
    charged = tables["Penalised MAE, shear_modulus (GPa)"]
    assert text(charged, "5", column) == "3.50 [3.15, 3.85] / 14.50"
    assert tables["Failures"].rows == (
        ("material-sde (All), 5 steps", "shear_modulus", "atoms overlap", "3 of 50"),
    )


def test_more_than_two_elements_are_shown_as_shares(inverse):
    shares = {"fraction_Si": 0.25, "fraction_O": 0.6, "fraction_Li": 0.15, "density": 2.3}
    table = inverse_design_tables([inverse(1.0, 2.0, 3.0, descriptors=shares, training_descriptors=shares)])[
        -1
    ]
    assert text(table, "training set", "Li (%)") == "15.0"


def test_charge_and_compositions_stand_beside_those_of_held_out_structures(inverse):
    held_out = {"density": 2.3, "neutral": 1.0, "imbalance": 0.0, "composition_distance": 0.004}
    ours = {"density": 2.3, "neutral": 0.25, "imbalance": 0.0123, "composition_distance": 0.0312}
    table = inverse_design_tables(
        [inverse(1.0, 2.0, 3.0, steps=5, descriptors=ours, training_descriptors=held_out)]
    )[-1]
    row = "material-sde (All), 5 steps"
    assert (text(table, row, "neutral (%)"), text(table, row, "charge per atom (e)")) == ("25", "0.0123")
    assert text(table, row, "distance of compositions (%)") == "3.12"
    assert text(table, "training set", "distance of compositions (%)") == "0.40"
    assert "in the first row for the held-out ones" in caption(table)


def test_reported_values_stand_in_marked_columns(structural, inverse):
    (table,) = structural_tables([structural(0.2, 0.001)], with_paper=True)
    assert table.columns[1:3] == ("material-sde", "cdvae (reported)")
    assert text(table, "1", "amshortcut (reported)") == "0.0251 / 0.00067 (2.2 m)"
    assert text(table, "250", "amshortcut (reported)") == "0.0155 / 0.00029 (3.6 h) SDE"
    assert text(table, "100", "material-sde") == "-"
    assert text(table, "noise floor", "cdvae (reported)") == "-"
    assert "(reported): values printed in arXiv 2603.29812" in caption(table)

    ring = inverse(0.2, 0.3, 4.0, plan="ring_size", targets={"ring_size": (4.0, 6.0)})
    errors = inverse_design_tables([ring], with_paper=True)[0]
    assert text(errors, "10", "amshortcut (All) (reported)") == "0.15 / 0.19 / 3.0% SDE"
    assert text(errors, "1", "material-ode (Target) (reported)") == "-"  # unreadable in print
    assert "other targets" not in caption(errors)


def test_other_targets_than_the_papers_are_declared(inverse):
    cell = inverse(3.0, 4.0, 16.0, targets={"shear_modulus": (20.0, 40.0)})
    errors = inverse_design_tables([cell], with_paper=True)[0]
    assert "The paper asked for other targets: shear_modulus 10 to 50." in caption(errors)


def test_a_dataset_that_the_paper_does_not_know_gets_no_reported_columns(structural):
    (table,) = structural_tables([structural(0.2, 0.001, dataset="chalcogenide")], with_paper=True)
    assert table.columns == ("steps", "material-sde")
    assert "The paper reports nothing to compare this table with." in caption(table)


def test_copies_of_a_cell_are_one_and_contradictions_are_refused(structural):
    cell = structural(0.2, 0.001)
    (table,) = structural_tables([cell, cell.model_copy()])
    assert table.columns == ("steps", "material-sde")
    with pytest.raises(AmsbenchError, match=rf"two different results are called {cell.key.stem}"):
        structural_tables([cell, structural(0.1, 0.001)])


def test_nothing_to_show_is_said_with_the_fix(structural, inverse):
    with pytest.raises(AmsbenchError, match=r"no inverse-design results among the 1 cells.*amsbench run"):
        inverse_design_tables([structural(0.2, 0.001)])
    with pytest.raises(AmsbenchError, match="no structural results"):
        structural_tables([inverse(1.0, 2.0, 3.0)])
    with pytest.raises(AmsbenchError, match="amsbench run"):
        tables_of([])
    with pytest.raises(AmsbenchError, match="unknown kind of table 'elastic'; known: structural"):
        tables_of([structural(0.2, 0.001)], "elastic")


def test_damaged_cells_are_named(structural, inverse):
    empty = structural(0.2, 0.001).model_copy(update={"structural": None})
    with pytest.raises(AmsbenchError, match=f"{empty.key.stem} is structural but holds no structural errors"):
        structural_tables([empty])
    bare = inverse(1.0, 2.0, 3.0).model_copy(update={"inverse_design": {}})
    with pytest.raises(AmsbenchError, match=f"{bare.key.stem} was asked for 'shear_modulus'"):
        inverse_design_tables([bare])


def test_without_a_kind_all_that_there_is_comes(structural, inverse):
    cells = [structural(0.2, 0.001), inverse(1.0, 2.0, 3.0)]
    assert [table.title.split(":")[0] for table in tables_of(cells)] == [
        "Structure",
        "Inverse design, shear_modulus (GPa)",
        "Rank correlation, shear_modulus",
        "Substance and cost",
    ]
    assert len(tables_of(cells, "structural")) == 1
