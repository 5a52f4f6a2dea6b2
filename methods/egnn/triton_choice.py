"""Choices on which the speed of the GPU's kernels depends: tiles of edges, warps, and the code of the backward pass.

The environment variable AMSBENCH_TRITON_KERNELS is read at every call. It holds assignments with spaces between them:

forward, backward: edges in a tile and warps of the kernels of that pass, such as ``32x4``
gradients: ``triton``, ``torch`` (gradients by edge_sums_torch.py over the rows of the neighbour table) or ``auto``, the
    faster one in a race of both at the first backward pass of a kernel on a GPU

What is not named is as by default. ``python -m amsbench.speed.gpu check`` races all of them and prints the best text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import AmsbenchError
from .config import Messages
from .edge_sums_torch import Group, gradients_over_groups
from .neighbour_table import EDGES, NeighbourTable

T = TypeVar("T")

TILES = (16, 32, 64)
"""Numbers of edges in a tile; the smallest matrix product of Triton has 16 rows."""
WARPS = (4, 8)
GRADIENTS = ("auto", "triton", "torch")
VARIABLE = "AMSBENCH_TRITON_KERNELS"

PLACES = 2**19
"""Places for edges in a group of the gradients by torch on a GPU: 256 MB for a table of 128 columns."""

RUNS = 3
"""Timed runs of each code in a race."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Edges in a tile and warps of a program; None for the default of the network's width."""

    edges: int = EDGES
    warps: int | None = None


@dataclass(frozen=True, kw_only=True)
class KernelChoice:
    """Tiles of both passes, and the code of the gradients, one of GRADIENTS."""

    forward: Tile = Tile()
    backward: Tile = Tile()
    gradients: str = "auto"

    def text(self) -> str:
        """The value of AMSBENCH_TRITON_KERNELS for this choice."""
        tiles = {"forward": self.forward, "backward": self.backward}
        parts = [
            f"{name}={tile.edges}" + (f"x{tile.warps}" if tile.warps else "") for name, tile in tiles.items()
        ]
        return " ".join([*parts, f"gradients={self.gradients}"])


def kernel_choice() -> KernelChoice:
    """The choice in AMSBENCH_TRITON_KERNELS; AmsbenchError if its text is not valid."""
    return _parsed(os.environ.get(VARIABLE, ""))


@lru_cache
def _parsed(text: str) -> KernelChoice:
    tiles, gradients = {"forward": Tile(), "backward": Tile()}, "auto"
    for item in text.split():
        name, _, value = item.partition("=")
        numbers = re.fullmatch(r"(\d+)(?:x(\d+))?", value)
        if name == "gradients" and value in GRADIENTS:
            gradients = value
        elif name in tiles and numbers and int(numbers[1]) in TILES and int(numbers[2] or WARPS[0]) in WARPS:
            tiles[name] = Tile(edges=int(numbers[1]), warps=int(numbers[2]) if numbers[2] else None)
        else:
            raise AmsbenchError(
                f"'{item}' in {VARIABLE} is no choice of the GPU's kernels; write forward= or backward= with "
                f"{', '.join(map(str, TILES))} edges, also with x4 or x8 warps, and gradients= with "
                f"{', '.join(GRADIENTS)}"
            )
    return KernelChoice(**tiles, gradients=gradients)


def torch_gradients(
    messages: Messages,
    spacing: float,
    radial: int,
    table: NeighbourTable,
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor],
    need_x: bool,
) -> list[Tensor]:
    """Gradients of all ``tensors`` by torch operations, for edges in the rows of a neighbour table.

    tensors: in the order of ``edge_sums_torch``, in float32, positions [n, 3, channels]
    grads: gradients of both sums, [n, hidden] and [n, 3, channels out]
    spacing: distance between two centres of the ``radial`` basis functions, A
    Nothing in it waits for the device: every row has its full number of places.
    """
    return gradients_over_groups(messages, _groups(table, spacing, radial), tensors, grads, need_x)


def _groups(table: NeighbourTable, spacing: float, radial: int) -> Iterator[Group]:
    """The rows of the table as groups of receivers, made one after the other."""
    depth, device = table.capacity, table.senders.device
    places = torch.arange(depth, device=device)
    centres = torch.arange(radial, device=device) * spacing
    rows = max(1, PLACES // depth)
    for first in range(0, len(table.counts), rows):
        chosen = slice(first, first + rows)
        real = places < table.counts[chosen, None]
        # places without an edge hold whatever was in memory
        shifts = torch.where(real, table.geometry[:3, chosen], 0.0).permute(1, 2, 0)
        distance, smooth = torch.where(real, table.geometry[3:, chosen], 0.0)
        u = (distance.reshape(-1, 1) - centres) / (3 * spacing)
        yield Group(
            receivers=torch.arange(first, first + len(real), device=device),
            senders=torch.where(real, table.senders[chosen], 0).flatten(),
            shifts=shifts[..., None],
            features=functional.relu(1 - u * u) ** 3,
            smooth=smooth,
        )


_fastest: dict[object, str] = {}
"""The winners of the races so far, by the kernel."""


def faster(kernel: object, codes: Mapping[str, Callable[[], T]], device: torch.device) -> T:
    """The result of the fastest of the codes, which are raced at the first call for this ``kernel`` on a GPU.

    On a CPU, where Triton's interpreter runs the kernels, the first code is taken. A code for which the GPU has too
    little memory loses.
    """
    names = list(codes)
    if device.type != "cuda":
        return codes[names[0]]()
    if (device, kernel) not in _fastest:
        times = {name: _seconds(code) for name, code in codes.items()}
        _fastest[device, kernel] = min(names, key=lambda name: times[name])
    return codes[_fastest[device, kernel]]()


def races() -> dict[str, str]:
    """The winners of the races so far, by the text of the kernel."""
    return {str(kernel): name for kernel, name in _fastest.items()}


def _seconds(code: Callable[[], object]) -> float:
    """Seconds of RUNS runs after one that compiles; infinite without room for it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    try:
        code()
        start.record()
        for _ in range(RUNS):
            code()
        end.record()
        end.synchronize()
    except Exception as problem:
        if not _no_room(problem):
            raise
        return float("inf")
    return start.elapsed_time(end) / 1000


def _no_room(problem: Exception) -> bool:
    """Whether a GPU has too little memory, or too little shared memory or registers for a kernel."""
    return isinstance(problem, torch.cuda.OutOfMemoryError) or type(problem).__name__ == "OutOfResources"
