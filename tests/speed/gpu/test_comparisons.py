"""Comparisons hold for right kernels (test_dry_run.py) and fail for wrong ones."""

import math

import numpy as np
import pytest
import torch

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.speed.gpu import comparisons

pytest.importorskip("triton")
SMALL = EGNNConfig(hidden=32, layers=1, cutoff=4.4, radial=16)
CPU = torch.device("cpu")


def test_structures_have_the_density_of_the_dataset_and_different_sizes():
    dataset = load_dataset("asio2")
    structures = comparisons.random_structures(dataset, 3, None, CPU)
    density = structures.counts / structures.volumes
    assert torch.allclose(density, torch.full((3,), dataset.definition.ghost_density), rtol=1e-5)
    assert structures.counts.diff().tolist() == [1, 1]


def test_a_wrong_kernel_does_not_pass(monkeypatch):
    """The outputs of other weights deviate by far more than the limit, those of the same by less."""
    structures = comparisons.random_structures(load_dataset("asio2"), 1, 3, CPU)
    right = comparisons.compare_network(SMALL, structures, products="float32", choice="", label="x")
    assert all(item.passed for item in right)
    table = comparisons.neighbour_table

    def displaced(*arguments):
        result = table(*arguments)
        result.geometry[3] += 0.1
        result.geometry[4] *= 1.01
        return result

    monkeypatch.setattr(comparisons, "neighbour_table", displaced)
    wrong = comparisons.compare_network(SMALL, structures, products="float32", choice="", label="x")
    assert not any(item.passed for item in wrong)
    assert not comparisons.compare_table(SMALL, structures, "x").passed


def test_kernels_that_are_not_used_and_results_that_are_no_numbers_do_not_pass(monkeypatch):
    structures = comparisons.random_structures(load_dataset("asio2"), 1, 2, CPU)
    monkeypatch.delenv("TRITON_INTERPRET")
    (unused,) = comparisons.compare_network(SMALL, structures, products="float32", choice="", label="x")
    assert not unused.passed
    assert "not used" in unused.subject
    assert not comparisons.Comparison(subject="x", error=math.nan, limit=1.0).passed


def test_the_generator_gives_the_published_words():
    """The first known answer of Philox-4x32-10 in Random123, for counter and key of zeros."""
    a, b = comparisons._philox(0, np.zeros(1, dtype=np.int64), 0)
    assert [int(a[0]), int(b[0])] == [0x6627E8D5, 0xE169C58D]
