"""One layer of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .config import EGNNConfig, Messages
from .derivatives import LayerNorm

EdgeSums = Callable[["EGNNLayer", tuple[Tensor, Tensor, Tensor]], tuple[Tensor, Tensor]]
"""(layer, receiver part, sender part and positions of the nodes) -> both sums of Eq. 13 over edges."""


class EGNNLayer(nn.Module):
    """One round of messages (Eq. 13); ``channels_in`` is 1 in the first layer, where all channels are equal,
    and ``channels_out`` is 1 in the last, of which only the first channel is read."""

    def __init__(self, config: EGNNConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        hidden, width = config.hidden, (config.radial if config.edge_features == "radial" else 1)
        self.config, self.channels = config, (channels_out, channels_in)
        # one block for phi_e, one for phi_x; the invariants of equal channels would repeat the distance
        self.invariants = channels_in > 1
        self.receiver = nn.Linear(hidden, 2 * hidden)
        self.sender = nn.Linear(hidden, 2 * hidden, bias=False)
        self.edge = nn.Linear(width + channels_in * self.invariants, 2 * hidden, bias=False)
        literal = config.edge_features == "tanh"
        self.edge_norm = LayerNorm(hidden) if literal else nn.Identity()
        self.shift_norm = LayerNorm(hidden) if literal else nn.Identity()
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
        # read at every call, since torch.func.functional_call replaces them for one call
        layers: list[nn.Linear | LayerNorm] = [self.message, self.gate, self.shift]
        if isinstance(self.edge_norm, LayerNorm) and isinstance(self.shift_norm, LayerNorm):
            layers = [self.edge_norm, self.shift_norm, *layers]
        return [self.edge.weight, *(t for layer in layers for t in (layer.weight, layer.bias))]

    def forward(self, h: Tensor, x: Tensor, sums: EdgeSums) -> tuple[Tensor, Tensor]:
        """h [n, hidden], x [n, channels_in, 3] -> new h, new x."""
        config = self.config
        normed = self.node_norm(h)
        gathered, total = sums(self, (self.receiver(normed), self.sender(normed), x))
        gathered, total = gathered / config.neighbours, total / config.neighbours
        h = h + self.node(torch.cat([normed, gathered], dim=-1))
        return h, (x if self.channels[0] > 1 else x[:, :1]) + total
