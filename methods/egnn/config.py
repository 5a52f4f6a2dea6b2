"""Configuration of the network, its radial basis and cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class EGNNConfig:
    """Size of the backbone.

    edge_features: ``radial`` (a basis of 32 functions of the distance and invariants of the current channel
        positions in every layer) or ``tanh`` (the paper's one scalar, Eq. 12)
    neighbours: the normalisation of sums over edges
    """

    hidden: int = 64
    layers: int = 3
    channels: int = 8
    cutoff: float = 6.5
    neighbours: float = 40.0
    radial: int = 32
    edge_features: Literal["radial", "tanh"] = "radial"


def smooth_cutoff(distance: Tensor, cutoff: float) -> Tensor:
    """2 tanh(1 - min(r, r_cut) / r_cut)^2 (Eq. 15): zero with zero slope at the cutoff."""
    return 2 * torch.tanh(1 - distance.clamp(max=cutoff) / cutoff) ** 2


def tanh_distance(squared: Tensor, cutoff: float) -> Tensor:
    """tanh(d^2 / r_cut^2) * 2 - 1 (Eq. 12)."""
    return torch.tanh(squared / cutoff**2) * 2 - 1


class RadialBasis(nn.Module):
    """Bell-shaped functions of the distance, (1 - u^2)^3 for u = |r - centre| / support < 1, on an even grid.

    They look like Gaussians, but end: the tails of a Gaussian are denormal numbers, which slow every matrix
    product that they enter several times over.
    """

    centres: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0, cutoff, count), persistent=False)
        self.support = 3 * cutoff / (count - 1)

    def forward(self, distance: Tensor) -> Tensor:
        """[e] -> [e, count]."""
        u = (distance[:, None] - self.centres) / self.support
        return torch.relu(1 - u**2) ** 3


@dataclass(frozen=True)
class Messages:
    """The edge function of one layer but for its weights, which are ``EGNNLayer.edge_parameters`` in that order.

    channels: of positions, out and in
    """

    hidden: int
    channels: tuple[int, int]
    cutoff: float
