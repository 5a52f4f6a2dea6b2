"""Squared errors of positions and species."""

from __future__ import annotations

from torch import Tensor

from ..benchmark.interface.structures import Structures
from .state import Prediction

ELEMENT_WEIGHT = 0.5
"""Weight of the element error in every loss (paper, Eqs. 8 and 10)."""


def without_ghosts(noise: Tensor, batch: Structures, ghost: int | None) -> Tensor:
    """The noise [n, 3] of the atoms, and 0 for the ghosts.

    A ghost is anywhere with equal probability, so that its noisy position says nothing about its noise: the mean of
    what the network can know is 0 whatever else it knows, and to be told that mean instead of one draw of the noise
    leaves the best network where it is and takes the ghosts' share of the variance out of every gradient.
    """
    return noise if ghost is None else noise.masked_fill((batch.species == ghost)[:, None], 0.0)


def squared_errors(found: Prediction, wanted: Prediction) -> dict[str, Tensor]:
    """Mean over atoms of the squared error vectors, and their weighted sum ``loss`` (Eqs. 8 and 10)."""
    errors = {"positions": ((found.positions - wanted.positions) ** 2).sum(-1).mean()}
    errors["loss"] = errors["positions"]
    if found.elements is not None and wanted.elements is not None:
        errors["elements"] = ((found.elements - wanted.elements) ** 2).sum(-1).mean()
        errors["loss"] = errors["loss"] + ELEMENT_WEIGHT * errors["elements"]
    return errors
