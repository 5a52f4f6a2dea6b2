"""Sums over the edges of a graph in pieces that stay in the processor's cache.

The tables of a message-passing layer have one row per edge, a hundred times the size of the node tables, and
writing them to memory costs more than computing them. Here a layer sees a few thousand edges at a time, and the
backward pass computes each piece again instead of keeping it: memory then does not grow with the edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .graph import Graph

CHUNK = 2048
"""Edges at a time: 128 float32 channels of them are 1 MB, about half of a core's second-level cache."""

EdgeFunction = Callable[..., tuple[Tensor, Tensor]]


def sum_over_edges(
    function: EdgeFunction,
    graph: Graph,
    edge_inputs: tuple[Tensor, Tensor],
    node_inputs: tuple[Tensor, Tensor, Tensor],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Sum the two outputs of ``function`` over the edges of each receiver.

    edge_inputs: features [e, width] and smooth cutoff [e]; no gradient flows into them
    node_inputs: receiver part [n, a], sender part [n, a], positions [n, k, 3]
    function: (receiver [c, a], sender [c, a], d [c, k, 3], features, smooth) -> [c, b], [c, l, 3], where
        d = x_receiver - x_sender - shift; it may use ``parameters`` and nothing else that needs a gradient
    """
    return _SumOverEdges.apply(function, graph, edge_inputs, *node_inputs, *parameters)  # type: ignore[no-any-return]


class _SumOverEdges(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        function: EdgeFunction,
        graph: Graph,
        edge_inputs: tuple[Tensor, Tensor],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*tensors)
        ctx.function, ctx.graph, ctx.edge_inputs = function, graph, edge_inputs
        sums: list[Tensor] | None = None
        for piece in _pieces(graph):
            outputs = function(*_gather(graph, piece, tensors[:3]), *(t[piece] for t in edge_inputs))
            if sums is None:
                sums = [tensors[0].new_zeros(len(tensors[0]), *out.shape[1:]) for out in outputs]
            for total, out in zip(sums, outputs, strict=True):
                total.index_add_(0, graph.receivers[piece], out)
        if sums is None:  # no edges at all: the function still says what shape its outputs have
            none = slice(0, 0)
            outputs = function(*_gather(graph, none, tensors[:3]), *(t[none] for t in edge_inputs))
            sums = [tensors[0].new_zeros(len(tensors[0]), *out.shape[1:]) for out in outputs]
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        graph, edge_inputs = ctx.graph, ctx.edge_inputs
        nodes, parameters = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        into = [torch.zeros_like(t) for t in (*nodes, *parameters)]
        for piece in _pieces(graph):
            rows, senders = graph.receivers[piece], graph.senders[piece]
            gathered = [t.detach().requires_grad_() for t in _gather(graph, piece, nodes)]
            with torch.enable_grad():
                outputs = ctx.function(*gathered, *(t[piece] for t in edge_inputs))
                pulled = torch.autograd.grad(
                    outputs,
                    [*gathered, *parameters],
                    [g.index_select(0, rows) for g in grads],
                    allow_unused=True,
                )
            receiver, sender, d = pulled[:3]
            into[0].index_add_(0, rows, receiver)
            into[1].index_add_(0, senders, sender)
            into[2].index_add_(0, rows, d).index_add_(0, senders, d, alpha=-1)
            for total, grad in zip(into[3:], pulled[3:], strict=True):
                if grad is not None:
                    total += grad
        return (None, None, None, *into)


def _pieces(graph: Graph) -> list[slice]:
    edges = len(graph.receivers)
    size = CHUNK if graph.receivers.device.type == "cpu" else max(edges, 1)
    return [slice(k, min(k + size, edges)) for k in range(0, edges, size)]


def _gather(graph: Graph, piece: slice, nodes: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    receiver, sender, x = nodes
    rows, senders = graph.receivers[piece], graph.senders[piece]
    # index_select is twice as fast as indexing with a tensor here
    d = x.index_select(0, rows) - x.index_select(0, senders) - graph.shifts[piece][:, None]
    return receiver.index_select(0, rows), sender.index_select(0, senders), d
