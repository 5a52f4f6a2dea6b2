"""The network of paper B.4 in its most direct form: gather, concatenate, MLP, index_add.

Tests compare outputs and gradients of the faster implementations with it, and ratios of speed and memory refer to it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...benchmark.interface.neighbour_graph import Graph
from .config import EGNNConfig, RadialBasis, smooth_cutoff, tanh_distance
from .derivatives import LayerNorm
from .layer import EGNNLayer
from .network import EGNN


class ReferenceLayer(nn.Module):
    """One message-passing layer (Eq. 13) with k position channels in and out."""

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        hidden, k = config.hidden, config.channels
        as_in_paper = config.edge_features == "tanh"
        width = 2 * hidden + (1 if as_in_paper else config.radial) + k
        self.config = config
        self.node_norm = LayerNorm(hidden)
        self.phi_e = nn.Sequential(
            nn.Linear(width, hidden),
            LayerNorm(hidden) if as_in_paper else nn.Identity(),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
        )
        self.gate = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid())
        self.phi_x = nn.Sequential(
            nn.Linear(width, hidden),
            LayerNorm(hidden) if as_in_paper else nn.Identity(),
            nn.SiLU(),
            nn.Linear(hidden, k * k),
        )
        self.phi_h = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(
        self, h: Tensor, x: Tensor, graph: Graph, edges: Tensor, smooth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden], positions x [n, k, 3], edge features [e, width], smooth cutoff [e] -> updated
        h and x."""
        config = self.config
        i, j = graph.receivers, graph.senders
        normed = self.node_norm(h)
        d = graph.vectors(x)
        squared = (d**2).sum(-1)
        invariants = tanh_distance(squared, config.cutoff)
        pairs = torch.cat([normed[i], normed[j], edges, invariants], dim=-1)
        m = self.phi_e(pairs)
        m = self.gate(m) * m * smooth[:, None]
        gathered = torch.zeros_like(h).index_add_(0, i, m) / config.neighbours
        phi = self.phi_x(pairs).unflatten(-1, (config.channels, config.channels))
        direction = d / (torch.sqrt(squared + 1e-12) + 1)[..., None]
        moves = phi @ direction * smooth[:, None, None]
        total = torch.zeros_like(x).index_add_(0, i, moves) / config.neighbours
        return h + self.phi_h(torch.cat([normed, gathered], dim=-1)), x + total


class ReferenceEGNN(nn.Module):
    """The same function as an ``EGNN``, with a copy of its weights; for second derivatives in nested forward mode it
    needs ``differentiable``, too."""

    def __init__(self, network: EGNN) -> None:
        super().__init__()
        self.config = network.config
        self.layers = nn.ModuleList(ReferenceLayer(self.config) for _ in range(self.config.layers))
        self.basis = RadialBasis(self.config.radial, self.config.cutoff)
        self.to(next(network.parameters()))
        self.load_state_dict({name: t.detach() for name, t in reference_weights(network).items()})

    def forward(self, h: Tensor, positions: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden] and positions [n, 3], A -> h [n, hidden], displacement X^(0) - X^(L) [n, 3], A
        (B.4)."""
        config = self.config
        squared = (graph.vectors(positions) ** 2).sum(-1)
        distance = torch.sqrt(squared + 1e-12)
        smooth = smooth_cutoff(distance, config.cutoff)
        radial = config.edge_features == "radial"
        edges = self.basis(distance) if radial else tanh_distance(squared, config.cutoff)[:, None]
        x = positions[:, None].expand(-1, config.channels, -1)
        for layer in self.layers:
            h, x = layer(h, x, graph, edges, smooth)
        return h, positions - x[:, 0]


def reference_weights(network: EGNN) -> dict[str, Tensor]:
    """State dict of a ``ReferenceEGNN`` as a differentiable function of the parameters of an ``EGNN``.

    The three blocks of the first edge layers are concatenated. In the first layer all channels are equal and ``EGNN``
    has one: its weight is divided evenly among the channels of the reference, whose invariants have weights of zero.
    In the last layer, the weights of the channels that ``EGNN`` does not compute are zero.
    """
    config = network.config
    state: dict[str, Tensor] = {}
    for number, layer in enumerate(network.layers):
        assert isinstance(layer, EGNNLayer)
        outgoing, incoming = layer.channels
        first = [layer.receiver.weight, layer.sender.weight, layer.edge.weight]
        if not layer.invariants:
            first.append(layer.edge.weight.new_zeros(len(layer.edge.weight), config.channels))
        for_message, for_shift = torch.cat(first, dim=1).chunk(2)
        message_bias, shift_bias = layer.receiver.bias.chunk(2)
        parts = {
            "phi_e.0.weight": for_message,
            "phi_e.0.bias": message_bias,
            "phi_x.0.weight": for_shift,
            "phi_x.0.bias": shift_bias,
        }
        for name, t in (("weight", layer.shift.weight), ("bias", layer.shift.bias)):
            t = t.unflatten(0, layer.channels)
            t = t.expand(outgoing, config.channels, *t.shape[2:]) * (incoming / config.channels)
            unused = t.new_zeros(config.channels - outgoing, *t.shape[1:])
            parts[f"phi_x.3.{name}"] = torch.cat([t, unused]).flatten(0, 1)
        copied = {
            "node_norm": layer.node_norm,
            "phi_e.1": layer.edge_norm,
            "phi_x.1": layer.shift_norm,
            "phi_e.3": layer.message,
            "gate.0": layer.gate,
            "phi_h": layer.node,
        }
        for name, part in copied.items():
            parts |= {f"{name}.{rest}": t for rest, t in part.named_parameters()}
        state |= {f"layers.{number}.{name}": t for name, t in parts.items()}
    return state
