"""A fixed budget is a table of its own, and non-learned baselines stand beside models of every budget."""

import pytest

from amsbench.benchmark.runs.results import NO_STEPS
from amsbench.benchmark.training.budgets import BUDGETS
from amsbench.leaderboards.figures.make_figures import save_figures
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables

FIXED = {
    "options": {"samples_seen": BUDGETS["fixed"]},
    "init_from": None,
    "samples_seen": 11_000,
    "seconds": 900.0,
}
BEST = {"options": {"samples_seen": 60_000}, "init_from": None, "samples_seen": 60_000, "seconds": 4000.0}


def non_learned(make, *errors, **changes):
    """64 structures in 12.8 s: 0.2 s for each, 33.3 minutes for 10,000."""
    own = {"method": "simulation", "sampler": "protocol", "step_label": "protocol", "steps": NO_STEPS}
    return make(*errors, seconds=12.8, **own | changes)


def test_models_of_a_fixed_budget_are_not_mixed_with_best_efforts(structural):
    results = [
        structural(0.2, 0.001, method="cdvae", checkpoint_hash="1" * 64, training=FIXED),
        structural(0.3, 0.001, method="mattergen", checkpoint_hash="2" * 64, training=FIXED),
        structural(0.1, 0.001, method="cdvae", checkpoint_hash="3" * 64, training=BEST),
    ]
    best, fixed = structural_tables(results)
    assert best.columns == ("steps", "cdvae")
    assert fixed.columns == ("steps", "cdvae", "mattergen")
    assert fixed.title == best.title + ", fixed budget of 12,000 structures seen in training"


def test_as_many_passes_from_another_model_s_weights_are_no_fixed_budget(structural):
    result = structural(0.2, 0.001, training=FIXED | {"init_from": "a" * 64})
    (table,) = structural_tables([result])
    assert "budget" not in table.title


def test_non_learned_baselines_have_a_table_beside_models_of_every_budget(structural):
    results = [
        structural(0.2, 0.001, training=FIXED),
        structural(0.1, 0.001, checkpoint_hash="3" * 64, training=BEST),
        non_learned(structural, 0.0132, 0.00014),
    ]
    tables = structural_tables(results, detail=True)
    assert all("simulation" not in table.columns for table in tables)
    baselines = [table for table in tables if table.title.startswith("Non-learned baselines")]
    assert len(baselines) == 2
    for table in baselines:
        assert table.rows == (("simulation", "0.0132 / 0.00014", "0.2 s", "33.3 m"),)


def test_non_learned_baselines_alone_are_shown_and_have_no_curves(structural, tmp_path):
    result = non_learned(structural, 0.5, 0.002, method="random-relax")
    tables = structural_tables([result], detail=True)
    assert [table.title.split(":")[0] for table in tables] == [
        "Non-learned baselines",
        "Descriptors and cost",
    ]
    assert tables[1].rows[1][0] == "random-relax"  # without a step count
    (rmsd,) = [r for r in tables[0].records if (r["quantity"], r["statistic"]) == ("rdf", "rmsd")]
    assert rmsd["value"] == 0.5
    assert save_figures(None, tmp_path, [result]) == []


@pytest.mark.parametrize("alone", [False, True])
def test_non_learned_baselines_of_inverse_design_have_the_errors_of_every_property(inverse, alone):
    models = [] if alone else [inverse(2.5, 3.0, 9.0, steps=5)]
    results = [*models, non_learned(inverse, 11.0, 13.0, 60.0, spearman=None, trained_on=())]
    tables = inverse_design_tables(results, detail=True)
    (table,) = [table for table in tables if table.title.startswith("Non-learned baselines")]
    assert table.columns == ("", "shear_modulus", "processor time per structure", "per 2,000")
    assert table.rows == (("simulation", "11.00", "0.26 s", "8.5 m"),)
    assert (tables[0] is table) is alone
