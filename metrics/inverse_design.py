"""Errors of inverse design: the property asked for against the property obtained (paper, B.7).

A structure that could not be measured has no error of its own. Leaving it out rewards a method for failing
where it would do badly, so every result carries its coverage and a second mean absolute error in which each
failure is charged the error of a method that always answers the mean of the training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .bootstrap import Interval, bootstrap_interval


@dataclass(frozen=True, kw_only=True)
class ShuffledControl:
    """The same structures against targets dealt out at random: what no obedience at all looks like.

    correlation: mean Spearman correlation over the permutations
    low, high: interval of the given level of these correlations
    p_value: probability that shuffled targets correlate at least as well as the real ones, (1 + hits) / (1
        + N)
    mae: mean absolute error over the permutations
    """

    correlation: float
    low: float
    high: float
    p_value: float
    mae: float
    level: float
    permutations: int


@dataclass(frozen=True, kw_only=True)
class InverseDesignErrors:
    """Errors in the unit of the property; what cannot be computed is None, never NaN.

    requested, measured: structures asked for, and those with a measured property
    coverage: 100 measured / requested, percent
    mae, rmse: over the measured structures, with bootstrap intervals over structures where two or more were
    measured
    mape: percent, over the measured structures; None also when one of their targets is 0
    charged_mae: over all requests, a failure charged |training mean - target|
    training_mean_mae: what always answering the training mean would score over all requests
    spearman: rank correlation of obtained with requested values; None below three measured structures or for
        constant values
    spearman_low, spearman_high: bootstrap interval of ``spearman``
    shuffled: the control; None when ``spearman`` is
    """

    requested: int
    measured: int
    coverage: float
    mae: float | None
    rmse: float | None
    mape: float | None
    charged_mae: float
    training_mean_mae: float
    mae_interval: Interval | None
    rmse_interval: Interval | None
    charged_mae_interval: Interval | None
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None
    shuffled: ShuffledControl | None

    def row(self) -> dict[str, Any]:
        """One flat row for a pandas table or a result cell."""
        from dataclasses import asdict

        nested = asdict(self)
        flat: dict[str, Any] = {}
        for name, value in nested.items():
            if name == "shuffled":
                flat.update({f"shuffled_{key}": item for key, item in (value or {}).items()})
            elif name.endswith("_interval"):
                error = name.removesuffix("_interval")
                flat[f"{error}_low"] = value and value["low"]
                flat[f"{error}_high"] = value and value["high"]
            else:
                flat[name] = value
        return flat


def inverse_design_errors(
    target: ArrayLike,
    obtained: ArrayLike,
    *,
    training_mean: float,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> InverseDesignErrors:
    """Compare obtained with target properties (paper, B.7).

    target [s]: the property asked of each structure
    obtained [s]: the property measured on it, NaN where the structure failed
    training_mean: mean of the property over the training set, same unit
    samples: bootstrap resamples, and permutations of the control

    AmsbenchError when the arrays do not match, are empty, or hold infinities.
    """
    target, obtained = _checked(target, obtained, training_mean)
    measured = ~np.isnan(obtained)
    wanted, got = target[measured], obtained[measured]
    error = np.abs(got - wanted)
    baseline = np.abs(training_mean - target)
    charged = baseline.copy()
    charged[measured] = error

    def interval(values: np.ndarray, statistic: Any = None) -> Interval | None:
        if len(values) < 2:
            return None
        return bootstrap_interval(values, statistic, samples=samples, level=level, seed=seed)

    some = bool(measured.any())
    correlation = _spearman(wanted, got)
    low, high = (None, None) if correlation is None else _spearman_interval(wanted, got, samples, level, seed)
    return InverseDesignErrors(
        requested=len(target),
        measured=int(measured.sum()),
        coverage=100.0 * float(measured.mean()),
        mae=float(error.mean()) if some else None,
        rmse=float(np.sqrt(np.mean(error**2))) if some else None,
        mape=100.0 * float(np.mean(error / np.abs(wanted))) if some and wanted.all() else None,
        charged_mae=float(charged.mean()),
        training_mean_mae=float(baseline.mean()),
        mae_interval=interval(error),
        rmse_interval=interval(error**2, np.sqrt),
        charged_mae_interval=interval(charged),
        spearman=correlation,
        spearman_low=low,
        spearman_high=high,
        shuffled=None if correlation is None else _shuffled(wanted, got, correlation, samples, level, seed),
    )


def _checked(target: ArrayLike, obtained: ArrayLike, training_mean: float) -> tuple[np.ndarray, np.ndarray]:
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
    if not np.isfinite(training_mean):
        raise AmsbenchError(
            f"the training mean is {training_mean}; pass the mean over labelled training structures"
        )
    return target, obtained


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of unit length; zeros where all values are the same."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return ranks / np.where(length > 0, length, 1.0)


def _spearman(wanted: np.ndarray, got: np.ndarray) -> float | None:
    if len(got) < 3 or np.ptp(wanted) == 0 or np.ptp(got) == 0:
        return None
    return float(_ranks(wanted) @ _ranks(got))


def _spearman_interval(
    wanted: np.ndarray, got: np.ndarray, samples: int, level: float, seed: int
) -> tuple[float | None, float | None]:
    """Percentile interval over resampled pairs; resamples of one repeated value, which have no correlation,
    are out.

    None when fewer than half of the resamples have one.
    """
    rng = np.random.default_rng(seed)
    correlations: list[np.ndarray] = []
    at_once = max(1, 2_000_000 // len(got))
    for start in range(0, samples, at_once):
        drawn = rng.integers(len(got), size=(min(at_once, samples - start), len(got)))
        wanted_ranks, got_ranks = _ranks(wanted[drawn]), _ranks(got[drawn])
        defined = wanted_ranks.any(axis=1) & got_ranks.any(axis=1)
        correlations.append(np.einsum("sn,sn->s", wanted_ranks, got_ranks)[defined])
    found = np.concatenate(correlations)
    if len(found) < samples / 2:
        return None, None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _shuffled(
    wanted: np.ndarray, got: np.ndarray, correlation: float, permutations: int, level: float, seed: int
) -> ShuffledControl:
    rng = np.random.default_rng(seed)
    wanted_ranks, got_ranks = _ranks(wanted), _ranks(got)
    correlations, errors = np.zeros(permutations), np.zeros(permutations)
    for k in range(permutations):
        order = rng.permutation(len(got))
        correlations[k] = wanted_ranks[order] @ got_ranks
        errors[k] = np.abs(wanted[order] - got).mean()
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
