"""Neighbour tables of the GPU's kernels: one row per atom with a fixed number of places for neighbours.

Building a table does not wait for the device: the largest number of neighbours stays there. It is compared with the
number of places once, after a whole sampling (``NeighbourCapacity.check``), or in a training one step later
(``NeighbourCapacity.begin_check``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...benchmark.interface.structures import Structures
from ...errors import AmsbenchError

EDGES = 32
"""Edges in a tile of the kernels by default, one or two tiles per atom at the usual 40 to 60 neighbours; the places of
a row are a multiple of it."""


@dataclass(kw_only=True)
class NeighbourCapacity:
    """Number of places for neighbours in the rows of the tables of one sampling.

    capacity: places per atom, a multiple of EDGES
    required: largest number of neighbours of an atom in any table so far, on the device
    cells: geometry of the cells of the last table
    copied: the number ``required`` of ``begin_check`` on the host, and the event after which it is there
    """

    capacity: int
    required: Tensor | None = None
    cells: CellGeometry | None = None
    copied: tuple[Tensor, torch.cuda.Event | None] | None = None

    @classmethod
    def expected(cls, structures: Structures, cutoff: float, margin: float = 1.0) -> NeighbourCapacity:
        """Places for the mean number of neighbours in an ideal gas, with which sampling starts, and eight standard
        deviations more.

        cutoff: A
        margin: density of the gas over the highest one of the structures
        Raises AmsbenchError for a cell without volume.
        """
        densities = structures.counts / structures.volumes
        density = float(densities.max()) if len(structures) else 0.0
        if not math.isfinite(density):
            raise AmsbenchError("a cell has no volume or is not finite; set the cells of all structures")
        mean = margin * density * 4 / 3 * math.pi * cutoff**3
        return cls(capacity=_whole_tiles(mean + 8 * math.sqrt(mean) + 8))

    def check(self) -> bool:
        """Whether all neighbours had a place; otherwise the capacity is increased. Waits for the device."""
        required = 0 if self.required is None else int(self.required)
        self.required = None
        return self._holds(required)

    def begin_check(self) -> None:
        """Start to copy the largest number of neighbours to the host, for ``end_check``."""
        if self.required is None:
            return
        if self.required.is_cuda:
            host = torch.empty((), dtype=self.required.dtype, pin_memory=True)
            host.copy_(self.required, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self.copied = (host, event)
        else:
            self.copied = (self.required, None)
        self.required = None

    def end_check(self) -> int:
        """The largest number of neighbours at the last ``begin_check`` if it was above the capacity, which is then
        increased, else 0. Waits for the device up to that point, not for later work."""
        if self.copied is None:
            return 0
        (host, event), self.copied = self.copied, None
        if event is not None:
            event.synchronize()
        required = int(host)
        return 0 if self._holds(required) else required

    def _holds(self, required: int) -> bool:
        """Whether ``required`` neighbours have places; otherwise the capacity is increased."""
        if required <= self.capacity:
            return True
        self.capacity = _whole_tiles(1.25 * required)
        return False


@dataclass(frozen=True, kw_only=True)
class CellGeometry:
    """Geometry of the cells for the neighbour search, computed once for all steps of a sampling.

    source: cells, counts and cutoff from which it was computed
    inverse [s, 3, 3]: inverse cell matrices
    images [s, 3]: int32, number of images beyond the nearest that may be within the cutoff, in each direction
    offsets [s + 1]: first atom of each structure
    """

    source: tuple[Tensor, Tensor, float]
    inverse: Tensor
    images: Tensor
    offsets: Tensor

    @classmethod
    def from_structures(cls, structures: Structures, cutoff: float) -> CellGeometry:
        """The geometry for a cutoff in A."""
        # torch.linalg.inv takes a dozen kernel launches, some of which wait for the device
        cells = structures.cells.float()
        normals = torch.linalg.cross(cells.roll(-1, 1), cells.roll(-2, 1))
        volumes = (cells[:, 0] * normals[:, 0]).sum(-1)[:, None]
        heights = volumes.abs() / torch.linalg.vector_norm(normals, dim=-1)
        # a nearest image differs by at most half a lattice vector; an edge spans at most cutoff / height of them
        images = (cutoff / heights + 0.5 - 1e-6).floor().int()
        return cls(
            source=(structures.cells, structures.counts, cutoff),
            inverse=(normals / volumes[..., None]).mT.contiguous(),
            images=images.contiguous(),
            offsets=structures.offsets,
        )

    def fits(self, structures: Structures, cutoff: float) -> bool:
        """Whether it was computed from the same tensors of cells and counts, and the same cutoff."""
        # tensors are compared by identity, because a comparison of their values would wait for the device
        cells, counts, radius = self.source
        return cells is structures.cells and counts is structures.counts and radius == cutoff


def _whole_tiles(neighbours: float) -> int:
    """The number of neighbours rounded up to a multiple of EDGES."""
    return math.ceil(neighbours / EDGES) * EDGES


@dataclass(frozen=True, kw_only=True)
class NeighbourTable:
    """The neighbours of every atom in rows of ``capacity`` places.

    counts [n]: int32, number of neighbours, also of those without a place
    senders [n, capacity]: int32, indices of the neighbours
    geometry [5, n, capacity]: the three components of the shift (A), the distance (A) and the smooth cutoff of each
        edge, whose vector is x[receiver] - x[sender] - shift
    """

    counts: Tensor
    senders: Tensor
    geometry: Tensor

    @property
    def capacity(self) -> int:
        """Places per atom."""
        return self.senders.shape[1]


def neighbour_table(structures: Structures, cutoff: float, capacity: NeighbourCapacity) -> NeighbourTable:
    """All pairs closer than ``cutoff`` (A), periodic images included: the same edges as of ``neighbour_graph``.

    Neighbours without a place are left out; ``capacity.check`` tells afterwards whether there were any.
    """
    from . import triton_neighbours

    cells = capacity.cells
    if cells is None or not cells.fits(structures, cutoff):
        cells = capacity.cells = CellGeometry.from_structures(structures, cutoff)
    positions = structures.positions.detach().float().contiguous()
    # not a matrix product, which may be in TF32: with ten bits the nearest image would not be found
    fractions = (positions[:, :, None] * cells.inverse[structures.batch]).sum(1)
    n, places, device = len(positions), capacity.capacity, positions.device
    counts = torch.empty(n, dtype=torch.int32, device=device)
    senders = torch.empty(n, places, dtype=torch.int32, device=device)
    geometry = torch.empty(5, n, places, device=device)
    if n:
        # Triton launches on the current device, which may be another one than that of the tensors
        with torch.cuda.device_of(positions):
            triton_neighbours.neighbour_table[(n,)](
                positions, fractions, structures.cells.float().contiguous(), cells.offsets, structures.batch,
                cells.images, cutoff, places, counts, senders, geometry, n * places, BLOCK=128,
            )  # fmt: skip
        most = counts.max()
        capacity.required = most if capacity.required is None else torch.maximum(capacity.required, most)
    return NeighbourTable(counts=counts, senders=senders, geometry=geometry)
