"""CDVAE (Xie et al. 2022): a latent for the structure, a decoder that knows no noise level, Langevin dynamics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...benchmark.interface.method import Method, ProductType
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures, means_of_structures, minimum_image
from ...benchmark.interface.task import Task
from ...methods import product_precision
from ...methods.conditioning import FlexiblePropertyEmbedding, with_hidden_labels
from ...methods.losses import without_ghosts
from ...methods.material_method import GHOST_CUTOFF
from ...methods.samplers import sample_one_hot
from ..triplet_network import TripletConfig, TripletNetwork
from .atom_types import composition_loss, fractions_of, head, noisy_type_weights, species_of_composition
from .card import CARD
from .latent import Encoder, PropertyHead, divergence, drawn_latent, latent_for_targets
from .noise_levels import GeometricLevels, langevin_step

CDVAE_NETWORKS: dict[str, dict[str, Any]] = {
    "standard": {
        "encoder": TripletConfig(hidden=32, blocks=2, cutoff=5.0, triplet=8),
        "decoder": TripletConfig(hidden=64, blocks=3, cutoff=5.0),
        "latent": 64,
        "head": 64,
        "latent_steps": 500,
        "latent_rate": 1e-2,
    },
    "paper": {
        "encoder": TripletConfig(hidden=128, blocks=4, cutoff=7.0),
        "decoder": TripletConfig(hidden=128, blocks=3, cutoff=7.0),
        "latent": 256,
        "head": 256,
        "latent_steps": 5_000,
        "latent_rate": 1e-3,
    },
}
"""Presets: ``standard`` trains on a processor, ``paper`` has the sizes of the original."""


class Decoder(nn.Module):
    """Displacements towards the clean structure, in units of the noise, and type logits (arXiv 2110.06197, Section 4).

    What it is not told is how large the noise is: neither of positions nor of types.
    """

    def __init__(self, config: TripletConfig, told: int, species: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.species = species if species > 1 else 0
        self.input = nn.Sequential(
            nn.Linear(self.species + told, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.backbone = TripletNetwork(config)
        self.types = nn.Linear(hidden, species) if self.species else None

    def forward(self, structures: Structures, told: Tensor) -> tuple[Tensor, Tensor | None]:
        """structures with noisy positions and species, told [s, ...]: z and the embedded properties
        -> vectors [n, 3], logits [n, K] or None where there is one species only."""
        features = told[structures.batch]
        if self.species:
            one_hot = nn.functional.one_hot(structures.species, self.species).to(told.dtype)
            features = torch.cat([one_hot, features], dim=-1)
        h, vectors = self.backbone(self.input(features), structures)
        return vectors, None if self.types is None else self.types(h)


class CDVAE(Method):
    """Crystal diffusion variational autoencoder, for given cells and atom counts (``card``).

    Samplers: ``langevin``, with the properties as inputs of decoder and composition head, and ``latent-gradient``, in
    which z first follows the property head's gradient to the targets; without targets they are the same.
    """

    name = "cdvae"
    title = "CDVAE: variational autoencoder whose decoder moves atoms by annealed Langevin dynamics"
    card = CARD
    samplers = ("langevin", "latent-gradient")
    networks = tuple(CDVAE_NETWORKS)
    concurrent: ClassVar[bool] = True
    rotation_equivariant: ClassVar[bool] = True

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        latent, species = config["latent"], task.species_count
        self.levels = GeometricLevels(**config["levels"])
        self.type_levels = GeometricLevels(**config["type_levels"])
        self.embedding = (
            FlexiblePropertyEmbedding(task, config["property_width"]) if task.properties else None
        )
        told = latent + config["property_width"] * len(task.properties)
        self.encoder = Encoder(task, TripletConfig(**config["encoder"]), latent)
        self.decoder = Decoder(TripletConfig(**config["decoder"]), told, species)
        self.composition_head = head(told, config["head"], species) if species > 1 else None
        self.property_head = (
            PropertyHead(latent, config["head"], len(task.properties)) if task.properties else None
        )

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """
        encoder, decoder: sizes of the networks (``TripletConfig``); in ``standard`` the cutoff of both is 4.4 A where
            ghosts fill the cells, 5 A otherwise: about 40 and 26 neighbours, of which the nearest 20 count
        latent, head: numbers of z, and width of the heads on it
        property_dropout: share of the labels that decoder and composition head are not told in a training step, each
            on its own
        levels, type_levels: noise of positions, angstrom, and of types
        alpha: step of the Langevin dynamics in units of sigma^2
        latent_steps, latent_rate: of Adam on z in the sampler ``latent-gradient``
        weights: of the parts of the loss
        """
        size = dict(CDVAE_NETWORKS[network])
        for part in ("encoder", "decoder"):
            if network != "paper" and task.ghost_density is not None:
                size[part] = replace(size[part], cutoff=GHOST_CUTOFF)
            size[part] = asdict(size[part])
        return size | {
            "property_width": 16,
            "property_dropout": 0.5,
            "levels": {"first": 10.0, "last": 0.01, "count": 50},
            "type_levels": {"first": 5.0, "last": 0.01, "count": 50},
            "alpha": 1.0,
            "weights": {"positions": 10.0, "species": 1.0, "composition": 1.0, "properties": 1.0, "kl": 0.01},
        }

    def backend(self) -> str:
        return product_precision.backend(self.decoder)

    def product_type(self) -> ProductType:
        parameter = next(self.decoder.parameters())
        return (
            "bfloat16" if product_precision.product_type(parameter) == "bfloat16" else super().product_type()
        )

    @property
    def cutoff(self) -> float:
        return self.decoder.backbone.config.cutoff

    def step_label(self, steps: int, sampler: str) -> str:
        return sampler if self.task.properties else self.samplers[0]

    def preferred_sampler(self) -> str:
        return "latent-gradient" if self.task.properties else "langevin"

    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        """``loss`` is the weighted sum of ``positions``, ``species``, ``composition``, ``properties`` and ``kl`` (nats
        per structure), as far as the task has them. Where there are ghosts also their share among the likeliest types,
        and in the batch."""
        mean, log_variance = self.encoder(batch)
        z = drawn_latent(mean, log_variance, noise)
        told = self.told(z, with_hidden_labels(batch, self.config["property_dropout"], noise), noise)
        losses = {"kl": divergence(mean, log_variance).mean()}

        noisy = batch
        if self.composition_head is not None:
            composition = self.composition_head(told)
            losses["composition"] = composition_loss(
                composition, fractions_of(batch, self.task.species_count)
            )
            # the composition has a loss of its own, and no gradient of those that a draw from it moves
            noisy, type_sigma = self.noisy_types(batch, torch.softmax(composition.detach(), dim=-1), noise)
        sigma = self.levels.sample(noise)[batch.batch]
        noisy = noisy.with_positions(batch.positions + sigma * noise.normal_atoms(3))

        vectors, logits = self.decoder(noisy, told)
        wanted = minimum_image(batch.positions - noisy.positions, batch) / sigma
        wanted = without_ghosts(wanted, batch, self.task.ghost)
        # the error of the score, vectors / sigma, times sigma^2
        losses["positions"] = mean_of_means(0.5 * ((vectors - wanted) ** 2).sum(-1), batch)
        if logits is not None:
            wrong = nn.functional.cross_entropy(logits, batch.species, reduction="none")
            losses["species"] = mean_of_means(wrong / type_sigma[:, 0], batch)
        if self.embedding is not None and self.property_head is not None:
            losses["properties"] = self.property_head.loss(z, *self.embedding.standardised(batch.properties))

        weights = self.config["weights"]
        losses["loss"] = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        if logits is not None and self.task.ghost is not None:
            losses["ghost_share"] = (logits.argmax(-1) == self.task.ghost).float().mean()
            losses["ghost_share_data"] = (batch.species == self.task.ghost).float().mean()
        return losses

    def told(self, z: Tensor, structures: Structures, noise: NoiseSource) -> Tensor:
        """z and the embedded properties, with null vectors of their own: [s, latent + p width]."""
        if self.embedding is None:
            return z
        null = noise.normal_structures(self.embedding.weight.numel())
        return torch.cat([z, self.embedding(structures.properties, null)], dim=-1)

    def noisy_types(
        self, batch: Structures, composition: Tensor, noise: NoiseSource
    ) -> tuple[Structures, Tensor]:
        """The batch with types drawn from one-hot + sigma composition, and sigma [n, 1]."""
        sigma = self.type_levels.sample(noise)[batch.batch]
        one_hot = nn.functional.one_hot(batch.species, self.task.species_count).to(composition.dtype)
        types = sample_one_hot(noisy_type_weights(one_hot, composition[batch.batch], sigma), noise)
        return replace(batch, species=types.argmax(-1)), sigma

    def sample(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Structures:
        return deque(self.walk(start, steps, sampler, noise), maxlen=1).pop()

    def walk(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Iterator[Structures]:
        """The structures after each step of annealed Langevin dynamics, positions within one cell."""
        self.check_sampler(sampler)
        z = noise.normal_structures(self.config["latent"])
        if sampler == "latent-gradient" and self.embedding is not None and self.property_head is not None:
            targets, given = self.embedding.standardised(start.properties)
            rule = self.config["latent_steps"], self.config["latent_rate"]
            z = latent_for_targets(self.property_head, z, targets, given, *rule)
        now = start.with_positions(
            torch.einsum("ni,nij->nj", noise.uniform_atoms(3), start.cells[start.batch])
        )
        if self.composition_head is not None:
            composition = torch.softmax(self.composition_head(self.told(z, start, noise)), dim=-1)
            now = replace(now, species=species_of_composition(composition, start, noise))
        for sigma in self.levels.path(steps):
            vectors, logits = self.decoder(now, self.told(z, start, noise))
            moved = langevin_step(now.positions, vectors, sigma, noise.normal_atoms(3), self.config["alpha"])
            now = now.with_positions(minimum_image(moved, start))
            if logits is not None:
                now = replace(now, species=logits.argmax(-1))
            yield now

    def ghost_shares(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Tensor:
        """Share of ghosts after each step of ``sample``: [steps, s], 0 where the task has none. Types are the likeliest
        after every step, which can drive a rare class out or let ghosts take over; here it is seen."""
        ghost = -1 if self.task.ghost is None else self.task.ghost
        shares = [
            means_of_structures((now.species == ghost)[:, None].to(now.positions.dtype), now)[:, 0]
            for now in self.walk(start, steps, sampler, noise)
        ]
        return torch.stack(shares)


def mean_of_means(values: Tensor, structures: Structures) -> Tensor:
    """Mean over structures of the mean over their atoms of values [n]."""
    return means_of_structures(values[:, None], structures).mean()
