"""Environment variables of a block of code."""

import os

import pytest

from amsbench.benchmark.system.environment import environment_variables


def test_variables_are_set_and_unset_within_the_block_and_restored_after_an_error(monkeypatch):
    monkeypatch.setenv("AMSBENCH_FIRST", "old")
    monkeypatch.setenv("AMSBENCH_SECOND", "kept")
    monkeypatch.delenv("AMSBENCH_THIRD", raising=False)
    values = {"AMSBENCH_FIRST": "new", "AMSBENCH_SECOND": None, "AMSBENCH_THIRD": "1"}

    def fail():
        with environment_variables(values):
            assert {name: os.environ.get(name) for name in values} == values
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.environ["AMSBENCH_FIRST"] == "old"
    assert os.environ["AMSBENCH_SECOND"] == "kept"
    assert "AMSBENCH_THIRD" not in os.environ
