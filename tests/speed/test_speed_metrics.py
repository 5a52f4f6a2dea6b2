"""Neighbour lists and distribution functions, native, by vesin and by ASE.

``pytest tests/speed --benchmark-enable``; compare the minima within one run.
"""

import numpy as np
import pytest
from ase.geometry.rdf import get_rdf
from ase.neighborlist import primitive_neighbor_list

from amsbench.metrics.distribution_functions import radial_and_angular
from amsbench.metrics.neighbours import neighbour_list as module
from amsbench.metrics.neighbours.neighbour_list import neighbour_list
from amsbench.metrics.neighbours.packed import PackedStructures

SIZES = {
    "256 atoms of silicon": (256, (256 / 0.0516) ** (1 / 3)),
    "80 atoms in 10.5 A": (80, 10.5),
    "1300 atoms of silicon": (1300, (1300 / 0.0516) ** (1 / 3)),
}


@pytest.fixture(params=["native", "vesin"])
def path(request, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE", "1" if request.param == "native" else "0")
    if request.param == "native" and not module.active():
        pytest.skip(f"no native library: {module.info()['reason']}")
    return request.param


@pytest.fixture(params=SIZES)
def liquid(request, benchmark):
    n, length = SIZES[request.param]
    benchmark.group = f"neighbour list at 6.5 A, {request.param}"
    return np.random.default_rng(0).random((n, 3)) * length, np.eye(3) * length


def test_neighbour_list(benchmark, liquid, path):
    positions, cell = liquid
    benchmark(neighbour_list, positions, cell[None], np.array([len(positions)]), 6.5)


def test_neighbour_list_of_ase(benchmark, liquid):
    positions, cell = liquid
    benchmark(primitive_neighbor_list, "ijS", [True] * 3, cell, positions, 6.5)


@pytest.mark.benchmark(group="neighbour lists of a batch of 16 times 256 atoms")
def test_neighbour_lists_of_a_batch(benchmark, path):
    n, length = SIZES["256 atoms of silicon"]
    positions = np.random.default_rng(0).random((16 * n, 3)) * length
    benchmark(neighbour_list, positions, np.tile(np.eye(3) * length, (16, 1, 1)), np.full(16, n), 6.5)


@pytest.mark.benchmark(group="g(r) and P(theta) of 256 atoms")
def test_both_curves(benchmark, silicon, path):
    benchmark(radial_and_angular, first(silicon, 1), 5.0, 100, 3.0, 180)


@pytest.mark.benchmark(group="g(r) and P(theta) of 256 atoms")
def test_rdf_of_ase(benchmark, silicon):
    benchmark(get_rdf, silicon.atoms(0), 5.0, 100)


@pytest.mark.benchmark(group="g(r) and P(theta) of 720 structures of 256 atoms")
def test_many_structures(benchmark, silicon, path):
    benchmark(radial_and_angular, first(silicon, 720), 5.0, 100, 3.0, 180)


def first(dataset, structures):
    counts = dataset.counts[:structures]
    return PackedStructures(
        positions=dataset.positions[: counts.sum()], cells=dataset.cells[:structures], counts=counts
    )
