"""Inverse-design errors against analytic values and scipy."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import spearmanr

from amsbench.errors import AmsbenchError
from amsbench.metrics.design.inverse_design import TrainingLabels, inverse_design_errors


def labels(mean, low=0.0, high=60.0):
    return TrainingLabels(mean=mean, standard_deviation=3.0, low=low, high=high)


def test_errors_by_hand_with_one_failure():
    result = inverse_design_errors([10, 20, 40, 50], [12, 19, np.nan, 45], training=labels(25))
    assert (result.requested, result.measured) == (4, 3)
    assert result.coverage == pytest.approx(75.0)
    assert result.mae == pytest.approx((2 + 1 + 5) / 3)
    assert result.rmse == pytest.approx(np.sqrt((4 + 1 + 25) / 3))
    assert result.mape == pytest.approx(100 * (0.2 + 0.05 + 0.1) / 3)
    # The labels go from 0 to 60: the worst answer to 40 is 0.
    assert result.penalised_mae == pytest.approx((2 + 1 + 40 + 5) / 4)
    assert result.worst_mae == pytest.approx((50 + 40 + 40 + 50) / 4)
    assert result.training_mean_mae == pytest.approx((15 + 5 + 15 + 25) / 4)
    assert result.spearman == pytest.approx(1.0)


def test_failures_at_difficult_targets_lower_the_mae_but_not_the_penalised_one():
    target = np.linspace(10, 50, 41)
    honest = 0.5 * target + 12
    hiding = np.where(np.abs(honest - target) > 4, np.nan, honest)
    honest_errors, hiding_errors = (
        inverse_design_errors(target, y, training=labels(24)) for y in (honest, hiding)
    )
    assert hiding_errors.mae < honest_errors.mae
    assert hiding_errors.penalised_mae > honest_errors.penalised_mae


@pytest.mark.parametrize("answer", [-1000.0, 0.0, 24.0, 60.0, 1000.0])
def test_leaving_an_answer_out_never_lowers_the_penalised_error(answer):
    target = np.linspace(10, 50, 9)
    answers = np.random.default_rng(0).normal(target, 10)
    for k in range(9):
        answers[k] = answer
        refused = answers.copy()
        refused[k] = np.nan
        answered = inverse_design_errors(target, answers, training=labels(24))
        assert (
            inverse_design_errors(target, refused, training=labels(24)).penalised_mae
            >= answered.penalised_mae
        )


def test_answering_the_mean_and_refusing_the_difficult_half_loses_to_answering_the_mean():
    target = np.linspace(10, 50, 40)
    mean = np.full(40, 24.0)
    refusing = np.where(np.abs(target - 24) > 10, np.nan, mean)
    every, half = (inverse_design_errors(target, y, training=labels(24)) for y in (mean, refusing))
    assert half.mae < every.mae
    assert half.penalised_mae > 2 * every.penalised_mae


def test_statistics_of_labels():
    statistics = TrainingLabels.of([1.0, np.nan, 3.0])
    assert statistics == TrainingLabels(mean=2.0, standard_deviation=1.0, low=1.0, high=3.0)
    assert statistics.worst_errors(np.array([0.0, 2.5, 9.0])) == pytest.approx([3.0, 1.5, 8.0])
    with pytest.raises(AmsbenchError, match="no training structure has a label"):
        TrainingLabels.of([np.nan])


def test_always_the_training_mean_has_the_error_of_the_training_mean():
    target = np.linspace(10, 50, 20)
    result = inverse_design_errors(target, np.full(20, 24.0), training=labels(24.0))
    assert result.mae == result.penalised_mae == result.training_mean_mae
    assert result.spearman is None
    assert result.shuffled is None


def test_without_measured_structures_only_the_penalised_error_exists():
    result = inverse_design_errors([10, 30], [np.nan, np.nan], training=labels(24))
    assert result.coverage == 0.0
    assert result.penalised_mae == result.worst_mae == pytest.approx((50 + 30) / 2)
    assert result.training_mean_mae == pytest.approx((14 + 6) / 2)
    for name in (
        "mae",
        "rmse",
        "mape",
        "mae_interval",
        "rmse_interval",
        "spearman",
        "spearman_low",
        "shuffled",
    ):
        assert getattr(result, name) is None


@pytest.mark.parametrize("n", [1, 2])
def test_few_structures_have_errors_but_no_correlation(n):
    result = inverse_design_errors(np.arange(1.0, n + 1), np.arange(2.0, n + 2), training=labels(0))
    assert result.mae == pytest.approx(1.0)
    assert result.spearman is None
    assert (result.mae_interval is None) == (n == 1)


def test_no_field_is_ever_nan():
    for obtained in ([np.nan] * 4, [1, np.nan, np.nan, np.nan], [1, 1, 2, np.nan], [3, 1, 2, 5]):
        result = inverse_design_errors([1, 2, 3, 4], obtained, training=labels(2), samples=50)
        json.dumps(asdict(result), allow_nan=False)


def test_the_percentage_error_of_a_zero_target_does_not_exist():
    result = inverse_design_errors([0, 10], [1, 11], training=labels(5))
    assert result.mape is None
    assert result.mae == pytest.approx(1.0)


def test_percentage_errors_at_one_target_are_the_mae_over_the_target():
    # 15 % lithium for all structures, as in Table 3 of the paper.
    obtained = np.random.default_rng(0).normal(15, 2, size=50)
    result = inverse_design_errors(np.full(50, 15.0), obtained, training=labels(2.0))
    assert result.mape == pytest.approx(100 * result.mae / 15)
    assert result.spearman is None


def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(1)
    target = rng.integers(0, 8, size=60).astype(float)
    obtained = np.round(target + rng.normal(scale=3, size=60))
    result = inverse_design_errors(target, obtained, training=labels(4))
    assert result.spearman == pytest.approx(spearmanr(target, obtained).statistic)
    assert result.spearman_low < result.spearman < result.spearman_high


def test_the_interval_of_spearman_narrows_as_fisher_says():
    rng = np.random.default_rng(2)
    target = rng.normal(size=500)
    obtained = 0.6 * target + 0.8 * rng.normal(size=500)
    result = inverse_design_errors(target, obtained, training=labels(0))
    centre = np.arctanh(result.spearman)
    width = 1.96 * np.sqrt((1 + result.spearman**2 / 2) / 497)
    assert result.spearman_low == pytest.approx(np.tanh(centre - width), abs=0.02)
    assert result.spearman_high == pytest.approx(np.tanh(centre + width), abs=0.02)


def test_permuted_targets_do_not_correlate_with_obtained_values():
    rng = np.random.default_rng(3)
    target = np.linspace(10, 50, 100)
    result = inverse_design_errors(target, target + rng.normal(scale=3, size=100), training=labels(24))
    control = result.shuffled
    assert abs(control.correlation) < 0.02
    # The rank correlation of independent values has the variance 1/(n - 1).
    assert control.high == pytest.approx(1.96 / np.sqrt(99), rel=0.12)
    assert control.low == pytest.approx(-1.96 / np.sqrt(99), rel=0.12)
    assert control.p_value == pytest.approx(1 / 1001)
    # Mean distance between two uniform random numbers in an interval of length 40.
    assert control.mae == pytest.approx(40 / 3, rel=0.06)


def test_values_independent_of_the_target_look_like_the_control():
    rng = np.random.default_rng(4)
    target = np.linspace(10, 50, 200)
    result = inverse_design_errors(target, rng.normal(24, 3, size=200), training=labels(24))
    assert result.shuffled.low < result.spearman < result.shuffled.high
    assert result.shuffled.p_value > 0.025
    assert result.mae == pytest.approx(result.shuffled.mae, rel=0.05)


def test_reversed_order_is_a_correlation_of_minus_one():
    target = np.linspace(10, 50, 30)
    result = inverse_design_errors(target, -target, training=labels(24))
    assert result.spearman == pytest.approx(-1.0)
    assert result.shuffled.p_value == pytest.approx(1.0)


def test_order_does_not_matter_and_seeds_repeat():
    rng = np.random.default_rng(5)
    target, order = np.linspace(1, 5, 40), rng.permutation(40)
    obtained = target + rng.normal(size=40)
    obtained[3] = np.nan
    first = inverse_design_errors(target, obtained, training=labels(3))
    assert inverse_design_errors(target, obtained, training=labels(3)) == first
    again = inverse_design_errors(target[order], obtained[order], training=labels(3))
    for name in ("mae", "rmse", "mape", "penalised_mae", "spearman", "coverage"):
        assert getattr(again, name) == pytest.approx(getattr(first, name))


@pytest.mark.parametrize(
    ("target", "obtained", "message"),
    [
        ([1, 2], [1], "one target and one obtained"),
        ([], [], "one target and one obtained"),
        ([1, np.nan], [1, 2], "every structure needs a target"),
        ([1, 2], [1, np.inf], "pass NaN"),
    ],
)
def test_mistakes_are_named(target, obtained, message):
    with pytest.raises(AmsbenchError, match=message):
        inverse_design_errors(target, obtained, training=labels(2))
