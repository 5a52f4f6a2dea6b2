"""Results of other code than this installation's, and code that is declared equal."""

import json
import runpy
from pathlib import Path

import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.runs import current_code
from amsbench.benchmark.runs.current_code import baseline_code, method_code, metric_codes, outdated_parts
from amsbench.benchmark.runs.results import ResultStore

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "leaderboards" / "results"


@pytest.fixture
def published():
    """The published results of one method on one dataset."""
    results = [r for r in ResultStore(PUBLISHED / "asio2").results() if r.key.method == "amshortcut"]
    assert results
    return results


@pytest.fixture
def equal_code(tmp_path, monkeypatch):
    """An empty file of equal code; the function writes its content."""
    file = tmp_path / "equal_code.json"
    monkeypatch.setattr(current_code, "EQUAL_CODE", file)

    def write(content):
        file.write_text(json.dumps(content))
        current_code._equal_codes.cache_clear()
        return file

    yield write
    current_code._equal_codes.cache_clear()


def changed(result, **hashes):
    """The result as if other code had computed it."""
    key = result.key.model_copy(update={"code": hashes.pop("code", result.key.code)})
    return result.model_copy(update={"key": key, "metric_code": result.metric_code | hashes})


def of_this_code(result):
    """The result as if the installed code had computed it."""
    hashes = {name: installed for name, (_, installed) in outdated_parts(result).items()}
    return changed(result, code=hashes.pop(result.key.method, result.key.code), **hashes)


def test_a_result_of_this_code_has_no_outdated_parts(published):
    assert all(outdated_parts(result) == {} for result in published)


def test_parts_of_other_code_are_named_with_both_hashes(published):
    result = next(result for result in published if "shear_modulus" in result.inverse_design)
    other = changed(result, code="c" * 64, density="d" * 64, shear_modulus="e" * 64)
    definition = registry.load("datasets", "asio2")()
    codes = metric_codes(definition, ["density"], ["shear_modulus"])
    assert outdated_parts(other) == {
        "amshortcut": ("c" * 64, method_code(registry.load("methods", "amshortcut"))),
        "density": ("d" * 64, codes["density"]),
        "shear_modulus": ("e" * 64, codes["shear_modulus"]),
    }


def test_a_plugin_that_is_not_installed_has_nothing_to_compare_with(published):
    key = published[0].key.model_copy(update={"method": "elsewhere", "dataset": "own", "code": "c" * 64})
    elsewhere = published[0].model_copy(update={"key": key, "metric_code": {"no-such-metric": "m" * 64}})
    assert outdated_parts(elsewhere) == {}


def test_the_version_of_what_methods_share_is_part_of_the_code_of_methods_alone(monkeypatch):
    method, baseline = registry.load("methods", "amshortcut"), registry.load("non_learned", "simulation")
    before = method_code(method), baseline_code(baseline)
    monkeypatch.setattr(current_code, "GENERATION_VERSION", current_code.GENERATION_VERSION + 1)
    assert method_code(method) != before[0]
    assert baseline_code(baseline) == before[1]


def test_code_that_is_declared_equal_has_the_hash_of_the_oldest(equal_code):
    method = registry.load("methods", "amshortcut")
    equal_code({})
    now = method_code(method)
    equal_code({"amshortcut": [["a" * 64], ["b" * 64, "c" * 64, now]]})
    assert method_code(method) == "b" * 64


def test_published_results_are_declared_to_be_of_equal_code(published, equal_code):
    declare = runpy.run_path(str(ROOT / "docs" / "equal_code.py"))["declare"]
    file = equal_code({})
    first, second = ({"code": letter * 64, "ring_size": letter * 64} for letter in "ab")
    # without the committed declarations the published results are those of earlier code
    present = [of_this_code(result) for result in published]
    old = [changed(result, **first) for result in present if "ring_size" in result.inverse_design]
    assert declare(present, file) == []
    assert declare(old, file) == ["amshortcut", "asio2 ring_size"]
    current_code._equal_codes.cache_clear()
    assert all(outdated_parts(result) == {} for result in old)
    assert declare(old, file) == []
    # results of code that nobody has declared stay what they are
    assert outdated_parts(changed(present[0], **second)).keys() >= {"amshortcut"}
