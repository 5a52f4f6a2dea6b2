"""MatterGen's score network: time, species and properties at the atoms, the triplet network, a score and logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...benchmark.interface.structures import Structures, fractional
from ...benchmark.interface.task import Task
from ...methods.conditioning import FlexiblePropertyEmbedding
from ..triplet_network import TripletConfig, TripletNetwork
from .mask_diffusion import MaskDiffusion

FREQUENCIES = 16
"""Of the sines and cosines of the time, from 1 to 100 per unit of time in equal ratios."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What the network says of each atom of a noisy structure.

    positions [n, 3]: score of the fractional coordinates times sigma
    species [n, kinds]: logits of the clean species, None where there is one only
    """

    positions: Tensor
    species: Tensor | None


def time_features(t: Tensor) -> Tensor:
    """Times [s] -> [s, 2 * FREQUENCIES]."""
    exponents = torch.linspace(0, math.log(100.0), FREQUENCIES, dtype=t.dtype, device=t.device)
    phases = t[:, None] * exponents.exp()
    return torch.cat([torch.sin(phases), torch.cos(phases)], dim=-1)


class MatterGenScoreNetwork(nn.Module):
    """Score of the positions and logits of the species at time t.

    A property that is absent is a vector of its own, learnt, as in the original: the same one is met in the training
    (for hidden labels) and by the guidance.
    """

    def __init__(
        self, task: Task, config: TripletConfig, property_width: int, masks: MaskDiffusion | None
    ) -> None:
        super().__init__()
        self.masks, self.ghost = masks, task.ghost
        self.embedding = FlexiblePropertyEmbedding(task, property_width) if task.properties else None
        told = property_width * len(task.properties)
        self.absent = nn.Parameter(torch.randn(told)) if told else None
        width = 2 * FREQUENCIES + told + (masks.kinds + 1 if masks else 0)
        self.input = nn.Sequential(
            nn.Linear(width, config.hidden), nn.SiLU(), nn.Linear(config.hidden, config.hidden)
        )
        self.backbone = TripletNetwork(config)
        self.head = None
        if masks:
            self.head = nn.Sequential(
                nn.Linear(config.hidden, config.hidden), nn.SiLU(), nn.Linear(config.hidden, masks.kinds)
            )

    def forward(self, structures: Structures, t: Tensor) -> Score:
        """Structures with noisy positions and, some of them masked, species; times t [s]."""
        of_structures = [time_features(t)]
        if self.embedding is not None and self.absent is not None:
            absent = self.absent.expand(len(structures), -1)
            of_structures.append(self.embedding(structures.properties, absent))
        features = torch.cat(of_structures, dim=-1)[structures.batch]
        if self.masks:
            own = self.masks.one_hot(structures.species, features.dtype)
            features = torch.cat([own, features], dim=-1)
        # ghosts lie anywhere: among the nearest neighbours they would only take the places of atoms
        silent = None if self.ghost is None else structures.species == self.ghost
        h, vectors = self.backbone(self.input(features), structures, silent)
        # a displacement in units of the cell's edge, the cube root of its volume, becomes one along each axis
        edge = (structures.volumes ** (1 / 3))[structures.batch, None]
        return Score(
            positions=fractional(vectors * edge, structures),
            species=None if self.head is None else self.head(h),
        )
