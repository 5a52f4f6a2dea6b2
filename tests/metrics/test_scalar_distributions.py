"""Distances between distributions of a scalar: analytic cases, scipy, and simulated perfect generators."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from amsbench.benchmark.datasets.inspection import mass_density
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.errors import AmsbenchError
from amsbench.metrics.scalar_distributions import ReferenceValues


def reference_of(values):
    return ReferenceValues.from_values(values, np.arange(len(values)))


def melts(random, sizes, between, within):
    """Values of snapshots that share the deviation of their melt, and their groups."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    values = between * random.normal(size=len(sizes))[groups] + within * random.normal(size=len(groups))
    return 2.3 + values, groups


def test_the_distance_is_that_of_scipy():
    random = np.random.default_rng(0)
    reference = random.gamma(3.0, size=70)
    for ours in (random.normal(2, 1, 40), reference[:9], np.array([5.0]), np.repeat(reference, 2)):
        distance = reference_of(reference).distance(ours)
        assert distance.value == pytest.approx(wasserstein_distance(ours, reference), abs=1e-12)
        assert distance.mean_difference == pytest.approx(ours.mean() - reference.mean())


def test_a_shift_is_its_own_distance():
    values = np.random.default_rng(1).normal(2.2, 0.05, 300)
    distance = reference_of(values).distance(values - 0.03)
    assert distance.value == pytest.approx(0.03)
    assert distance.mean_difference == pytest.approx(-0.03)
    assert distance.in_deviations(distance.value) == pytest.approx(0.03 / values.std(ddof=1))


def test_a_lack_of_variety_is_seen_where_the_means_are_equal():
    values = np.random.default_rng(2).normal(0, 1, 20_000)
    values -= values.mean()
    # between normal distributions of deviations 1 and s it is abs(1 - s) times the mean size of a normal number
    for factor in (0.0, 0.5, 1.5):
        distance = reference_of(values).distance(factor * values, samples=2)
        assert distance.value == pytest.approx(abs(1 - factor) * np.sqrt(2 / np.pi), rel=0.02)
        assert distance.mean_difference == pytest.approx(0, abs=1e-12)


def test_the_unit_does_not_matter_in_standard_deviations():
    random = np.random.default_rng(3)
    ours, theirs = random.normal(0.2, 1, 50), random.normal(0, 1, 80)
    one, other = reference_of(theirs).distance(ours), reference_of(7 - 100 * theirs).distance(7 - 100 * ours)
    for name in ("value", "floor"):
        assert getattr(other, name) == pytest.approx(100 * getattr(one, name))
        first, second = (d.in_deviations(getattr(d, name)) for d in (one, other))
        assert second == pytest.approx(first)
    assert other.mean_difference == pytest.approx(-100 * one.mean_difference)


@pytest.mark.parametrize("samples", [8, 64, 1000])
@pytest.mark.parametrize(
    ("sizes", "between", "within"),
    [([1] * 60, 0.0, 1.0), ([20] * 8, 0.7, 0.7), ([20] * 8, 0.0, 1.0), ([1] * 900, 0.0, 1.0)],
    ids=["independent", "correlated snapshots", "uncorrelated snapshots", "large reference"],
)
def test_a_perfect_generator_has_the_distance_of_the_floor(sizes, between, within, samples):
    random = np.random.default_rng(samples)
    distances, floors = [], []
    for _ in range(200):
        reference = ReferenceValues.from_values(*melts(random, sizes, between, within))
        ours, _ = melts(random, [1] * samples, between, within)
        distances.append(wasserstein_distance(ours, reference.values))
        floors.append(reference.floor(samples))
    assert np.mean(floors) == pytest.approx(np.mean(distances), rel=0.08)


def test_intervals_cover_the_true_distance():
    """In about 95 % of repeated experiments, for a shift of a standard deviation."""
    random = np.random.default_rng(4)
    reference = reference_of(random.normal(0, 1, 5000))
    hits = 0
    for _ in range(200):
        distance = reference.distance(random.normal(1 + reference.values.mean(), 1, 40), samples=200)
        hits += distance.interval.low <= 1.0 <= distance.interval.high
    assert 0.88 * 200 < hits <= 200


def test_one_structure_has_no_interval():
    assert reference_of(np.arange(10.0)).distance([3.0]).interval is None


def test_equal_values_have_no_standard_deviation():
    """Such as densities of given cells, which differ by rounding only."""
    densities = np.float32(2.41) + np.array([0, 1e-7, -1e-7, 0])
    distance = reference_of(densities).distance(densities + 0.5)
    assert distance.standard_deviation is None
    assert distance.in_deviations(distance.value) is None
    assert distance.value == pytest.approx(0.5)
    assert reference_of(np.full(4, 2.0)).floor(5) == 0.0


def test_held_out_densities_are_those_of_the_training_set():
    """Structures of the training melts of silica stand for a perfect generator."""
    silica = load_dataset("asio2")
    held_out, training = silica.split("test"), silica.split("train")
    reference = ReferenceValues.from_values(mass_density(held_out), held_out.groups)
    distance = reference.distance(mass_density(training))
    assert distance.value < 2.5 * distance.floor
    assert distance.in_deviations(distance.value) < 0.3
    stretched = reference.distance(mass_density(training) * 1.1)
    assert stretched.interval.low > 4 * distance.floor


def test_a_single_melt_takes_its_variance_from_further_simulations():
    random = np.random.default_rng(5)
    values, groups = melts(random, [30], 1.0, 0.1)
    with pytest.raises(AmsbenchError, match="1 independent"):
        ReferenceValues.from_values(values, groups)
    reference = ReferenceValues.from_values(values, groups, population=melts(random, [30] * 40, 1.0, 0.1))
    assert reference.standard_deviation == pytest.approx(1.0, rel=0.3)
    assert np.array_equal(reference.values, np.sort(values))
    distances = []
    for _ in range(300):
        other, _ = melts(random, [30], 1.0, 0.1)
        ours, _ = melts(random, [1] * 50, 1.0, 0.1)
        distances.append(wasserstein_distance(ours, other))
    assert reference.floor(50) == pytest.approx(np.mean(distances), rel=0.2)  # 40 melts estimate one spread


def test_mistakes_are_named():
    reference = reference_of(np.arange(5.0))
    with pytest.raises(AmsbenchError, match="1 not finite"):
        reference.distance([1.0, np.nan])
    with pytest.raises(AmsbenchError, match="at least one structure"):
        reference.distance([])
    with pytest.raises(AmsbenchError, match="floor of 0 structures"):
        reference.floor(0)
    with pytest.raises(AmsbenchError, match="5 curves need a group each"):
        ReferenceValues.from_values(np.arange(5.0), np.arange(4))
