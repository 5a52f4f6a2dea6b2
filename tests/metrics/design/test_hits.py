import numpy as np
import pytest

from amsbench.errors import AmsbenchError
from amsbench.metrics.design.hits import CONDITIONS, hit_scores, wilson_interval


def conditions(**changed):
    return {name: np.ones(10, dtype=bool) for name in CONDITIONS} | changed


def test_a_structure_that_meets_every_condition_is_a_hit():
    scores = hit_scores(conditions(), {"shear_modulus": 1.5})
    assert (scores.hits, scores.share, scores.requested) == (10, 1.0, 10)
    assert scores.tolerance == {"shear_modulus": 1.5}


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_condition_alone_costs_the_hit(name):
    met = np.arange(10) < 4
    scores = hit_scores(conditions(**{name: met}), {})
    assert scores.hits == 4
    assert getattr(scores, name) == 4
    assert all(getattr(scores, other) == 10 for other in CONDITIONS if other != name)


def test_conditions_have_to_be_met_by_the_same_structures():
    scores = hit_scores(conditions(measured=np.arange(10) < 5, novel=np.arange(10) >= 5), {})
    assert (scores.measured, scores.novel, scores.hits) == (5, 5, 0)


def test_unanswered_requests_count():
    # refusing the difficult half cannot raise the share
    everything = hit_scores(conditions(within_tolerance=np.arange(10) < 3), {})
    refusing = hit_scores(conditions(within_tolerance=np.arange(10) < 3, measured=np.arange(10) < 5), {})
    assert everything.share == refusing.share == 0.3


@pytest.mark.parametrize("successes", [0, 1, 5, 31, 64])
def test_wilson_interval_covers_the_share_with_its_probability(successes):
    low, high = wilson_interval(successes, 64)
    assert 0 <= low <= successes / 64 <= high <= 1
    assert high > low
    from scipy.stats import binomtest

    interval = binomtest(successes, 64).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_incomplete_conditions_are_refused():
    incomplete = conditions()
    del incomplete["novel"]
    with pytest.raises(AmsbenchError, match="novel"):
        hit_scores(incomplete, {})
    with pytest.raises(AmsbenchError, match="one value per structure"):
        hit_scores(conditions(novel=np.ones(3, dtype=bool)), {})
    with pytest.raises(AmsbenchError, match="one value per structure"):
        hit_scores({name: np.zeros(0, dtype=bool) for name in CONDITIONS}, {})
