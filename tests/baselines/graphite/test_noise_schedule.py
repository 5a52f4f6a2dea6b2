"""The scale of the position noise by material, and the noise times of a training."""

from dataclasses import replace

import pytest

from amsbench.baselines.graphite.noise_schedule import LEAST_TIME, noise_scale, training_times


def test_the_noise_is_about_half_a_bond(silicon, silica):
    glass = replace(silica, elements=("Si", "P", "Al", "Li", "Be", "K", "Ca", "Ti", "Ba", "Zn", "O"))
    assert [noise_scale(task) for task in (silicon, silica, glass)] == [1.25, 0.9, 0.9]
    carbon = replace(silicon, elements=("C",), dataset="own")
    assert noise_scale(carbon) == pytest.approx(0.85)  # the original has 0.8 A
    assert noise_scale(replace(silicon, elements=("O",))) == pytest.approx(0.75)  # oxygen alone is no oxide


def test_the_name_of_the_dataset_does_not_matter(silica):
    assert noise_scale(replace(silica, dataset="own-glass")) == noise_scale(silica)


def test_training_times_widen_from_early_ones_to_all():
    assert training_times(0.0, 0.25) == (0.1, 0.2)
    assert training_times(0.25, 0.25) == (0.1, 0.2)
    least, most = training_times(0.4, 0.25)
    assert LEAST_TIME < least < 0.1
    assert 0.2 < most < 1
    assert training_times(0.625, 0.25) == pytest.approx((LEAST_TIME, 1.0))
    assert training_times(0.0, 0.0) == pytest.approx((LEAST_TIME, 1.0))
