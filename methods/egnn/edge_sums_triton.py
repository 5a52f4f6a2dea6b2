"""The sum of messages over edges by fused kernels on the GPU, in Triton (triton_forward.py, triton_backward.py).

Used on CUDA devices that Triton supports, if it is installed, as it is with torch for CUDA; otherwise
edge_sums_torch.py is used. The environment variable AMSBENCH_TRITON is read at every call: ``0`` switches the kernels
off, ``float32`` computes products in float32 instead of ``bfloat16``. For tests, TRITON_INTERPRET=1 and one of these
two types run the same kernels on the CPU in Triton's interpreter. triton_choice.py has the choices on which their speed
depends.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import AmsbenchError
from ..product_precision import CAPABILITY
from .config import Messages
from .derivatives import ReverseModeFunction, first_derivatives_only
from .neighbour_table import NeighbourTable
from .triton_choice import Tile, faster, kernel_choice, torch_gradients

if TYPE_CHECKING:
    from .config import EGNNConfig
    from .layer import EGNNLayer

LANES = 8
"""Channels are padded to this number."""
WAVES = 4
"""Programs per multiprocessor in the backward pass. Each computes many atoms and sums its own weight gradients."""
MOST_ATOMS = 2**31 // 256
"""Most atoms of a batch: the kernels address node tables, of at most 256 columns, with 32 bits."""

PRODUCTS = ("bfloat16", "float32")


def _requested() -> str:
    """The value of AMSBENCH_TRITON; AmsbenchError if it is not a valid one."""
    requested = os.environ.get("AMSBENCH_TRITON", "")
    if requested not in ("", "0", *PRODUCTS):
        raise AmsbenchError(
            f"AMSBENCH_TRITON is '{requested}'; set it to 0, {' or '.join(PRODUCTS)}, or unset it"
        )
    return requested


def _interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache
def _problem(device: torch.device | None) -> str | None:
    """Reason why the kernels cannot run on a CUDA device, or in the interpreter (None); None if they can."""
    try:
        from ...benchmark.interface import noise_triton
    except ImportError as problem:
        return f"triton cannot be imported: {problem}"
    if device is None:
        return None
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < CAPABILITY:
        return (
            f"{device} is of compute capability {major}.{minor}; the kernels need {CAPABILITY[0]}.0 or more"
        )
    return noise_triton.problem(device)


def info(device: torch.device | None = None) -> dict[str, Any]:
    """State of the kernels on a GPU, by default the current one: active (bool), mode (bfloat16, float32 or None),
    reason (text)."""
    if _requested() == "0":
        problem: str | None = "switched off by AMSBENCH_TRITON=0"
    elif _interpreted():
        problem = _problem(None)
    elif not torch.cuda.is_available():
        problem = "no CUDA device"
    else:
        problem = _problem(device or torch.device("cuda", torch.cuda.current_device()))
    return {
        "active": problem is None,
        "mode": None if problem else _requested() or PRODUCTS[0],
        "reason": problem or "triton",
    }


def usable(config: EGNNConfig, h: Tensor) -> bool:
    """Whether the kernels can compute a network of this configuration for tensors on the device and of the type of
    ``h`` [n, ...]."""
    return (
        (h.is_cuda or (_interpreted() and _requested() in PRODUCTS))
        and h.dtype == torch.float32
        and config.edge_features == "radial"
        and config.hidden in (32, 64, 128)
        and config.radial in (16, 32, 64)
        and config.channels <= LANES
        and len(h) <= MOST_ATOMS
        and info(h.device)["active"]
    )


def sum_messages(
    layer: EGNNLayer, table: NeighbourTable, nodes: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The sums of Eq. 13 over edges, as by ``edge_sums_torch.sum_over_edges``. Requires ``usable``.

    nodes: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels_in, 3]
    returns [n, hidden] and [n, channels_out, 3], with first derivatives by reverse mode
    """
    h, d = _SumMessages.apply(table, layer.config, *_kernel_inputs(layer, nodes))
    return h, d[:, : layer.channels[0]]


def layer_call(layer: EGNNLayer, table: NeighbourTable, nodes: tuple[Tensor, Tensor, Tensor]) -> LayerCall:
    """The kernels of one layer for these inputs, to be run one by one where they are measured."""
    return LayerCall(table, layer.config, _kernel_inputs(layer, nodes))


def _kernel_inputs(layer: EGNNLayer, nodes: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Node inputs and weights, padded and in the order of the kernels."""
    outgoing, incoming = layer.channels
    # matrix products of Triton have at least 16 columns
    lanes, rows = (LANES, 2 if outgoing == 1 else LANES) if incoming > 1 else (1, 16)
    edge_w = functional.pad(layer.edge.weight, (0, lanes - incoming)).t()
    shift_w = layer.shift.weight.unflatten(0, layer.channels)
    shift_w = functional.pad(shift_w, (0, 0, 0, lanes - incoming, 0, rows - outgoing)).flatten(0, 1).t()
    shift_b = functional.pad(layer.shift.bias.view(layer.channels), (0, lanes - incoming, 0, rows - outgoing))
    x = functional.pad(nodes[2].transpose(1, 2), (0, lanes - incoming))
    return (
        *nodes[:2], x, edge_w, layer.message.weight.t(), layer.message.bias, layer.gate.weight.flatten(),
        layer.gate.bias, shift_w, shift_b.flatten(),
    )  # fmt: skip


class _SumMessages(ReverseModeFunction):
    """``sum_messages`` of padded tensors, in the order of ``LayerCall``."""

    @staticmethod
    def forward(
        ctx: Any, table: NeighbourTable, config: EGNNConfig, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        call = LayerCall(table, config, tensors)
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return call.forward()

    @staticmethod
    @first_derivatives_only
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises an error for tensors that were changed in place
        return (None, None, *ctx.call.gradients(*grads, ctx.needs_input_grad[4]))


class LayerCall:
    """The inputs of one layer, kept for the backward pass."""

    def __init__(self, table: NeighbourTable, config: EGNNConfig, tensors: tuple[Tensor, ...]) -> None:
        import triton.language as tl

        float32 = info()["mode"] == "float32"
        receiver, sender, x, edge_w, message_w, message_b, gate_w, gate_b, shift_w, shift_b = (
            t.detach().float().contiguous()
            for t in tensors  # autocast may have changed the type of some
        )
        product_type = torch.float32 if float32 else torch.bfloat16
        edge_w, message_w, shift_w = (w.to(product_type) for w in (edge_w, message_w, shift_w))
        self.nodes, self.device = len(receiver), receiver.device
        self.channels = x.shape[2]
        self.outgoing = shift_w.shape[1] // self.channels
        self.neighbours = table
        self.table = (
            table.senders,
            table.geometry,
            table.counts,
            table.senders.numel(),
            table.capacity,
            self.nodes,
        )
        self.inputs = (receiver, sender, x, edge_w)
        self.message = (message_w, message_b, gate_w, gate_b)
        self.shift = (shift_w, shift_b)
        self.range = (config.cutoff, config.cutoff / (config.radial - 1))
        self.constants = {
            "HIDDEN": receiver.shape[1] // 2,
            "RADIAL": config.radial,
            "CHANNELS": self.channels,
            "TYPE": tl.float32 if float32 else tl.bfloat16,
            "DOT": tl.float32 if float32 or _interpreted() else tl.bfloat16,
        }
        self.choice = kernel_choice()

    def options(self, tile: Tile) -> dict[str, Any]:
        """Constants of a kernel and the options of its compilation."""
        warps = tile.warps or (4 if self.constants["HIDDEN"] <= 64 else 8)
        return {**self.constants, "EDGES": tile.edges, "num_warps": warps, "num_stages": 1}

    @property
    def programs(self) -> int:
        """Number of programs of the backward pass: WAVES per multiprocessor, at most one per atom."""
        processors = 2
        if self.device.type == "cuda":
            processors = torch.cuda.get_device_properties(self.device).multi_processor_count
        return min(WAVES * processors, self.nodes)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Both sums: [n, hidden] and [n, outgoing, 3]."""
        from . import triton_forward

        out_h = torch.empty(self.nodes, self.constants["HIDDEN"], device=self.device)
        out_x = torch.empty(self.nodes, self.outgoing, 3, device=self.device)
        if self.nodes:
            with torch.cuda.device_of(out_h):
                triton_forward.layer_forward[(self.nodes,)](
                    *self.table, *self.inputs, *self.message, *self.shift, *self.range, out_h, out_x,
                    OUTGOING=self.outgoing, **self.options(self.choice.forward),
                )  # fmt: skip
        return out_h, out_x

    def gradients(self, grad_h: Tensor, grad_out: Tensor, need_x: bool) -> list[Tensor | None]:
        """As ``backward``, by the code that ``KernelChoice.gradients`` names."""
        codes = {
            "triton": partial(self.backward, grad_h, grad_out, need_x),
            "torch": partial(self.backward_by_torch, grad_h, grad_out, need_x),
        }
        if self.choice.gradients != "auto":
            return codes[self.choice.gradients]()
        kernel = (
            *self.options(self.choice.backward).items(),
            ("OUTGOING", self.outgoing),
            ("NEED_X", need_x),
        )
        return faster(kernel, codes, self.device)

    def backward_by_torch(self, grad_h: Tensor, grad_out: Tensor, need_x: bool) -> list[Tensor | None]:
        """As ``backward``, without a kernel of Triton; products are in float32."""
        receiver, sender, x, edge_w = self.inputs
        (message_w, message_b, gate_w, gate_b), (shift_w, shift_b) = self.message, self.shift
        edge_w, message_w, shift_w = (w.float().t().contiguous() for w in (edge_w, message_w, shift_w))
        messages = Messages(self.constants["HIDDEN"], (self.outgoing, self.channels), self.range[0])
        tensors = (
            receiver, sender, x, edge_w, message_w, message_b, gate_w[None], gate_b, shift_w, shift_b
        )  # fmt: skip
        grads = (grad_h, grad_out.transpose(1, 2))
        *nodes, edge, message, bias, gate, gate_bias, shift, shift_bias = torch_gradients(
            messages, self.range[1], self.constants["RADIAL"], self.neighbours, tensors, grads, need_x
        )
        return [
            *nodes[:2], nodes[2] if need_x else None, edge.t(), message.t(), bias, gate[0], gate_bias,
            shift.t(), shift_bias,
        ]  # fmt: skip

    def backward(self, grad_h: Tensor, grad_out: Tensor, need_x: bool) -> list[Tensor | None]:
        """Gradients of all tensors from those of both sums; that of the positions is None without ``need_x``."""
        from . import triton_backward

        receiver, sender, x, edge_w = self.inputs
        # many programs add to the gradients of senders and positions, which start at zero; the rest is written once
        grads = [torch.empty_like(receiver), torch.zeros_like(sender), torch.zeros_like(x)]
        sizes = [
            edge_w.shape,
            self.message[0].shape,
            (3, self.constants["HIDDEN"]),
            *(t.shape for t in self.shift),
        ]
        parts = [torch.empty(self.programs, *size, device=self.device) for size in sizes]
        edge, message, vectors, shift, bias = parts
        if self.nodes:
            options = {**self.options(self.choice.backward), "NEED_X": need_x}
            with torch.cuda.device_of(receiver):
                triton_backward.message_backward[(self.programs,)](
                    *self.table, *self.inputs, *self.message, *self.range, grad_h.contiguous(), *grads,
                    edge, message, vectors, **options,
                )  # fmt: skip
                triton_backward.shift_backward[(self.programs,)](
                    *self.table, *self.inputs, *self.shift, *self.range, grad_out.contiguous(), *grads,
                    edge, shift, bias, OUTGOING=self.outgoing, **options,
                )  # fmt: skip
        grad_edge, grad_message, grad_vectors, grad_shift, grad_bias = (part.sum(0) for part in parts)
        return [
            *grads[:2], grads[2] if need_x else None, grad_edge, grad_message, grad_vectors[0], grad_vectors[1],
            grad_vectors[2, :1], grad_shift, grad_bias,
        ]  # fmt: skip
