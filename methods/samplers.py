"""What the samplers of the material methods have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from ..benchmark.interface.noise import NoiseSource
from .state import Prediction

MULTISTEP_POWER = 1.5
"""Exponent of the times of the sampler ``multistep`` (docs/methods.md)."""


def adams_bashforth_drift(
    now: Prediction, before: tuple[Prediction, float] | None, length: float
) -> Prediction:
    """The drift of positions in the middle of a step, on the line through this one and that of the step before.

    With it a step of the probability-flow ODE is one of Adams and Bashforth's of second order (for diffusion models in
    arXiv 2202.09778), at one network evaluation. Element drifts stay as they are: each speaks of a distribution over
    the species, which an extrapolation would leave.

    before: the last step's own drift and length
    """
    if before is None:
        return now
    last, last_length = before
    positions = now.positions + length / (2 * last_length) * (now.positions - last.positions)
    return Prediction(positions=positions, elements=now.elements)


RESTART_FROM = 0.4
"""Time to which the first restart goes back. Bonds form below it (docs/training.md)."""


DESCENT_SHARE = 0.35
"""With many species (MANY_SPECIES), share of the steps of a path with restarts that lead to the first t = 0."""


def sample_one_hot(expected: Tensor, noise: NoiseSource) -> Tensor:
    """One-hot [n, K] of species drawn with probabilities [n, K]; what guidance left below 0 counts as 0."""
    bounds = expected.clamp(min=0).cumsum(-1)
    place = noise.uniform_atoms(1) * bounds[:, -1:]
    species = (bounds <= place).sum(-1).clamp(max=expected.shape[1] - 1)
    return torch.nn.functional.one_hot(species, expected.shape[1]).to(expected.dtype)


_TO_THE_END = ("restart", "guided")
