"""The sum of messages over edges in torch operations that autograd differentiates by itself, to any order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...benchmark.interface.neighbour_graph import Graph
from .config import tanh_distance
from .layer import EGNNLayer


def sum_messages(
    layer: EGNNLayer, graph: Graph, edges: tuple[Tensor, Tensor], nodes: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Sum a_ij m_ij c_ij and Phi_ij d_ij / (|d_ij| + 1) c_ij (Eq. 13) over the edges of each receiver.

    edges: features [e, width] and smooth cutoff [e]
    nodes: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels in, 3]
    returns [n, hidden] and [n, channels out, 3]
    """
    weight = layer.edge.weight
    with torch.autocast(weight.device.type, enabled=False):
        receiver, sender, x = (t.to(weight.dtype) for t in nodes)
        features, smooth = edges
        d = graph.vectors(x)
        squared = (d**2).sum(-1)
        if layer.invariants:
            features = torch.cat([features, tanh_distance(squared, layer.config.cutoff)], dim=-1)
        first = receiver[graph.receivers] + sender[graph.senders] + layer.edge(features)
        for_message, for_shift = first.chunk(2, dim=-1)
        message = functional.silu(layer.message(functional.silu(layer.edge_norm(for_message))))
        message = torch.sigmoid(layer.gate(message)) * message * smooth[:, None]
        phi = layer.shift(functional.silu(layer.shift_norm(for_shift))).unflatten(-1, layer.channels)
        # the square root of 0 has no derivative, and two atoms may lie at the same point
        direction = d / (torch.sqrt(squared + 1e-12) + 1)[..., None]
        moves = phi @ direction * smooth[:, None, None]
        gathered = message.new_zeros(len(receiver), message.shape[1])
        total = moves.new_zeros(len(receiver), *moves.shape[1:])
        return gathered.index_add(0, graph.receivers, message), total.index_add(0, graph.receivers, moves)
