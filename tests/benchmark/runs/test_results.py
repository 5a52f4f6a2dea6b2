"""Results: content-addressed, checked, atomic."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from amsbench.benchmark.runs.results import (
    CONTENT_HASH,
    STRUCTURES,
    TABLE,
    Environment,
    Result,
    ResultKey,
    ResultStore,
    check_file,
    content_hash,
)
from amsbench.benchmark.system.files import UNFINISHED
from amsbench.errors import AmsbenchError
from amsbench.metrics.design.hits import CONDITIONS, hit_scores
from amsbench.metrics.design.inverse_design import TrainingLabels, inverse_design_errors


def key(**changes) -> ResultKey:
    values = {
        "dataset": "asi",
        "dataset_hash": "d",
        "method": "amshortcut",
        "checkpoint_hash": "c",
        "code": "a",
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
        cpu_seconds=1.1,
        measuring_cpu_seconds=0.9,
        structural=None,
        inverse_design={
            "shear_modulus": inverse_design_errors(
                [20.0, 30.0, 40.0], [22.0, np.nan, 39.0], training=TrainingLabels.of([20.0, 30.0])
            )
        },
        hits=hit_scores({name: [True, False, True] for name in CONDITIONS}, {"shear_modulus": 1.5}),
        descriptors={"density": 2.3},
        training_descriptors={},
        failures={},
        metric_code={"shear_modulus": "m"},
        files={},
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


def hashed(fields):
    """Text of a file with these fields and the right hash, as another program would write it."""
    fields = {name: value for name, value in fields.items() if name != CONTENT_HASH}
    return json.dumps({CONTENT_HASH: content_hash(fields), **fields})


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
        {"code": "other"},
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
        lambda text: "[]",
        lambda text: "\x00",
        lambda text: hashed(json.loads(text) | {"surprise": 1}),
        lambda text: hashed({k: v for k, v in json.loads(text).items() if k != "seconds"}),
        lambda text: text.replace('"content_hash"', '"hash"'),
        lambda text: json.dumps(json.loads(text) | {"format": 99}),
        lambda text: json.dumps(json.loads(text) | {"format": 2}),
    ],
)
def test_damaged_cells(damage, tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    path.write_text(damage(path.read_text()))
    with pytest.raises(AmsbenchError, match="delete it"):
        list(store.results())


@pytest.mark.parametrize(
    "edit",
    [
        ('"steps": 5', '"steps": 1'),
        ('"density": 2.3', '"density": 2.2'),
        ('"seconds": 1.0', '"seconds": 0.1'),
        ('"coverage": 66', '"coverage": 96'),
        ('"samples_seen": 3', '"samples_seen": 4'),
        ('"device": "d"', '"device": "e"'),
        ('"format": 5', '"format": 5, "surprise": 1'),
        ('"content_hash": "', '"content_hash": "0'),
    ],
)
def test_an_edit_of_any_field_is_noticed_and_names_the_file(edit, tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    text = path.read_text()
    assert text.count(edit[0]) == 1
    path.write_text(text.replace(*edit))
    with pytest.raises(AmsbenchError, match="was edited") as error:
        list(store.results())
    assert str(path) in str(error.value)


def test_another_layout_of_the_same_content_is_no_edit(tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(fields.items()))))
    assert list(store.results()) == [result()]


def test_a_renamed_file_is_noticed(tmp_path):
    store = ResultStore(tmp_path)
    path = store.write(result())
    path.rename(path.with_name("other.json"))
    with pytest.raises(AmsbenchError, match="was renamed"):
        list(store.results())


def test_the_files_beside_a_result_are_tied_to_it(tmp_path):
    store = ResultStore(tmp_path)
    path = store.path(key(), STRUCTURES)
    path.parent.mkdir()
    path.write_text("structures")
    tied = result().model_copy(update={"files": store.file_hashes(key())})
    assert set(tied.files) == {STRUCTURES}
    store.write(tied)
    check_file(path, store.find(key()))
    path.write_text("other structures")
    with pytest.raises(AmsbenchError, match="is not the file that was stored") as error:
        check_file(path, tied)
    assert str(path) in str(error.value)
    table = store.path(key(), TABLE)
    table.write_text("a table that the result does not name")
    with pytest.raises(AmsbenchError, match="is not the file that was stored"):
        check_file(table, tied)


@pytest.mark.parametrize("suffix", [".json", ".json.abc", UNFINISHED])
def test_what_a_killed_writer_left_is_no_result(suffix, tmp_path):
    """Also the names of temporary files of earlier versions."""
    store = ResultStore(tmp_path)
    path = store.write(result())
    (path.parent / f".{path.name}.8s3k{suffix}").write_text("{")
    (path.parent / ".hidden").mkdir()
    (path.parent / ".hidden" / "a.json").write_text("{")
    assert list(store.results()) == [result()]


WRITER = """
import shutil, sys
from pathlib import Path
from amsbench.benchmark.system.files import write_text
path = Path(sys.argv[1])
text = path.read_text()
while True:
    write_text(path, text)
    write_text(path.parent / sys.argv[2] / "deeper" / "a.npz", text)
    shutil.rmtree(path.parent / sys.argv[2])
"""


def test_results_are_never_read_half_while_others_write_them(tmp_path):
    """Two processes write and delete beside a reader."""
    store = ResultStore(tmp_path)
    store.write(result())
    path = store.path(key())
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(k)]) for k in range(2)]
    try:
        changes = path.stat().st_mtime_ns
        until = time.monotonic() + 60
        while path.stat().st_mtime_ns == changes and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(2000):
            assert list(store.results()) == [result()]
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def test_no_folder(tmp_path):
    with pytest.raises(AmsbenchError, match="no results folder"):
        list(ResultStore(tmp_path / "none").results())
