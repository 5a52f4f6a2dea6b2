"""The samplers against exact solutions for Gaussian data."""

import math

import pytest
import torch

from amsbench.methods.processes import ElementProcess, LinearElementProcess, PositionProcess

MEAN, VARIANCE = 0.7, 0.04
SAMPLERS = ("ode", "ancestral", "euler_maruyama")


def exact_eps(x, t, process):
    """E[eps | X_t = x] for X_0 ~ N(MEAN, VARIANCE)."""
    sigma = process.scale * t
    return sigma * (x - MEAN) / (VARIANCE + sigma**2)


def exact_velocity(e, t, process):
    """E[v | E_t = e] for E_0 ~ N(MEAN, VARIANCE)."""
    cos, sigma = torch.cos(math.pi / 2 * t), process.scale * torch.sin(math.pi / 2 * t)
    clean = MEAN + cos * VARIANCE / (cos**2 * VARIANCE + sigma**2) * (e - cos * MEAN)
    return process.velocity(clean, (e - cos * clean) / sigma, t)


def take(process, sampler, x, drift, t, s, z):
    if sampler == "ode":
        return process.ode_step(x, drift, t, s)
    return getattr(process, f"{sampler}_step")(x, drift, t, s, z)


def moments(process, drift, sampler, steps, start):
    """Mean and variance after ``steps`` steps; every step is affine in (x, z), so three points determine it."""
    mean, variance = start
    for k in range(steps):
        t = torch.tensor([1 - k / steps], dtype=torch.float64)
        s = torch.tensor([1 - (k + 1) / steps], dtype=torch.float64)

        def go(x, z, t=t, s=s):
            x, z = torch.tensor([x], dtype=torch.float64), torch.tensor([z], dtype=torch.float64)
            return float(take(process, sampler, x, drift(x, t, process), t, s, z))

        offset = go(0.0, 0.0)
        slope, noise = go(1.0, 0.0) - offset, go(0.0, 1.0) - offset
        mean, variance = slope * mean + offset, slope**2 * variance + noise**2
    return mean, variance


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", ["positions", "elements"])
def test_moments_converge_to_the_data(sampler, kind):
    if kind == "positions":
        process, drift = PositionProcess(), exact_eps
        start = (MEAN, VARIANCE + process.scale**2)
    else:
        process, drift = ElementProcess(), exact_velocity
        start = (0.0, process.scale**2)
    errors = []
    for steps in (250, 1000, 4000):
        mean, variance = moments(process, drift, sampler, steps, start)
        errors.append(max(abs(mean - MEAN), abs(math.sqrt(variance) - math.sqrt(VARIANCE))))
    # first order: four times the steps, at least nearly three times less error
    assert errors[1] < errors[0] / 2.8
    assert errors[2] < errors[1] / 2.8
    assert errors[2] < 0.01


def test_ancestral_step_is_exact_for_a_point():
    """For data at a single point the posterior of X_s given X_t is that of the forward process."""
    process = PositionProcess()
    mean, variance = MEAN, process.scale**2
    for t, s in ((1.0, 0.6), (0.6, 0.1), (0.1, 0.0)):
        t_, s_ = torch.tensor([t], dtype=torch.float64), torch.tensor([s], dtype=torch.float64)

        def go(x, z, t=t_, s=s_):
            x = torch.tensor([x], dtype=torch.float64)
            eps = (x - MEAN) / (process.scale * t)
            return float(process.ancestral_step(x, eps, t, s, torch.tensor([z], dtype=torch.float64)))

        offset = go(0.0, 0.0)
        slope, noise = go(1.0, 0.0) - offset, go(0.0, 1.0) - offset
        mean, variance = slope * mean + offset, slope**2 * variance + noise**2
        assert mean == pytest.approx(MEAN, abs=1e-12)
        assert variance == pytest.approx((process.scale * s) ** 2, abs=1e-12)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.8), (1.0, 0.1), (0.3, 0.2), (0.05, 0.01)])
def test_ancestral_step_keeps_the_spread_of_what_is_not_known(t, s):
    """One step of any length maps the marginal of normal data at t to that at s, in mean and variance."""
    process = PositionProcess()
    t_, s_ = torch.tensor([t], dtype=torch.float64), torch.tensor([s], dtype=torch.float64)
    unknown = VARIANCE / (VARIANCE + (process.scale * t) ** 2)

    def go(x, z):
        x = torch.tensor([x], dtype=torch.float64)
        eps = exact_eps(x, t_, process)
        return float(process.ancestral_step(x, eps, t_, s_, torch.tensor([z], dtype=torch.float64), unknown))

    offset = go(0.0, 0.0)
    slope, noise = go(1.0, 0.0) - offset, go(0.0, 1.0) - offset
    before = VARIANCE + (process.scale * t) ** 2
    assert slope * MEAN + offset == pytest.approx(MEAN, abs=1e-12)
    assert slope**2 * before + noise**2 == pytest.approx(VARIANCE + (process.scale * s) ** 2, rel=1e-12)


@pytest.mark.parametrize(("s", "t"), [(0.0, 0.4), (0.3, 0.35), (0.2, 1.0)])
def test_noise_in_two_parts_is_noise_in_one(s, t):
    """Diffusion to t by way of s gives the mean and the variance of X_t (every map is affine in its noise)."""
    s_, t_, one, none = (torch.tensor([value], dtype=torch.float64) for value in (s, t, 1.0, 0.0))
    for process in (PositionProcess(), ElementProcess()):
        offset = process.diffuse(process.corrupt(one, none, s_), s_, t_, none)
        first = process.diffuse(process.corrupt(one, one, s_), s_, t_, none) - offset
        second = process.diffuse(process.corrupt(one, none, s_), s_, t_, one) - offset
        torch.testing.assert_close(offset, process.corrupt(one, none, t_))
        whole = process.corrupt(one, one, t_) - offset
        torch.testing.assert_close(first**2 + second**2, whole**2)


def test_one_step_with_the_average_drift_is_exact():
    """For Gaussian data the probability-flow ODE has a closed solution, which one step with the average drift
    reproduces."""
    process = PositionProcess()
    x, t, s = (torch.tensor([value], dtype=torch.float64) for value in (2.5, 1.0, 0.0))

    def solution(x, t, s):
        return MEAN + (x - MEAN) * torch.sqrt(
            (VARIANCE + (process.scale * s) ** 2) / (VARIANCE + (process.scale * t) ** 2)
        )

    def average(x, t, s):
        return (x - solution(x, t, s)) / (process.scale * (t - s))

    assert float(process.ode_step(x, average(x, t, s), t, s)) == pytest.approx(float(solution(x, t, s)))
    half = (t + s) / 2
    middle = process.ode_step(x, average(x, t, half), t, half)
    mean_of_two = (average(x, t, half) + average(middle, half, s)) / 2
    assert float(mean_of_two) == pytest.approx(float(average(x, t, s)))


def test_clean_and_noise_invert_the_velocity():
    process = ElementProcess()
    generator = torch.Generator().manual_seed(0)
    e0, eps = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    t = torch.rand(50, 1, generator=generator, dtype=torch.float64)
    t[0], t[1] = 0.0, 1.0
    e_t, v = process.corrupt(e0, eps, t), process.velocity(e0, eps, t)
    torch.testing.assert_close(process.clean(e_t, v, t), e0)
    torch.testing.assert_close(process.noise(e_t, v, t), eps)


def test_velocity_is_the_time_derivative():
    process = ElementProcess()
    e0, eps, t = (torch.tensor([value], dtype=torch.float64) for value in (0.3, -1.1, 0.4))
    step = 1e-6
    difference = (process.corrupt(e0, eps, t + step) - process.corrupt(e0, eps, t - step)) / (2 * step)
    torch.testing.assert_close(process.velocity(e0, eps, t), difference, rtol=1e-8, atol=1e-8)


def posterior_of_two(e, t, process, cos):
    """P(E_0 | E_t) for data of two one-hot vectors, and the drift of the corresponding flow."""
    sigma = process.scale * (t if cos == 1 - t else math.sin(math.pi / 2 * t))
    weights = torch.exp(
        -((e[..., None, :] - cos * torch.eye(2, dtype=e.dtype)) ** 2).sum(-1) / (2 * sigma**2)
    )
    return weights / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("time", [0.05, 0.4, 0.9])
def test_evidence_is_the_posterior_of_equal_shares(time):
    e = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([time], dtype=torch.float64)
    for process, cos in (
        (ElementProcess(), math.cos(math.pi / 2 * time)),
        (LinearElementProcess(), 1 - time),
    ):
        torch.testing.assert_close(
            torch.softmax(process.species_log_likelihood(e, t), -1), posterior_of_two(e, time, process, cos)
        )


def test_the_average_velocity_is_that_of_a_distribution_over_species():
    """For the exact flow of data with two species, one step with the average drift ends where the flow does, and its
    ``clean`` is a mean of those along the flow."""
    process = ElementProcess()
    start = torch.tensor([[1.1, -0.4], [0.2, 0.9], [-0.8, -0.7]], dtype=torch.float64)
    e, steps, t, s = start, 20_000, 0.9, 0.3
    first = torch.softmax(process.species_log_likelihood(e, torch.tensor([t], dtype=torch.float64)), -1)
    seen = [first]
    for k in range(steps):
        at = torch.tensor([t - (t - s) * (k + 0.5) / steps], dtype=torch.float64)
        clean = torch.softmax(process.species_log_likelihood(e, at), -1)
        seen.append(clean)
        e = process.ode_step(e, process.velocity_from_clean(e, clean, at, 0 * at), at, at - (t - s) / steps)
    t_, dt = torch.tensor([t], dtype=torch.float64), torch.tensor([t - s], dtype=torch.float64)
    # the drift is affine in ``clean``: solve for the one that gives the average
    zero = process.velocity_from_clean(start, torch.zeros_like(start), t_, dt)
    slope = process.velocity_from_clean(start, torch.ones_like(start), t_, dt) - zero
    clean = ((start - e) / (t - s) - zero) / slope
    torch.testing.assert_close(clean.sum(-1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)
    lowest, highest = torch.stack(seen).amin(0), torch.stack(seen).amax(0)
    assert bool((clean > lowest - 1e-4).all())
    assert bool((clean < highest + 1e-4).all())
    assert float((highest - lowest).max()) > 0.3


def test_velocity_from_clean_is_the_velocity_of_a_known_point():
    process = ElementProcess()
    e0, eps = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = 0.01 + 0.99 * torch.rand(50, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    e_t = process.corrupt(e0, eps, t)
    torch.testing.assert_close(
        process.velocity_from_clean(e_t, e0, t, 0 * t), process.velocity(e0, eps, t), rtol=0, atol=1e-9
    )
    # and over a finite step it leads along the same path
    s = 0.7 * t
    torch.testing.assert_close(
        process.ode_step(e_t, process.velocity_from_clean(e_t, e0, t, t - s), t, s),
        process.corrupt(e0, eps, s),
    )


def test_velocity_from_noise_agrees_away_from_the_end():
    process = ElementProcess()
    e0, eps, t = (torch.tensor([value], dtype=torch.float64) for value in (0.3, -1.1, 0.4))
    e_t = process.corrupt(e0, eps, t)
    torch.testing.assert_close(process.velocity_from_noise(e_t, eps, t), process.velocity(e0, eps, t))


def test_nothing_diverges_at_the_ends():
    process = ElementProcess()
    e, v, z = (torch.tensor([value], dtype=torch.float64) for value in (0.3, -1.1, 0.5))
    one, most, zero = (torch.tensor([value], dtype=torch.float64) for value in (1.0, 0.9, 0.0))
    for sampler in SAMPLERS:
        for t, s in ((one, most), (one, zero), (most, zero)):
            assert bool(torch.isfinite(take(process, sampler, e, v, t, s, z)).all())
