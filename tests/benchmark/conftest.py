"""Tiny datasets that need no simulation."""

import numpy as np
import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.dataset import Dataset


@pytest.fixture(scope="session")
def tiny_asi() -> Dataset:
    """24 small 'silicon' structures of 40 atoms, jittered lattices, in the splits 16 / 4 / 4."""
    return _tiny("asi", 0)


@pytest.fixture(scope="session")
def tiny_asio2() -> Dataset:
    """24 small 'silica' structures with labels that follow the density."""
    return _tiny("asio2", 1)


def _tiny(name: str, seed: int) -> Dataset:
    definition = registry.load("datasets", name)()
    random = np.random.default_rng(seed)
    samples, size = 24, 39
    edges = random.uniform(8.6, 9.2, samples)
    positions, species = [], []
    for edge in edges:
        lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)[:size] / 4
        positions.append(((lattice + random.normal(0, 0.02, (size, 3))) % 1.0) * edge)
        species.append(np.arange(size) % 3 > 0 if len(definition.elements) > 1 else np.zeros(size))
    labels = np.stack([20 + 10 * (9.2 - edges), 60 + edges, 4.5 + 0.1 * edges], axis=1)
    return Dataset(
        definition=definition,
        positions=np.concatenate(positions).astype(np.float32),
        cells=(np.eye(3) * edges[:, None, None]).astype(np.float32),
        species=np.concatenate(species).astype(np.int64),
        counts=np.full(samples, size),
        properties=labels[:, : len(definition.properties)].astype(np.float32),
        groups=np.arange(samples),
        splits=np.array([0] * 16 + [1] * 4 + [2] * 4, dtype=np.int8),
        provenance={"recipe": "made up for tests"},
        content_hash="0" * 64,
        path="tiny.npz",
    )
