"""Noise levels and Langevin dynamics against the exact mean and variance of normal data."""

import math
from itertools import pairwise

import pytest
import torch

from amsbench.baselines.cdvae.noise_levels import GeometricLevels, langevin_step
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.errors import AmsbenchError

NATIVE = GeometricLevels(first=10.0, last=0.01, count=50)
START = 14.0**2 / 12
"""Variance of a coordinate that is uniform in a cell of 14 A."""


def exact(path, spread, alpha, mean=3.0, variance=START):
    """Mean (0 for the data) and variance after Langevin steps at the levels of ``path`` for data N(0, spread^2)."""
    for sigma in path:
        a = alpha * sigma**2 / (spread**2 + sigma**2)
        mean, variance = (1 - a) * mean, (1 - a) ** 2 * variance + 2 * alpha * sigma**2
    return mean, variance


def end(steps, spread=0.0, alpha=1.0):
    """Final standard deviation in units of that of the data, or of the last level for data at a point."""
    return math.sqrt(exact(NATIVE.path(steps), spread, alpha)[1]) / (spread or NATIVE.last)


@pytest.mark.parametrize("steps", [1, 2, 3, 11, 49, 50, 51, 53, 100, 137, 250, 5_000])
def test_every_step_is_an_evaluation_and_the_last_is_at_the_last_level(steps):
    path = NATIVE.path(steps)
    assert len(path) == steps
    assert path[-1] == pytest.approx(0.01, rel=1e-12)
    assert path[0] == pytest.approx(10.0 if steps > 1 else 0.01, rel=1e-12)
    levels = sorted(set(path), reverse=True)
    assert path == sorted(path, reverse=True)
    assert len(levels) == min(steps, 50)
    ratios = [a / b for a, b in pairwise(levels)]
    assert ratios == pytest.approx([1000 ** (1 / (len(levels) - 1))] * len(ratios) if ratios else [])
    visits = [path.count(level) for level in levels]
    assert max(visits) - min(visits) == (0 if steps <= 50 or steps % 50 == 0 else 1)
    assert visits[-1] == max(visits)


def test_additional_steps_are_spread_over_the_levels():
    path = NATIVE.path(60)
    doubled = [k for k, level in enumerate(NATIVE.values().tolist()) if path.count(level) == 2]
    assert doubled == list(range(4, 50, 5))


def test_levels_have_to_fall():
    for first, last, count in ((0.01, 10.0, 50), (1.0, 1.0, 2), (1.0, 0.0, 2), (1.0, 0.5, 0)):
        with pytest.raises(AmsbenchError, match=f"from {first:g} to {last:g} in {count}"):
            GeometricLevels(first=first, last=last, count=count)


def test_training_levels_are_equally_likely():
    structures = 100_000
    found = NATIVE.sample(StructureNoise([1] * 100, range(100)))
    assert found.shape == (100, 1)
    found = NATIVE.sample(BigNoise(structures))[:, 0].double()
    shares = torch.stack([(found - level).abs() < 1e-5 * level for level in NATIVE.values()]).double().mean(1)
    assert float(shares.sum()) == 1.0
    # five standard errors of a share of 1/50
    assert float((shares - 0.02).abs().max()) < 5 * math.sqrt(0.02 / structures)


class BigNoise:
    """Noise source with the single function that ``drawn`` uses, without a generator for each structure."""

    def __init__(self, structures):
        self.structures = structures

    def uniform_structures(self, width):
        return torch.rand(self.structures, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize("alpha", [1.0, 0.2])
@pytest.mark.parametrize("steps", [1, 3, 11, 53, 100])
def test_mean_and_variance_follow_the_exact_recursion(steps, alpha, spread):
    atoms = 20_000
    noise = StructureNoise([atoms], [steps], dtype=torch.float64)
    x = 3.0 + math.sqrt(START) * noise.normal_atoms(3)
    for sigma in NATIVE.path(steps):
        scaled_score = -x * sigma / (spread**2 + sigma**2)
        x = langevin_step(x, scaled_score, sigma, noise.normal_atoms(3), alpha)
    mean, variance = exact(NATIVE.path(steps), spread, alpha)
    numbers = 3 * atoms
    assert float(x.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / numbers))
    assert float(x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / numbers))


def test_the_own_step_forgets_where_it_came_from():
    """With alpha = 1 and data at a point the result is sqrt(2) sigma_L for every number of levels and steps."""
    for steps in (*range(1, 51), 53, 100, 250):
        assert end(steps) == pytest.approx(math.sqrt(2), rel=1e-12)


def test_a_smaller_step_cannot_follow_few_levels():
    """alpha = 0.2 keeps 0.8 of a deviation, and deviations in units of sigma grow if sigma decreases faster."""
    assert 0.8 * 1000 ** (1 / 30) > 1 > 0.8 * 1000 ** (1 / 31)  # 31 and 32 levels
    for steps, wanted in ((10, 113), (25, 8.5), (50, 1.62), (250, 1.08)):
        assert end(steps, alpha=0.2) == pytest.approx(wanted, rel=0.01)


def test_spread_of_atoms_that_move():
    for alpha, wanted in ((1.0, (11.3, 5.6, 2.2, 0.18)), (0.2, (76, 25, 8.6, 0.45))):
        found = [100 * (end(steps, 0.3, alpha) - 1) for steps in (50, 100, 250, 5_000)]
        assert found == pytest.approx(wanted, rel=0.03)
