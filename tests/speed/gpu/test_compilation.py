"""Compilation jobs, their processes, and Triton's cache as one file."""

import os
import sys
import time

import pytest

from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.triton_choice import KernelChoice, Tile
from amsbench.speed.gpu import compilation

pytest.importorskip("triton")
SMALL = EGNNConfig(hidden=32, layers=3, cutoff=3.0, radial=16)


def test_jobs_are_every_kernel_of_every_layer_and_the_tiles_that_race():
    jobs = compilation.first_jobs(EGNNConfig(layers=6))
    assert {(job["layer"], job["which"], job["products"]) for job in jobs} >= {
        (layer, which, products)
        for layer in (0, 1, 5)
        for which in ("forward", "backward")
        for products in ("bfloat16", "float32")
    }
    assert len({job["choice"] for job in jobs if job["layer"] == 1}) >= len(
        {*compilation.FORWARD, *compilation.BACKWARD}
    )
    chosen = compilation.jobs_of_choice(EGNNConfig(layers=2), KernelChoice(backward=Tile(edges=16)))
    assert [job["layer"] for job in chosen] == [0, 1, 0, 1]


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_a_job_runs_the_kernels_of_one_layer(monkeypatch, which):
    monkeypatch.setattr(compilation, "JOB_ATOMS", 3)
    job = compilation.job_of(SMALL, 2, which, "float32", KernelChoice())
    seconds = compilation.compile_job(job)
    assert set(seconds) == {"first", "second"}
    assert min(seconds.values()) > 0


def test_a_job_that_fails_or_is_late_keeps_its_reason(monkeypatch):
    job = compilation.job_of(SMALL, 0, "forward", "float32", KernelChoice())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (failed,) = compilation.compile_side_by_side([job, job], processes=2, end=time.time() + 60)
    assert failed["error"] == "exit code 1"
    (late,) = compilation.compile_side_by_side([job], processes=2, end=time.time() - 1)
    assert "not begun" in late["error"]


def test_a_cache_is_packed_and_read_again(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    assert "empty" in compilation.pack_cache(tmp_path / "first", tmp_path)
    (tmp_path / "first" / "triton_cache" / "abc").mkdir(parents=True)
    (tmp_path / "first" / "triton_cache" / "abc" / "kernel.cubin").write_bytes(b"code")
    assert "1 entries" in compilation.pack_cache(tmp_path / "first", tmp_path)
    assert "1 entries" in compilation.use_cache(tmp_path / "second", tmp_path)
    assert (tmp_path / "second" / "triton_cache" / "abc" / "kernel.cubin").read_bytes() == b"code"
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "second" / "triton_cache")
    (tmp_path / compilation.ARCHIVE).write_bytes(b"no archive")
    assert "compiled again" in compilation.use_cache(tmp_path / "third", tmp_path)
    monkeypatch.setattr(compilation, "LARGEST_ARCHIVE", 10)
    assert "too much" in compilation.pack_cache(tmp_path / "second", tmp_path)
    assert not (tmp_path / compilation.ARCHIVE).exists()
