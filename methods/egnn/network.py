"""The E(n)-equivariant backbone with several vector channels per atom (paper, B.4).

The first layer of the edge MLPs acts on [H_i, H_j, e_ij]. It is computed as W_r H_i + W_s H_j + W_e e_ij with one
product per atom for W_r H_i and W_s H_j, which is the same function with a fifth of the multiplications.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...benchmark.interface.neighbour_graph import Graph
from ...errors import AmsbenchError
from . import edge_sums_differentiable, edge_sums_native, edge_sums_triton
from .config import EGNNConfig, RadialBasis, smooth_cutoff, tanh_distance
from .derivatives import is_differentiable, refuse_transforms, without_position_gradient
from .edge_sums_torch import grouped, raise_glibc_mmap_threshold, sum_over_groups
from .layer import EdgeSums, EGNNLayer
from .neighbour_table import NeighbourTable


class EGNN(nn.Module):
    """Message-passing layers that update node features and displace atoms (B.4)."""

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        self.config = config
        last = config.layers - 1
        self.layers = nn.ModuleList(
            EGNNLayer(config, 1 if k == 0 else config.channels, 1 if k == last else config.channels)
            for k in range(config.layers)
        )
        self.basis = RadialBasis(config.radial, config.cutoff)

    def forward(self, h: Tensor, positions: Tensor, graph: Graph | NeighbourTable) -> tuple[Tensor, Tensor]:
        """Node features h [n, hidden] and positions [n, 3], A -> h [n, hidden], displacement X^(0) - X^(L) [n, 3], A
        (B.4).

        Derivatives with respect to positions, in forward mode and of second order need ``differentiable``.
        """
        raise_glibc_mmap_threshold()
        if not is_differentiable():
            refuse_transforms()
            positions = without_position_gradient(positions)
        sums = self.edge_sums(graph, positions, h)
        x = positions[:, None]
        for layer in self.layers:
            h, x = layer(h, x, sums)
        return h, positions - x[:, 0]

    def edge_sums(self, graph: Graph | NeighbourTable, positions: Tensor, h: Tensor) -> EdgeSums:
        """The function that sums messages over edges in every layer: the fastest one for the device and type of the
        node features h [n, hidden]."""
        if is_differentiable():
            if isinstance(graph, NeighbourTable):
                raise AmsbenchError(
                    "a neighbour table of the GPU's kernels has no derivatives; find the neighbours inside "
                    "'with differentiable():' as well"
                )
            inputs = self._edge_inputs(graph, positions)
            return lambda layer, nodes: edge_sums_differentiable.sum_messages(layer, graph, inputs, nodes)
        if isinstance(graph, NeighbourTable):
            return lambda layer, nodes: edge_sums_triton.sum_messages(layer, graph, nodes)
        if edge_sums_native.usable(self.config, h):
            edges = edge_sums_native.edge_inputs(graph, positions, self.config.cutoff)
            return lambda layer, nodes: edge_sums_native.sum_messages(layer, graph, edges, nodes)
        groups = grouped(graph, *self._edge_inputs(graph, positions.detach()))
        return lambda layer, nodes: sum_over_groups(layer._messages, groups, nodes, layer.edge_parameters)

    def grown_from(self, other: EGNN) -> dict[str, Tensor]:
        """State dict with which this network computes the same function as ``other``, which may have fewer layers.

        The first layers and the last one are copied from ``other``. The layers between add zero to features and
        positions.
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
        """Edge features [e, width] and smooth cutoff [e] of all edges, for positions [n, 3] in A."""
        config = self.config
        squared = (graph.vectors(positions) ** 2).sum(-1)
        distance = torch.sqrt(squared + 1e-12)
        smooth = smooth_cutoff(distance, config.cutoff)
        if config.edge_features == "radial":
            return self.basis(distance), smooth
        return tanh_distance(squared, config.cutoff)[:, None], smooth
