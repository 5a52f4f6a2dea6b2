"""Results: content-addressed, checked, atomic."""

import json

import numpy as np
import pytest

from amsbench.benchmark.runs.results import Environment, Result, ResultKey, ResultStore
from amsbench.errors import AmsbenchError
from amsbench.metrics.inverse_design import inverse_design_errors


def key(**changes) -> ResultKey:
    values = {
        "dataset": "asi",
        "dataset_hash": "d",
        "method": "amshortcut",
        "checkpoint_hash": "c",
        "sampler": "ode",
        "steps": 5,
        "kind": "structural",
        "plan": "structure",
        "protocol": "quick",
        "protocol_version": 1,
        "metrics_version": "1",
        "count": 4,
        "targets": {},
        "cube": None,
        "precision": "float32",
        "seed": 0,
    }
    return ResultKey(**(values | changes))


def result(**changes) -> Result:
    return Result(
        key=key(**changes),
        step_label="shortcut",
        trained_on=(),
        conditioned_on=(),
        seconds=1.0,
        evaluations=5,
        measuring_seconds=1.0,
        structural=None,
        inverse_design={
            "shear_modulus": inverse_design_errors(
                [20.0, 30.0, 40.0], [22.0, np.nan, 39.0], training_mean=25.0
            )
        },
        descriptors={"density": 2.3},
        training_descriptors={},
        failures={},
        training={"samples_seen": 3},
        environment=Environment(
            amsbench="0",
            python="3",
            torch="2",
            lammps=None,
            platform="p",
            device="d",
            threads=1,
            native="n",
        ),
    )


def test_round_trip(tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    assert store.find(key()) == result()
    assert list(store.results()) == [result()]
    assert path.name.startswith("amshortcut-structure-ode-5-")


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint_hash": "other"},
        {"steps": 6},
        {"sampler": "ancestral"},
        {"sampler_version": 2},
        {"seed": 1},
        {"count": 5},
        {"dataset_hash": "x"},
        {"targets": {"ring_size": (4.0, 6.0)}},
        {"cube": 18.0},
        {"metrics_version": "2"},
        {"precision": "bfloat16"},
    ],
)
def test_everything_that_matters_is_in_the_address(change, tmp_path):
    store = ResultStore(tmp_path)
    store.write(result())
    assert store.find(key(**change)) is None
    assert key(**change).digest != key().digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"seconds"', '"second"'),
        lambda text: json.dumps(json.loads(text) | {"surprise": 1}),
        lambda text: text.replace('"coverage"', '"share"'),
        lambda text: json.dumps(json.loads(text) | {"format": 99}),
    ],
)
def test_damaged_cells(damage, tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    path.write_text(damage(path.read_text()))
    with pytest.raises(AmsbenchError, match="delete it"):
        list(store.results())


def test_an_edited_key_is_noticed(tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    path.write_text(path.read_text().replace('"steps": 5', '"steps": 1'))
    with pytest.raises(AmsbenchError, match="edited or renamed"):
        list(store.results())


def test_no_folder(tmp_path):
    with pytest.raises(AmsbenchError, match="no results folder"):
        list(ResultStore(tmp_path / "none").results())
