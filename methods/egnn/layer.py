"""One layer of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .config import EGNNConfig, Messages
from .derivatives import LayerNorm

EdgeSums = Callable[["EGNNLayer", tuple[Tensor, Tensor, Tensor]], tuple[Tensor, Tensor]]
"""Function of a layer and of the receiver part [n, 2 hidden], the sender part [n, 2 hidden] and the positions
[n, channels in, 3] of the nodes; returns both sums over edges of Eq. 13, [n, hidden] and [n, channels out, 3]."""


class EGNNLayer(nn.Module):
    """One message-passing layer (Eq. 13).

    channels_in: 1 in the first layer, where all channels are equal
    channels_out: 1 in the last layer, of which only the first channel is used
    """

    def __init__(self, config: EGNNConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        hidden, width = config.hidden, (config.radial if config.edge_features == "radial" else 1)
        self.config, self.channels = config, (channels_out, channels_in)
        # The first layers of phi_e and phi_x are computed together, hence twice the width. With one channel the
        # invariant would repeat the distance.
        self.invariants = channels_in > 1
        self.receiver = nn.Linear(hidden, 2 * hidden)
        self.sender = nn.Linear(hidden, 2 * hidden, bias=False)
        self.edge = nn.Linear(width + channels_in * self.invariants, 2 * hidden, bias=False)
        as_in_paper = config.edge_features == "tanh"
        self.edge_norm = LayerNorm(hidden) if as_in_paper else nn.Identity()
        self.shift_norm = LayerNorm(hidden) if as_in_paper else nn.Identity()
        self.message = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1)
        self.shift = nn.Linear(hidden, channels_out * channels_in)
        self.node_norm = LayerNorm(hidden)
        self.node = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self._messages = Messages(hidden, self.channels, config.cutoff)
        nn.init.normal_(self.shift.weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.shift.bias)

    @property
    def edge_parameters(self) -> list[Tensor]:
        """Weights and biases of the edge function, in the order of ``Messages``."""
        # not stored, because torch.func.functional_call replaces parameters for the time of one call
        layers: list[nn.Linear | LayerNorm] = [self.message, self.gate, self.shift]
        if isinstance(self.edge_norm, LayerNorm) and isinstance(self.shift_norm, LayerNorm):
            layers = [self.edge_norm, self.shift_norm, *layers]
        return [self.edge.weight, *(t for layer in layers for t in (layer.weight, layer.bias))]

    def forward(self, h: Tensor, x: Tensor, sums: EdgeSums) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden] and positions x [n, channels_in, 3] -> updated h, x [n, channels_out, 3]."""
        config = self.config
        normed = self.node_norm(h)
        gathered, total = sums(self, (self.receiver(normed), self.sender(normed), x))
        gathered, total = gathered / config.neighbours, total / config.neighbours
        h = h + self.node(torch.cat([normed, gathered], dim=-1))
        return h, (x if self.channels[0] > 1 else x[:, :1]) + total
