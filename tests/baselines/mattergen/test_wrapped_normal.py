"""Wrapped-normal noise: its score against sums over many images, and steps against closed forms."""

from dataclasses import replace

import pytest
import torch

from amsbench.baselines.mattergen.wrapped_normal import (
    LARGEST_STEP,
    SWITCH,
    WrappedProcess,
    scaled_score,
    wrap,
)
from amsbench.benchmark.interface.structures import Structures, cartesian, fractional

PROCESS = WrappedProcess()


def cells_of(*counts, edge=9.0) -> Structures:
    shape = (len(counts), 1, 1)
    return Structures.empty_cells(
        edge * torch.eye(3, dtype=torch.float64).repeat(shape),
        torch.tensor(counts),
        torch.zeros(len(counts), 0, dtype=torch.float64),
    )


def normal(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [1e-4, 0.01, 0.1, 0.3, SWITCH - 1e-6, SWITCH, 0.8, 1.7, 5.0])
def test_score_is_the_gradient_of_a_sum_over_many_images(sigma):
    x = torch.linspace(-2.49, 2.47, 331, dtype=torch.float64, requires_grad=True)
    images = torch.arange(-200, 201, dtype=torch.float64)
    density = torch.logsumexp(-0.5 * ((x[:, None] + images) / sigma) ** 2, dim=-1)
    (gradient,) = torch.autograd.grad(density.sum(), x)
    found = scaled_score(x.detach(), torch.tensor(sigma, dtype=torch.float64))
    torch.testing.assert_close(found, sigma * gradient, rtol=1e-8, atol=1e-10)


def test_score_of_little_noise_is_the_noise_and_of_much_noise_is_none():
    eps, ones = normal(100), torch.ones(100, 1, dtype=torch.float64)
    torch.testing.assert_close(scaled_score(0.01 * eps, 0.01 * ones), -eps, rtol=0, atol=1e-10)
    # 4 pi sigma exp(-2 pi^2 sigma^2) is the largest
    assert scaled_score(0.9 * eps, 0.9 * ones).abs().max() < 2e-6
    single = scaled_score((1e-5 * eps).float(), (1e-5 * ones).float())
    torch.testing.assert_close(single, -eps.float(), rtol=1e-4, atol=1e-4)


def test_score_has_the_mean_zero_under_its_own_density():
    """The score averaged over all clean positions, the target of ghosts, is 0."""
    x = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000 - 0.5
    for sigma in (0.05, 0.2, 0.6):
        images = torch.arange(-30, 31, dtype=torch.float64)
        density = torch.exp(-0.5 * ((x[:, None] + images) / sigma) ** 2).sum(-1)
        score = scaled_score(x, torch.tensor(sigma, dtype=torch.float64))
        assert float((density * score).sum() / density.sum()) == pytest.approx(0, abs=1e-12)
        assert float((density * score**2).sum() / density.sum()) > 1e-6


def test_noise_in_angstrom_does_not_go_with_the_size_of_the_cell():
    """0.027 to 13.4 A in liquid silicon with 256 atoms in a cube of 17.1 A, and the same with 2,048 atoms."""
    for count, edge in ((256, 17.1), (2048, 34.2)):
        structures = cells_of(count, edge=edge)
        for t, wanted in ((0.0, 0.027), (1.0, 13.4)):
            times = torch.full((1, 1), t, dtype=torch.float64)
            sigma = PROCESS.sigma(times, structures)
            assert sigma.shape == (count, 1)
            assert float(sigma[0]) * edge == pytest.approx(wanted, rel=0.01)
    middle = PROCESS.sigma(torch.full((1, 1), 0.5, dtype=torch.float64), cells_of(1))
    assert float(middle) == pytest.approx(0.01 * 500**0.5)


def test_fractional_coordinates_of_skewed_cells(small_batch):
    batch = small_batch(1, 0, dtype=torch.float64)
    x = fractional(batch.positions, batch)
    torch.testing.assert_close(cartesian(x, batch), batch.positions, rtol=0, atol=1e-12)
    a, b, c = batch.cells[1]
    point = replace(batch, positions=(0.2 * a - 0.3 * b + 1.4 * c).expand_as(batch.positions))
    found = fractional(point.positions, batch)[-1]
    torch.testing.assert_close(found, torch.tensor([0.2, -0.3, 1.4], dtype=torch.float64), rtol=0, atol=1e-12)
    assert bool((wrap(found) >= 0).all())
    assert wrap(found).tolist() == pytest.approx([0.2, 0.7, 0.4])


def test_ancestral_steps_have_the_posterior_of_a_known_point():
    """Mean x_0 + (s^2/t^2)(x_t - x_0) and variance s^2 (t^2 - s^2)/t^2; at s = 0 the clean point."""
    n, point, sigma, after = 20_000, 0.4, 0.03, 0.02
    x = torch.full((n, 3), 0.43, dtype=torch.float64)
    at, then = (torch.full((n, 1), v, dtype=torch.float64) for v in (sigma, after))
    found = PROCESS.ancestral_step(x, scaled_score(x - point, at), at, then, normal(n))
    assert float(found.mean()) == pytest.approx(point + (after / sigma) ** 2 * 0.03, abs=4e-4)
    assert float(found.var()) == pytest.approx(after**2 * (1 - (after / sigma) ** 2), rel=0.03)
    end = PROCESS.ancestral_step(x, scaled_score(x - point, at), at, torch.zeros_like(at), normal(n))
    torch.testing.assert_close(end, torch.full_like(x, point), rtol=0, atol=1e-12)


def langevin(x, scaled, sigma, z, structures, snr=0.4, counted=None):
    counted = torch.ones(len(x), dtype=x.dtype) if counted is None else counted
    at = torch.full((len(x), 1), sigma, dtype=x.dtype)
    return PROCESS.langevin_step(x, scaled, at, z, snr=snr, structures=structures, counted=counted)


@pytest.mark.parametrize("snr", [0.1, 0.4])
def test_langevin_steps_keep_the_variance_that_their_length_allows(snr):
    """For normal data of variance V and a sample of variance S the norms give the step 2 r^2 V^2 / S, and S -> (1 - 2
    r^2 V / S)^2 S + 4 r^2 V^2 / S, which leaves S = (1 + r^2) V unchanged."""
    n, sigma = 30_000, 0.05
    structures = cells_of(n)
    kept = sigma**2 * (1 + snr**2)
    for before in (kept, 2 * sigma**2):
        x = 0.5 + before**0.5 * normal(n)
        score = -(x - 0.5) / sigma**2
        r2 = snr**2 * sigma**2 / before
        wanted = (1 - 2 * r2) ** 2 * before + 4 * r2 * sigma**2
        found = langevin(x, score * sigma, sigma, normal(n, 1), structures, snr)
        assert float(found.var()) == pytest.approx(wanted, rel=0.02)
    r2 = snr**2 * sigma**2 / kept
    assert (1 - 2 * r2) ** 2 * kept + 4 * r2 * sigma**2 == pytest.approx(kept)


def test_langevin_steps_do_not_see_batch_mates_or_atoms_that_do_not_count():
    structures, x, z = cells_of(5, 8), normal(13, 2), normal(13, 3)
    scaled = normal(13, 4)
    both = langevin(x, scaled, 0.02, z, structures)
    alone = langevin(x[:5], scaled[:5], 0.02, z[:5], cells_of(5))
    torch.testing.assert_close(both[:5], alone, rtol=0, atol=1e-14)
    other = torch.cat([scaled[:5], 3 * scaled[5:]])
    torch.testing.assert_close(langevin(x, other, 0.02, z, structures)[:5], alone, rtol=0, atol=1e-14)
    # an atom without weight: neither its score nor its noise sets the step of the others
    counted = torch.ones(13, dtype=torch.float64)
    counted[0] = 0
    before = langevin(x, scaled, 0.02, z, structures, counted=counted)
    scaled[0], z[0] = 7.0, 5.0
    after = langevin(x, scaled, 0.02, z, structures, counted=counted)
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=1e-14)
    assert (after[0] - before[0]).abs().max() > 1e-3
    assert (langevin(x, scaled, 0.02, z, structures)[1:5] - after[1:5]).abs().max() > 1e-3


def test_langevin_steps_without_a_score_fill_the_cell():
    n = 20_000
    found = langevin(torch.full((n, 3), 0.3), torch.zeros(n, 3), 0.5, normal(n).float(), cells_of(n))
    # wrapped normal of variance 2 LARGEST_STEP: its first Fourier coefficient is 3e-9
    assert LARGEST_STEP == 0.5
    phase = torch.exp(2j * torch.pi * found)
    assert float(phase.mean().abs()) < 4 / (3 * n) ** 0.5
    nothing = langevin(
        torch.full((3, 3), 0.3), torch.ones(3, 3), 0.5, torch.ones(3, 3), cells_of(3), counted=torch.zeros(3)
    )
    assert bool(torch.isfinite(nothing).all())
