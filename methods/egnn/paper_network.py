"""The network of paper B.4 to the letter: Eqs. 12 to 15 in torch operations, differentiable to any order.

Where ``network.EGNN`` departs from the equations, in order to be faster or to learn faster, this network does not: no
layer before the first or after the last one, normalisation inside the MLPs, one function of the length of an edge, and
vectors that are updated with the new features of both atoms. It has no kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...benchmark.interface.neighbour_graph import Graph
from ...errors import AmsbenchError
from .config import EGNNConfig, smooth_cutoff, tanh_distance
from .derivatives import LayerNorm


class PaperMLP(nn.Module):
    """Two linear layers with layer normalisation and SiLU between them (B.4)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.norm = LayerNorm(hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return self.after_first(self.first(x))

    def of_edges(self, h: Tensor, edges: Tensor, graph: Graph) -> Tensor:
        """The function of [H_i, H_j, e_ij] for all edges [e, outputs], of h [n, hidden] and edges [e, 1].

        The first layer is W_i H_i + W_j H_j + W_e e_ij + b, with products per atom instead of per edge.
        """
        width = h.shape[1]
        receiver, sender, edge = self.first.weight.split([width, width, edges.shape[1]], dim=1)
        of_receiver = functional.linear(h, receiver, self.first.bias)[graph.receivers]
        return self.after_first(
            of_receiver + functional.linear(h, sender)[graph.senders] + functional.linear(edges, edge)
        )

    def after_first(self, x: Tensor) -> Tensor:
        """Everything after the first linear layer: [..., hidden] -> [..., outputs]."""
        return self.last(functional.silu(self.norm(x)))


class PaperLayer(nn.Module):
    """One message-passing layer (Eqs. 13 and 14)."""

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        width, k = config.hidden, config.channels
        self.config = config
        self.phi_e = PaperMLP(2 * width + 1, width, width)
        self.attention = PaperMLP(width, width, 1)
        self.phi_h = PaperMLP(2 * width, width, width)
        self.phi_x = PaperMLP(2 * width + 1, width, k * k)

    def forward(
        self, h: Tensor, x: Tensor, graph: Graph, edges: Tensor, smooth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden], positions x [n, k, 3], e_ij [e, 1], smooth cutoff [e] -> updated h and x."""
        channels, neighbours = self.config.channels, self.config.neighbours
        message = self.phi_e.of_edges(h, edges, graph)
        message = torch.sigmoid(self.attention(message)) * message
        gathered = torch.zeros_like(h).index_add(0, graph.receivers, message * smooth[:, None])
        h = h + self.phi_h(torch.cat([h, gathered / neighbours], dim=-1))
        d = graph.vectors(x)
        phi = self.phi_x.of_edges(h, edges, graph).unflatten(-1, (channels, channels))
        # the square root of 0 has no derivative, and two atoms may lie at the same point
        direction = d / (torch.sqrt((d**2).sum(-1, keepdim=True) + 1e-12) + 1)
        moves = phi @ direction * smooth[:, None, None]
        return h, x + torch.zeros_like(x).index_add(0, graph.receivers, moves) / neighbours


class PaperEGNN(nn.Module):
    """The layers of B.4 in a row; the node features keep their width from the input to the output."""

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        if config.edge_features != "tanh":
            raise AmsbenchError(
                f"the network of form 'paper' reads tanh(d^2 / r_cut^2) of each edge, not edge_features "
                f"'{config.edge_features}'; leave out edge_features, or set form to 'standard'"
            )
        self.config = config
        self.layers = nn.ModuleList(PaperLayer(config) for _ in range(config.layers))

    def forward(self, h: Tensor, positions: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden] and positions [n, 3], A -> h [n, hidden], displacement X^(0) - X^(L) [n, 3]."""
        squared = (graph.vectors(positions) ** 2).sum(-1)
        smooth = smooth_cutoff(torch.sqrt(squared + 1e-12), self.config.cutoff)
        edges = tanh_distance(squared, self.config.cutoff)[:, None]
        x = positions[:, None].expand(-1, self.config.channels, -1)
        for layer in self.layers:
            h, x = layer(h, x, graph, edges, smooth)
        return h, positions - x[:, 0]
