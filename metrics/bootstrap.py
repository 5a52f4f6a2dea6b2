"""Bootstrap intervals over structures, and the groups of methods that they cannot tell apart.

Generated structures are independent, so they are what is resampled. Every error of a leaderboard is a
function of a mean over structures (an RMSD of an averaged curve, a mean absolute error, the root of a mean
square), which turns the resampling into one product of a matrix of multinomial weights with the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError

_BLOCK = 4_000_000
"""Drawn indices held at once: 32 MB, however many structures there are."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its bootstrap interval.

    value: the statistic of all structures
    low, high: the interval of probability ``level``
    samples: bootstrap resamples
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
    """Interval of ``statistic`` of the mean over structures.

    values [s] or [s, k]: one number or curve per structure
    statistic: from means over structures, [] or [k], to a number, for any number of leading dimensions:
        ``[samples] -> [samples]`` or ``[samples, k] -> [samples]``; the mean itself where left out.
        ``rmsd_to(reference)`` and ``numpy.sqrt`` (of squared errors) are such functions.

    The interval is the spread of the resamples about their own mean, set about the value: a resampled curve
    is noisier than the curve it was drawn from, so the RMSDs of the resamples all lie above the RMSD, and
    their plain percentiles could leave it out. For a mean it is the percentile interval.

    AmsbenchError for fewer than two structures and for values that are not finite (drop and count failures
    first).
    """
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
            for weights in _resampling_weights(len(values), samples, seed)
        ]
    )
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - resampled.mean()
    return Interval(
        value=value, low=value + float(low), high=value + float(high), level=level, samples=samples
    )


def rmsd_to(reference: ArrayLike) -> Callable[[np.ndarray], np.ndarray]:
    """The statistic of a structural error: the RMSD of mean curves [..., bins] from ``reference`` [bins]."""
    target = np.asarray(reference, dtype=np.float64)

    def rmsd(means: np.ndarray) -> np.ndarray:
        if means.shape[-1:] != target.shape:
            raise AmsbenchError(
                f"curves of {means.shape[-1]} bins cannot be compared with a reference of shape "
                f"{target.shape}; use the same bins"
            )
        return np.sqrt(np.mean((means - target) ** 2, axis=-1))

    return rmsd


def _resampling_weights(n: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of weights [resamples, n]: how often each of ``n`` structures was drawn, over n."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _BLOCK // n)
    for start in range(0, samples, at_once):
        resamples = min(at_once, samples - start)
        drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
        yield np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n) / n


def tie_groups(
    intervals: Mapping[str, Interval | None], *, lower_is_better: bool = True
) -> list[tuple[str, ...]]:
    """Names in groups of ties, the best group first.

    The first group is the name with the best value and all whose intervals overlap its interval; the next
    begins with the best of the others, and so on. Within a group names are ordered by value. A name without
    an interval (nothing could be measured) is in no group.
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
