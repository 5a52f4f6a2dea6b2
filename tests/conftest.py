"""Fixtures that several rooms of tests use."""

import os
import sys

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    # Triton reads it when it is first imported; nothing runs in its interpreter unless AMSBENCH_TRITON asks, too
    os.environ.setdefault("TRITON_INTERPRET", "1")

from amsbench.benchmark.interface.structures import Structures
from amsbench.benchmark.interface.task import Task


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Times are measured in one process; pytest-benchmark measures nothing where a way to distribute tests is set."""
    if config.getoption("benchmark_enable", False) and not config.getoption("numprocesses", None):
        config.option.dist = "no"


@pytest.fixture
def one_thread():
    """torch on one thread, where a test asks for the same numbers twice."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def silicon():
    """A task with one element and a fixed atom count."""
    return Task(dataset="asi", dataset_hash="none", elements=("Si",), ghost_density=None)


@pytest.fixture(scope="session")
def silica():
    """A task with ghosts and two properties."""
    return Task(
        dataset="asio2",
        dataset_hash="none",
        elements=("Si", "O"),
        ghost_density=0.11,
        properties=("shear_modulus", "ring_size"),
        property_mean=(24.0, 5.1),
        property_std=(2.7, 0.2),
        property_min=(18.0, 4.7),
        property_max=(31.0, 5.6),
    )


@pytest.fixture
def small_batch():
    """Builds a batch of random structures: ``small_batch(species, properties, sizes, dtype)``."""

    def build(species: int, properties: int, sizes=(20, 31), dtype=torch.float32, seed=0) -> Structures:
        random = np.random.default_rng(seed)
        cells = [np.diag(random.uniform(8.0, 9.0, 3)) + random.uniform(-0.8, 0.8, (3, 3)) for _ in sizes]
        positions = [random.random((n, 3)) @ cell for n, cell in zip(sizes, cells, strict=True)]
        return Structures(
            positions=torch.tensor(np.concatenate(positions), dtype=dtype),
            cells=torch.tensor(np.array(cells), dtype=dtype),
            species=torch.tensor(random.integers(species, size=sum(sizes))),
            batch=torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
            counts=torch.tensor(sizes),
            properties=torch.full((len(sizes), properties), torch.nan, dtype=dtype),
        )

    return build


@pytest.fixture
def amsbench(monkeypatch, capsys, tmp_path):
    """Calls the command line in this process; returns exit code, output and messages."""
    from amsbench.cli.main import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["amsbench", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def mistake():
    """Checks for one sentence on standard error that has the words; exit code 2, no traceback."""

    def check(result, *words):
        code, _, err = result
        assert code == 2, err
        assert "Traceback" not in err
        flat = " ".join(err.split())
        for word in words:
            assert word in flat

    return check
