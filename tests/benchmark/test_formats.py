"""Stored files of every format that was ever published are read: one of each lies in ``formats``.

A change that these tests do not survive needs a new format number and a reader that lifts the old one.
"""

import math
from pathlib import Path

import pytest

import amsbench
from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import bundled_path, load_dataset
from amsbench.benchmark.runs.current_code import outdated_parts
from amsbench.benchmark.runs.results import RESULT_FORMAT, TABLE, ResultStore, read_result
from amsbench.benchmark.training.checkpoints import CHECKPOINT_FORMAT, RELEASED, load_checkpoint

FORMATS = Path(__file__).parent / "formats"
PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "results"


def test_a_dataset_of_format_1():
    dataset = load_dataset("own-glass", FORMATS / "dataset_1.npz")
    assert len(dataset) == 8
    assert dataset.definition.elements == ("O", "Si")
    assert dataset.properties[:, 0] == pytest.approx([1.0 + 0.1 * k for k in range(8)])


def test_a_checkpoint_of_format_3():
    assert CHECKPOINT_FORMAT == 3
    checkpoint = load_checkpoint(FORMATS / "checkpoint_3.safetensors")
    assert checkpoint.record["samples_seen"] == 16
    dataset = load_dataset("own-glass", FORMATS / "dataset_1.npz")
    (structure,) = amsbench.generate(checkpoint.method, steps=2, dataset=dataset, targets={"toughness": 1.2})
    assert set(structure.get_chemical_symbols()) <= {"O", "Si"}


def test_a_result_of_format_5():
    assert RESULT_FORMAT == 5
    (path,) = FORMATS.glob("*.json")
    result = read_result(path)
    assert result.key.method == "amshortcut"
    assert set(result.inverse_design) == {"youngs_modulus", "li_concentration"}
    errors = result.inverse_design["youngs_modulus"]
    assert errors.mae_interval.low < errors.mae < errors.mae_interval.high
    assert errors.penalised_mae >= 0


def test_every_published_result_is_read_and_says_the_type_of_its_products():
    results = list(ResultStore(PUBLISHED).results())
    assert len(results) >= 343
    assert len({result.key.digest for result in results}) == len(results)
    for result in results:
        learned = result.key.method in registry.names("methods")
        assert (result.key.precision == "float64") == (not learned)
        assert ("bf16" in result.environment.native or "bfloat16" in result.environment.native) == (
            result.key.precision == "bfloat16"
        )
        assert (result.structural is None) == (result.key.kind == "inverse-design")


def test_every_published_result_is_of_the_code_of_today():
    """Published numbers are what this code computes.

    A change that leaves samples and measurements equal (``docs/equal_code.py`` says what counts as equal) is declared
    in ``equal_code.json`` by that script; after any other the results are computed again.
    """
    results = list(ResultStore(PUBLISHED).results())
    assert {result.key.stem: outdated_parts(result) for result in results if outdated_parts(result)} == {}
    assert all(result.metric_code.keys() >= {"density", *result.inverse_design} for result in results)


def test_the_tables_beside_published_results_are_theirs():
    store = ResultStore(PUBLISHED)
    tables = 0
    for result in store.results():
        assert store.file_hashes(result.key) == result.files
        tables += TABLE in result.files
    assert tables > 100


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_released_checkpoint_is_loaded_on_its_dataset(path):
    checkpoint = load_checkpoint(path)
    method = checkpoint.method
    assert path.stem == f"{method.name}-{method.task.dataset}"
    definition = load_dataset(method.task.dataset).definition
    # not the hash of the file: a dataset may have grown since a training
    assert method.task.elements == definition.elements
    assert set(method.task.properties) <= set(definition.design_properties)
    # a training with a length in minutes has no number of structures to see
    assert (checkpoint.record["options"]["samples_seen"] or math.inf) >= checkpoint.record["samples_seen"] > 0


def test_every_bundled_dataset_is_intact():
    for name in registry.names("datasets"):
        assert load_dataset(name).path == str(bundled_path(name))
