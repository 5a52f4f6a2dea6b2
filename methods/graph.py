"""The periodic neighbour graph that the denoisers see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..benchmark.structures import Structures


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Directed edges of all pairs (images included) within a cutoff, sorted by receiver.

    receivers [e], senders [e]: atom indices into the packed batch
    shifts [e, 3]: angstrom, so that the edge vector is x[receiver] - x[sender] - shift
    """

    receivers: Tensor
    senders: Tensor
    shifts: Tensor

    def vectors(self, positions: Tensor) -> Tensor:
        """Edge vectors for positions [n, 3] or channels of positions [n, k, 3]: [e, 3] or [e, k, 3]."""
        shifts = self.shifts if positions.dim() == 2 else self.shifts[:, None]
        return positions[self.receivers] - positions[self.senders] - shifts


def neighbour_graph(structures: Structures, cutoff: float) -> Graph:
    """All pairs closer than ``cutoff`` (angstrom) in every structure, by vesin on the CPU.

    In small cells one atom is the neighbour of another through several images; all of them are edges.
    """
    from vesin import NeighborList

    device = structures.positions.device
    positions = structures.positions.detach().double().cpu().numpy()
    cells = structures.cells.detach().double().cpu().numpy()
    offsets = structures.offsets.tolist()
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    firsts, seconds, images = [], [], []
    for k in range(len(structures)):
        start, stop = offsets[k], offsets[k + 1]
        i, j, image = finder.compute(
            points=positions[start:stop], box=cells[k], periodic=True, quantities="ijS"
        )
        firsts.append(i.astype(np.int64) + start)
        seconds.append(j.astype(np.int64) + start)
        images.append(image.astype(np.float64) @ cells[k])
    return Graph(
        receivers=torch.from_numpy(np.concatenate(firsts)).to(device),
        senders=torch.from_numpy(np.concatenate(seconds)).to(device),
        shifts=torch.from_numpy(np.concatenate(images)).to(structures.positions.dtype).to(device),
    )
