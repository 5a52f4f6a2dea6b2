"""Plans of trainings: read from TOML and JSON, and refused with one sentence."""

import json

import pytest

from amsbench.benchmark.interface.method import method_class
from amsbench.errors import AmsbenchError
from amsbench.speed.gpu.plan import (
    DEFAULT_PLAN,
    MOST_TRAININGS,
    PlannedTraining,
    case_of,
    names_of,
    read_plan,
)
from amsbench.speed.gpu.training import _network_of

ENTRY = {"method": "material-sde", "dataset": "asio2"}


def written(folder, entries):
    path = folder / "plan.json"
    path.write_text(json.dumps({"training": entries}))
    return path


def test_toml_and_json_give_the_same_plan(tmp_path):
    toml = tmp_path / "plan.toml"
    toml.write_text(
        '[[training]]\nmethod = "material-sde"\ndataset = "asio2"\nset = { uniform_share = 0.5 }\n'
    )
    expected = (PlannedTraining(**ENTRY, set={"uniform_share": 0.5}),)
    assert read_plan(toml) == expected
    assert read_plan(written(tmp_path, [ENTRY | {"set": {"uniform_share": 0.5}}])) == expected


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "1 to 3 trainings"),
        ([ENTRY] * 4, "1 to 3 trainings"),
        ([3], "write a table"),
        ([ENTRY | {"batchsize": 4}], "did you mean 'batch_size'"),
        ([{"dataset": "asio2"}], "the method of training 1"),
        ([ENTRY | {"dataset": "asio"}], "did you mean"),
        ([ENTRY, ENTRY | {"batch_size": 0}], "batch_size of training 2"),
        ([ENTRY | {"learning_rate": -1}], "learning_rate of training 1"),
        ([ENTRY | {"init_from": "nowhere.safetensors"}], "nowhere.safetensors, which does not exist"),
        ([ENTRY | {"resume": "nowhere.pt"}], "'resume' of training 1"),
        ([ENTRY | {"set": 3}], "write a table of settings"),
        ([ENTRY | {"properties": "all"}], "write a list of names"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(tmp_path, entries, words):
    with pytest.raises(AmsbenchError, match=words):
        read_plan(written(tmp_path, entries))


def test_the_plan_by_default_starts_from_released_checkpoints_with_their_settings():
    """The network fits, and what a checkpoint was released with, such as its guidance, stays."""
    from amsbench.benchmark.datasets.storage import load_dataset

    assert len(DEFAULT_PLAN) <= MOST_TRAININGS
    for planned in DEFAULT_PLAN:
        assert planned.checkpoint.is_file()
        preset, properties, config = _network_of(planned, load_dataset(planned.dataset))
        assert preset == "deep"
        assert set(config["guidance"]) == set(properties)
        assert all(config[name] == value for name, value in planned.set.items())
        assert method_class(planned.method).name == planned.method


def test_trainings_with_and_without_matching_have_speeds_of_their_own():
    names = {
        case_of("amshortcut", "asio2", changes)
        for changes in ({}, {"matching": {"weight": 0.0}}, {"warmup": 0.0}, {"matching": 3})
    }
    assert names == {"amshortcut asio2"}
    for changes in ({"matching": {"weight": 1.0}}, {"matching": {"critic": 3.0}}):
        assert case_of("amshortcut", "asio2", changes) == "amshortcut asio2 with matching"


def test_names_of_equal_trainings_differ():
    names = names_of((PlannedTraining(**ENTRY),) * 3)
    assert names == ["material-sde-asio2", "material-sde-asio2_2", "material-sde-asio2_3"]
