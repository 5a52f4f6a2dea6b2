"""Squared errors of positions and species, and their targets."""

from __future__ import annotations

import torch
from torch import Tensor

from ..benchmark.interface.structures import ScoredStructures, Structures
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


def noise_with_scores(eps: Tensor, batch: ScoredStructures, sigma: Tensor, weight: float) -> Tensor:
    """Target [n, 3] with the conditional mean of the noise ``eps`` [n, 3] and less variance, for Boltzmann samples.

    The score of noisy positions is the mean of the clean ones (target score matching, arXiv 2402.08667), so that
    -sigma score(X_0) has the same conditional mean as eps. Both are uncorrelated, since eps is independent of X_0. The
    mixture of the smallest variance therefore has the share 1 / (1 + sigma^2 <score^2>) of the score: all of it at
    sigma = 0. For normal data no variance is left at any sigma.

    sigma [n, 1]: standard deviation of the noise, A
    weight: factor of this share, 0 (the noise alone) to 1
    """
    share = weight / (1 + sigma**2 * batch.score_variance[batch.batch][:, None])
    return torch.lerp(eps, -sigma * batch.scores, share)


def squared_errors(prediction: Prediction, target: Prediction) -> dict[str, Tensor]:
    """Mean over atoms of the squared error vectors, and their weighted sum ``loss`` (Eqs. 8 and 10)."""
    errors = {"positions": ((prediction.positions - target.positions) ** 2).sum(-1).mean()}
    errors["loss"] = errors["positions"]
    if prediction.elements is not None and target.elements is not None:
        errors["elements"] = ((prediction.elements - target.elements) ** 2).sum(-1).mean()
        errors["loss"] = errors["loss"] + ELEMENT_WEIGHT * errors["elements"]
    return errors
