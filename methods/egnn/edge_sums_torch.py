"""The sum of messages over edges in torch operations, for any device and type and without a C compiler.

Tables with one row per edge are a hundred times the size of tables with one row per atom, and writing them to memory
takes more time than computing them. Here receivers with similar numbers of edges are computed in groups of a few
thousand edges, padded to [receivers, degree]. Features of receivers are broadcast instead of gathered, and sums over
edges are small matrix products. The backward pass is written out and computes each group again, so that only the
inputs of the edges are kept in memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...benchmark.interface.neighbour_graph import Graph
from ..product_precision import BFLOAT16
from .config import Messages
from .derivatives import ReverseModeFunction, first_derivatives_only

CHUNK = {"cpu": 2048, "cuda": 32768}
"""Places for edges in a group. On the CPU 1,500 to 4,000 are equally fast; smaller groups take more calls, larger ones
leave the cache."""


@lru_cache(maxsize=1)
def raise_glibc_mmap_threshold() -> None:
    """Make glibc keep freed blocks of up to 31 MB in the process, by allocating and freeing one; once per process."""
    # glibc returns blocks above its mmap threshold to the system when they are freed, and every page of the next
    # block is then mapped anew. The threshold, at most 32 MB, rises to the size of the largest block freed so far.
    # Measured: a training step takes a third less time.
    torch.empty(31 << 20, dtype=torch.uint8, device="cpu")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The edges of r receivers in d places each; the smooth cutoff of places without an edge is 0.

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

    edge_inputs: features [e, width] and smooth cutoff [e], taken as constants
    node_inputs: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels in, 3]
    returns [n, hidden] and [n, channels out, 3], with first derivatives by reverse mode
    """
    return sum_over_groups(messages, grouped(graph, *edge_inputs), node_inputs, parameters)


def sum_over_groups(
    messages: Messages,
    groups: list[Group],
    node_inputs: tuple[Tensor, Tensor, Tensor],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """``sum_over_edges`` for the result of ``grouped``, which all layers share."""
    # autocast may have changed the type
    receiver, sender, x = (t.to(parameters[0].dtype) for t in node_inputs)
    h, total = _SumOverEdges.apply(messages, groups, receiver, sender, x.transpose(1, 2), *parameters)
    return h, total.transpose(1, 2)


def grouped(graph: Graph, features: Tensor, smooth: Tensor) -> list[Group]:
    """All edges in groups of receivers in the order of their number of edges, largest first.

    features [e, width], smooth [e]
    """
    if not len(graph.receivers):
        return []
    counts = torch.bincount(graph.receivers)
    starts = counts.cumsum(0) - counts
    counts, order = counts.sort(descending=True, stable=True)
    sizes, groups, first = counts[counts > 0].tolist(), [], 0
    chunk = CHUNK.get(smooth.device.type, CHUNK["cuda"])
    while first < len(sizes):
        # oneDNN compiles each product for its shape, so shapes should repeat: degrees are multiples of 8, and the
        # number of receivers fills a chunk or, in the last group of a degree, quarters of one
        depth = -(-sizes[first] // 8) * 8
        full = max(1, chunk // depth)
        members, quarter = min(full, len(sizes) - first), -(-full // 4)
        index = torch.arange(first, first + min(full, -(-members // quarter) * quarter), device=order.device)
        real = (index < first + members)[:, None]
        rows, degrees = (t[index.clamp(max=len(sizes) - 1)] for t in (order, counts))
        places = torch.arange(depth, device=order.device)
        # places without an edge repeat the last edge of the receiver
        edges = (starts[rows, None] + torch.minimum(places, degrees[:, None] - 1)).flatten()
        groups.append(Group(
            receivers=rows,
            senders=graph.senders.index_select(0, edges),
            shifts=graph.shifts.index_select(0, edges).view(len(rows), depth, 3, 1),
            features=features.index_select(0, edges),
            smooth=torch.where(
                real & (places < degrees[:, None]), smooth.index_select(0, edges).view(-1, depth), 0.0
            ),
        ))  # fmt: skip
        first += members
    return groups


class _SumOverEdges(ReverseModeFunction):
    """``sum_over_groups`` with positions and their sums as [n, 3, channels]."""

    @staticmethod
    def forward(ctx: Any, messages: Messages, groups: list[Group], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.messages, ctx.groups = messages, groups
        ctx.save_for_backward(*tensors)
        receiver = tensors[0]
        h = receiver.new_zeros(len(receiver), messages.hidden)
        x = receiver.new_zeros(len(receiver), 3, messages.channels[0])
        with _bfloat16_products(receiver):
            for group in groups:
                for t, sums in zip((h, x), _Pass(messages, group, tensors).sums(), strict=True):
                    t.index_add_(0, group.receivers, sums)
        return h, x

    @staticmethod
    @first_derivatives_only
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, need_x = ctx.saved_tensors, ctx.needs_input_grad[4]
        return (None, None, *gradients_over_groups(ctx.messages, ctx.groups, tensors, grads, need_x))


def gradients_over_groups(
    messages: Messages,
    groups: Iterable[Group],
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor],
    need_x: bool,
) -> list[Tensor]:
    """Gradients of the node inputs and parameters ``tensors`` from those of both sums, positions as [n, 3, channels];
    those of the positions are 0 without ``need_x``."""
    totals = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in tensors]
    with _bfloat16_products(tensors[0]):
        for group in groups:
            _Pass(messages, group, tensors).add_gradients(grads, totals, need_x)
    return totals


class _Pass:
    """The edge function on one group of [r, d] places, computed by the constructor; then summed or differentiated.

    Positions and vectors are [..., 3, channels], so that Phi is one matrix.
    """

    def __init__(self, messages: Messages, group: Group, tensors: Sequence[Tensor]) -> None:
        receiver, sender, x, edge_w, *norms, message_w, message_b, gate_w, gate_b, shift_w, shift_b = tensors
        self.group, self.shape = group, group.smooth.shape
        self.hidden, self.cutoff = messages.hidden, messages.cutoff
        self.edge_w, self.message_w, self.gate_w = edge_w, message_w, gate_w
        # [channels out, channels in * hidden]
        self.shift_w, self.shift_b = shift_w.view(messages.channels[0], -1), shift_b.view(messages.channels)
        # index_select is twice as fast as indexing with a tensor
        at_sender = x.index_select(0, group.senders).unflatten(0, self.shape)
        self.d = x.index_select(0, group.receivers)[:, None] - at_sender - group.shifts
        squared = self.d.square().sum(2)
        # the square root of 0 has no gradient, and two atoms may be at the same point
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
        # sum_j (W a_ij + b) d_ij = W (sum_j a_ij d_ij) + b sum_j d_ij does not need Phi_ij = W a_ij + b of every edge
        self.moments = torch.bmm(self.direction.flatten(2).transpose(1, 2), self.for_shift)
        self.directions = self.direction.sum(1)

    def _halves(self, t: Tensor) -> tuple[Tensor, ...]:
        """[r d, 2 hidden] -> [r, d, hidden] for the message and [r, d, hidden] for Phi."""
        return t.unflatten(0, self.shape).split(self.hidden, dim=-1)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Both sums of the receivers of the group: [r, hidden] and [r, 3, channels out]."""
        messages = torch.bmm(self.weight[:, None], self.m.unflatten(0, self.shape))[:, 0]
        moves = self.moments.view(*self.directions.shape[:2], -1) @ self.shift_w.t()
        return messages, moves + self.directions @ self.shift_b.t()

    def add_gradients(self, grads: Sequence[Tensor], totals: Sequence[Tensor], need_x: bool) -> None:
        """Add the gradients of all inputs to ``totals``.

        grads: gradients of both sums of all nodes
        """
        group, hidden = self.group, self.hidden
        g_receiver, g_sender, g_x, g_edge_w, *g_norms = totals[:-6]
        g_message_w, g_message_b, g_gate_w, g_gate_b, g_shift_w, g_shift_b = totals[-6:]
        grad_h, grad_x = (g.index_select(0, group.receivers) for g in grads)
        grad_a = torch.empty_like(self.a)

        m = self.m.unflatten(0, self.shape)
        grad_gate = torch.bmm(m, grad_h[:, :, None])[..., 0] * self.weight * (1 - self.gate)
        g_gate_w[0].addmv_(self.m.t(), grad_gate.flatten())
        g_gate_b += grad_gate.sum()
        # the gradient of m: weight * grad_h + grad_gate * gate_w
        grad_m = torch.bmm(
            torch.stack([self.weight, grad_gate], dim=-1),
            torch.stack([grad_h, self.gate_w.expand_as(grad_h)], dim=1),
        )
        grad_u = torch.ops.aten.silu_backward(grad_m.flatten(0, 1), self.u)
        g_message_w.addmm_(grad_u.t(), self.a[:, :hidden])
        g_message_b += grad_u.sum(0)
        torch.mm(grad_u, self.message_w, out=grad_a[:, :hidden])

        outputs = grad_x.flatten(0, 1)
        g_shift_w.view_as(self.shift_w).addmm_(outputs.t(), self.moments.view(len(outputs), -1))
        g_shift_b.view_as(self.shift_b).addmm_(outputs.t(), self.directions.flatten(0, 1))
        grad_moments = (outputs @ self.shift_w).view_as(self.moments)
        torch.bmm(self.direction.flatten(2), grad_moments, out=self._halves(grad_a)[1])

        grad_z = torch.ops.aten.silu_backward(grad_a, self.z)
        if self.norm is not None:
            grad_z = self.norm.add_gradients(grad_z, g_norms)
        g_edge_w.addmm_(grad_z.t(), self.features)
        g_receiver.index_add_(0, group.receivers, grad_z.unflatten(0, self.shape).sum(1))
        g_sender.index_add_(0, group.senders, grad_z)
        if need_x:
            grad_direction = torch.bmm(self.for_shift, grad_moments.transpose(1, 2)).view_as(self.d)
            grad_direction += (grad_x @ self.shift_b)[:, None]
            grad_d = self._edge_vector_gradient(grad_direction, grad_z)
            g_x.index_add_(0, group.receivers, grad_d.sum(1))
            g_x.index_add_(0, group.senders, grad_d.flatten(0, 1), alpha=-1)

    def _edge_vector_gradient(self, grad_direction: Tensor, grad_z: Tensor) -> Tensor:
        """Gradient of the edge vectors d from that of d_ij / (|d_ij| + 1) c_ij and, through the invariants, from that
        of the first edge layer."""
        along = (grad_direction * self.d).sum(2)
        radial = -along * self.scale / ((self.distance + 1) * self.distance)
        if self.tanh is not None:
            grad_tanh = grad_z @ self.edge_w[:, -self.tanh.shape[-1] :]
            radial += grad_tanh.view_as(radial) * (1 - self.tanh**2) * (4 / self.cutoff**2)
        return grad_direction.mul_(self.scale[:, :, None]).add_(self.d * radial[:, :, None])


class _Norm:
    """Two LayerNorms, one for each half of the columns of [e, 2 hidden]; weights: weight, bias, weight, bias."""

    def __init__(self, z: Tensor, weights: Sequence[Tensor]) -> None:
        hidden = len(weights[0])
        self.z = z.view(-1, hidden)
        normed, self.mean, self.rstd = torch.native_layer_norm(self.z, [hidden], None, None, 1e-5)
        self.normed, self.weight = normed.view_as(z), torch.cat(list(weights[::2]))
        self.output = torch.addcmul(torch.cat(list(weights[1::2])), self.normed, self.weight)

    def add_gradients(self, grad: Tensor, totals: Sequence[Tensor]) -> Tensor:
        """Gradient of z [e, 2 hidden]; adds the gradients of the weights to ``totals``."""
        sums = (grad * self.normed).sum(0), grad.sum(0)
        for k, total in enumerate(totals):
            total += sums[k % 2].chunk(2)[k // 2]
        grad_z = torch.ops.aten.native_layer_norm_backward(
            (grad * self.weight).view_as(self.z), self.z, [self.z.shape[1]], self.mean, self.rstd, None, None,
            [True, False, False],
        )[0]  # fmt: skip
        return grad_z.view_as(grad)


_precision = threading.Lock()
_precision_users: list[str] = []
"""One entry per thread inside ``_bfloat16_products``: the setting of the process before the first of them."""


@contextmanager
def _bfloat16_products(example: Tensor) -> Iterator[None]:
    """Context without autocast in which oneDNN computes float32 matrix products on the CPU, in bfloat16 with AMX.

    Without AMX oneDNN computes them in float32, on AMD processors twice as fast as MKL. As for the native kernel, a
    float32 level in AMSBENCH_NATIVE_LEVEL selects float32 products, which MKL then computes.
    """
    backend = getattr(torch.backends.mkldnn, "matmul", None)  # since torch 2.9
    exact = os.environ.get("AMSBENCH_NATIVE_LEVEL", "") not in ("", *BFLOAT16)
    applies = example.device.type == "cpu" and example.dtype == torch.float32 and not exact
    with torch.autocast(example.device.type, enabled=False):
        if backend is None or not applies:
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
