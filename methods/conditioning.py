"""How a network is told the properties asked for, any subset of them (paper, Eq. 6)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures
from ..benchmark.interface.task import Task
from .egnn.derivatives import is_differentiable, normalised


class FlexiblePropertyEmbedding(nn.Module):
    """LayerNorm(Linear(y)) where a property is given, a standard normal vector where it is not (Eq. 6)."""

    mean: Tensor
    std: Tensor

    def __init__(self, task: Task, width: int) -> None:
        super().__init__()
        self.shape = (len(task.properties), width)
        self.register_buffer("mean", torch.tensor(task.property_mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(task.property_std, dtype=torch.float32), persistent=False)
        self.weight = nn.Parameter(torch.randn(self.shape))
        self.bias = nn.Parameter(torch.randn(self.shape))

    def standardised(self, properties: Tensor) -> tuple[Tensor, Tensor]:
        """properties [s, p], NaN where absent -> (standardised, 0 where absent; where given)."""
        given = ~torch.isnan(properties)
        y = torch.where(given, (properties - self.mean) / self.std, torch.zeros_like(properties))
        return y, given

    def forward(self, properties: Tensor, null: Tensor) -> Tensor:
        """properties [s, p] with NaN for absent, null [s, p * width] -> [s, p * width]."""
        # the zero of an absent property is never read: where() takes the null vector there
        y, given = self.standardised(properties)
        linear = y[..., None] * self.weight + self.bias
        embedded = (
            normalised(linear) if is_differentiable() else nn.functional.layer_norm(linear, self.shape[1:])
        )
        return torch.where(given[..., None], embedded, null.unflatten(-1, self.shape)).flatten(1)


def guidance_weights(structures: Structures, weights: Tensor) -> Tensor:
    """How much the targets of each atom's structure weigh in guided steps [n, 1].

    weights [p]: of each property; the mean over those that a structure is asked for, 0 where it is asked for none
    """
    given = (~structures.properties.isnan()).to(structures.properties.dtype)
    of_structures = (given * weights).sum(1) / given.sum(1).clamp(min=1)
    return of_structures[structures.batch][:, None]


def with_hidden_labels(batch: Structures, share: float, noise: NoiseSource) -> Structures:
    """The batch with a share of its labels absent, each on its own, so that every subset of them is trained."""
    count = batch.properties.shape[1]
    if not count:
        return batch
    hidden = noise.uniform_structures(count) < share
    return replace(batch, properties=batch.properties.masked_fill(hidden, torch.nan))
