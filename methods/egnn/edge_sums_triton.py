"""The denoiser's edge layers and neighbour lists as fused kernels on the GPU (triton_kernels.py and its two siblings).

Used for networks on a CUDA device that Triton supports where it is installed, which comes with torch there; otherwise
the torch code of ``edges.py`` runs. The environment variable AMSBENCH_TRITON, read at every call: ``0`` switches the
kernels off, ``float32`` takes products in float32 instead of ``bfloat16``. With TRITON_INTERPRET=1 and one of these
two types asked for, the same kernels run on the CPU through Triton's interpreter, which is for tests.

Nothing here waits for the device. A table of neighbours has a fixed number of places per atom; how many were wanted is
added up on the device and looked at once, after a whole sampling (``NeighbourCapacity.check``).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from ...benchmark.interface.structures import Structures
from ...errors import AmsbenchError
from ..product_precision import CAPABILITY
from .derivatives import ReverseModeFunction, first_derivatives_only

if TYPE_CHECKING:
    from .config import EGNNConfig
    from .layer import EGNNLayer

EDGES = 32
"""Edges in a tile: one or two tiles per atom at the usual 40 to 60 neighbours."""
LANES = 8
"""Channels are padded to this many."""
WAVES = 4
"""Programs per multiprocessor, each of which goes over many atoms and keeps its own weight gradients."""
MOST_ATOMS = 2**31 // 256
"""The kernels address the widest row of an atom, twice 128 numbers, with 32 bits."""

PRODUCTS = ("bfloat16", "float32")


def _asked() -> str:
    """What the environment asks for; AmsbenchError where that is no choice."""
    asked = os.environ.get("AMSBENCH_TRITON", "")
    if asked not in ("", "0", *PRODUCTS):
        raise AmsbenchError(
            f"AMSBENCH_TRITON is '{asked}'; set it to 0, {' or '.join(PRODUCTS)}, or unset it"
        )
    return asked


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache
def _problem(device: torch.device | None) -> str | None:
    """Why the kernels cannot run on a CUDA device, or in the interpreter (None)."""
    try:
        from ...benchmark.interface import noise_triton
    except ImportError as problem:
        return f"triton cannot be imported: {problem}"
    if device is None:
        return None
    found = torch.cuda.get_device_capability(device)
    if found < CAPABILITY:
        return f"{device} is of compute capability {found[0]}.{found[1]}; the kernels need {CAPABILITY[0]}.0 or more"
    return noise_triton.problem(device)


def info(device: torch.device | None = None) -> dict[str, Any]:
    """What runs on a GPU, the current one where none is named, and why: active, mode (bfloat16 or float32), reason."""
    if _asked() == "0":
        problem: str | None = "switched off by AMSBENCH_TRITON=0"
    elif _interpreted():
        problem = _problem(None)
    elif not torch.cuda.is_available():
        problem = "no CUDA device"
    else:
        problem = _problem(device or torch.device("cuda", torch.cuda.current_device()))
    return {
        "active": problem is None,
        "mode": None if problem else _asked() or PRODUCTS[0],
        "reason": problem or "triton",
    }


def usable(config: EGNNConfig, h: Tensor) -> bool:
    """Whether the kernels can take the layers of a network for tensors of this device and type."""
    return (
        (h.is_cuda or (_interpreted() and _asked() in PRODUCTS))
        and h.dtype == torch.float32
        and config.edge_features == "radial"
        and config.hidden in (32, 64, 128)
        and config.radial in (16, 32, 64)
        and config.channels <= LANES
        and len(h) <= MOST_ATOMS
        and info(h.device)["active"]
    )


@dataclass(kw_only=True)
class NeighbourCapacity:
    """How many neighbours an atom may have in the tables of one sampling.

    wanted: the most that any table so far had use for, on the device
    lattice: what the last table needed of its cells
    """

    capacity: int
    wanted: Tensor | None = None
    lattice: CellGeometry | None = None

    @classmethod
    def expected(cls, structures: Structures, cutoff: float) -> NeighbourCapacity:
        """Room for the mean density and eight standard deviations of an ideal gas, where samples begin.

        Raises AmsbenchError for a cell without volume.
        """
        densities = structures.counts / structures.volumes
        density = float(densities.max()) if len(structures) else 0.0
        if not math.isfinite(density):
            raise AmsbenchError("a cell has no volume or is not finite; set the cells of all structures")
        mean = density * 4 / 3 * math.pi * cutoff**3
        return cls(capacity=_tiles(mean + 8 * math.sqrt(mean) + 8))

    def check(self) -> bool:
        """Whether everything had room; if not, there will be next time. Waits for the device."""
        wanted = 0 if self.wanted is None else int(self.wanted)
        self.wanted = None
        if wanted <= self.capacity:
            return True
        self.capacity = _tiles(1.25 * wanted)
        return False


@dataclass(frozen=True, kw_only=True)
class CellGeometry:
    """What neighbour tables need of the cells, worked out once where these stay the same through a sampling.

    inverse [s, 3, 3]; images [s, 3]: int32, images beyond the nearest that may be in reach, each way;
    offsets [s + 1]: first atom of each structure
    """

    of: tuple[Tensor, Tensor, float]
    inverse: Tensor
    images: Tensor
    offsets: Tensor

    @classmethod
    def made(cls, structures: Structures, cutoff: float) -> CellGeometry:
        # not of torch.linalg, whose factorisations are a dozen launches, and some of them wait for the device
        cells = structures.cells.float()
        normals = torch.linalg.cross(cells.roll(-1, 1), cells.roll(-2, 1))
        volumes = (cells[:, 0] * normals[:, 0]).sum(-1)[:, None]
        heights = volumes.abs() / torch.linalg.vector_norm(normals, dim=-1)
        # a nearest image differs by at most half a lattice vector; an edge reaches over at most cutoff / height
        images = (cutoff / heights + 0.5 - 1e-6).floor().int()
        return cls(
            of=(structures.cells, structures.counts, cutoff),
            inverse=(normals / volumes[..., None]).mT.contiguous(),
            images=images.contiguous(),
            offsets=structures.offsets,
        )

    def fits(self, structures: Structures, cutoff: float) -> bool:
        """Whether it is that of these structures: of the same tensors, since a look at their numbers would wait."""
        return self.of[0] is structures.cells and self.of[1] is structures.counts and self.of[2] == cutoff


def _tiles(neighbours: float) -> int:
    return math.ceil(neighbours / EDGES) * EDGES


@dataclass(frozen=True, kw_only=True)
class NeighbourTable:
    """The neighbours of every atom in rows of ``capacity`` places.

    counts [n], senders [n, capacity]: int32; geometry [5, n, capacity]: the three components of the shift, the
    distance and the smooth cutoff of each edge, whose vector is x[receiver] - x[sender] - shift
    """

    counts: Tensor
    senders: Tensor
    geometry: Tensor

    @property
    def capacity(self) -> int:
        return self.senders.shape[1]


def neighbour_table(structures: Structures, cutoff: float, places: NeighbourCapacity) -> NeighbourTable:
    """All pairs closer than ``cutoff``, images included, as ``graph.neighbour_graph`` finds them."""
    from . import triton_neighbours

    lattice = places.lattice
    if lattice is None or not lattice.fits(structures, cutoff):
        lattice = places.lattice = CellGeometry.made(structures, cutoff)
    positions = structures.positions.detach().float().contiguous()
    # no matrix product: of numbers with TF32's ten bits, where it is on, the nearest image would not be the nearest
    fractions = (positions[:, :, None] * lattice.inverse[structures.batch]).sum(1)
    n, capacity, device = len(positions), places.capacity, positions.device
    counts = torch.empty(n, dtype=torch.int32, device=device)
    senders = torch.empty(n, capacity, dtype=torch.int32, device=device)
    geometry = torch.empty(5, n, capacity, device=device)
    if n:
        # Triton launches on the current device, wherever the tensors are
        with torch.cuda.device_of(positions):
            triton_neighbours.neighbour_table[(n,)](
                positions, fractions, structures.cells.float().contiguous(), lattice.offsets, structures.batch,
                lattice.images, cutoff, capacity, counts, senders, geometry, n * capacity, BLOCK=128,
            )  # fmt: skip
        most = counts.max()
        places.wanted = most if places.wanted is None else torch.maximum(places.wanted, most)
    return NeighbourTable(counts=counts, senders=senders, geometry=geometry)


def sum_messages(
    layer: EGNNLayer, table: NeighbourTable, nodes: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What ``edges.sum_over_edges`` gives for ``layer._messages``; only where ``usable``.

    nodes: receiver part [n, 2 hidden], sender part [n, 2 hidden], positions [n, channels_in, 3]
    returns [n, hidden] and [n, channels_out, 3]; once differentiable
    """
    outgoing, incoming = layer.channels
    # the smallest matrix product has 16 columns
    lanes, rows = (LANES, 2 if outgoing == 1 else LANES) if incoming > 1 else (1, 16)
    edge_w = functional.pad(layer.edge.weight, (0, lanes - incoming)).t()
    shift_w = layer.shift.weight.unflatten(0, layer.channels)
    shift_w = functional.pad(shift_w, (0, 0, 0, lanes - incoming, 0, rows - outgoing)).flatten(0, 1).t()
    shift_b = functional.pad(layer.shift.bias.view(layer.channels), (0, lanes - incoming, 0, rows - outgoing))
    x = functional.pad(nodes[2].transpose(1, 2), (0, lanes - incoming))
    h, d = _SumMessages.apply(
        table, layer.config, *nodes[:2], x, edge_w, layer.message.weight.t(), layer.message.bias,
        layer.gate.weight.flatten(), layer.gate.bias, shift_w, shift_b.flatten(),
    )  # fmt: skip
    return h, d[:, :outgoing]


class _SumMessages(ReverseModeFunction):
    @staticmethod
    def forward(
        ctx: Any, table: NeighbourTable, config: EGNNConfig, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        call = _Call(table, config, tensors)
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return call.forward()

    @staticmethod
    @first_derivatives_only
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # tells of tensors changed in place
        return (None, None, *ctx.call.backward(*grads, ctx.needs_input_grad[4]))


class _Call:
    """The inputs of one layer, held for the backward pass."""

    def __init__(self, table: NeighbourTable, config: EGNNConfig, tensors: tuple[Tensor, ...]) -> None:
        import triton.language as tl

        float32 = info()["mode"] == "float32"
        receiver, sender, x, edge_w, message_w, message_b, gate_w, gate_b, shift_w, shift_b = (
            t.detach().float().contiguous()
            for t in tensors  # autocast may have changed some
        )
        kind = torch.float32 if float32 else torch.bfloat16
        edge_w, message_w, shift_w = (w.to(kind) for w in (edge_w, message_w, shift_w))
        self.nodes, self.device = len(receiver), receiver.device
        self.channels = x.shape[2]
        self.outgoing = shift_w.shape[1] // self.channels
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
            "EDGES": EDGES,
            "TYPE": tl.float32 if float32 else tl.bfloat16,
            "DOT": tl.float32 if float32 or _interpreted() else tl.bfloat16,
        }
        self.warps = 4 if self.constants["HIDDEN"] <= 64 else 8

    @property
    def programs(self) -> int:
        """A few for each multiprocessor, and no more than there are atoms."""
        processors = 2
        if self.device.type == "cuda":
            processors = torch.cuda.get_device_properties(self.device).multi_processor_count
        return min(WAVES * processors, self.nodes)

    def forward(self) -> tuple[Tensor, Tensor]:
        from . import triton_forward

        out_h = torch.empty(self.nodes, self.constants["HIDDEN"], device=self.device)
        out_x = torch.empty(self.nodes, self.outgoing, 3, device=self.device)
        if self.nodes:
            with torch.cuda.device_of(out_h):
                triton_forward.layer_forward[(self.nodes,)](
                    *self.table, *self.inputs, *self.message, *self.shift, *self.range, out_h, out_x,
                    OUTGOING=self.outgoing, **self.constants, num_warps=self.warps, num_stages=1,
                )  # fmt: skip
        return out_h, out_x

    def backward(self, grad_h: Tensor, grad_out: Tensor, need_x: bool) -> list[Tensor | None]:
        from . import triton_backward

        receiver, sender, x, edge_w = self.inputs
        # of senders and positions many programs add to the same numbers; all others are written once
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
            where = {**self.constants, "NEED_X": need_x, "num_warps": self.warps, "num_stages": 1}
            with torch.cuda.device_of(receiver):
                triton_backward.message_backward[(self.programs,)](
                    *self.table, *self.inputs, *self.message, *self.range, grad_h.contiguous(), *grads,
                    edge, message, vectors, **where,
                )  # fmt: skip
                triton_backward.shift_backward[(self.programs,)](
                    *self.table, *self.inputs, *self.shift, *self.range, grad_out.contiguous(), *grads,
                    edge, shift, bias, OUTGOING=self.outgoing, **where,
                )  # fmt: skip
        of_edge, of_message, of_vectors, of_shift, of_bias = (part.sum(0) for part in parts)
        return [
            *grads[:2], grads[2] if need_x else None, of_edge, of_message, of_vectors[0], of_vectors[1],
            of_vectors[2, :1], of_shift, of_bias,
        ]  # fmt: skip
