"""The E(n)-equivariant backbone with several vector channels per atom (paper, B.4).

The first layer of every edge MLP acts on [H_i, H_j, e_ij]. It is computed as W_r H_i + W_s H_j + W_e e_ij with
the node products taken once per atom, which is the same function with a fifth of the multiplications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...benchmark.interface.neighbour_graph import Graph
from . import edge_sums_native, edge_sums_triton
from .edge_sums_torch import Messages, grouped, sum_over_groups

EdgeSums = Callable[["Layer", tuple[Tensor, Tensor, Tensor]], tuple[Tensor, Tensor]]
"""(layer, receiver part, sender part and positions of the nodes) -> both sums of Eq. 13 over edges."""


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


class Layer(nn.Module):
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
        self.edge_norm = nn.LayerNorm(hidden) if literal else nn.Identity()
        self.shift_norm = nn.LayerNorm(hidden) if literal else nn.Identity()
        self.message = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, 1)
        self.shift = nn.Linear(hidden, channels_out * channels_in)
        self.node_norm = nn.LayerNorm(hidden)
        self.node = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self._messages = Messages(hidden, self.channels, config.cutoff)
        self.edge_parameters = [
            parameter
            for part in (self.edge, self.edge_norm, self.shift_norm, self.message, self.gate, self.shift)
            for parameter in part.parameters()
        ]
        nn.init.normal_(self.shift.weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.shift.bias)

    def forward(self, h: Tensor, x: Tensor, sums: EdgeSums) -> tuple[Tensor, Tensor]:
        """h [n, hidden], x [n, channels_in, 3] -> new h, new x."""
        config = self.config
        normed = self.node_norm(h)
        gathered, total = sums(self, (self.receiver(normed), self.sender(normed), x))
        gathered, total = gathered / config.neighbours, total / config.neighbours
        h = h + self.node(torch.cat([normed, gathered], dim=-1))
        return h, (x if self.channels[0] > 1 else x[:, :1]) + total


class EGNN(nn.Module):
    """The stack of layers: node features and positions in, node features and a displacement out."""

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        self.config = config
        last = config.layers - 1
        self.layers = nn.ModuleList(
            Layer(config, 1 if k == 0 else config.channels, 1 if k == last else config.channels)
            for k in range(config.layers)
        )
        self.basis = RadialBasis(config.radial, config.cutoff)

    def forward(
        self, h: Tensor, positions: Tensor, graph: Graph | edge_sums_triton.NeighbourTable
    ) -> tuple[Tensor, Tensor]:
        """h [n, hidden], positions [n, 3] -> h [n, hidden], displacement X^(0) - X^(L) [n, 3] (B.4)."""
        sums = self.edge_sums(graph, positions, h)
        x = positions[:, None]
        for layer in self.layers:
            h, x = layer(h, x, sums)
        return h, positions - x[:, 0]

    def edge_sums(
        self, graph: Graph | edge_sums_triton.NeighbourTable, positions: Tensor, h: Tensor
    ) -> EdgeSums:
        """What sums over the edges in every layer, by the fastest means there are for these node features."""
        if isinstance(graph, edge_sums_triton.NeighbourTable):
            return lambda layer, nodes: edge_sums_triton.sum_messages(layer, graph, nodes)
        if edge_sums_native.usable(self.config, h):
            edges = edge_sums_native.edge_inputs(graph, positions, self.config.cutoff)
            return lambda layer, nodes: edge_sums_native.sum_messages(layer, graph, edges, nodes)
        groups = grouped(graph, *self._edge_inputs(graph, positions))
        return lambda layer, nodes: sum_over_groups(layer._messages, groups, nodes, layer.edge_parameters)

    def grown_from(self, other: EGNN) -> dict[str, Tensor]:
        """A state for this network in which it does what ``other``, of at most as many layers, does.

        The first layers and the last are those of ``other``; the ones between add nothing to features and positions
        until training makes them.
        """
        extra = self.config.layers - other.config.layers
        if extra <= 0:
            return other.state_dict()
        last = other.config.layers - 1
        state = self.state_dict()
        for name, value in other.state_dict().items():
            number, _, rest = name.removeprefix("layers.").partition(".")
            state[f"layers.{int(number) + extra * (int(number) == last)}.{rest}"] = value
        for k in range(last, last + extra):
            for name in ("shift.weight", "shift.bias", "node.2.weight", "node.2.bias"):
                state[f"layers.{k}.{name}"] = torch.zeros_like(state[f"layers.{k}.{name}"])
        return state

    def _edge_inputs(self, graph: Graph, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features [e, width] and smooth cutoff [e] of all edges."""
        config = self.config
        squared = (graph.vectors(positions) ** 2).sum(-1)
        distance = torch.sqrt(squared + 1e-12)
        smooth = smooth_cutoff(distance, config.cutoff)
        if config.edge_features == "radial":
            return self.basis(distance), smooth
        return tanh_distance(squared, config.cutoff)[:, None], smooth
