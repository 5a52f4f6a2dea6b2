"""Generation by the workers of a cluster: the structures of this process, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.execution.dask_pool import dask_pool
from amsbench.benchmark.generation import batches
from amsbench.benchmark.generation.cells import start_cells
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.generation.on_workers import (
    _network,
    _shards,
    generate_by,
    generate_on_workers,
    generates,
    worker_device,
)
from amsbench.benchmark.generation.partial_results import PartialResults
from amsbench.benchmark.system.devices import device_name
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.errors import AmsbenchError

TARGETS = {"shear_modulus": np.linspace(20.0, 28.0, 7)}


@pytest.fixture(scope="module")
def pool():
    with dask_pool(workers=2) as opened:
        yield opened


@pytest.fixture
def checkpoint():
    return load_checkpoint_for("mattergen", "asio2")


def request_of(checkpoint):
    cells, counts = start_cells(checkpoint.method, 7, 11.0)
    return {"cells": cells, "counts": counts, "targets": TARGETS, "steps": 2, "seed": 5}


def assert_equal(one, two):
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.numbers, second.numbers)
        np.testing.assert_array_equal(first.positions, second.positions)
        assert first.info == second.info


def test_workers_generate_the_same_to_the_last_bit(pool, checkpoint, tmp_path, monkeypatch):
    assert generates(pool, checkpoint)
    request = request_of(checkpoint)
    here = generate_structures(checkpoint.method, **request)
    passed: list = []
    there = generate_by(pool, checkpoint, **request, sink=passed.extend)
    assert_equal(here.frames, there.frames)
    assert passed == there.frames
    assert there.evaluations == here.evaluations
    assert there.cpu_seconds > 0
    # another checkpoint file than the released one travels with the shards
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(checkpoint.path.read_bytes())
    assert_equal(here.frames, generate_by(pool, replace(checkpoint, path=copy), **request).frames)


def test_what_one_engine_began_another_one_ends(pool, checkpoint, tmp_path):
    request = request_of(checkpoint)
    whole = generate_structures(checkpoint.method, **request)
    partial = PartialResults(tmp_path)

    def stop(done):
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_structures(checkpoint.method, **request, partial=partial, progress=stop)
    begun = len(partial.names())
    assert begun >= 3
    ended = generate_on_workers(pool, checkpoint, **request, partial=partial)
    assert len(partial.names()) > begun
    assert_equal(whole.frames, ended.frames)


def test_a_changed_checkpoint_and_another_processor_are_named(checkpoint, tmp_path):
    network = _network(checkpoint)
    assert network.released == ("mattergen", "asio2")
    assert network.data is None
    with pytest.raises(AmsbenchError, match="the checkpoint of mattergen was changed"):
        replace(network, content_hash="0" * 64).load()
    other = "tf32"
    with pytest.raises(
        AmsbenchError, match=f"this machine in {other}; start both with AMSBENCH_NATIVE_LEVEL"
    ):
        replace(network, precision=other).load()


def test_methods_that_are_not_installed_are_generated_here(pool, checkpoint, monkeypatch):
    monkeypatch.setattr(registry, "is_installed", lambda *arguments: False)
    assert not generates(pool, checkpoint)
    assert not generates(None, checkpoint)


def test_the_processor_of_a_worker_is_known(pool):
    assert worker_device(pool) == device_name("cpu")


@pytest.mark.parametrize(("count", "workers"), [(1, 4), (7, 2), (100, 3), (10_000, 2)])
def test_shards_are_whole_neighbouring_batches(count, workers):
    of_request = batches.batches_of([100] * count, 300)
    shards = _shards(of_request, workers)
    assert [k for rows in shards for k in range(*rows)] == list(range(count))
    edges = {rows.start for rows in of_request}
    assert all(rows.start in edges for rows in shards)
    assert len(shards) >= min(len(of_request), 4 * workers)
    assert max(stop - start for start, stop in shards) <= 64 * 3
    # a gap of stored structures is in no shard
    gap = batches.batches_of([100] * 12, 300, [batches.Rows(6, 9)])
    assert _shards(gap, 1) == [(0, 3), (3, 6), (9, 12)]
