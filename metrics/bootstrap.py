"""Bootstrap confidence intervals over structures, and groups of methods whose intervals overlap.

Generated structures are independent of each other, so structures are resampled. Every error in a leaderboard is a
function of a mean over structures: an RMSD of an averaged curve, a mean absolute error, the root of a mean square.
All resampled means are therefore one product of a matrix of multinomial weights with the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError

_BLOCK = 4_000_000
"""Largest number of random indices held in memory at once (32 MB)."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its bootstrap confidence interval.

    value: the statistic of all structures
    low, high: ends of the interval, in the unit of the value
    level: probability of the interval, between 0 and 1
    samples: number of bootstrap resamples
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # stored results refuse fields that are not here

    value: float
    low: float
    high: float
    level: float
    samples: int

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals have a value in common."""
        return self.low <= other.high and other.low <= self.high


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap confidence interval of ``statistic`` of the mean over structures.

    values [s] or [s, k]: one number or one curve per structure
    statistic: maps means over structures to numbers, for any leading dimensions: ``[samples] -> [samples]`` or
        ``[samples, k] -> [samples]``, for example ``rmsd_to(reference)``, or ``numpy.sqrt`` of squared errors.
        The default is the mean itself.

    The interval is the spread of the resampled statistics about their own mean, shifted to ``value``. For a mean it
    equals the percentile interval.

    Raises AmsbenchError for fewer than two structures and for values that are not finite (remove and count failed
    structures first).
    """
    # Plain percentiles would be biased for an RMSD: a resampled curve is noisier than the curve that it was drawn
    # from, so that the RMSDs of all resamples can lie above the RMSD of the data.
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) < 2:
        raise AmsbenchError(
            f"a bootstrap interval needs two or more structures, got values of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise AmsbenchError(
            "a bootstrap interval needs finite values; leave failed structures out and count them"
        )
    if not 0.0 < level < 1.0:
        raise AmsbenchError(f"the level of an interval lies between 0 and 1, not {level}; 0.95 is usual")
    if statistic is None:
        if values.ndim == 2:
            raise AmsbenchError(
                "an interval of curves needs a statistic that makes one number of a mean curve"
            )
        statistic = np.asarray
    value = float(statistic(values.mean(axis=0)))
    resampled = np.concatenate(
        [
            np.asarray(statistic(weights @ values), dtype=np.float64)
            for weights in resampling_weights(len(values), samples, seed)
        ]
    )
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - resampled.mean()
    return Interval(
        value=value, low=value + float(low), high=value + float(high), level=level, samples=samples
    )


def rmsd_to(reference: ArrayLike) -> Callable[[np.ndarray], np.ndarray]:
    """Function that returns the RMSD of mean curves [..., bins] from ``reference`` [bins] (paper, Eq. 18)."""
    reference_curve = np.asarray(reference, dtype=np.float64)

    def rmsd(means: np.ndarray) -> np.ndarray:
        if means.shape[-1:] != reference_curve.shape:
            raise AmsbenchError(
                f"curves of {means.shape[-1]} bins cannot be compared with a reference of shape "
                f"{reference_curve.shape}; use the same bins"
            )
        return np.sqrt(np.mean((means - reference_curve) ** 2, axis=-1))

    return rmsd


def resampling_weights(n: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of weights [resamples, n]: how many times each of ``n`` structures was drawn, divided by n."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, samples, block):
        resamples = min(block, samples - start)
        drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
        yield np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n) / n


def tie_groups(
    intervals: Mapping[str, Interval | None], *, lower_is_better: bool = True
) -> list[tuple[str, ...]]:
    """Groups of names that are tied, the best group first.

    The first group holds the name with the best value and all names whose intervals overlap its interval. The next
    group is made of the remaining names in the same way, and so on. Within a group names are ordered by value.
    Names without an interval (nothing could be measured) are in no group.
    """
    measured = {name: interval for name, interval in intervals.items() if interval is not None}
    sign = 1.0 if lower_is_better else -1.0
    ranked = sorted(measured, key=lambda name: sign * measured[name].value)
    groups: list[tuple[str, ...]] = []
    while ranked:
        best = measured[ranked[0]]
        group = tuple(name for name in ranked if measured[name].overlaps(best))
        groups.append(group)
        ranked = [name for name in ranked if name not in group]
    return groups
