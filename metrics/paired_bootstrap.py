"""Paired bootstrap of the difference between two sets of structures, and the correction for several comparisons.

Structures of the same index of two results share target and noise, so their errors are correlated. Overlap of two
intervals ignores this, and it is no test: intervals may overlap where the difference is significant. Here the indices
of the structures are resampled for both results together, and the difference of the statistics has an interval and a
p-value of its own. The null hypothesis is that the difference is 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .bootstrap import resampling_weights

SIGNIFICANCE = 0.05
"""Corrected p-value below which two results are distinguished."""
RESAMPLES = 9_999

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The difference of a statistic between two results, first - second.

    value: of all structures
    low, high: ends of its bootstrap interval
    level: probability of the interval, between 0 and 1
    p_value: two-sided, of the hypothesis that there is no difference; at least 1 / (samples + 1)
    samples: number of bootstrap resamples
    """

    value: float
    low: float
    high: float
    level: float
    p_value: float
    samples: int


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, samples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Difference of the means over structures of two results, ``mean(first) - mean(second)``.

    first, second [s]: an error per structure; structures of the same index share target and noise

    AmsbenchError for arrays of different lengths, for fewer than two structures and for values that are not finite.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise AmsbenchError(
            "a paired difference needs the same structures in both results, "
            f"got shapes {first.shape} and {second.shape}"
        )
    return paired_differences(first - second, samples=samples, level=level, seed=seed)[0]


def paired_differences(
    differences: ArrayLike, *, samples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> list[PairedDifference]:
    """Mean differences of several pairs of results with the same structures, resampled together.

    differences [s] or [s, pairs]: difference of the errors of each structure

    The bootstrap is studentised: a resampled mean is divided by the standard error of its own resample, so that the
    p-value is right for few structures and skewed errors, too.
    AmsbenchError for fewer than two structures and for values that are not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) < 2:
        raise AmsbenchError(
            f"a paired bootstrap needs two or more structures, got differences of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise AmsbenchError("a paired bootstrap needs a finite error of every structure of both results")
    _check_level(level)
    mean, error = (
        values.mean(axis=0),
        _standard_error(values.mean(axis=0), (values**2).mean(axis=0), len(values)),
    )
    centred = values - mean
    deviations = np.concatenate(
        [
            _studentised(weights @ centred, weights @ centred**2, len(values))
            for weights in resampling_weights(len(values), samples, seed)
        ]
    )
    width = np.quantile(np.abs(deviations), level, axis=0, method="higher") * error
    observed = _ratio(np.abs(mean), error)
    # a constant difference has no spread: it is certain, or there is none
    hits = np.where(error > 0, (np.abs(deviations) >= observed).sum(axis=0), np.where(mean == 0, samples, 0))
    width = np.where(error > 0, width, 0.0)
    return [
        PairedDifference(
            value=float(mean[k]),
            low=float(mean[k] - width[k]),
            high=float(mean[k] + width[k]),
            level=level,
            p_value=float((1 + hits[k]) / (1 + samples)),
            samples=samples,
        )
        for k in range(values.shape[1])
    ]


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """p-values corrected for the number of comparisons by Holm's step-down method, in the order of ``p_values``.

    Among the comparisons whose corrected p-value is below a level, any is false with at most that probability.
    """
    ranked = sorted(p_values, key=lambda name: p_values[name])
    corrected: dict[Name, float] = {}
    highest = 0.0
    for rank, name in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - rank) * p_values[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}


def tied_with_best(
    values: Mapping[Name, float], corrected: Mapping[Name, float], *, significance: float = SIGNIFICANCE
) -> tuple[Name, ...]:
    """The name with the lowest value and all that cannot be distinguished from it, ordered by value.

    corrected: p-value of the difference to the best of every other name, from ``holm``
    """
    ranked = sorted(values, key=lambda name: values[name])
    return tuple(name for k, name in enumerate(ranked) if k == 0 or corrected[name] >= significance)


def _standard_error(mean: np.ndarray, mean_square: np.ndarray, n: int) -> np.ndarray:
    """Standard error of a mean over n structures; rounding leaves no error where all values are the same."""
    variance = np.maximum(mean_square - mean**2, 0.0)
    variance = np.where(variance <= 1e-12 * mean_square, 0.0, variance)
    return np.sqrt(variance / (n - 1))


def _studentised(mean: np.ndarray, mean_square: np.ndarray, n: int) -> np.ndarray:
    """Resampled deviations over the standard error of their own resample."""
    return _ratio(mean, _standard_error(mean, mean_square, n))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient; infinite where the denominator alone is 0, and 0 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = numerator / denominator
    return np.where(np.isnan(quotient), 0.0, quotient)


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise AmsbenchError(f"the level of an interval lies between 0 and 1, not {level}; 0.95 is usual")
