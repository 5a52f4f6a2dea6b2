"""The sum of messages over edges in plain torch: what runs without a compiler, on any device and in float64.

The tables of a message-passing layer have one row per edge, a hundred times the size of the node tables, and
writing them to memory costs more than computing them. Here receivers of about equal degree stand together in
groups of a few thousand edges, padded to [receivers, degree]. What belongs to a receiver is then broadcast
rather than gathered, and every sum over its edges is a small matrix product. The backward pass is written out
and computes each group again instead of keeping it: of the edges, memory holds no more than their inputs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...benchmark.interface.neighbour_graph import Graph
from ..product_precision import BFLOAT16
from .config import Messages
from .derivatives import ReverseModeFunction, first_derivatives_only

CHUNK = {"cpu": 2048, "cuda": 32768}
"""Slots for edges in a group. On the CPU 1,500 to 4,000 do alike: fewer cost calls, more cost cache."""

# glibc hands large tables back to the system when they are freed, and the next one faults in every page anew.
# From the largest table freed so far, up to 32 MB, it learns how much to keep: a training step is a third faster.
torch.empty(31 << 20, dtype=torch.uint8, device="cpu")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The edges of r receivers, d slots for each; where there is no edge the smooth cutoff is 0.

    receivers [r], senders [r d], shifts [r, d, 3, 1], features [r d, width], smooth [r, d]
    """

    receivers: Tensor
    senders: Tensor
    shifts: Tensor
    features: Tensor
    smooth: Tensor


def sum_over_edges(
    messages: Messages,
    graph: Graph,
    edge_inputs: tuple[Tensor, Tensor],
    node_inputs: tuple[Tensor, Tensor, Tensor],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Sum a_ij m_ij c_ij and Phi_ij d_ij / (|d_ij| + 1) c_ij (Eq. 13) over the edges of each receiver.

    edge_inputs: features [e, width] and smooth cutoff [e]; no gradient flows into them
    node_inputs: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels in, 3]
    returns [n, hidden] and [n, channels out, 3]; once differentiable
    """
    return sum_over_groups(messages, grouped(graph, *edge_inputs), node_inputs, parameters)


def sum_over_groups(
    messages: Messages,
    groups: list[Group],
    node_inputs: tuple[Tensor, Tensor, Tensor],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """The same for edges that are grouped already, once for all layers."""
    receiver, sender, x = (t.to(parameters[0].dtype) for t in node_inputs)  # autocast may have changed it
    h, total = _SumOverEdges.apply(messages, groups, receiver, sender, x.transpose(1, 2), *parameters)
    return h, total.transpose(1, 2)


def grouped(graph: Graph, features: Tensor, smooth: Tensor) -> list[Group]:
    """All edges in groups of receivers, those with the most edges first."""
    if not len(graph.receivers):
        return []
    counts = torch.bincount(graph.receivers)
    starts = counts.cumsum(0) - counts
    counts, order = counts.sort(descending=True, stable=True)
    sizes, groups, first = counts[counts > 0].tolist(), [], 0
    chunk = CHUNK.get(smooth.device.type, CHUNK["cuda"])
    while first < len(sizes):
        # oneDNN compiles every product for its shape, and few shapes come back often: degrees in steps of 8,
        # and of receivers what fills a chunk or, at the end, quarters of it
        depth = -(-sizes[first] // 8) * 8
        full = max(1, chunk // depth)
        here, quarter = min(full, len(sizes) - first), -(-full // 4)
        index = torch.arange(first, first + min(full, -(-here // quarter) * quarter), device=order.device)
        real = (index < first + here)[:, None]
        rows, degrees = (t[index.clamp(max=len(sizes) - 1)] for t in (order, counts))
        slots = torch.arange(depth, device=order.device)
        edges = (starts[rows, None] + torch.minimum(slots, degrees[:, None] - 1)).flatten()
        groups.append(Group(
            receivers=rows,
            senders=graph.senders.index_select(0, edges),
            shifts=graph.shifts.index_select(0, edges).view(len(rows), depth, 3, 1),
            features=features.index_select(0, edges),
            smooth=torch.where(
                real & (slots < degrees[:, None]), smooth.index_select(0, edges).view(-1, depth), 0.0
            ),
        ))  # fmt: skip
        first += here
    return groups


class _SumOverEdges(ReverseModeFunction):
    @staticmethod
    def forward(ctx: Any, messages: Messages, groups: list[Group], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.messages, ctx.groups = messages, groups
        ctx.save_for_backward(*tensors)
        receiver = tensors[0]
        h = receiver.new_zeros(len(receiver), messages.hidden)
        x = receiver.new_zeros(len(receiver), 3, messages.channels[0])
        with _own_precision(receiver):
            for group in groups:
                for t, sums in zip((h, x), _Pass(messages, group, tensors).sums(), strict=True):
                    t.index_add_(0, group.receivers, sums)
        return h, x

    @staticmethod
    @first_derivatives_only
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, need_x = ctx.saved_tensors, ctx.needs_input_grad[4]
        into = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in tensors]
        with _own_precision(tensors[0]):
            for group in ctx.groups:
                _Pass(ctx.messages, group, tensors).pull(grads, into, need_x)
        return (None, None, *into)


class _Pass:
    """The edge function on one group, [r, d] slots: computed when it is made, then summed or differentiated.

    ``x`` and what follows from it are [..., 3, channels] here, so that Phi becomes one matrix.
    """

    def __init__(self, messages: Messages, group: Group, tensors: Sequence[Tensor]) -> None:
        receiver, sender, x, edge_w, *norms, message_w, message_b, gate_w, gate_b, shift_w, shift_b = tensors
        self.group, self.shape = group, group.smooth.shape
        self.hidden, self.cutoff = messages.hidden, messages.cutoff
        self.edge_w, self.message_w, self.gate_w = edge_w, message_w, gate_w
        # from (channels in, hidden) to channels out
        self.shift_w, self.shift_b = shift_w.view(messages.channels[0], -1), shift_b.view(messages.channels)
        # index_select is twice as fast as indexing with a tensor
        there = x.index_select(0, group.senders).unflatten(0, self.shape)
        self.d = x.index_select(0, group.receivers)[:, None] - there - group.shifts
        squared = self.d.square().sum(2)
        # the square root of 0 has no gradient, and two atoms may sit on top of each other
        self.distance = torch.sqrt(squared + 1e-12)
        self.scale = group.smooth[..., None] / (self.distance + 1)
        self.direction = self.d * self.scale[:, :, None]
        self.features, self.tanh = group.features, None
        if edge_w.shape[1] > group.features.shape[1]:
            self.tanh = torch.tanh(squared / messages.cutoff**2)
            self.features = torch.cat([group.features, (self.tanh * 2 - 1).flatten(0, 1)], dim=1)

        self.z = sender.index_select(0, group.senders)
        self.z.unflatten(0, self.shape).add_(receiver.index_select(0, group.receivers)[:, None])
        self.z.addmm_(self.features, edge_w.t())
        self.norm = None
        if norms:
            self.norm = _Norm(self.z, norms)
            self.z = self.norm.output
        self.a = functional.silu(self.z)
        for_message, self.for_shift = self._halves(self.a)
        self.u = torch.addmm(message_b, for_message.flatten(0, 1), message_w.t())
        self.m = functional.silu(self.u)
        self.gate = torch.sigmoid(torch.addmv(gate_b, self.m, gate_w[0])).view(self.shape)
        self.weight = self.gate * group.smooth
        # sum_j (W a_ij + b) d_ij = W (sum_j a_ij d_ij) + b sum_j d_ij: Phi_ij itself is never needed
        self.moments = torch.bmm(self.direction.flatten(2).transpose(1, 2), self.for_shift)
        self.directions = self.direction.sum(1)

    def _halves(self, t: Tensor) -> tuple[Tensor, ...]:
        """[r d, 2 hidden] -> two [r, d, hidden], for the message and for Phi."""
        return t.unflatten(0, self.shape).split(self.hidden, dim=-1)

    def sums(self) -> tuple[Tensor, Tensor]:
        """[r, hidden] and [r, 3, channels out]."""
        messages = torch.bmm(self.weight[:, None], self.m.unflatten(0, self.shape))[:, 0]
        moves = self.moments.view(*self.directions.shape[:2], -1) @ self.shift_w.t()
        return messages, moves + self.directions @ self.shift_b.t()

    def pull(self, grads: Sequence[Tensor], into: Sequence[Tensor], need_x: bool) -> None:
        """Add the gradients that follow from those of the sums, of all nodes, to ``into``."""
        group, hidden = self.group, self.hidden
        g_receiver, g_sender, g_x, g_edge_w, *g_norms = into[:-6]
        g_message_w, g_message_b, g_gate_w, g_gate_b, g_shift_w, g_shift_b = into[-6:]
        grad_h, grad_x = (g.index_select(0, group.receivers) for g in grads)
        into_a = torch.empty_like(self.a)

        m = self.m.unflatten(0, self.shape)
        into_gate = torch.bmm(m, grad_h[:, :, None])[..., 0] * self.weight * (1 - self.gate)
        g_gate_w[0].addmv_(self.m.t(), into_gate.flatten())
        g_gate_b += into_gate.sum()
        # the gradient of m: weight * grad_h + into_gate * gate_w
        into_m = torch.bmm(
            torch.stack([self.weight, into_gate], dim=-1),
            torch.stack([grad_h, self.gate_w.expand_as(grad_h)], dim=1),
        )
        into_u = torch.ops.aten.silu_backward(into_m.flatten(0, 1), self.u)
        g_message_w.addmm_(into_u.t(), self.a[:, :hidden])
        g_message_b += into_u.sum(0)
        torch.mm(into_u, self.message_w, out=into_a[:, :hidden])

        outputs = grad_x.flatten(0, 1)
        g_shift_w.view_as(self.shift_w).addmm_(outputs.t(), self.moments.view(len(outputs), -1))
        g_shift_b.view_as(self.shift_b).addmm_(outputs.t(), self.directions.flatten(0, 1))
        into_moments = (outputs @ self.shift_w).view_as(self.moments)
        torch.bmm(self.direction.flatten(2), into_moments, out=self._halves(into_a)[1])

        into_z = torch.ops.aten.silu_backward(into_a, self.z)
        if self.norm is not None:
            into_z = self.norm.pull(into_z, g_norms)
        g_edge_w.addmm_(into_z.t(), self.features)
        g_receiver.index_add_(0, group.receivers, into_z.unflatten(0, self.shape).sum(1))
        g_sender.index_add_(0, group.senders, into_z)
        if need_x:
            into_direction = torch.bmm(self.for_shift, into_moments.transpose(1, 2)).view_as(self.d)
            into_direction += (grad_x @ self.shift_b)[:, None]
            into_d = self._pull_geometry(into_direction, into_z)
            g_x.index_add_(0, group.receivers, into_d.sum(1))
            g_x.index_add_(0, group.senders, into_d.flatten(0, 1), alpha=-1)

    def _pull_geometry(self, into_direction: Tensor, into_z: Tensor) -> Tensor:
        """The gradient of d from those of d_ij / (|d_ij| + 1) c_ij and of the invariants."""
        along = (into_direction * self.d).sum(2)
        radial = -along * self.scale / ((self.distance + 1) * self.distance)
        if self.tanh is not None:
            into_tanh = into_z @ self.edge_w[:, -self.tanh.shape[-1] :]
            radial += into_tanh.view_as(radial) * (1 - self.tanh**2) * (4 / self.cutoff**2)
        return into_direction.mul_(self.scale[:, :, None]).add_(self.d * radial[:, :, None])


class _Norm:
    """Two LayerNorms side by side, of [e, 2 hidden]; weights are weight, bias, weight, bias."""

    def __init__(self, z: Tensor, weights: Sequence[Tensor]) -> None:
        hidden = len(weights[0])
        self.z = z.view(-1, hidden)
        normed, self.mean, self.rstd = torch.native_layer_norm(self.z, [hidden], None, None, 1e-5)
        self.normed, self.weight = normed.view_as(z), torch.cat(list(weights[::2]))
        self.output = torch.addcmul(torch.cat(list(weights[1::2])), self.normed, self.weight)

    def pull(self, grad: Tensor, into: Sequence[Tensor]) -> Tensor:
        """The gradient of z; those of the weights are added to ``into``."""
        sums = (grad * self.normed).sum(0), grad.sum(0)
        for k, total in enumerate(into):
            total += sums[k % 2].chunk(2)[k // 2]
        found = torch.ops.aten.native_layer_norm_backward(
            (grad * self.weight).view_as(self.z), self.z, [self.z.shape[1]], self.mean, self.rstd, None, None,
            [True, False, False],
        )[0]  # fmt: skip
        return found.view_as(grad)


_precision = threading.Lock()
_precision_users: list[str] = []
"""One entry per thread inside ``_own_precision``: what the setting, which is the process's, was before the first."""


@contextmanager
def _own_precision(example: Tensor) -> Iterator[None]:
    """Outside autocast, have oneDNN take float32 matrix products, in bfloat16 where it has tiles (AMX) for them.

    Without tiles it computes them in float32 all the same, on AMD processors twice as fast as MKL. As in the
    native kernel, a float32 level in AMSBENCH_NATIVE_LEVEL keeps them exact: they are then left to MKL.
    """
    backend = getattr(torch.backends.mkldnn, "matmul", None)  # since torch 2.9
    exact = os.environ.get("AMSBENCH_NATIVE_LEVEL", "") not in ("", *BFLOAT16)
    wanted = example.device.type == "cpu" and example.dtype == torch.float32 and not exact
    with torch.autocast(example.device.type, enabled=False):
        if backend is None or not wanted:
            yield
            return
        with _precision:
            _precision_users.append(backend.fp32_precision if not _precision_users else _precision_users[0])
            backend.fp32_precision = "bf16"
        try:
            yield
        finally:
            with _precision:
                before = _precision_users.pop()
                if not _precision_users:
                    backend.fp32_precision = before
