"""Errors of mean distribution functions, with noise floor and ceiling for comparison.

The error of a set of structures is the distance of its mean g(r) or P(theta) from that of reference structures:
RMSD over bins (paper, Eq. 18) and Wasserstein-1 distance. The noise floor is the RMSD that finite numbers of structures
give a perfect generator, the ceiling that of random positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .distribution_functions import Curves
from .neighbours.packed import PackedStructures, cartesian


def curve_rmsd(a: ArrayLike, b: ArrayLike) -> float:
    """Root mean square deviation over bins of two curves [bins] (paper, Eq. 18)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise AmsbenchError(f"curves of shapes {a.shape} and {b.shape} cannot be compared; use the same bins")
    return float(np.sqrt(np.mean((a - b) ** 2)))


def wasserstein(a: ArrayLike, b: ArrayLike, grid: ArrayLike) -> float:
    """Wasserstein-1 distance in the unit of ``grid`` between two curves [bins], each normalised to unit sum.

    Unlike the RMSD it grows with the distance by which a peak is displaced, and it does not depend on the height of
    a curve. Raises AmsbenchError for a curve that is zero everywhere (no pairs or no angles) or negative anywhere.
    """
    from scipy.stats import wasserstein_distance

    a, b, grid = (np.asarray(curve, dtype=np.float64) for curve in (a, b, grid))
    if not (a.shape == b.shape == grid.shape and a.ndim == 1):
        raise AmsbenchError(
            f"curves of shapes {a.shape} and {b.shape} need one grid, got one of {grid.shape}"
        )
    for curve in (a, b):
        if not curve.sum() > 0 or (curve < 0).any():
            raise AmsbenchError(
                "a Wasserstein distance needs curves that are nowhere negative and not all zero"
            )
    return float(wasserstein_distance(grid, grid, a, b))


def squared_errors(values: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """A number [s] for each structure, whose mean is the squared RMSD of the mean curve without its sampling noise.

    values [s, bins]: one curve per structure; reference [bins]

    They are the jackknife's pseudo-values of the squared RMSD, s T - (s - 1) T without the structure: the spread of
    their mean is the error of the squared RMSD, and near the noise floor larger than it, so that a paired test of two
    sets is right or too careful. A single structure has the square of its own RMSD.
    """
    values, reference = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    mean = values.mean(axis=0)
    own, common = values - mean, mean - reference
    pseudo: np.ndarray = np.mean(common**2) + 2.0 * np.mean(own * common, axis=1)
    return pseudo if len(values) < 2 else pseudo - np.mean(own**2, axis=1) / (len(values) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenCurve:
    """The mean curve of reference structures, with the variances that its noise floor follows from.

    grid [bins]: centres of the bins
    mean [bins]: mean over the structures
    variance [bins]: variance of the curve of one structure, over independent structures (within and between melts)
    mean_variance [bins]: variance of ``mean`` over repetitions of all reference simulations
    samples: number of reference structures
    groups: number of independent simulations (melts) that they come from
    """

    grid: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    mean_variance: np.ndarray
    samples: int
    groups: int

    @classmethod
    def from_curves(
        cls,
        reference: Curves,
        groups: ArrayLike,
        *,
        population: tuple[Curves, ArrayLike] | None = None,
    ) -> FrozenCurve:
        """Mean and variances of the curves of reference structures.

        groups [s]: number of the independent simulation of each structure; snapshots of one melt are correlated
        population: curves and groups of more simulations of the same kind, from which both variances are estimated
            where all reference structures come from one simulation, which says nothing about the next one

        Raises AmsbenchError for no structures, and where all structures come from a single simulation.
        """
        mean, sizes = reference.mean, _group_sizes(reference, groups)
        curves, curve_groups, share = reference, groups, 1.0
        if len(sizes) == 1 and population is not None:
            curves, curve_groups = population
            weights = _group_sizes(curves, curve_groups) / len(curves)
            # the means of melts are taken to have one variance v, so that that of the population is v sum w^2
            share = 1.0 / float(np.sum(weights**2))
        variance, mean_variance = _variances(curves, curve_groups)
        return cls(
            grid=reference.grid,
            mean=mean,
            variance=variance,
            mean_variance=share * mean_variance,
            samples=len(reference),
            groups=len(sizes),
        )

    def floor(self, samples: int) -> float:
        """Noise floor: root of the expected squared RMSD of ``samples`` structures of a perfect generator.

        A perfect generator draws independent structures from the distribution that the reference simulations draw
        from, without having seen any of them, so that one formula holds for held-out and for training structures as
        the reference. AmsbenchError for less than one structure.
        """
        # In a bin the mean of n generated structures deviates from the true mean by a random number of variance
        # s^2 / n, and that of the reference by an independent one of variance V. The square of their difference is
        # s^2 / n + V on average, and the mean over bins is that of these numbers, however the bins are correlated.
        #
        # noise_corrected subtracts squares, so it needs this root of an expectation. The expected RMSD itself is
        # smaller, by about 1 / (4 k) of it for k independently fluctuating components of the curve.
        if samples < 1:
            raise AmsbenchError(f"a noise floor of {samples} structures does not exist; give at least one")
        return float(np.sqrt(np.mean(self.variance / samples + self.mean_variance)))


def _group_sizes(curves: Curves, groups: ArrayLike) -> np.ndarray:
    """Number of structures of each group; AmsbenchError if there is not one group number per curve."""
    labels = np.asarray(groups)
    if labels.shape != (len(curves),):
        raise AmsbenchError(
            f"{len(curves)} curves need a group each, got groups of shape {labels.shape}; number the simulations"
        )
    return np.unique(labels, return_counts=True)[1]


def _variances(curves: Curves, groups: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Variances [bins] of the curve of one structure, and of the mean of all curves, correlated within groups."""
    # The mean is sum_g w_g m_g over group means m_g, with weights w_g = n_g / n. Groups are independent, so that its
    # variance is sum_g w_g^2 var(m_g). The squared residual (m_g - mean)^2 is smaller than var(m_g) on average, because
    # the mean follows its own groups: by the factor 1 - w_g, exactly so for groups of one size, and for independent
    # structures in groups of any size (CR2 of Bell and McCaffrey, Survey Methodology 28, 169, 2002).
    sizes = _group_sizes(curves, groups)
    if len(sizes) < 2:
        raise AmsbenchError(
            f"{len(curves)} reference structures of {len(sizes)} independent simulation(s) do not show how simulations "
            "differ; a noise floor needs structures of two or more (groups of the dataset)"
        )
    number = np.unique(np.asarray(groups), return_inverse=True)[1]
    residuals = curves.values - curves.mean
    sums = np.zeros((len(sizes), residuals.shape[1]))
    np.add.at(sums, number, residuals)
    weights = sizes / len(curves)
    mean_variance = np.sum((sums / len(curves)) ** 2 / (1.0 - weights)[:, None], axis=0)
    # Squares about the sample mean are smaller than squares about the true mean by the square of its error.
    return np.mean(residuals**2, axis=0) + mean_variance, mean_variance


def noise_corrected(rmsd: float, floor: float) -> float:
    """Part of an RMSD that finite sampling does not explain: sqrt(max(rmsd^2 - floor^2, 0)).

    Independent noise of zero mean adds to the squared deviation, so that ``floor`` is the root of a mean square
    (``FrozenCurve.floor``). Zero means that this number of structures cannot be told from structures of the data, not
    that they are perfect.
    """
    return float(np.sqrt(max(rmsd**2 - floor**2, 0.0)))


def ideal_gas(cells: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> PackedStructures:
    """Structures of atoms at independent, uniformly random positions.

    cells [s, 3, 3]: A, rows are lattice vectors
    counts [s]: number of atoms of each structure
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts, dtype=np.int64)
    cells = np.asarray(cells, dtype=np.float64)
    fractional = rng.random((int(counts.sum()), 3))
    positions = cartesian(fractional, np.repeat(cells, counts, axis=0))
    return PackedStructures(positions=positions, cells=cells, counts=counts)
