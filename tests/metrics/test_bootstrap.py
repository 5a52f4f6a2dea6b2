"""Bootstrap intervals against known sampling distributions."""

import numpy as np
import pytest

from amsbench.errors import AmsbenchError
from amsbench.metrics.bootstrap import Interval, bootstrap_interval, rmsd_to, tie_groups


def test_the_interval_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    interval = bootstrap_interval(values, samples=4000)
    error = values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.exponential(size=60), samples=300, level=0.9, seed=trial)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.83 < hits / 300 < 0.95


def test_the_root_of_a_mean_square():
    errors = np.random.default_rng(2).normal(size=1000)
    interval = bootstrap_interval(errors**2, np.sqrt)
    assert interval.value == pytest.approx(np.sqrt(np.mean(errors**2)))
    # The standard deviation of the RMSE of n normal errors is 1/sqrt(2n).
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.15)


def test_the_interval_of_a_curves_rmsd_matches_repeated_experiments():
    rng = np.random.default_rng(3)
    reference = np.sin(np.linspace(0, 3, 40))
    shift = 0.1 * np.cos(np.linspace(0, 9, 40))

    def experiment():
        # Noise common to all bins, as of a density fluctuation, and independent noise of each bin.
        common = rng.normal(scale=0.5, size=(200, 1)) * shift / 0.1
        return reference + shift + common + rng.normal(scale=0.3, size=(200, 40))

    rmsds = [rmsd_to(reference)(experiment().mean(axis=0)) for _ in range(400)]
    widths, contains = [], 0
    for seed in range(20):
        curves = experiment()
        interval = bootstrap_interval(curves, rmsd_to(reference), samples=500, seed=seed)
        widths.append(interval.high - interval.low)
        assert interval.low < interval.value < interval.high
        contains += interval.low < np.mean(rmsds) < interval.high
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(rmsds), rel=0.2)
    assert contains >= 16


def test_an_interval_holds_its_value_even_at_the_noise_floor():
    # Here all RMSDs of resamples lie above the RMSD of the data, so that plain percentiles would exclude it.
    curves = np.random.default_rng(4).normal(size=(100, 200))
    interval = bootstrap_interval(curves, rmsd_to(np.zeros(200)))
    assert interval.low < interval.value < interval.high
    assert interval.low > 0


def test_blocks_do_not_change_the_result(monkeypatch):
    from amsbench.metrics import bootstrap

    values = np.random.default_rng(5).normal(size=(50, 3))
    whole = bootstrap_interval(values, rmsd_to(np.ones(3)), seed=7)
    monkeypatch.setattr(bootstrap, "_BLOCK", 120)
    blocks = bootstrap_interval(values, rmsd_to(np.ones(3)), seed=7)
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_the_seed_is_all_that_is_random():
    values = np.random.default_rng(6).normal(size=30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "two or more structures"),
        ([1.0, np.nan], "finite values"),
        (np.zeros((2, 2, 2)), "two or more structures"),
        (np.zeros((4, 2)), "needs a statistic"),
    ],
)
def test_values_that_have_no_interval_are_refused(values, message):
    with pytest.raises(AmsbenchError, match=message):
        bootstrap_interval(values)


def test_a_level_in_percent_is_refused():
    with pytest.raises(AmsbenchError, match="between 0 and 1, not 95"):
        bootstrap_interval([1.0, 2.0], level=95)


def test_a_reference_with_other_bins_is_refused():
    with pytest.raises(AmsbenchError, match="same bins"):
        bootstrap_interval(np.zeros((3, 4)), rmsd_to(np.zeros(5)))


def interval(low, value, high):
    return Interval(value=value, low=low, high=high, level=0.95, samples=1000)


def test_intervals_that_overlap_the_best_are_tied():
    intervals = {
        "far": interval(8, 9, 10),
        "best": interval(1, 2, 3),
        "near": interval(2.5, 3.5, 4.5),
        # Overlaps 'near' but not 'best': it begins the next group.
        "next": interval(4, 5, 6),
        "failed": None,
    }
    assert tie_groups(intervals) == [("best", "near"), ("next",), ("far",)]
    assert tie_groups(intervals, lower_is_better=False) == [("far",), ("next", "near"), ("best",)]
    assert tie_groups({"failed": None}) == []


def test_speed_at_the_papers_size(benchmark):
    values = np.random.default_rng(8).normal(size=(2000, 100))
    assert benchmark(bootstrap_interval, values, rmsd_to(np.zeros(100))).high > 0
