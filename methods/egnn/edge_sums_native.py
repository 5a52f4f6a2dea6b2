"""The edge part of a message-passing layer as one native kernel on the CPU (edge_kernel.c).

The kernel is the same function as ``EGNNLayer._messages`` under ``sum_over_edges``, from gather to sum, without
tables of all edges. It is used where it applies and was built; otherwise the torch code runs, with which the
tests compare it. Two environment variables, read at every call:

AMSBENCH_NATIVE: ``0`` switches the kernel off
AMSBENCH_NATIVE_LEVEL: ``plain``, ``avx2``, ``avx512`` (float32), ``bf16`` (AVX-512 with bfloat16 products) or ``amx``
    (the same in tiles) instead of the best that the processor has; ``float32`` is the best of the float32 ones
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...benchmark.interface.neighbour_graph import Graph
from ...native_library import NativeLibrary, worker_threads
from ..product_precision import BFLOAT16, PRODUCT_LEVELS
from .derivatives import ReverseModeFunction, first_derivatives_only

if TYPE_CHECKING:
    from .config import EGNNConfig
    from .layer import EGNNLayer

ABI = 4
"""Counts changes of the structure below, so that a library of an older build is never called."""

LANES = 8
"""Channels are padded to this many, and the kernel has no more."""


class _Arguments(ctypes.Structure):
    """``Args`` of edge_kernel.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (
            "level", "nodes", "edge_start", "edge_stop", "hidden", "radial",
            "lanes_in", "lanes_out", "need_x", "base",
        )),
        *((name, ctypes.c_void_p) for name in (
            "receivers", "senders", "shifts", "distance", "smooth", "receiver", "sender", "x",
            "edge_w", "message_w", "message_b", "gate_w", "gate_b", "shift_w", "shift_b",
        )),
        ("cutoff", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in (
            "out_h", "out_x", "grad_out_h", "grad_out_x", "grad_receiver", "grad_sender", "grad_x",
            "grad_edge_w", "grad_message_w", "grad_message_b", "grad_gate_w", "grad_gate_b",
            "grad_shift_w", "grad_shift_b",
        )),
    )  # fmt: skip


def _declare(library: ctypes.CDLL) -> None:
    """Set the argument types of the functions of edge_kernel.c."""
    library.amsbench_edge_run.argtypes = (ctypes.POINTER(_Arguments), ctypes.c_int)
    if hasattr(library, "amsbench_edge_team"):  # only on Linux
        library.amsbench_edge_team.argtypes = (
            ctypes.c_void_p, ctypes.POINTER(ctypes.POINTER(_Arguments)), ctypes.c_int64, ctypes.c_int
        )  # fmt: skip
    library.amsbench_edge_distances.argtypes = (
        *(ctypes.c_int64,) * 3, *(ctypes.c_void_p,) * 4, ctypes.c_double, *(ctypes.c_void_p,) * 2
    )  # fmt: skip


LIBRARY = NativeLibrary(
    folder=Path(__file__).parent,
    name="_edge_kernel",
    prefix="amsbench_edge",
    abi=ABI,
    levels=PRODUCT_LEVELS,
    highest_of={"float32": "avx512"},
    declare=_declare,
)


def _active() -> tuple[bool, str]:
    """Whether the kernel is used at all, and the reason."""
    if LIBRARY.active and LIBRARY.level() == 0 and not os.environ.get("AMSBENCH_NATIVE_LEVEL"):
        return False, "this processor has no AVX2, and without it torch is faster than the kernel"
    return LIBRARY.active, LIBRARY.reason


def info() -> dict[str, Any]:
    """What runs and why: built, active, level, mode (bfloat16 or float32), threads, reason."""
    active, reason = _active()
    level = PRODUCT_LEVELS[LIBRARY.level()] if active else None
    return {
        "built": LIBRARY.built,
        "active": active,
        "level": level,
        "mode": ("bfloat16" if level in BFLOAT16 else "float32") if active else None,
        "threads": torch.get_num_threads(),
        "reason": reason,
    }


def usable(config: EGNNConfig, h: Tensor) -> bool:
    """Whether the kernel can take the layers of a network for node features of this device and type."""
    return (
        h.device.type == "cpu"
        and h.dtype == torch.float32
        and config.edge_features == "radial"
        and config.hidden % 32 == 0
        and config.radial % 32 == 0
        and config.channels <= LANES
        and not torch.is_autocast_enabled("cpu")
        and _active()[0]
    )


def edge_inputs(graph: Graph, positions: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Distances and smooth cutoffs (``smooth_cutoff``) of all edges [e], without gradients."""
    inputs = [t.long().contiguous() for t in (graph.receivers, graph.senders)]
    inputs += [t.detach().float().contiguous() for t in (graph.shifts, positions)]
    distance, smooth = torch.empty(2, len(inputs[0]), dtype=torch.float32, device="cpu")
    _raise(LIBRARY.functions.amsbench_edge_distances(
        LIBRARY.level(), len(inputs[0]), len(positions), *(t.data_ptr() for t in inputs), cutoff,
        distance.data_ptr(), smooth.data_ptr(),
    ))  # fmt: skip
    return distance, smooth


def sum_messages(
    layer: EGNNLayer, graph: Graph, edges: tuple[Tensor, Tensor], nodes: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What ``sum_over_edges`` gives for ``layer._messages``; only where ``usable``.

    edges: distance [e], of which the kernel makes the radial basis itself, and smooth cutoff [e], both of
        ``edge_inputs``; no gradient flows into them
    nodes: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels_in, 3]
    returns [n, hidden] and [n, channels_out, 3]; once differentiable
    """
    for t in edges:
        if t.shape != graph.receivers.shape:
            raise ValueError(f"{tuple(t.shape)} distances or cutoffs for {len(graph.receivers)} edges")
    outgoing, incoming = layer.channels
    x, edge_w = nodes[2].transpose(1, 2), layer.edge.weight
    shift_w = layer.shift.weight.unflatten(0, layer.channels)
    shift_b = layer.shift.bias.view(layer.channels)
    # padding is left to autograd, so the kernel sees 1 or 8 channels and nothing else
    if incoming > 1:
        lanes, width = outgoing + outgoing % 2, LANES - incoming
        if width:
            x, edge_w = functional.pad(x, (0, width)), functional.pad(edge_w, (0, width))
        rows = -(-lanes * LANES // 32) * 32 // LANES - outgoing
    else:
        lanes, width, rows = 16, 0, 32 - outgoing
    if rows or width:
        shift_w = functional.pad(shift_w, (0, 0, 0, width, 0, rows))
        shift_b = functional.pad(shift_b, (0, width, 0, rows))
    h, d = _SumMessages.apply(
        graph, edges, layer.config, lanes, *nodes[:2], x, edge_w, layer.message.weight, layer.message.bias,
        layer.gate.weight, layer.gate.bias, shift_w.flatten(0, 1), shift_b.flatten(),
    )  # fmt: skip
    return h, d[:, :outgoing]


_PARAMETERS = ("edge_w", "message_w", "message_b", "gate_w", "gate_b", "shift_w", "shift_b")


class _SumMessages(ReverseModeFunction):
    @staticmethod
    def forward(
        ctx: Any, graph: Graph, edges: tuple[Tensor, Tensor], config: EGNNConfig, lanes: int, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        call = _Call(graph, edges, config, lanes, tensors)
        ctx.call = call
        ctx.save_for_backward(*tensors)
        nodes = len(tensors[0])
        out_h, out_x = torch.zeros(nodes, call.hidden), torch.zeros(nodes, lanes, 3)
        call.run([(*bounds, {"out_h": out_h, "out_x": out_x}) for bounds in call.ranges], backward=False)
        return out_h, out_x

    @staticmethod
    @first_derivatives_only
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        receiver, sender, x, *parameters = ctx.saved_tensors  # also tells of tensors changed in place
        need_x = ctx.needs_input_grad[6]
        into = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (receiver, sender, x)]
        out = {"grad_out_h": grads[0].contiguous(), "grad_out_x": grads[1].contiguous()}
        senders = call.tensors["senders"].numpy()
        jobs, sums, parts = [], [], []
        for start, stop in call.ranges:
            # a range of receivers has senders in its own structures only, so its share of the nodes is small
            low, high = (
                (int(senders[start:stop].min()), int(senders[start:stop].max()) + 1)
                if stop > start
                else (0, 0)
            )
            first, last = call.nodes_between(start, stop)
            low, high = min(low, first), max(high, last)
            whole = len(call.ranges) == 1
            low, high = (0, len(receiver)) if whole else (low, high)
            mine = into[1:] if whole else [torch.zeros(high - low, *t.shape[1:]) for t in into[1:]]
            weights = [torch.zeros(p.shape) for p in parameters]
            names = {f"grad_{name}": t for name, t in zip(_PARAMETERS, weights, strict=True)}
            jobs.append((start, stop, {
                **out, **names, "grad_receiver": into[0], "grad_sender": mine[0], "grad_x": mine[1],
                "need_x": need_x, "base": low,
            }))  # fmt: skip
            sums.append(weights)
            if not whole:
                parts.append((low, high, mine))
        call.run(jobs, backward=True)
        for low, high, mine in parts:
            for total, part in zip(into[1:], mine, strict=True):
                total[low:high] += part
        totals = [torch.stack(t).sum(0) if len(t) > 1 else t[0] for t in zip(*sums, strict=True)]
        return (None, None, None, None, into[0], into[1], into[2] if need_x else None, *totals)


class _Call:
    """The inputs of one call, held for the backward pass, and the ranges of edges of its threads."""

    def __init__(
        self,
        graph: Graph,
        edges: tuple[Tensor, Tensor],
        config: EGNNConfig,
        lanes: int,
        tensors: tuple[Tensor, ...],
    ) -> None:
        names = ("receiver", "sender", "x", *_PARAMETERS)
        self.tensors = {name: t.detach().float().contiguous() for name, t in zip(names, tensors, strict=True)}
        for name, t in (("shifts", graph.shifts), ("distance", edges[0]), ("smooth", edges[1])):
            self.tensors[name] = t.detach().float().contiguous()
        self.tensors["receivers"] = graph.receivers.long().contiguous()
        self.tensors["senders"] = graph.senders.long().contiguous()
        self.hidden, self.count = tensors[0].shape[1] // 2, len(graph.receivers)
        self.sizes = {
            "level": LIBRARY.level(),
            "nodes": len(tensors[0]),
            "hidden": self.hidden,
            "radial": config.radial,
            "lanes_in": tensors[2].shape[2],
            "lanes_out": lanes,
        }
        self.cutoff = config.cutoff
        self.ranges = self._split(torch.get_num_threads())

    def _split(self, threads: int) -> list[tuple[int, int]]:
        """Ranges of edges of about equal length that begin with a receiver."""
        threads = max(1, min(threads, self.count // 1024))
        if threads == 1:
            return [(0, self.count)]
        receivers = self.tensors["receivers"].numpy()
        cuts = [0]
        for k in range(1, threads):
            cuts.append(int(np.searchsorted(receivers, receivers[self.count * k // threads])))
        cuts.append(self.count)
        return [(a, b) for a, b in pairwise(cuts) if b > a]

    def nodes_between(self, start: int, stop: int) -> tuple[int, int]:
        if stop <= start:
            return 0, 0
        receivers = self.tensors["receivers"]
        return int(receivers[start]), int(receivers[stop - 1]) + 1

    def run(self, jobs: list[tuple[int, int, dict[str, Any]]], backward: bool) -> None:
        library = LIBRARY.functions
        arguments = [self._arguments(*job) for job in jobs]
        team = _openmp_team()
        if len(jobs) > 1 and team is not None:
            pointers = (ctypes.POINTER(_Arguments) * len(jobs))(*map(ctypes.pointer, arguments))
            _raise(library.amsbench_edge_team(team, pointers, len(jobs), int(backward)))
            return

        def one(of_job: _Arguments) -> int:
            return int(library.amsbench_edge_run(ctypes.byref(of_job), int(backward)))

        _raise(
            max(worker_threads("edges", len(jobs)).map(one, arguments))
            if len(jobs) > 1
            else one(arguments[0])
        )

    def _arguments(self, start: int, stop: int, extra: dict[str, Any]) -> _Arguments:
        fields = {**self.sizes, **self.tensors, **extra, "edge_start": start, "edge_stop": stop}
        values = {name: v.data_ptr() if isinstance(v, Tensor) else v for name, v in fields.items()}
        return _Arguments(**values, cutoff=self.cutoff)


@lru_cache(maxsize=1)
def _openmp_team() -> int | None:
    """The address of GOMP_parallel in torch's OpenMP runtime, or None where torch has another one.

    Its threads stay awake for some milliseconds after an operation of torch. On them the kernel begins at once; on
    threads of its own, which have to be woken and find the processor taken, two cores are hardly faster than one.
    """
    try:
        address = ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):  # there is no such function, or no such lookup (Windows)
        return None
    return address if hasattr(LIBRARY.functions, "amsbench_edge_team") else None


def _raise(failed: int) -> None:
    if failed == 1:
        raise ValueError("edges are not sorted by receiver or name atoms that there are not")
    if failed == 2:
        raise MemoryError("no memory for the workspace of the edge kernel")
    if failed:
        raise RuntimeError(f"the edge kernel has no level {os.environ.get('AMSBENCH_NATIVE_LEVEL')}")
