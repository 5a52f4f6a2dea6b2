"""Processes that train one network together, each on a part of every batch: Lightning's DDP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..interface.noise import BatchNoise, PartOfNoise
from ..interface.structures import Structures


class Ranks:
    """What the processes of a training agree on; alone, everything stays as it is.

    rank: number of this process, from 0; the first one writes files and reports
    size: number of processes
    """

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.rank, self.size = int(fabric.global_rank), int(fabric.world_size)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, batch: Structures, noise: BatchNoise) -> tuple[Structures, BatchNoise]:
        """The structures of this process in a batch, with the rows of the noise of the batch that are theirs."""
        if self.size == 1:
            return batch, noise
        share = len(batch) // self.size
        structures = slice(self.rank * share, (self.rank + 1) * share)
        part, atoms = batch.part(structures.start, structures.stop)
        return part, PartOfNoise(noise, atoms, structures)

    def means(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means of the losses over the processes."""
        values = {name: value.detach() for name, value in losses.items()}
        if self.size == 1 or not values:
            return values
        stacked = self._fabric.all_reduce(torch.stack([value.float() for value in values.values()]))
        return dict(zip(values, stacked.unbind(), strict=True))

    def agreed(self, number: float) -> float:
        """The number of the first process."""
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64, device=self._fabric.device)
        torch.distributed.broadcast(value, 0)
        return float(value)

    def any(self, condition: bool) -> bool:
        """Whether a condition holds in any of the processes."""
        if self.size == 1:
            return condition
        value = torch.tensor(float(condition), device=self._fabric.device)
        return bool(self._fabric.all_reduce(value, reduce_op="sum") > 0)

    def total(self, number: float) -> float:
        """Sum of a number over the processes."""
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64, device=self._fabric.device)
        return float(self._fabric.all_reduce(value, reduce_op="sum"))
