"""Distribution functions against ASE: ``pytest tests/speed --benchmark-enable``."""

import pytest
from ase.geometry.rdf import get_rdf

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.metrics.distributions import structural_curves


@pytest.fixture(scope="module")
def frames():
    silicon = load_dataset("asi")
    return [silicon.atoms(k) for k in range(20)]


@pytest.mark.benchmark(group="g(r) and P(theta) of 256 atoms")
def test_both_curves(benchmark, frames):
    benchmark(structural_curves, frames[:1])


@pytest.mark.benchmark(group="g(r) and P(theta) of 256 atoms")
def test_rdf_of_ase(benchmark, frames):
    benchmark(get_rdf, frames[0], 5.0, 100)


@pytest.mark.benchmark(group="g(r) and P(theta) of 20 structures")
def test_twenty_structures(benchmark, frames):
    benchmark(structural_curves, frames)
