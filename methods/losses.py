"""Squared errors of positions and species."""

from __future__ import annotations

from torch import Tensor

from ..benchmark.interface.structures import Structures
from .state import Prediction

ELEMENT_WEIGHT = 0.5
"""Weight of the element error in every loss (paper, Eqs. 8 and 10)."""


def without_ghosts(noise: Tensor, batch: Structures, ghost: int | None) -> Tensor:
    """The noise [n, 3] with 0 for ghosts: the target of a network.

    Ghosts are uniform in the cell, so that the noise of a ghost cannot be predicted from its noisy position and has the
    conditional mean 0. This mean as target leaves the optimum unchanged and removes the ghosts' variance from the
    gradients.
    """
    return noise if ghost is None else noise.masked_fill((batch.species == ghost)[:, None], 0.0)


def squared_errors(prediction: Prediction, target: Prediction) -> dict[str, Tensor]:
    """Mean over atoms of the squared error vectors, and their weighted sum ``loss`` (Eqs. 8 and 10)."""
    errors = {"positions": ((prediction.positions - target.positions) ** 2).sum(-1).mean()}
    errors["loss"] = errors["positions"]
    if prediction.elements is not None and target.elements is not None:
        errors["elements"] = ((prediction.elements - target.elements) ** 2).sum(-1).mean()
        errors["loss"] = errors["loss"] + ELEMENT_WEIGHT * errors["elements"]
    return errors
