import numpy as np
import pytest

from amsbench.errors import AmsbenchError
from amsbench.metrics.design.substance import composition_distances, composition_model


def test_the_model_recovers_a_linear_law_and_its_noise():
    rng = np.random.default_rng(0)
    fractions = rng.dirichlet([2, 3, 4], size=4000)
    noise = rng.normal(size=4000)
    model = composition_model(fractions, fractions @ [-5.0, -3.0, -7.0] + 0.2 * noise)
    assert len(model.coefficients) == 3 + 3
    assert model.deviation == pytest.approx(0.2, rel=0.05)
    deviations = model.deviations(fractions, fractions @ [-5.0, -3.0, -7.0] + 0.6)
    assert deviations.mean() == pytest.approx(3.0, rel=0.05)


def test_the_model_recovers_products_of_fractions():
    rng = np.random.default_rng(3)
    fractions = rng.dirichlet([2, 3, 4], size=400)
    values = (
        fractions @ [-5.0, -3.0, -7.0] + 4.0 * fractions[:, 0] * fractions[:, 2] + 0.01 * rng.normal(size=400)
    )
    model = composition_model(fractions, values)
    assert model.deviation == pytest.approx(0.01, rel=0.1)
    beyond = rng.dirichlet([2, 3, 4], size=400)
    expected = beyond @ [-5.0, -3.0, -7.0] + 4.0 * beyond[:, 0] * beyond[:, 2]
    assert np.abs(model.deviations(beyond, expected)).max() < 1


def test_leverage_does_not_hide_the_noise():
    # as many parameters as half of the structures: the residuals of a fit alone would be too small
    rng = np.random.default_rng(4)
    fractions = rng.dirichlet(np.ones(6), size=42)
    deviations = [composition_model(fractions, rng.normal(size=42)).deviation for _ in range(20)]
    assert 0.9 < np.mean(deviations) < 2.5


def test_one_composition_has_a_mean_and_a_standard_deviation():
    rng = np.random.default_rng(1)
    values = rng.normal(-6.6, 0.05, size=200)
    fractions = np.tile([1 / 3, 2 / 3], (200, 1))
    model = composition_model(fractions, values)
    assert model.deviation == pytest.approx(values.std(ddof=1), rel=0.01)
    assert model.deviations(fractions[:1], np.array([values.mean()]))[0] == pytest.approx(0, abs=1e-3)


def test_structures_without_a_value_are_left_out():
    rng = np.random.default_rng(2)
    fractions = rng.dirichlet([2, 3], size=50)
    values = rng.normal(size=50)
    with_gaps = np.concatenate([values, [np.nan, np.nan]])
    more = np.concatenate([fractions, fractions[:2]])
    assert composition_model(more, with_gaps) == composition_model(fractions, values)


def test_too_few_or_constant_values_are_refused():
    with pytest.raises(AmsbenchError, match="too few"):
        composition_model(np.array([[0.5, 0.5], [0.4, 0.6]]), np.array([1.0, 2.0]))
    with pytest.raises(AmsbenchError, match="the same in all structures"):
        composition_model(np.ones((20, 1)), np.full(20, 2.5))


def test_compositions_are_compared_with_the_nearest_of_the_training_set():
    training = np.array([[0.3, 0.7], [0.5, 0.5]])
    distances = composition_distances(np.array([[0.3, 0.7], [0.4, 0.6], [0.9, 0.1]]), training)
    assert distances == pytest.approx([0.0, 0.1, 0.4])


def test_distances_of_distributions_are_in_standard_deviations():
    rng = np.random.default_rng(5)
    fractions = np.ones((1000, 1))
    model = composition_model(fractions, rng.normal(-3.6, 0.02, size=1000))
    same = model.deviations(fractions, rng.normal(-3.6, 0.02, size=1000))
    hot = model.deviations(fractions, rng.normal(-3.6, 0.02, size=1000) + 0.3)
    wide = model.deviations(fractions, rng.normal(-3.6, 0.06, size=1000))
    assert model.distance(same) < 0.15
    assert model.distance(hot) == pytest.approx(15, rel=0.05)
    # the same mean, but three times as wide: the mean absolute difference of the quantiles
    assert model.distance(wide) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.1)
    assert model.distance(np.array([np.nan])) is None
