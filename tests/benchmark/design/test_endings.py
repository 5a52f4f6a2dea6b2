"""Endings: the statistics of a design without hits."""

import numpy as np
import pytest

from amsbench.benchmark.design.endings import ending_of, largest_share, out_of_reach
from amsbench.benchmark.design.records import DesignCosts

from .conftest import TARGET
from .test_bias import a_round


def test_the_largest_share_of_hits_is_exceeded_in_one_of_twenty_cases():
    random = np.random.default_rng(0)
    for trials in (8, 60):
        share = largest_share(trials)
        without = (random.random((20_000, trials)) > share).all(axis=1).mean()
        assert without == pytest.approx(0.05, abs=0.006)
    assert largest_share(100) == pytest.approx(0.03, rel=0.02)


def spread(centre, count=8, deviation=1.0):
    return centre + deviation * np.linspace(-1.5, 1.5, count)


@pytest.mark.parametrize("side", [1, -1])
def test_a_target_is_out_of_reach_if_no_request_within_the_labels_brings_it_near(designs, side):
    request = designs.request()
    (target,) = request.targets
    low, high = target.asked_range
    end = high if side > 0 else low
    far = a_round(spread(TARGET - side * 20), asked=end)
    sentence = out_of_reach(request, target, [far, far])
    assert "is out of reach" in sentence
    assert ("below" if side > 0 else "above") in sentence
    # with room left, the obtained values may follow the asked one
    room = a_round(spread(TARGET - side * abs(end - TARGET)), asked=TARGET)
    assert out_of_reach(request, target, [room, room]) is None
    assert out_of_reach(request, target, [far]) is None
    near = a_round(spread(TARGET - side * 3), asked=end)
    assert out_of_reach(request, target, [near, near]) is None


def test_with_few_structures_of_the_right_substance_more_rounds_are_compared(designs):
    request = designs.request(target=TARGET + 20.0)
    (target,) = request.targets
    few = a_round(spread(TARGET - 20, count=4), asked=target.value)
    assert out_of_reach(request, target, [few, few]) is None
    assert "the last 12 structures" in out_of_reach(request, target, [few, few, few])


def test_nothing_is_said_of_too_few_values(designs):
    request = designs.request()
    (target,) = request.targets
    failed = a_round([np.nan] * 8)
    assert out_of_reach(request, target, [failed, failed]) is None


def test_without_a_hit_a_design_ends_when_its_budget_cannot_suffice(designs):
    request = designs.request(count=4, most=200)
    rounds = []
    while (ending := ending_of(request, rounds, DesignCosts())) is None:
        rounds.append(a_round(TARGET + np.array([3.0, -3.0] * 4)))
    tried = 8 * len(rounds)
    assert ending.kind == "unreachable"
    assert 4 / largest_share(tried) > 200 - tried
    assert 4 / largest_share(tried - 8) <= 200 - tried + 8
    assert f"none of {tried} structures is a hit" in ending.sentence


def test_a_budget_of_minutes_ends_a_design_that_has_hits(designs):
    request = designs.request(count=4, minutes=2.0)
    one = a_round([TARGET] * 8)
    one.rows[0]["hit"] = True
    assert ending_of(request, [one], DesignCosts(wall_seconds=60.0)) is None
    ending = ending_of(request, [one], DesignCosts(wall_seconds=121.0))
    assert ending.kind == "spent"
    assert "1 of 4 glasses" in ending.sentence


def test_a_target_that_was_reached_once_is_not_called_out_of_reach(designs):
    request = designs.request(target=TARGET + 20.0)
    low = a_round(spread(TARGET - 20), asked=request.targets[0].asked_range[1])
    assert ending_of(request, [low, low], DesignCosts()).kind == "unreachable"
    low.rows[0]["hit"] = True
    assert ending_of(request, [low, low], DesignCosts()) is None
