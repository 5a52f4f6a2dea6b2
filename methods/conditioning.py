"""Conditioning on any subset of the properties (paper, Eq. 6)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures
from ..benchmark.interface.task import Task
from .egnn.derivatives import is_differentiable, normalised


class FlexiblePropertyEmbedding(nn.Module):
    """LayerNorm(Linear(y)) of each present property, a standard normal vector for each absent one (Eq. 6)."""

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
        """Standardised properties [s, p], 0 where absent (NaN in the input), and which are present [s, p]."""
        present = ~torch.isnan(properties)
        y = torch.where(present, (properties - self.mean) / self.std, torch.zeros_like(properties))
        return y, present

    def forward(self, properties: Tensor, null: Tensor) -> Tensor:
        """Embeddings [s, p * width] of properties [s, p]; those of absent ones (NaN) are ``null`` [s, p * width]."""
        # an absent property is 0 in y, and where() replaces its embedding by the null vector
        y, present = self.standardised(properties)
        linear = y[..., None] * self.weight + self.bias
        embedded = (
            normalised(linear) if is_differentiable() else nn.functional.layer_norm(linear, self.shape[1:])
        )
        return torch.where(present[..., None], embedded, null.unflatten(-1, self.shape)).flatten(1)


def guidance_weights(structures: Structures, weights: Tensor) -> Tensor:
    """Guidance weight [n, 1] of each atom: the mean weight of its structure's targets, 0 without targets.

    weights [p]: one weight per property
    """
    present = (~structures.properties.isnan()).to(structures.properties.dtype)
    per_structure = (present * weights).sum(1) / present.sum(1).clamp(min=1)
    return per_structure[structures.batch][:, None]


def with_hidden_labels(batch: Structures, share: float, noise: NoiseSource) -> Structures:
    """The batch with each label hidden with probability ``share``, independently: all subsets are trained."""
    count = batch.properties.shape[1]
    if not count:
        return batch
    hidden = noise.uniform_structures(count) < share
    return replace(batch, properties=batch.properties.masked_fill(hidden, torch.nan))
