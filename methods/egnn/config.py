"""Configuration of the network, its radial basis and cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class EGNNConfig:
    """Size of the network.

    hidden: width of the node features
    channels: position vectors per atom (B.4)
    cutoff: A
    neighbours: number by which sums over edges are divided
    radial: number of radial basis functions
    edge_features: ``radial`` (radial basis functions of the distance, and in every layer after the first the invariant
        of Eq. 12 of each channel) or ``tanh`` (the invariants of Eq. 12 alone)
    form: ``standard`` (network.py) or ``paper``, the equations of B.4 to the letter (paper_network.py)
    """

    hidden: int = 64
    layers: int = 3
    channels: int = 8
    cutoff: float = 6.5
    neighbours: float = 40.0
    radial: int = 32
    edge_features: Literal["radial", "tanh"] = "radial"
    form: Literal["standard", "paper"] = "standard"


def smooth_cutoff(distance: Tensor, cutoff: float) -> Tensor:
    """2 tanh(1 - min(r, r_cut) / r_cut)^2 (Eq. 15), which goes to zero at the cutoff with zero slope.

    distance [...], cutoff: A
    """
    return 2 * torch.tanh(1 - distance.clamp(max=cutoff) / cutoff) ** 2


def tanh_distance(squared: Tensor, cutoff: float) -> Tensor:
    """The invariant 2 tanh(d^2 / r_cut^2) - 1 (Eq. 12) of squared distances [...] in A^2."""
    return torch.tanh(squared / cutoff**2) * 2 - 1


class RadialBasis(nn.Module):
    """Radial basis of ``count`` functions (1 - u^2)^3, u = |r - centre| / support < 1, with evenly spaced centres from
    0 to the cutoff."""

    centres: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0, cutoff, count), persistent=False)
        # They resemble Gaussians, but are exactly zero outside their support. The tails of Gaussians are denormal
        # numbers, which make matrix products several times slower.
        self.support = 3 * cutoff / (count - 1)

    def forward(self, distance: Tensor) -> Tensor:
        """Distances [e], A -> basis functions [e, count]."""
        u = (distance[:, None] - self.centres) / self.support
        return torch.relu(1 - u**2) ** 3


@dataclass(frozen=True)
class Messages:
    """Sizes of the edge function of one layer, whose weights are ``EGNNLayer.edge_parameters``.

    channels: number of position channels, out and in
    cutoff: A
    """

    hidden: int
    channels: tuple[int, int]
    cutoff: float
