"""CDVAE's latent z: encoder, divergence from N(0, 1), property head and optimisation to targets."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures, means_of_structures
from ...benchmark.interface.task import Task
from ..triplet_network import TripletConfig, TripletNetwork
from .atom_types import fractions_of, head


class Encoder(nn.Module):
    """q(z | M): mean and logarithm of the variance of z for clean structures (arXiv 2110.06197, Section 4).

    It reads the atoms without ghosts, whose positions are drawn anew for every batch, and the shares of the species
    with ghosts, which are density and composition.
    """

    def __init__(self, task: Task, config: TripletConfig, latent: int) -> None:
        super().__init__()
        self.ghost, self.species = task.ghost, task.species_count
        width = self.species if self.species > 1 else 0
        self.atom = nn.Embedding(len(task.elements), config.hidden)
        self.backbone = TripletNetwork(config)
        self.pooled = nn.Sequential(nn.Linear(config.hidden + width, latent), nn.SiLU())
        self.mean = nn.Linear(latent, latent)
        self.log_variance = nn.Linear(latent, latent)

    def forward(self, structures: Structures) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z, each [s, latent]."""
        atoms = atoms_alone(structures, self.ghost)
        h, _ = self.backbone(self.atom(atoms.species), atoms)
        composition = [fractions_of(structures, self.species)] if self.species > 1 else []
        pooled = self.pooled(torch.cat([means_of_structures(h, atoms), *composition], dim=-1))
        return self.mean(pooled), self.log_variance(pooled)


class PropertyHead(nn.Module):
    """The properties of a structure from its z: CDVAE's regressor, whose gradient moves z to a target."""

    def __init__(self, latent: int, hidden: int, properties: int) -> None:
        super().__init__()
        self.layers = head(latent, hidden, properties)

    def forward(self, z: Tensor) -> Tensor:
        """Standardised properties [s, p] from z [s, latent]."""
        return self.layers(z)

    def errors(self, z: Tensor, targets: Tensor, given: Tensor) -> Tensor:
        """Squared errors [s, p], 0 for absent targets.

        targets [s, p]: standardised; given [s, p]: which are present
        """
        return (self(z) - targets).square().masked_fill(~given, 0.0)

    def loss(self, z: Tensor, targets: Tensor, given: Tensor) -> Tensor:
        """Mean squared error over the labels that are present; 0 without labels."""
        return self.errors(z, targets, given).sum() / given.sum().clamp(min=1)


def atoms_alone(structures: Structures, ghost: int | None) -> Structures:
    """Copy of the structures without their ghosts."""
    if ghost is None:
        return structures
    real = structures.species != ghost
    owner = structures.batch[real]
    return replace(
        structures,
        positions=structures.positions[real],
        species=structures.species[real],
        batch=owner,
        counts=torch.bincount(owner, minlength=len(structures)),
    )


def drawn_latent(mean: Tensor, log_variance: Tensor, noise: NoiseSource) -> Tensor:
    """A differentiable draw of z [s, latent] (arXiv 1312.6114, 2.4)."""
    return mean + torch.exp(log_variance / 2) * noise.normal_structures(mean.shape[1])


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), summed over z: [s], nats (arXiv 1312.6114, B)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)


def latent_for_targets(
    property_head: PropertyHead, z: Tensor, targets: Tensor, given: Tensor, steps: int, rate: float
) -> Tensor:
    """z after ``steps`` steps of Adam on the property head's squared error (arXiv 2110.06197, Section 5), [s, latent].

    The original minimises a property; here a value is the target. Structures do not affect each other: the error is a
    sum, and Adam scales each component of z separately. Without targets z is unchanged.

    targets, given [s, p]: as in ``PropertyHead.errors``
    steps, rate: 5,000 and 1e-3 in the original
    """
    if not bool(given.any()) or steps < 1:
        return z
    with torch.enable_grad():
        moved = z.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=rate)
        for _ in range(steps):
            # not backward(), which would add to the gradients of the network's parameters
            (moved.grad,) = torch.autograd.grad(property_head.errors(moved, targets, given).sum(), [moved])
            optimizer.step()
    return moved.detach()
