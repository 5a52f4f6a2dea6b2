"""Targets with scores, against distributions whose noisy score is known in closed form."""

import math

import pytest
import torch

from amsbench.benchmark.interface.structures import ScoredStructures, Structures
from amsbench.methods.losses import noise_with_scores

ATOMS = 200_000


def batch(positions, scores) -> ScoredStructures:
    cells = 50 * torch.eye(3, dtype=positions.dtype)[None]
    return ScoredStructures(
        positions=positions,
        cells=cells,
        species=torch.zeros(len(positions), dtype=torch.long),
        batch=torch.zeros(len(positions), dtype=torch.long),
        counts=torch.tensor([len(positions)]),
        properties=torch.zeros(1, 0),
        scores=scores,
        score_variance=(scores**2).mean()[None],
    )


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 1.7])
def test_the_target_of_a_harmonic_crystal_has_no_variance(sigma):
    """Atoms around their places by N(0, s^2) have the noisy score -(x_t - place) / (s^2 + sigma^2)."""
    spread = 0.2
    places = 10 * normal(1_000, 3, seed=1)
    displacements = spread * normal(1_000, 3, seed=2)
    crystal = batch(places + displacements, -displacements / spread**2)
    crystal.score_variance[:] = 1 / spread**2
    eps = normal(1_000, 3)
    noisy = crystal.positions + sigma * eps
    target = noise_with_scores(eps, crystal, torch.full((1_000, 1), sigma, dtype=torch.float64), 1.0)
    torch.testing.assert_close(target, sigma * (noisy - places) / (spread**2 + sigma**2))


def two_wells(x, sigma=0.0):
    """Score of (N(-1, .3^2) + N(1, .3^2)) / 2 with normal noise of ``sigma``."""
    variance = 0.09 + sigma**2
    return (torch.tanh(x / variance) - x) / variance


@pytest.mark.parametrize("weight", [0.5, 1.0])
@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.3, 1.0])
def test_the_target_is_unbiased_and_less_noisy_where_wells_are_anharmonic(sigma, weight):
    """Its error is uncorrelated with every function of the noisy position; the mean square falls below that of eps."""
    wells = torch.where(normal(ATOMS, 3, seed=3) > 0, 1.0, -1.0).double()
    clean = wells + 0.3 * normal(ATOMS, 3, seed=4)
    eps = normal(ATOMS, 3, seed=5)
    noisy = clean + sigma * eps
    exact = -sigma * two_wells(noisy, sigma)
    data = batch(clean, two_wells(clean))
    target = noise_with_scores(eps, data, torch.full((ATOMS, 1), sigma, dtype=torch.float64), weight)
    error = target - exact
    for test in (torch.ones_like(noisy), noisy, noisy**2, torch.sin(3 * noisy), torch.tanh(noisy / 0.1)):
        product = error * test
        assert abs(float(product.mean())) < 4 * float(product.std()) / math.sqrt(product.numel())
    # both parts have the same mean and no correlation, so the variance falls as the mean square of the target does
    plain = float(((eps - exact) ** 2).mean())
    strength = sigma**2 * float(data.score_variance)
    share = weight / (1 + strength)
    saved = 1 - (1 - share) ** 2 - share**2 * strength
    assert saved > 0.05
    assert plain - float((error**2).mean()) == pytest.approx(saved, abs=0.01)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_the_share_of_the_score_is_the_one_of_the_least_variance(sigma):
    """The mean square of the target is that of the best mixture, which is a parabola in the share."""
    wells = torch.where(normal(ATOMS, 3, seed=3) > 0, 1.0, -1.0).double()
    clean = wells + 0.3 * normal(ATOMS, 3, seed=4)
    eps, score = normal(ATOMS, 3, seed=5), two_wells(clean)
    target = noise_with_scores(
        eps, batch(clean, score), torch.full((ATOMS, 1), sigma, dtype=torch.float64), 1.0
    )
    shares = torch.linspace(0, 1, 101, dtype=torch.float64)
    squares = [float((torch.lerp(eps, -sigma * score, share) ** 2).mean()) for share in shares]
    assert float((target**2).mean()) == pytest.approx(min(squares), rel=2e-3)


def test_scores_belong_to_the_positions_they_were_computed_at(small_batch):
    structures = small_batch(1, 0)
    scored = ScoredStructures(
        **vars(structures), scores=torch.ones_like(structures.positions), score_variance=torch.ones(2)
    )
    moved = scored.with_positions(scored.positions + 1)
    assert type(moved) is Structures
    assert torch.equal(moved.positions, structures.positions + 1)
