"""Generation into a file: resumed where it was stopped, memory that does not grow."""

import subprocess
import sys

import pytest
from ase.io import read

from amsbench.benchmark.generation import batches
from amsbench.benchmark.generation.cells import start_cells
from amsbench.benchmark.generation.to_file import generate_to_file
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for


@pytest.fixture
def request_of(monkeypatch):
    """Arguments of six small glasses, each in a batch of its own."""
    monkeypatch.setattr(batches, "ATOMS_PER_BATCH", {"cpu": 100, "cuda": 100})
    checkpoint = load_checkpoint_for("material-sde", "asio2")
    cells, counts = start_cells(checkpoint.method, 6, 11.0)
    return checkpoint, {"code": "a", "cells": cells, "counts": counts, "steps": 1, "seed": 3}


class Stopped(BaseException):
    pass


def stop_after(count):
    def progress(done):
        if done == count:
            raise Stopped

    return progress


def test_a_stopped_generation_goes_on_and_ends_the_same(request_of, tmp_path, monkeypatch):
    checkpoint, arguments = request_of
    undisturbed, stopped = tmp_path / "a.extxyz", tmp_path / "b.extxyz"
    generate_to_file(checkpoint, undisturbed, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a.extxyz"]
    with pytest.raises(Stopped):
        generate_to_file(checkpoint, stopped, **arguments, progress=stop_after(4))
    assert not stopped.exists()
    sampled = []
    sample = type(checkpoint.method).sample

    def counted(self, start, *rest):
        sampled.append(len(start))
        return sample(self, start, *rest)

    monkeypatch.setattr(type(checkpoint.method), "sample", counted)
    made = generate_to_file(checkpoint, stopped, **arguments)
    assert sampled == [1, 1, 1]  # the warm-up and two structures
    assert stopped.read_bytes() == undisturbed.read_bytes()
    assert made.frames == []
    assert made.seconds > 0
    assert len(read(stopped, ":")) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.extxyz", "b.extxyz"]


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"steps": 2}, {"code": "b"}, {"targets": {"ring_size": [5.0] * 6}}]
)
def test_batches_of_another_request_are_not_taken(request_of, tmp_path, change):
    checkpoint, arguments = request_of
    with pytest.raises(Stopped):
        generate_to_file(checkpoint, tmp_path / "a.extxyz", **arguments, progress=stop_after(4))
    generate_to_file(checkpoint, tmp_path / "a.extxyz", **(arguments | change))
    alone = tmp_path / "alone"
    alone.mkdir()
    generate_to_file(checkpoint, alone / "a.extxyz", **(arguments | change))
    assert (tmp_path / "a.extxyz").read_bytes() == (alone / "a.extxyz").read_bytes()


MEMORY = """
import resource, sys
from pathlib import Path
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.benchmark.generation.cells import start_cells
from amsbench.benchmark.generation.to_file import generate_to_file
from amsbench.benchmark.interface.structures import Structures

checkpoint = load_checkpoint_for("material-sde", "asio2")
# as many structures as the network would make in minutes: the positions of the start are all that matters here
type(checkpoint.method).sample = lambda self, start, *rest: start
for count in (100, int(sys.argv[2])):
    cells, counts = start_cells(checkpoint.method, count, 14.0)
    generate_to_file(checkpoint, Path(sys.argv[1]), code="a", cells=cells, counts=counts, steps=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_memory_does_not_grow_with_the_number_of_structures(tmp_path):
    count = 3_000
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a.extxyz"), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    small, large = map(int, run.stdout.split())
    atoms = len(read(tmp_path / "a.extxyz", "0"))
    assert (large - small) * 1024 < count * atoms * 32 / 2, "half of what positions and elements take"
