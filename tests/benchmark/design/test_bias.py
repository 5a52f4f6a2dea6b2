"""The shift of asked values: the bias, less what chance alone would show."""

import numpy as np
import pytest

from amsbench.benchmark.design.bias import FEWEST, asked_values, robust_deviation, shrunk_bias
from amsbench.benchmark.design.records import DesignCosts, JudgedRound

from .conftest import PROPERTY, TARGET


def a_round(obtained, asked=TARGET, right=True):
    rows = [
        {PROPERTY: value, "measured": True, "right_substance": right, "within_tolerance": False, "hit": False}
        for value in obtained
    ]
    frames = [None] * len(rows)
    return JudgedRound(
        first=0, asked={PROPERTY: asked}, frames=frames, relaxed=frames, rows=rows, costs=DesignCosts()
    )


def test_the_deviation_of_normal_values_is_theirs_and_outliers_do_not_matter():
    values = 3.0 * np.random.default_rng(0).normal(size=20_000)
    assert robust_deviation(values) == pytest.approx(3.0, rel=0.03)
    values[:1000] = 1e6
    assert robust_deviation(values) == pytest.approx(3.0, rel=0.1)


def test_a_large_bias_is_corrected_in_full_and_chance_is_not():
    noise = np.random.default_rng(1).normal(size=1000)
    assert shrunk_bias(10.0 + noise) == pytest.approx(10.0, abs=0.15)
    assert shrunk_bias(np.array([-2.0, -1.0, 0.1, 1.0, 2.0])) == 0.0
    assert shrunk_bias(np.full(FEWEST - 1, 5.0)) == 0.0
    assert shrunk_bias(np.full(FEWEST, 5.0)) == 5.0


def test_the_shift_goes_against_the_bias_and_stays_in_the_range_of_the_labels(designs):
    request = designs.request()
    (target,) = request.targets
    low, high = target.asked_range
    assert asked_values(request, 1, [a_round(TARGET - 3.0 + np.zeros(8))]) == {PROPERTY: TARGET + 3.0}
    assert asked_values(request, 1, [a_round(TARGET + 3.0 + np.zeros(8))]) == {PROPERTY: TARGET - 3.0}
    assert asked_values(request, 1, [a_round(TARGET - 30.0 + np.zeros(8))]) == {PROPERTY: high}
    assert asked_values(request, 1, [a_round(TARGET + 30.0 + np.zeros(8))]) == {PROPERTY: low}


def test_another_substance_and_failures_show_no_bias(designs):
    request = designs.request()
    assert asked_values(request, 1, [a_round(TARGET - 3.0 + np.zeros(8), right=False)]) == {PROPERTY: TARGET}
    mixed = a_round([np.nan] * 4 + [TARGET - 3.0] * 4)
    assert asked_values(request, 1, [mixed]) == {PROPERTY: TARGET + 3.0}


def test_a_round_does_not_depend_on_the_one_before_it_but_the_first_two(designs):
    request = designs.request()
    first, other = a_round(TARGET - 2.0 + np.zeros(8)), a_round(TARGET + 9.0 + np.zeros(8))
    assert asked_values(request, 0, []) == {PROPERTY: TARGET}
    assert asked_values(request, 2, [first]) == asked_values(request, 2, [first, other])
    assert asked_values(request, 3, [first, first, other]) == asked_values(request, 1, [first])


def test_without_correction_the_target_is_asked_for(designs):
    request = designs.request(corrects=False)
    assert asked_values(request, 1, [a_round(TARGET - 3.0 + np.zeros(8))]) == {PROPERTY: TARGET}
