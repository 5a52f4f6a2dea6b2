"""Crystals and glasses with known networks."""

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.metrics.neighbours import neighbour_list

SKEWED = np.array([[4.01, 0, 0], [3.1, 3.0, 0], [-1.5, 2.0, 3.7]])


@pytest.fixture
def cristobalite():
    """Ideal beta-cristobalite: diamond silicon with an O in the middle of every bond, of 1.55 A."""
    return crystal(["Si", "O"], [(0, 0, 0), (1 / 8,) * 3], spacegroup=227, cellpar=[7.16] * 3 + [90] * 3)


@pytest.fixture
def quartz():
    """Alpha-quartz (Levien, Prewitt and Weidner, American Mineralogist 65, 920, 1980)."""
    return crystal(
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.7855)],
        spacegroup=154,
        cellpar=[4.9137, 4.9137, 5.4047, 90, 90, 120],
    )


@pytest.fixture(scope="session")
def glasses():
    """Silica and multi-element glasses of the bundled datasets."""
    return [load_dataset(name).atoms(k) for name in ("asio2", "meg") for k in (0, 100, 200)]


@pytest.fixture
def small_packing():
    """Four elements at random points of a skewed cell that is smaller than the range of g(r)."""
    random = np.random.default_rng(3)
    return Atoms("SiSiOOOAlK", scaled_positions=random.random((7, 3)), cell=SKEWED, pbc=True)


@pytest.fixture(params=["native", "vesin"])
def search(request, monkeypatch):
    """Both searches of neighbours."""
    if request.param == "native" and not neighbour_list.info()["built"]:
        pytest.skip(neighbour_list.info()["reason"])
    monkeypatch.setenv("AMSBENCH_NATIVE", "1" if request.param == "native" else "0")
