"""Limits of a material: which composition, density and energy its structures have, from those of given ones.

Density and energy of a glass depend on its composition. A quadratic regression on the fractions of the elements
predicts them, and a deviation is expressed in standard deviations of the residuals of the given structures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from ...errors import AmsbenchError

LARGEST_DEVIATION = 3.0
"""Largest deviation of density and energy from the prediction, in standard deviations, of the right substance."""
LEAST_COMPOSITION_DISTANCE = 0.02
"""Fraction by which an element may differ from the nearest training composition even if all of these are equal."""
QUANTILES = 101
"""Number of quantiles of the residuals that a model keeps."""
RIDGE = 5e-7
"""Ridge parameter of the regression, per structure. The energies of held-out multi-element glasses scatter by 0.024
eV/atom about the quadratic model with this value and by 0.083 about a linear one."""


@dataclass(frozen=True, kw_only=True)
class CompositionModel:
    """Quadratic prediction of a quantity from the fractions of the elements.

    coefficients [e + e (e - 1) / 2]: of the fraction of each element, which sum to 1, so that there is no constant, and
        of the products of two of them
    deviation: root mean square of the leave-one-out residuals, in the unit of the quantity
    residuals: quantiles of these residuals, evenly spaced from 0 to 1, in units of ``deviation``
    """

    coefficients: tuple[float, ...]
    deviation: float
    residuals: tuple[float, ...]

    def deviations(self, fractions: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Deviations [s] of values [s] from the prediction for fractions [s, e], in standard deviations."""
        predicted = _features(np.asarray(fractions)) @ np.asarray(self.coefficients)
        return (np.asarray(values) - predicted) / self.deviation

    def distance(self, deviations: np.ndarray) -> float | None:
        """Wasserstein-1 distance of deviations [s] from those of the data, in standard deviations; None for none."""
        finite = deviations[np.isfinite(deviations)]
        return float(wasserstein_distance(finite, self.residuals)) if len(finite) else None


def composition_model(fractions: np.ndarray, values: np.ndarray) -> CompositionModel:
    """Ridge regression of a quantity on the composition.

    fractions [s, e]: share of each element in each structure; values [s]: NaN for structures without a value

    Raises AmsbenchError for fewer than three more values than effective parameters, and for values that do not vary.
    """
    model = _fitted(fractions, values)
    if isinstance(model, str):
        raise AmsbenchError(model)
    return model


def has_model(fractions: np.ndarray, values: np.ndarray) -> bool:
    """Whether ``composition_model`` exists: there are enough values, and they vary."""
    return isinstance(_fitted(fractions, values), CompositionModel)


def _fitted(fractions: np.ndarray, values: np.ndarray) -> CompositionModel | str:
    """The model, or why there is none."""
    fractions, values = np.asarray(fractions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values) & np.isfinite(fractions).all(axis=1)
    fractions, values = fractions[finite], values[finite]
    if len(values) and not values.std() > 1e-9 * max(1.0, float(np.abs(values).max())):
        return "a quantity is the same in all structures; it has no distribution to compare with"
    features = _features(fractions)
    normal = features.T @ features + RIDGE * max(1, len(values)) * np.eye(features.shape[1])
    solution = np.linalg.solve(normal, features.T)
    leverage = np.einsum("sf,fs->s", features, solution)
    if len(values) < leverage.sum() + 3:
        return (
            f"{len(values)} structures have a value, too few for a model of their compositions with "
            f"{leverage.sum():.0f} parameters; use a larger dataset"
        )
    coefficients = solution @ values
    residuals = (values - features @ coefficients) / (1 - leverage)
    deviation = float(np.sqrt((residuals**2).mean()))
    quantiles = np.quantile(residuals / deviation, np.linspace(0, 1, QUANTILES))
    return CompositionModel(
        coefficients=tuple(map(float, coefficients)),
        deviation=deviation,
        residuals=tuple(map(float, quantiles)),
    )


def _features(fractions: np.ndarray) -> np.ndarray:
    """Fractions [s, e] and the products of two of them."""
    first, second = np.triu_indices(fractions.shape[1], k=1)
    return np.concatenate([fractions, fractions[:, first] * fractions[:, second]], axis=1)


def composition_distances(fractions: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Distance [s] of compositions to the nearest training composition: largest difference of an element's fraction.

    fractions [s, e], training [m, e]: share of each element, 0 to 1
    """
    nearest = np.full(len(fractions), np.inf)
    for composition in np.unique(training, axis=0):
        nearest = np.minimum(nearest, np.abs(fractions - composition).max(axis=1))
    return nearest
