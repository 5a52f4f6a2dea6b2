"""A fixed budget is a table of its own, and yardsticks stand beside models of every budget."""

import pytest

from amsbench.benchmark.runs.results import NO_STEPS
from amsbench.benchmark.training.budgets import BUDGETS
from amsbench.leaderboards.figures.make_figures import save_figures
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.tables.text_table import render

FIXED = {
    "options": {"samples_seen": BUDGETS["fixed"]},
    "init_from": None,
    "samples_seen": 11_000,
    "seconds": 900.0,
}
BEST = {"options": {"samples_seen": 60_000}, "init_from": None, "samples_seen": 60_000, "seconds": 4000.0}


def yardstick(make, *errors, **changes):
    """64 structures in 12.8 s: 0.2 s for each, 33.3 minutes for 10,000."""
    own = {"method": "simulation", "sampler": "protocol", "step_label": "protocol", "steps": NO_STEPS}
    return make(*errors, seconds=12.8, **own | changes)


def test_models_of_a_fixed_budget_are_not_mixed_with_best_efforts(structural):
    cells = [
        structural(0.2, 0.001, method="cdvae", checkpoint_hash="1" * 64, training=FIXED),
        structural(0.3, 0.001, method="mattergen", checkpoint_hash="2" * 64, training=FIXED),
        structural(0.1, 0.001, method="cdvae", checkpoint_hash="3" * 64, training=BEST),
    ]
    best, fixed = structural_tables(cells)
    assert best.columns == ("steps", "cdvae")
    assert fixed.columns == ("steps", "cdvae", "mattergen")
    assert fixed.title == best.title + ", fixed budget of 12,000 structures seen in training"


def test_as_many_passes_from_another_model_s_weights_are_no_fixed_budget(structural):
    cell = structural(0.2, 0.001, training=FIXED | {"init_from": "a" * 64})
    (table,) = structural_tables([cell])
    assert "budget" not in table.title


def test_yardsticks_have_a_table_beside_models_of_every_budget(structural):
    cells = [
        structural(0.2, 0.001, training=FIXED),
        structural(0.1, 0.001, checkpoint_hash="3" * 64, training=BEST),
        yardstick(structural, 0.0132, 0.00014),
    ]
    tables = structural_tables(cells)
    assert [len(table.rows) for table in tables] == [
        3,
        1,
        3,
        1,
    ]  # a step count, floor and ceiling; a yardstick
    assert all("simulation" not in table.columns for table in tables)
    for table in tables[1::2]:
        assert table.rows == (("simulation", "0.0132 / 0.00014", "0.2 s", "33.3 m"),)
    assert "0.0132 / 0.00014" in render(tables)


def test_yardsticks_alone_are_shown_and_have_no_curves(structural, tmp_path):
    cell = yardstick(structural, 0.5, 0.002, method="random-relax")
    tables = structural_tables([cell], detail=True)
    assert [table.title.split(":")[0] for table in tables] == ["Yardsticks", "Substance and cost"]
    assert tables[1].rows[1][0] == "random-relax"  # without a step count
    assert tables[0].records[0]["rdf_rmsd"] == 0.5
    assert save_figures(None, tmp_path, [cell]) == []


@pytest.mark.parametrize("alone", [False, True])
def test_yardsticks_of_inverse_design_are_not_asked_for_targets(inverse, alone):
    ours = [] if alone else [inverse(2.5, 3.0, 9.0, steps=5)]
    cells = [*ours, yardstick(inverse, 11.0, 13.0, 60.0, spearman=None, trained_on=())]
    tables = inverse_design_tables(cells)
    (table,) = [table for table in tables if table.title.startswith("Yardsticks")]
    assert table.columns == ("", "shear_modulus", "processor time per structure", "per 2,000")
    assert table.rows == (("simulation", "11.00 / 13.00 / 60.0%", "0.26 s", "8.5 m"),)
    assert (tables[0] is table) is alone
