"""The paired bootstrap on synthetic errors: calibration, power, degenerate data; Holm's correction; ties."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from amsbench.errors import AmsbenchError
from amsbench.metrics.paired_bootstrap import (
    holm,
    paired_difference,
    paired_differences,
    tied_with_best,
)
from amsbench.metrics.structural_errors import squared_errors

TRIALS = 2_000
LEVEL = 0.05
BINOMIAL_ERROR = np.sqrt(LEVEL * (1 - LEVEL) / TRIALS)


def normal(rng, n):
    """Errors of two methods whose structures share targets and noise: half of the variance is common."""
    common = rng.normal(size=(n, TRIALS))
    return common + rng.normal(size=(n, TRIALS)), common + rng.normal(size=(n, TRIALS))


def absolute(rng, n):
    return tuple(np.abs(values) for values in normal(rng, n))


def with_failures(rng, n):
    """Errors of which a third is a charge for failure that depends on the target alone."""
    charge = rng.uniform(2.0, 6.0, size=(n, TRIALS))
    return tuple(np.where(rng.random((n, TRIALS)) < 1 / 3, charge, values) for values in absolute(rng, n))


@pytest.mark.parametrize("errors", [normal, absolute, with_failures])
def test_equal_methods_differ_in_one_of_twenty_trials(errors):
    first, second = errors(np.random.default_rng(1), 64)
    rate = np.mean([pair.p_value < LEVEL for pair in paired_differences(first - second, seed=2)])
    assert abs(rate - LEVEL) < 3 * BINOMIAL_ERROR


def test_the_interval_holds_the_true_difference_at_its_level():
    first, second = absolute(np.random.default_rng(3), 64)
    pairs = paired_differences(first + 0.7 - second, seed=4)
    covered = np.mean([pair.low <= 0.7 <= pair.high for pair in pairs])
    assert abs(covered - 0.95) < 3 * BINOMIAL_ERROR


def test_interval_and_p_value_agree():
    first, second = absolute(np.random.default_rng(5), 30)
    for pair in paired_differences(first[:, :300] + 0.3 - second[:, :300], samples=999):
        assert (pair.low > 0 or pair.high < 0) == (pair.p_value <= 0.05)


def test_p_values_of_normal_errors_are_those_of_student():
    first, second = normal(np.random.default_rng(6), 40)
    student = ttest_rel(first[:, :50], second[:, :50], axis=0).pvalue
    pairs = paired_differences(first[:, :50] - second[:, :50], samples=20_000)
    np.testing.assert_allclose([pair.p_value for pair in pairs], student, atol=0.03)


def test_pairing_distinguishes_what_independent_sets_do_not():
    """Power: the same errors with the structures of one method in another order have no common noise."""
    rng = np.random.default_rng(7)
    common = 2.0 * rng.normal(size=(64, 400))
    first, second = common + rng.normal(size=(64, 400)), common + 0.5 + rng.normal(size=(64, 400))
    paired = np.mean([pair.p_value < LEVEL for pair in paired_differences(first - second, samples=1_999)])
    unpaired = np.mean(
        [pair.p_value < LEVEL for pair in paired_differences(first - second[::-1], samples=1_999)]
    )
    assert paired > 0.7
    assert unpaired < 0.4


def false_positives(bias, n=128, trials=500):
    """Rate of differences between the mean curves of two methods that are wrong by the same ``bias`` in another bin."""
    rng = np.random.default_rng(8)
    biases = bias * np.eye(20)[[3, 12]]
    different = 0
    for _ in range(trials):
        common = rng.normal(size=(n, 20))
        curves = [common + 0.5 * rng.normal(size=(n, 20)) + own for own in biases]
        first, second = (squared_errors(of_method, np.zeros(20)) for of_method in curves)
        different += paired_difference(first, second, samples=999).p_value < LEVEL
    return different / trials


def test_squared_rmsds_of_equal_curves_differ_in_one_of_twenty_trials():
    error = np.sqrt(LEVEL * (1 - LEVEL) / 500)
    assert abs(false_positives(bias=2.0) - LEVEL) < 3 * error
    assert false_positives(bias=0.5) < LEVEL, "near the noise floor a difference is never claimed too often"


def test_equal_results_have_no_difference_and_constant_ones_are_certain():
    errors = np.random.default_rng(0).random(20)
    same = paired_difference(errors, errors)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    shifted = paired_difference(errors + 1, errors, samples=999)
    assert shifted.p_value == pytest.approx(1 / 1000)
    assert shifted.low == pytest.approx(1)
    assert shifted.high == pytest.approx(1)


def test_two_structures_distinguish_nothing():
    assert paired_difference([1.0, 2.0], [0.5, 0.1]).p_value > 0.3


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1.0, 2.0], [1.0], "the same structures in both results"),
        ([1.0], [2.0], "two or more structures"),
        ([1.0, np.nan], [2.0, 1.0], "a finite error of every structure"),
    ],
)
def test_errors_that_cannot_be_paired_are_refused(first, second, words):
    with pytest.raises(AmsbenchError, match=words):
        paired_difference(first, second)


def test_holm_by_hand():
    """0.01 * 4, 0.02 * 3, max(0.06, 0.03 * 2), max(0.06, 0.4 * 1)."""
    corrected = holm({"c": 0.03, "a": 0.01, "d": 0.4, "b": 0.02})
    assert list(corrected) == ["c", "a", "d", "b"]
    assert corrected == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.4})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_holds_the_rate_of_any_false_difference():
    rng = np.random.default_rng(10)
    wrong = np.mean([min(holm(dict(enumerate(p))).values()) < LEVEL for p in rng.random((TRIALS, 8))])
    assert abs(wrong - LEVEL) < 3 * BINOMIAL_ERROR


def test_ties_hold_the_best_and_what_cannot_be_distinguished_from_it():
    values = {"far": 3.0, "best": 1.0, "near": 1.2, "clear": 1.1}
    assert tied_with_best(values, {"far": 0.2, "near": 0.06, "clear": 0.04}) == ("best", "near", "far")
    assert tied_with_best({"only": 1.0}, {}) == ("only",)
