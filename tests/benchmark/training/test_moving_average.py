"""Moving averages of the weights: width, independence of the batch size, what is forgotten."""

import numpy as np
import pytest

from amsbench.benchmark.training.moving_average import WIDEST, power_decay, power_exponent, step_decay


def profile(width, batch, total):
    """Weights of the structures seen at each step in the average after ``total``, and these structures."""
    seen = np.arange(batch, total + 1, batch)
    weights = np.zeros(len(seen))
    for k, n in enumerate(seen):
        decay = power_decay(width, n - batch, n)
        weights[:k] *= decay
        weights[k] = 1 - decay
    return weights, seen


@pytest.mark.parametrize("width", [0.02, 0.05, 0.1, 0.25])
@pytest.mark.parametrize("total", [6_400, 64_000])
def test_the_width_is_a_share_of_the_training_at_any_length(width, total):
    weights, seen = profile(width, 4, total)
    assert weights.sum() == pytest.approx(1)
    mean = weights @ seen
    assert np.sqrt(weights @ (seen - mean) ** 2) / total == pytest.approx(width, rel=0.01)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_batches_of_4_and_of_64_give_the_same_average_of_a_smooth_path(width):
    """To the first order in the batch over the width: that is what the steps themselves leave open."""
    total, averages = 128_000, {}
    for batch in (4, 64):
        weights, seen = profile(width, batch, total)
        averages[batch] = weights @ np.exp(-seen / 20_000)
    expected = np.array([n ** power_exponent(width) for n in np.linspace(0, 1, 100_001)])
    path = np.exp(-np.linspace(0, total, 100_001) / 20_000)
    exact = (expected * path).sum() / expected.sum()
    assert averages[4] == pytest.approx(exact, rel=5e-4)
    assert averages[64] == pytest.approx(averages[4], rel=5e-3)


@pytest.mark.parametrize("before", [1, 40, 4_000])
def test_a_step_of_64_forgets_as_much_as_16_steps_of_4(before):
    single = np.prod([power_decay(0.1, n, n + 4) for n in range(before, before + 64, 4)])
    assert single == pytest.approx(power_decay(0.1, before, before + 64))


def test_the_first_step_forgets_the_weights_before_it():
    assert power_decay(0.1, 0, 4) == 0


def test_exponents_are_those_of_the_publication():
    """arXiv 2312.02696, 3.1: sigma_rel of 0.05 and 0.10 are gammas of 16.97 and 6.94."""
    assert power_exponent(0.05) == pytest.approx(16.97, abs=0.005)
    assert power_exponent(0.10) == pytest.approx(6.94, abs=0.005)
    assert power_exponent(WIDEST) == pytest.approx(0, abs=1e-6)


def test_a_decay_per_step_warms_up():
    assert step_decay(0.999, 0) == 0.1
    assert step_decay(0.999, 10**6) == 0.999
