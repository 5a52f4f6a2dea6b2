"""Periodic neighbour graphs of packed structures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...metrics.neighbours.neighbour_list import neighbour_list
from .structures import Structures


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Directed edges of all pairs (images included) within a cutoff, sorted by receiver.

    receivers [e], senders [e]: atom indices into the packed batch
    shifts [e, 3]: lattice translations, angstrom; the edge vector is x[receiver] - x[sender] - shift
    """

    receivers: Tensor
    senders: Tensor
    shifts: Tensor

    def vectors(self, positions: Tensor) -> Tensor:
        """Edge vectors for positions [n, 3] or channels of positions [n, k, 3]: [e, 3] or [e, k, 3]."""
        shifts = self.shifts if positions.dim() == 2 else self.shifts[:, None]
        return positions[self.receivers] - positions[self.senders] - shifts

    def chosen(self, edges: Tensor) -> Graph:
        """Subgraph of the edges for which ``edges`` [e] is true."""
        return Graph(receivers=self.receivers[edges], senders=self.senders[edges], shifts=self.shifts[edges])


def neighbour_graph(structures: Structures, cutoff: float) -> Graph:
    """Graph of all pairs closer than ``cutoff`` (angstrom) in each structure, searched on the CPU in float64.

    In small cells several images of an atom are within the cutoff of another; each of them is an edge. Raises
    AmsbenchError for positions that are not finite.
    """
    positions = structures.positions.detach()
    arrays = neighbour_list(
        positions.double().cpu().numpy(),
        structures.cells.detach().double().cpu().numpy(),
        structures.counts.cpu().numpy(),
        cutoff,
        threads=torch.get_num_threads(),
    )
    receivers, senders, shifts = (torch.from_numpy(array) for array in arrays)
    return Graph(
        receivers=receivers.to(positions.device),
        senders=senders.to(positions.device),
        shifts=shifts.to(positions.dtype).to(positions.device),
    )
