"""Distance between the distributions of a scalar, such as the density, over two sets of structures.

The Wasserstein-1 distance is the mean distance by which values have to be moved to make one distribution of the other:
a shift of all values by d has the distance d, and a generator that always makes the mean has that of the spread, which
the difference of the means does not see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .bootstrap import Interval, resampling_weights, shifted_interval
from .distribution_functions import Curves
from .structural_errors import FrozenCurve

FLOOR_POINTS = 400
"""Most values of the reference at which its distribution function is evaluated for the noise floor."""

SAME_VALUE = 1e-6
"""Values of a smaller relative spread are one value, apart from rounding in single precision."""


@dataclass(frozen=True, kw_only=True)
class DistributionDistance:
    """Wasserstein-1 distance of a set of structures from reference structures.

    value: in the unit of the scalar
    interval: 95 % bootstrap interval over structures; None for a single structure
    floor: expected distance of as many structures of a perfect generator
    mean_difference: mean of the set minus mean of the reference, at most ``value`` in size
    standard_deviation: of the scalar over independent reference structures; None where all have one value
    """

    value: float
    interval: Interval | None
    floor: float
    mean_difference: float
    standard_deviation: float | None

    def in_deviations(self, number: float) -> float | None:
        """A distance in standard deviations of the reference; None where all reference structures have one value."""
        return None if self.standard_deviation is None else number / self.standard_deviation


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceValues:
    """Values of a scalar over reference structures.

    values [s]: in ascending order
    variance: of one structure, over independent structures (within and between melts)
    cumulative: shares of structures with at most the values ``cumulative.grid``, and their variances
    widths: distances between the neighbouring values whose middles are ``cumulative.grid``
    """

    values: np.ndarray
    variance: float
    cumulative: FrozenCurve
    widths: np.ndarray

    @classmethod
    def from_values(
        cls, values: ArrayLike, groups: ArrayLike, *, population: tuple[ArrayLike, ArrayLike] | None = None
    ) -> ReferenceValues:
        """Reference of finite values [s] with the number of the independent simulation (melt) of each, [s].

        population: values and groups of more simulations, for a reference from a single one, as of ``FrozenCurve``
        AmsbenchError as of ``FrozenCurve.from_curves``, and for values that are not finite.
        """
        numbers = _finite(values)
        further = None if population is None else (_finite(population[0]), population[1])
        everything = np.sort(numbers if further is None else np.concatenate([numbers, further[0]]))
        # between two neighbouring values the distribution function is constant; of many values some are enough
        ranks = (
            np.linspace(0, len(everything) - 1, min(len(everything), FLOOR_POINTS + 1)).round().astype(int)
        )
        edges = np.unique(everything[ranks])
        middles = (edges[1:] + edges[:-1]) / 2

        def frozen(of: np.ndarray, grid: np.ndarray, cumulative: bool) -> Curves:
            column = of[:, None]
            return Curves(grid=grid, values=(column <= grid).astype(np.float64) if cumulative else column)

        curves = [
            FrozenCurve.from_curves(
                frozen(numbers, grid, cumulative),
                groups,
                population=None if further is None else (frozen(further[0], grid, cumulative), further[1]),
            )
            for grid, cumulative in ((np.zeros(1), False), (middles, True))
        ]
        return cls(
            values=np.sort(numbers),
            variance=float(curves[0].variance[0]),
            cumulative=curves[1],
            widths=np.diff(edges),
        )

    @property
    def standard_deviation(self) -> float | None:
        """Standard deviation over independent structures; None where all have one value."""
        deviation = float(np.sqrt(self.variance))
        return deviation if deviation > SAME_VALUE * float(np.abs(self.values).max()) else None

    def floor(self, samples: int) -> float:
        """Noise floor: expected distance of ``samples`` structures of a perfect generator, in the unit of the values.

        A perfect generator is that of ``FrozenCurve.floor``. AmsbenchError for less than one structure.
        """
        # The distance is the integral of the absolute difference of two distribution functions. At each value this
        # difference is a sum of independent terms of variance F (1 - F) / n + V, close to normal, and the expected size
        # of a normal number is sqrt(2 / pi) of its standard deviation.
        if samples < 1:
            raise AmsbenchError(f"a noise floor of {samples} structures does not exist; give at least one")
        variance = self.cumulative.variance / samples + self.cumulative.mean_variance
        return float(np.sqrt(2.0 / np.pi) * np.sum(self.widths * np.sqrt(variance)))

    def distance(
        self, values: ArrayLike, *, samples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> DistributionDistance:
        """Distance of the values [n] of a set of structures from this reference.

        samples, level, seed: of the bootstrap interval
        AmsbenchError for no values and for values that are not finite (leave failed structures out and count them).
        """
        ours = np.sort(_finite(values))
        places = np.unique(np.concatenate([ours, self.values]))
        widths = np.diff(places)
        theirs = np.searchsorted(self.values, places[:-1], side="right") / len(self.values)
        rank = np.searchsorted(ours, places[:-1], side="right")

        def distances() -> Iterator[np.ndarray]:
            """Distances of resampled sets, in blocks; the sums of the weights are their distribution functions."""
            for weights in resampling_weights(len(ours), samples, seed, row_length=len(places)):
                shares = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)
                yield np.abs(shares[:, rank] - theirs) @ widths

        value = float(np.abs(rank / len(ours) - theirs) @ widths)
        return DistributionDistance(
            value=value,
            interval=shifted_interval(value, np.concatenate(list(distances())), level)
            if len(ours) > 1
            else None,
            floor=self.floor(len(ours)),
            mean_difference=float(ours.mean() - self.values.mean()),
            standard_deviation=self.standard_deviation,
        )


def _finite(values: ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise AmsbenchError(
            f"a distribution needs one finite value per structure and at least one structure, got shape "
            f"{numbers.shape} with {np.count_nonzero(~np.isfinite(numbers))} not finite; leave failed structures out "
            "and count them"
        )
    return numbers
