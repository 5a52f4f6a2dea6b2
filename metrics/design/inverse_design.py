"""Errors of inverse design: differences between target and obtained properties (paper, appendix B.7).

A structure whose property could not be measured has no error. Leaving such structures out rewards a method whose
difficult structures fail, and so does any charge for a failure that a poor answer can exceed. The headline is therefore
a mean absolute error over all requests, in which a failed structure has the error of the worst answer that the training
set holds. The error over the measured structures stands beside it with their share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ...errors import AmsbenchError
from ..bootstrap import Interval, bootstrap_interval


@dataclass(frozen=True, kw_only=True)
class ShuffledControl:
    """Errors of the same structures against randomly permuted targets, as of a method that ignores its target.

    correlation: mean Spearman correlation over the permutations
    low, high: interval of these correlations
    p_value: probability that permuted targets correlate at least as well as the real ones, (1 + hits) / (1 + N)
    mae: mean absolute error over the permutations, in the unit of the property
    level: probability of the interval, between 0 and 1
    permutations: number of permutations, N
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    correlation: float
    low: float
    high: float
    p_value: float
    mae: float
    level: float
    permutations: int


@dataclass(frozen=True, kw_only=True)
class TrainingLabels:
    """Statistics of a property over the labelled structures of the training set, in the unit of the property.

    low, high: smallest and largest label
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    mean: float
    standard_deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, labels: ArrayLike) -> TrainingLabels:
        """Statistics of labels [s], NaN for structures without one; AmsbenchError if none has a label."""
        values = np.asarray(labels, dtype=np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            raise AmsbenchError("no training structure has a label of the property; it cannot be a target")
        return cls(
            mean=float(values.mean()),
            standard_deviation=float(values.std()),
            low=float(values.min()),
            high=float(values.max()),
        )

    def worst_errors(self, target: np.ndarray) -> np.ndarray:
        """Error of the worst answer that the training set holds for each target [s]: the largest |label - target|."""
        return np.maximum(target - self.low, self.high - target)


@dataclass(frozen=True, kw_only=True)
class InverseDesignErrors:
    """Errors in the unit of the property; a number that cannot be computed is None, never NaN.

    requested, measured: numbers of structures with a target, and of those whose property could be measured
    coverage: 100 measured / requested, percent
    mae, rmse: mean absolute and root mean square error over the measured structures
    mape: mean absolute error relative to the target in percent, over the measured structures; None also if one of
        their targets is 0
    penalised_mae: mean absolute error over all requested structures; a failed one has the error of the worst answer in
        the training set, the largest |label - target|, and no error counts more than that
    worst_mae: ``penalised_mae`` if all structures failed
    training: statistics of the training labels, from which these follow
    training_mean_mae: mean absolute error over all requested structures of always predicting the training mean
    mae_interval, rmse_interval, penalised_mae_interval: bootstrap intervals over structures; None for fewer than two
    spearman: rank correlation of obtained with requested values; None below three measured structures or for
        constant values
    spearman_low, spearman_high: bootstrap interval of ``spearman``
    shuffled: the control with permuted targets; None if ``spearman`` is None
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # stored results refuse fields that are not here

    requested: int
    measured: int
    coverage: float
    mae: float | None
    rmse: float | None
    mape: float | None
    penalised_mae: float
    worst_mae: float
    training: TrainingLabels
    training_mean_mae: float
    mae_interval: Interval | None
    rmse_interval: Interval | None
    penalised_mae_interval: Interval | None
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None
    shuffled: ShuffledControl | None


def inverse_design_errors(
    target: ArrayLike,
    obtained: ArrayLike,
    *,
    training: TrainingLabels,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> InverseDesignErrors:
    """Errors of obtained properties with respect to their targets (paper, appendix B.7).

    target [s]: target of each structure
    obtained [s]: measured property of each structure in the same unit, NaN if the measurement failed
    training: statistics of the labels of the training set, same unit
    samples: number of bootstrap resamples, and of permutations of the control
    level: probability of the intervals, between 0 and 1

    Raises AmsbenchError for arrays that do not match, are empty, or hold infinities.
    """
    target, obtained = _checked(target, obtained)
    measured = ~np.isnan(obtained)
    measured_target, measured_value = target[measured], obtained[measured]
    error = np.abs(measured_value - measured_target)
    training_mean_error = np.abs(training.mean - target)
    worst_error = training.worst_errors(target)
    penalised_error = penalised_errors(target, obtained, training)

    def interval(values: np.ndarray, statistic: Any = None) -> Interval | None:
        if len(values) < 2:
            return None
        return bootstrap_interval(values, statistic, samples=samples, level=level, seed=seed)

    any_measured = bool(measured.any())
    correlation = _spearman(measured_target, measured_value)
    low, high, control = None, None, None
    if correlation is not None:
        low, high = _spearman_interval(measured_target, measured_value, samples, level, seed)
        control = _shuffled(measured_target, measured_value, correlation, samples, level, seed)
    has_percentage = any_measured and bool(measured_target.all())
    return InverseDesignErrors(
        requested=len(target),
        measured=int(measured.sum()),
        coverage=100.0 * float(measured.mean()),
        mae=float(error.mean()) if any_measured else None,
        rmse=float(np.sqrt(np.mean(error**2))) if any_measured else None,
        mape=100.0 * float(np.mean(error / np.abs(measured_target))) if has_percentage else None,
        penalised_mae=float(penalised_error.mean()),
        worst_mae=float(worst_error.mean()),
        training=training,
        training_mean_mae=float(training_mean_error.mean()),
        mae_interval=interval(error),
        rmse_interval=interval(error**2, np.sqrt),
        penalised_mae_interval=interval(penalised_error),
        spearman=correlation,
        spearman_low=low,
        spearman_high=high,
        shuffled=control,
    )


def penalised_errors(target: np.ndarray, obtained: np.ndarray, training: TrainingLabels) -> np.ndarray:
    """Error of each structure [s]; of a failed one (NaN) that of the worst answer in the training set.

    No answer costs more than a failure, so that leaving one out cannot lower the mean.
    """
    worst = training.worst_errors(target)
    errors = np.abs(obtained - target)
    return np.where(np.isnan(errors), worst, np.fmin(errors, worst))


def _checked(target: ArrayLike, obtained: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Targets and obtained values [s] as float64; AmsbenchError if they cannot be compared."""
    target, obtained = np.asarray(target, dtype=np.float64), np.asarray(obtained, dtype=np.float64)
    if target.shape != obtained.shape or target.ndim != 1 or not len(target):
        raise AmsbenchError(
            "inverse design needs one target and one obtained value per structure, "
            f"got shapes {target.shape} and {obtained.shape}"
        )
    if not np.isfinite(target).all():
        raise AmsbenchError(
            "a target of inverse design is not a finite number; every structure needs a target"
        )
    if np.isinf(obtained).any():
        raise AmsbenchError(
            "an obtained property is infinite; pass NaN for a structure whose measurement failed"
        )
    return target, obtained


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of unit length; zeros if all values are equal."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return ranks / np.where(length > 0, length, 1.0)


def _spearman(target: np.ndarray, obtained: np.ndarray) -> float | None:
    """Rank correlation; None below three structures or for constant values."""
    if len(obtained) < 3 or np.ptp(target) == 0 or np.ptp(obtained) == 0:
        return None
    return float(_ranks(target) @ _ranks(obtained))


def _spearman_interval(
    target: np.ndarray, obtained: np.ndarray, samples: int, level: float, seed: int
) -> tuple[float | None, float | None]:
    """Percentile interval of the rank correlation over resampled structures.

    Resamples of constant values, which have no correlation, are left out; None if these are more than half.
    """
    rng = np.random.default_rng(seed)
    blocks: list[np.ndarray] = []
    block = max(1, 2_000_000 // len(obtained))
    for start in range(0, samples, block):
        drawn = rng.integers(len(obtained), size=(min(block, samples - start), len(obtained)))
        target_ranks, obtained_ranks = _ranks(target[drawn]), _ranks(obtained[drawn])
        defined = target_ranks.any(axis=1) & obtained_ranks.any(axis=1)
        blocks.append(np.einsum("sn,sn->s", target_ranks, obtained_ranks)[defined])
    correlations = np.concatenate(blocks)
    if len(correlations) < samples / 2:
        return None, None
    low, high = np.quantile(correlations, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _shuffled(
    target: np.ndarray, obtained: np.ndarray, correlation: float, permutations: int, level: float, seed: int
) -> ShuffledControl:
    """The control with permuted targets; correlation: that with the real targets."""
    rng = np.random.default_rng(seed)
    target_ranks, obtained_ranks = _ranks(target), _ranks(obtained)
    correlations, errors = np.zeros(permutations), np.zeros(permutations)
    for k in range(permutations):
        order = rng.permutation(len(obtained))
        correlations[k] = target_ranks[order] @ obtained_ranks
        errors[k] = np.abs(target[order] - obtained).mean()
    low, high = np.quantile(correlations, [(1 - level) / 2, (1 + level) / 2])
    hits = int((correlations >= correlation - 1e-12).sum())
    return ShuffledControl(
        correlation=float(correlations.mean()),
        low=float(low),
        high=float(high),
        p_value=(1 + hits) / (1 + permutations),
        mae=float(errors.mean()),
        level=level,
        permutations=permutations,
    )
