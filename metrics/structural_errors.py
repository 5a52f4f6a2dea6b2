"""Errors of mean distribution functions, with noise floor and ceiling for comparison.

The error of a set of structures is the distance of its mean g(r) or P(theta) from that of reference structures:
RMSD over bins (paper, Eq. 18) and Wasserstein-1 distance. The noise floor is the RMSD of training structures
themselves, the ceiling that of random positions.
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


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """RMSD of the mean curve of training structures from the reference, at the number of structures of a run.

    value: mean over the draws
    samples: number of training structures in a draw
    resamples: number of draws
    """

    value: float
    samples: int
    resamples: int


def noise_floor(
    reference: Curves, train: Curves, samples: int, *, resamples: int = 200, seed: int = 0
) -> NoiseFloor:
    """RMSD that a perfect generator would have: that of ``samples`` training structures from ``reference``.

    resamples: random draws of training structures without replacement, over which the RMSD is averaged

    The floor holds the finite-sample noise of both sets and the difference between melts. If the reference is the
    training set (protocol ``paper``), it holds the finite-sample noise of the draw alone. Raises AmsbenchError if
    there are fewer than ``samples`` training structures.
    """
    if not 1 <= samples <= len(train):
        raise AmsbenchError(
            f"a noise floor for {samples} samples needs that many training structures, but there are "
            f"{len(train)}; compare fewer samples or use a larger dataset"
        )
    if samples == len(train):
        # The whole training set can be drawn in one way only.
        return NoiseFloor(value=curve_rmsd(train.mean, reference.mean), samples=samples, resamples=1)
    rng = np.random.default_rng(seed)
    reference_curve = reference.mean
    draws = (rng.choice(len(train), size=samples, replace=False) for _ in range(resamples))
    errors = [curve_rmsd(train.values[draw].mean(axis=0), reference_curve) for draw in draws]
    return NoiseFloor(value=float(np.mean(errors)), samples=samples, resamples=resamples)


def noise_corrected(rmsd: float, floor: float) -> float:
    """Part of an RMSD that finite sampling does not explain: sqrt(max(rmsd^2 - floor^2, 0)).

    Independent noise of zero mean adds to the squared deviation. Zero means that the structures cannot be
    distinguished from training structures at this number of structures, not that they are perfect.
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
