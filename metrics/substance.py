"""Limits of a material: which composition, density and energy its structures have, from those of given ones.

Density and energy of a glass depend on its composition. A linear regression on the fractions of the elements predicts
them, and a deviation is expressed in standard deviations of the residuals of the given structures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import AmsbenchError

LARGEST_DEVIATION = 3.0
"""Largest deviation of density and energy from the prediction, in standard deviations, of the right substance."""
LEAST_COMPOSITION_DISTANCE = 0.02
"""Fraction by which an element may differ from the nearest training composition even if all of these are equal."""


@dataclass(frozen=True, kw_only=True)
class CompositionModel:
    """Linear prediction of a quantity from the fractions of the elements.

    coefficients [e]: of the fraction of each element, which sum to 1, so that there is no constant
    deviation: standard deviation of the residuals, in the unit of the quantity
    """

    coefficients: tuple[float, ...]
    deviation: float

    def deviations(self, fractions: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Deviations [s] of values [s] from the prediction for fractions [s, e], in standard deviations."""
        predicted = np.asarray(fractions) @ np.asarray(self.coefficients)
        return (np.asarray(values) - predicted) / self.deviation


def composition_model(fractions: np.ndarray, values: np.ndarray) -> CompositionModel:
    """Least-squares model of a quantity.

    fractions [s, e]: share of each element in each structure; values [s]: NaN for structures without a value

    Directions in which the compositions do not vary are not extrapolated (minimum-norm solution); the degrees of
    freedom of the residuals count the directions that do. Raises AmsbenchError for fewer than three more values than
    directions, and for values that do not vary.
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
    rank = int(np.linalg.matrix_rank(fractions)) if len(values) else 0
    if len(values) < rank + 3:
        return (
            f"{len(values)} structures have a value, too few for a model of compositions with {rank} independent "
            "directions; use a larger dataset"
        )
    coefficients, *_ = np.linalg.lstsq(fractions, values, rcond=None)
    residuals = values - fractions @ coefficients
    deviation = float(np.sqrt((residuals**2).sum() / (len(values) - rank)))
    if not deviation > 1e-12 * max(1.0, float(np.abs(values).max())):
        return "a quantity is the same in all structures of one composition; it has no distribution to compare with"
    return CompositionModel(coefficients=tuple(map(float, coefficients)), deviation=deviation)


def composition_distances(fractions: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Distance [s] of compositions to the nearest training composition: largest difference of an element's fraction.

    fractions [s, e], training [m, e]: share of each element, 0 to 1
    """
    nearest = np.full(len(fractions), np.inf)
    for composition in np.unique(training, axis=0):
        nearest = np.minimum(nearest, np.abs(fractions - composition).max(axis=1))
    return nearest
