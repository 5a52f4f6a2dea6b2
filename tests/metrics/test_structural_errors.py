"""Errors of mean curves: their size in analytic cases, and the noise floor against simulated perfect generators."""

import numpy as np
import pytest

from amsbench.errors import AmsbenchError
from amsbench.metrics.distribution_functions import Curves
from amsbench.metrics.structural_errors import (
    FrozenCurve,
    curve_rmsd,
    ideal_gas,
    noise_corrected,
    squared_errors,
    wasserstein,
)

SKEWED = [[13.0, 0.0, 0.0], [5.5, 12.0, 0.0], [-4.0, 3.5, 12.5]]
BINS = 60


def test_rmsd_of_a_constant_offset_is_the_offset():
    assert curve_rmsd(np.arange(5.0), np.arange(5.0) + 0.25) == pytest.approx(0.25)
    with pytest.raises(AmsbenchError, match="same bins"):
        curve_rmsd(np.zeros(5), np.zeros(6))


def test_squared_errors_are_the_jackknife_of_the_squared_rmsd():
    rng = np.random.default_rng(3)
    values, reference = rng.normal(size=(12, 20)), rng.normal(size=20)
    squared = curve_rmsd(values.mean(axis=0), reference) ** 2
    without = [curve_rmsd(np.delete(values, k, axis=0).mean(axis=0), reference) ** 2 for k in range(12)]
    np.testing.assert_allclose(squared_errors(values, reference), 12 * squared - 11 * np.array(without))
    assert squared_errors(values[:1], reference) == pytest.approx([curve_rmsd(values[0], reference) ** 2])


def test_the_mean_of_squared_errors_has_no_sampling_noise():
    rng = np.random.default_rng(4)
    means = [squared_errors(0.3 + rng.normal(size=(8, 20)), np.zeros(20)).mean() for _ in range(2_000)]
    assert np.mean(means) == pytest.approx(0.3**2, abs=4 * np.std(means) / np.sqrt(2_000))


def test_wasserstein_of_a_shifted_peak_is_the_shift():
    grid = np.linspace(0, 5, 101)
    peak = np.exp(-(((grid - 2) / 0.2) ** 2))
    shifted = np.exp(-(((grid - 2.5) / 0.2) ** 2))
    assert wasserstein(peak, shifted, grid) == pytest.approx(0.5, rel=1e-6)
    assert wasserstein(peak, 3 * peak, grid) == pytest.approx(0, abs=1e-12)
    with pytest.raises(AmsbenchError, match="not all zero"):
        wasserstein(peak, 0 * peak, grid)


def curves_of(values):
    return Curves(grid=np.arange(values.shape[1], dtype=float), values=values)


class Melts:
    """Synthetic simulations: snapshots of one melt share a deviation, and neighbouring bins fluctuate together."""

    def __init__(self, between, within, seed=0):
        self.between, self.within, self.random = between, within, np.random.default_rng(seed)
        distance = np.arange(BINS)[:, None] - np.arange(BINS)
        self.root = np.linalg.cholesky(np.exp(-((distance / 3.0) ** 2) / 2) + 1e-6 * np.eye(BINS))
        self.scale = 1.0 + np.sin(np.arange(BINS) / 5.0)  # bins differ in their noise
        self.mean = np.cos(np.arange(BINS) / 7.0)

    def _noise(self, count):
        return self.random.normal(size=(count, BINS)) @ self.root.T * self.scale

    def draw(self, sizes):
        """Curves and groups of melts with these numbers of snapshots."""
        groups = np.repeat(np.arange(len(sizes)), sizes)
        shared = self.between * self._noise(len(sizes))[groups]
        return curves_of(self.mean + shared + self.within * self._noise(len(groups))), groups

    def mean_of_independent(self, count):
        """Mean curve of so many snapshots of a melt each; the mean of Gaussian curves is one Gaussian curve."""
        scale = np.sqrt((self.between**2 + self.within**2) / count)
        return self.mean + scale * self._noise(1)[0]


@pytest.mark.parametrize("samples", [1, 8, 64, 1000])
@pytest.mark.parametrize(
    ("between", "within", "sizes"),
    [
        (0.0, 1.0, [1] * 40),
        (0.0, 1.0, [20] * 6),
        (0.5, 0.5, [20] * 6),
        (0.5, 0.5, [20, 10, 20, 10, 15, 20, 10]),
    ],
    ids=["independent", "uncorrelated snapshots", "correlated snapshots", "melts of several sizes"],
)
def test_a_perfect_generator_scores_the_floor(between, within, sizes, samples):
    melts = Melts(between, within, seed=samples)
    squares, floors = [], []
    for _ in range(800):
        frozen = FrozenCurve.from_curves(*melts.draw(sizes))
        squares.append(curve_rmsd(melts.mean_of_independent(samples), frozen.mean) ** 2)
        floors.append(frozen.floor(samples) ** 2)
    assert np.mean(floors) == pytest.approx(np.mean(squares), rel=0.08)  # 4 % of the floor


@pytest.mark.parametrize("reused", [False, True], ids=["held-out reference", "training set as the reference"])
def test_the_floor_is_the_same_whether_a_model_was_trained_on_the_reference(reused):
    """A perfect model does not depend on its training set; copies of the reference score less than the floor."""
    melts = Melts(0.4, 0.6, seed=5)
    training, groups = melts.draw([10] * 30)
    reference = (training, groups) if reused else melts.draw([10] * 30)
    frozen = FrozenCurve.from_curves(*reference)
    perfect = [curve_rmsd(melts.mean_of_independent(300), frozen.mean) for _ in range(200)]
    assert frozen.floor(300) > 0
    # one reference: its own error, drawn once, is a third of the square with some 20 independent components
    assert np.sqrt(np.mean(np.square(perfect))) == pytest.approx(frozen.floor(300), rel=0.3)
    rows = np.random.default_rng(0).integers(300, size=(200, 300))
    copies = [curve_rmsd(reference[0].values[row].mean(axis=0), frozen.mean) for row in rows]
    assert np.mean(copies) < 0.75 * frozen.floor(300)


def test_the_floor_is_that_of_the_known_variances():
    melts = Melts(0.5, 0.8, seed=1)
    frozen = FrozenCurve.from_curves(*melts.draw([4] * 3000))
    shape = melts.scale**2
    np.testing.assert_allclose(frozen.variance, (0.5**2 + 0.8**2) * shape, rtol=0.1, atol=0.005)
    np.testing.assert_allclose(
        frozen.mean_variance, (0.5**2 + 0.8**2 / 4) / 3000 * shape, rtol=0.2, atol=1e-6
    )
    assert (frozen.samples, frozen.groups) == (12_000, 3000)
    expected = np.sqrt(np.mean(frozen.variance / 7 + frozen.mean_variance))
    assert frozen.floor(7) == pytest.approx(expected)


def test_independent_structures_have_the_usual_variances():
    values = np.random.default_rng(2).normal(size=(17, BINS))
    frozen = FrozenCurve.from_curves(curves_of(values), np.arange(17))
    np.testing.assert_allclose(frozen.variance, values.var(axis=0, ddof=1))
    np.testing.assert_allclose(frozen.mean_variance, values.var(axis=0, ddof=1) / 17)


def test_melts_of_equal_snapshots_are_one_structure_each():
    values = np.random.default_rng(3).normal(size=(9, BINS))
    repeated = FrozenCurve.from_curves(curves_of(np.repeat(values, 5, axis=0)), np.repeat(np.arange(9), 5))
    single = FrozenCurve.from_curves(curves_of(values), np.arange(9))
    np.testing.assert_allclose(repeated.variance, single.variance)
    np.testing.assert_allclose(repeated.mean_variance, single.mean_variance)


def test_the_floor_does_not_depend_on_the_order_or_the_numbers_of_the_melts():
    curves, groups = Melts(0.5, 0.5).draw([3, 5, 2])
    order = np.random.default_rng(0).permutation(10)
    other = FrozenCurve.from_curves(curves_of(curves.values[order]), 100 - 7 * groups[order])
    assert other.floor(12) == pytest.approx(FrozenCurve.from_curves(curves, groups).floor(12))


def test_the_root_of_the_mean_square_is_little_more_than_the_mean_error():
    """By 1 / (4 k) for k independent components: here single bins, all of the same noise."""
    random = np.random.default_rng(4)
    for components in (2, 10, 60):
        errors = np.sqrt(np.mean(random.normal(size=(20_000, components)) ** 2, axis=1))
        assert 1 - errors.mean() / np.sqrt(np.mean(errors**2)) == pytest.approx(1 / (4 * components), rel=0.2)


def test_one_melt_takes_its_variances_from_further_simulations():
    melts, squares, floors = Melts(0.5, 0.5, seed=6), [], []
    for _ in range(800):
        reference, groups = melts.draw([12])
        frozen = FrozenCurve.from_curves(reference, groups, population=melts.draw([12] * 8))
        squares.append(curve_rmsd(melts.mean_of_independent(20), frozen.mean) ** 2)
        floors.append(frozen.floor(20) ** 2)
    assert (frozen.samples, frozen.groups) == (12, 1)
    assert np.mean(floors) == pytest.approx(np.mean(squares), rel=0.1)


def test_a_floor_that_cannot_be_estimated_is_refused():
    curves, groups = Melts(0.5, 0.5).draw([4])
    with pytest.raises(AmsbenchError, match="4 reference structures of 1 independent"):
        FrozenCurve.from_curves(curves, groups)
    with pytest.raises(AmsbenchError, match="4 curves need a group each"):
        FrozenCurve.from_curves(curves, groups[:3])
    with pytest.raises(AmsbenchError, match="no structures"):
        FrozenCurve.from_curves(curves_of(np.zeros((0, BINS))), np.zeros(0))
    with pytest.raises(AmsbenchError, match="floor of 0 structures"):
        FrozenCurve.from_curves(*Melts(0.5, 0.5).draw([1, 1])).floor(0)


def test_noise_correction_recovers_the_error_under_the_noise():
    rng = np.random.default_rng(3)
    true_error, noise = 0.05, 0.04
    rmsd = np.sqrt(np.mean((true_error + rng.normal(scale=noise, size=200_000)) ** 2))
    assert noise_corrected(rmsd, noise) == pytest.approx(true_error, rel=0.01)
    assert noise_corrected(0.03, 0.04) == 0.0


def test_an_ideal_gas_fills_its_cells_evenly():
    gas = ideal_gas(np.array([SKEWED, np.eye(3) * 6]), np.array([20_000, 10]), seed=1)
    fractional = gas.positions[:20_000] @ np.linalg.inv(SKEWED)
    assert fractional.min() >= 0
    assert fractional.max() <= 1
    np.testing.assert_allclose(fractional.mean(axis=0), 0.5, atol=0.01)
    assert not np.array_equal(gas.positions, ideal_gas(gas.cells, gas.counts, seed=2).positions)
