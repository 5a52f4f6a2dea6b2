"""Results of different conditions are never in one table, and different models never in one column."""

import pytest

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables
from amsbench.leaderboards.tables.text_table import render


def text(table, row, column):
    return table.frame().loc[row, column]


def caption(table):
    return " ".join(table.caption)


def test_a_step_is_labelled_where_it_is_not_the_usual_one_of_its_sampler(structural):
    """The usual step is that of the most steps: one step of a second-order sampler is an ODE step."""
    results = [
        structural(0.1, 0.001, steps=1, method="amshortcut", sampler="multistep", step_label="ODE"),
        structural(0.1, 0.001, steps=10, method="amshortcut", sampler="multistep", step_label="multistep"),
        structural(0.1, 0.001, steps=25, method="amshortcut", sampler="multistep", step_label="multistep"),
        structural(0.1, 0.001, steps=10, method="amshortcut", sampler="shortcut", step_label="shortcut"),
        structural(0.1, 0.001, steps=10, method="amshortcut", sampler="euler-maruyama", step_label="SDE"),
    ]
    table = structural_tables(results, detail=True)[0]
    assert text(table, "1", "amshortcut multistep").endswith(" ODE")
    assert not text(table, "10", "amshortcut multistep").endswith("multistep")
    for column in (
        "amshortcut",
        "amshortcut euler-maruyama",
    ):  # the paper's sampler has the name of the method
        assert text(table, "10", column).endswith(")")
    assert "amshortcut multistep: ODE at 1 step and multistep at 10, 25 steps" in caption(table)
    assert "amshortcut: shortcut" in caption(table)


def test_samplers_of_one_method_are_columns_and_the_papers_is_unnamed(structural):
    results = [structural(0.2, 0.001), structural(0.1, 0.001, sampler="ancestral", step_label="ancestral")]
    (table,) = structural_tables(results)
    assert table.columns == ("steps", "material-sde", "material-sde ancestral")
    (alone,) = structural_tables(results[1:])
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
    ("change", "words"),
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
def test_other_conditions_are_tables_of_their_own_and_say_so(structural, change, words):
    tables = structural_tables([structural(0.2, 0.001), structural(0.1, 0.001, **change)])
    assert len(tables) == 2
    assert len({table.title for table in tables}) == 2
    assert [words in table.title for table in tables].count(True) == 1
    for table in tables:
        assert len(table.columns) == 2
        assert "*" not in render(table, "plain")


def test_training_labels_tell_all_from_target_from_anything_else(inverse):
    trained = {
        "material-sde (All)": ("ring_size", "shear_modulus"),
        "material-sde (Target)": ("shear_modulus",),
        "material-sde (trained on shear_modulus, youngs_modulus)": ("shear_modulus", "youngs_modulus"),
        "material-sde": (),
    }
    results = [
        inverse(3.0, 4.0, 16.0, trained_on=names, checkpoint_hash=f"{k}" * 64)
        for k, names in enumerate(trained.values())
    ]
    table = inverse_design_tables(results)[0]
    assert set(table.columns[1:]) == set(trained)


def test_copies_of_a_result_are_one_and_contradictions_are_refused(structural):
    result = structural(0.2, 0.001)
    (table,) = structural_tables([result, result.model_copy()])
    assert table.columns == ("steps", "material-sde")
    with pytest.raises(AmsbenchError, match=rf"two different results are called {result.key.stem}"):
        structural_tables([result, structural(0.1, 0.001)])
