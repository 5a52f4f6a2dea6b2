"""MatterGen's score network: a triplet network that predicts the score of the positions and logits of the species."""

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
"""Number of frequencies of the time features, in a geometric series from 1 to 100 radians per unit of time."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Output of the network for the atoms of noisy structures.

    positions [n, 3]: score of the fractional coordinates times sigma
    species [n, kinds]: logits of the clean species; None if there is only one species
    """

    positions: Tensor
    species: Tensor | None


def time_features(t: Tensor) -> Tensor:
    """Sines and cosines [s, 2 * FREQUENCIES] of times t [s]."""
    exponents = torch.linspace(0, math.log(100.0), FREQUENCIES, dtype=t.dtype, device=t.device)
    phases = t[:, None] * exponents.exp()
    return torch.cat([torch.sin(phases), torch.cos(phases)], dim=-1)


class MatterGenScoreNetwork(nn.Module):
    """Network that predicts the score of the positions and the logits of the species at time t.

    Each absent property is represented by a learnt vector, as in the original: the same vector for labels hidden in
    training and for the evaluations without targets in the guidance.
    """

    def __init__(
        self, task: Task, config: TripletConfig, property_width: int, masks: MaskDiffusion | None
    ) -> None:
        super().__init__()
        self.masks, self.ghost = masks, task.ghost
        self.embedding = FlexiblePropertyEmbedding(task, property_width) if task.properties else None
        conditioning_width = property_width * len(task.properties)
        self.absent = nn.Parameter(torch.randn(conditioning_width)) if conditioning_width else None
        width = 2 * FREQUENCIES + conditioning_width + (masks.kinds + 1 if masks else 0)
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
        """Score and logits for structures with noisy positions and partly masked species, at times t [s]."""
        structure_features = [time_features(t)]
        if self.embedding is not None and self.absent is not None:
            absent = self.absent.expand(len(structures), -1)
            structure_features.append(self.embedding(structures.properties, absent))
        features = torch.cat(structure_features, dim=-1)[structures.batch]
        if self.masks:
            species = self.masks.one_hot(structures.species, features.dtype)
            features = torch.cat([species, features], dim=-1)
        # ghosts are at uniform positions: among the nearest neighbours they would replace atoms
        silent = None if self.ghost is None else structures.species == self.ghost
        h, vectors = self.backbone(self.input(features), structures, silent)
        # from units of the cube root of the cell's volume to angstrom, then to fractional coordinates
        edge = (structures.volumes ** (1 / 3))[structures.batch, None]
        return Score(
            positions=fractional(vectors * edge, structures),
            species=None if self.head is None else self.head(h),
        )
