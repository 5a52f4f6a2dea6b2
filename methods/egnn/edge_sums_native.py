"""The sum of messages over edges by one native kernel on the CPU (edge_kernel.c), without tables of all edges.

The kernel is used if it was built and supports the network (``usable``); otherwise edge_sums_torch.py is used, with
which tests compare it. Two environment variables are read at every call:

AMSBENCH_NATIVE: ``0`` switches the kernel off
AMSBENCH_NATIVE_LEVEL: instruction set ``plain``, ``avx2``, ``avx512`` (all in float32), ``bf16`` (AVX-512 with
    bfloat16 products) or ``amx`` (bfloat16 products in tiles); the default is the best of the processor, and
    ``float32`` the best of the first three
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

ABI = 5
"""Version of the interface of the library; a library with another version is not used."""

LANES = 8
"""Channels are padded to this number, the largest that the kernel supports."""


class _Arguments(ctypes.Structure):
    """The structure ``Args`` of edge_kernel.c."""

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
    """State of the kernel: built and active (bool), level (instruction set or None), mode (bfloat16, float32 or None),
    threads (number), reason (text)."""
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
    """Whether the kernel can compute a network of this configuration for the device and type of ``h`` [n, hidden]."""
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
    """Distances [e] in A and smooth cutoffs [e] (``smooth_cutoff``) of all edges, without gradients.

    positions [n, 3], cutoff: A
    """
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
    """The sums of Eq. 13 over edges, as by ``edge_sums_torch.sum_over_edges``. Requires ``usable``.

    edges: distance [e] and smooth cutoff [e] from ``edge_inputs``, taken as constants; the kernel computes the radial
        basis from the distance
    nodes: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels_in, 3]
    returns [n, hidden] and [n, channels_out, 3], with first derivatives by reverse mode
    """
    for t in edges:
        if t.shape != graph.receivers.shape:
            raise ValueError(f"{tuple(t.shape)} distances or cutoffs for {len(graph.receivers)} edges")
    outgoing, incoming = layer.channels
    x, edge_w = nodes[2].transpose(1, 2), layer.edge.weight
    shift_w = layer.shift.weight.unflatten(0, layer.channels)
    shift_b = layer.shift.bias.view(layer.channels)
    width = LANES - incoming if incoming > 1 else 0
    if width:
        # padded by torch, so that autograd removes the padding from gradients and the kernel has 1 or 8 channels
        x, edge_w = functional.pad(x, (0, width)), functional.pad(edge_w, (0, width))
        shift_w, shift_b = functional.pad(shift_w, (0, 0, 0, width)), functional.pad(shift_b, (0, width))
    return _SumMessages.apply(
        graph, edges, layer.config, outgoing, *nodes[:2], x, edge_w, layer.message.weight, layer.message.bias,
        layer.gate.weight, layer.gate.bias, shift_w.flatten(0, 1), shift_b.flatten(),
    )  # fmt: skip


_PARAMETERS = ("edge_w", "message_w", "message_b", "gate_w", "gate_b", "shift_w", "shift_b")


class _SumMessages(ReverseModeFunction):
    """``sum_messages`` of padded tensors, in the order of ``_Call``."""

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
        receiver, sender, x, *parameters = (
            ctx.saved_tensors
        )  # raises an error for tensors that were changed in place
        need_x = ctx.needs_input_grad[6]
        node_grads = [
            torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (receiver, sender, x)
        ]
        out = {"grad_out_h": grads[0].contiguous(), "grad_out_x": grads[1].contiguous()}
        senders = call.tensors["senders"].numpy()
        jobs, weight_grads, parts = [], [], []
        for start, stop in call.ranges:
            # the senders of a range of receivers are in the same structures, so a range needs few of the nodes
            low, high = (
                (int(senders[start:stop].min()), int(senders[start:stop].max()) + 1)
                if stop > start
                else (0, 0)
            )
            first, last = call.nodes_between(start, stop)
            low, high = min(low, first), max(high, last)
            whole = len(call.ranges) == 1
            low, high = (0, len(receiver)) if whole else (low, high)
            part = (
                node_grads[1:] if whole else [torch.zeros(high - low, *t.shape[1:]) for t in node_grads[1:]]
            )
            weights = [torch.zeros(p.shape) for p in parameters]
            names = {f"grad_{name}": t for name, t in zip(_PARAMETERS, weights, strict=True)}
            jobs.append((start, stop, {
                **out, **names, "grad_receiver": node_grads[0], "grad_sender": part[0], "grad_x": part[1],
                "need_x": need_x, "base": low,
            }))  # fmt: skip
            weight_grads.append(weights)
            if not whole:
                parts.append((low, high, part))
        call.run(jobs, backward=True)
        for low, high, part in parts:
            for total, values in zip(node_grads[1:], part, strict=True):
                total[low:high] += values
        totals = [torch.stack(t).sum(0) if len(t) > 1 else t[0] for t in zip(*weight_grads, strict=True)]
        return (None, None, None, None, *node_grads[:2], node_grads[2] if need_x else None, *totals)


class _Call:
    """The inputs of one layer, kept for the backward pass, and the ranges of edges of its threads."""

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
        """Ranges of edges of about equal length; all edges of a receiver are in one range."""
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
        """The first receiver of a range of edges, and the one after its last."""
        if stop <= start:
            return 0, 0
        receivers = self.tensors["receivers"]
        return int(receivers[start]), int(receivers[stop - 1]) + 1

    def run(self, jobs: list[tuple[int, int, dict[str, Any]]], backward: bool) -> None:
        """Run the kernel for each job, one per thread: first edge, edge after the last, further arguments.

        Raises ValueError for edges that are not sorted by receiver or name missing atoms.
        """
        library = LIBRARY.functions
        arguments = [self._arguments(*job) for job in jobs]
        team = _openmp_team()
        if len(jobs) > 1 and team is not None:
            pointers = (ctypes.POINTER(_Arguments) * len(jobs))(*map(ctypes.pointer, arguments))
            _raise(library.amsbench_edge_team(team, pointers, len(jobs), int(backward)))
            return

        def run_one(job: _Arguments) -> int:
            return int(library.amsbench_edge_run(ctypes.byref(job), int(backward)))

        _raise(
            max(worker_threads("edges", len(jobs)).map(run_one, arguments))
            if len(jobs) > 1
            else run_one(arguments[0])
        )

    def _arguments(self, start: int, stop: int, extra: dict[str, Any]) -> _Arguments:
        fields = {**self.sizes, **self.tensors, **extra, "edge_start": start, "edge_stop": stop}
        values = {name: v.data_ptr() if isinstance(v, Tensor) else v for name, v in fields.items()}
        return _Arguments(**values, cutoff=self.cutoff)


@lru_cache(maxsize=1)
def _openmp_team() -> int | None:
    """Address of GOMP_parallel in torch's OpenMP runtime, or None if torch uses another runtime."""
    # The threads of this runtime keep spinning for some milliseconds after an operation of torch. The kernel starts on
    # them at once. Threads of its own would have to be woken and would share the cores with the spinning ones: measured
    # on two cores, they are hardly faster than one thread.
    try:
        address = ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):  # no such function, or no such lookup (Windows)
        return None
    return address if hasattr(LIBRARY.functions, "amsbench_edge_team") else None


def _raise(failed: int) -> None:
    if failed == 1:
        raise ValueError("edges are not sorted by receiver, or name atoms that do not exist")
    if failed == 2:
        raise MemoryError("no memory for the workspace of the edge kernel")
    if failed:
        raise RuntimeError(f"the edge kernel has no level {os.environ.get('AMSBENCH_NATIVE_LEVEL')}")
