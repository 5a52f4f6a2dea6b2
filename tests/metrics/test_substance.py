import numpy as np
import pytest

from amsbench.errors import AmsbenchError
from amsbench.metrics.substance import composition_distances, composition_model


def test_the_model_recovers_a_linear_law_and_its_noise():
    rng = np.random.default_rng(0)
    fractions = rng.dirichlet([2, 3, 4], size=4000)
    noise = rng.normal(size=4000)
    model = composition_model(fractions, fractions @ [-5.0, -3.0, -7.0] + 0.2 * noise)
    assert model.coefficients == pytest.approx([-5.0, -3.0, -7.0], abs=0.05)
    assert model.deviation == pytest.approx(0.2, rel=0.05)
    deviations = model.deviations(fractions, fractions @ [-5.0, -3.0, -7.0] + 0.6)
    assert deviations.mean() == pytest.approx(3.0, rel=0.05)


def test_one_composition_has_a_mean_and_a_standard_deviation():
    rng = np.random.default_rng(1)
    values = rng.normal(-6.6, 0.05, size=200)
    fractions = np.tile([1 / 3, 2 / 3], (200, 1))
    model = composition_model(fractions, values)
    assert model.deviation == pytest.approx(values.std(ddof=1))
    assert model.deviations(fractions[:1], np.array([values.mean()]))[0] == pytest.approx(0, abs=1e-9)


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
