"""CDVAE (Xie et al. 2022): a latent for the structure, a decoder without noise level, Langevin dynamics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...benchmark.interface.method import Method, ProductType
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.sampler import Sampler
from ...benchmark.interface.structures import Structures, cartesian, means_of_structures, minimum_image
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
    """Network for displacements towards the clean structure, in units of the noise, and type logits.

    CDVAE's decoder (arXiv 2110.06197, Section 4). The noise levels of positions and types are not among its inputs.
    """

    def __init__(self, config: TripletConfig, conditioning_width: int, species: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.species = species if species > 1 else 0
        self.input = nn.Sequential(
            nn.Linear(self.species + conditioning_width, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.backbone = TripletNetwork(config)
        self.types = nn.Linear(hidden, species) if self.species else None

    def forward(self, structures: Structures, conditioning: Tensor) -> tuple[Tensor, Tensor | None]:
        """Vectors [n, 3], and logits [n, K], or None for a single species.

        structures: noisy positions and species
        conditioning [s, c]: z and the embedded properties
        """
        features = conditioning[structures.batch]
        if self.species:
            one_hot = nn.functional.one_hot(structures.species, self.species).to(conditioning.dtype)
            features = torch.cat([one_hot, features], dim=-1)
        h, vectors = self.backbone(self.input(features), structures)
        return vectors, None if self.types is None else self.types(h)


class Langevin(Sampler["CDVAE"]):
    """Sampler with annealed Langevin dynamics from z ~ N(0, 1); decoder and composition head read the properties."""

    def latent(self, method: CDVAE, start: Structures, noise: NoiseSource) -> Tensor:
        """The latent z [s, latent] of each structure."""
        return noise.normal_structures(method.config["latent"])

    def sample(self, method: CDVAE, start: Structures, steps: int, noise: NoiseSource) -> Structures:
        return deque(self.walk(method, start, steps, noise), maxlen=1).pop()

    def walk(self, method: CDVAE, start: Structures, steps: int, noise: NoiseSource) -> Iterator[Structures]:
        """The structures after each step, positions within half a cell of the origin."""
        z = self.latent(method, start, noise)
        state = start.with_positions(cartesian(noise.uniform_atoms(3), start))
        if method.composition_head is not None:
            logits = method.composition_head(method.conditioning(z, start, noise))
            composition = torch.softmax(logits, dim=-1)
            state = replace(state, species=species_of_composition(composition, start, noise))
        for sigma in method.levels.path(steps):
            vectors, species_logits = method.decoder(state, method.conditioning(z, start, noise))
            moved = langevin_step(
                state.positions, vectors, sigma, noise.normal_atoms(3), method.config["alpha"]
            )
            state = state.with_positions(minimum_image(moved, start))
            if species_logits is not None:
                state = replace(state, species=species_logits.argmax(-1))
            yield state


class LatentGradient(Langevin):
    """Sampler with Langevin dynamics from a latent that Adam moves until the property head predicts the targets."""

    def label(self, method: CDVAE, steps: int) -> str:
        return self.name if method.task.properties else LANGEVIN.name

    def latent(self, method: CDVAE, start: Structures, noise: NoiseSource) -> Tensor:
        z = super().latent(method, start, noise)
        if method.embedding is None or method.property_head is None:
            return z
        targets, present = method.embedding.standardised(start.properties)
        settings = method.config["latent_steps"], method.config["latent_rate"]
        return latent_for_targets(method.property_head, z, targets, present, *settings)


LANGEVIN = Langevin(
    name="langevin", title="annealed Langevin dynamics; the targets are inputs of the networks"
)
LATENT_GRADIENT = LatentGradient(
    name="latent-gradient",
    title="the same from a latent that gradient descent on the property head has moved to the targets",
)


class CDVAE(Method):
    """Crystal diffusion variational autoencoder, for given cells and atom counts (``card``)."""

    name = "cdvae"
    title = "CDVAE: variational autoencoder whose decoder moves atoms by annealed Langevin dynamics"
    card = CARD
    samplers = (LANGEVIN, LATENT_GRADIENT)
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
        width = latent + config["property_width"] * len(task.properties)
        self.encoder = Encoder(task, TripletConfig(**config["encoder"]), latent)
        self.decoder = Decoder(TripletConfig(**config["decoder"]), width, species)
        self.composition_head = head(width, config["head"], species) if species > 1 else None
        self.property_head = (
            PropertyHead(latent, config["head"], len(task.properties)) if task.properties else None
        )

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Default settings.

        encoder, decoder: sizes of the networks (``TripletConfig``); in ``standard`` both cutoffs are 4.4 A with ghosts
            and 5 A otherwise: about 40 and 26 neighbours, of which the nearest 20 are used
        latent, head: width of z, and of the heads that read it
        property_dropout: probability with which a training step hides a label from decoder and composition head,
            independently for each label
        levels, type_levels: noise levels of positions (angstrom) and of types
        alpha: step size of the Langevin dynamics in units of sigma^2
        latent_steps, latent_rate: steps and learning rate of Adam on z in the sampler ``latent-gradient``
        weights: weights of the parts of the loss
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

    def preferred_sampler(self) -> str:
        return LATENT_GRADIENT.name if self.task.properties else LANGEVIN.name

    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        """The loss and its parts ``positions``, ``species``, ``composition``, ``properties`` and ``kl`` (nats per
        structure), as far as the task has them; with ghosts also their share among the most likely types and in the
        batch."""
        mean, log_variance = self.encoder(batch)
        z = drawn_latent(mean, log_variance, noise)
        labelled = with_hidden_labels(batch, self.config["property_dropout"], noise)
        conditioning = self.conditioning(z, labelled, noise)
        losses = {"kl": divergence(mean, log_variance).mean()}

        noisy = batch
        if self.composition_head is not None:
            composition = self.composition_head(conditioning)
            losses["composition"] = composition_loss(
                composition, fractions_of(batch, self.task.species_count)
            )
            # detached: the composition head learns from its own loss only, not through the types drawn from it
            noisy, type_sigma = self.noisy_types(batch, torch.softmax(composition.detach(), dim=-1), noise)
        sigma = self.levels.sample(noise)[batch.batch]
        noisy = noisy.with_positions(batch.positions + sigma * noise.normal_atoms(3))

        vectors, logits = self.decoder(noisy, conditioning)
        target = minimum_image(batch.positions - noisy.positions, batch) / sigma
        target = without_ghosts(target, batch, self.task.ghost)
        # the error of the score, vectors / sigma, times sigma^2
        losses["positions"] = mean_of_means(0.5 * ((vectors - target) ** 2).sum(-1), batch)
        if logits is not None:
            entropy = nn.functional.cross_entropy(logits, batch.species, reduction="none")
            losses["species"] = mean_of_means(entropy / type_sigma[:, 0], batch)
        if self.embedding is not None and self.property_head is not None:
            losses["properties"] = self.property_head.loss(z, *self.embedding.standardised(batch.properties))

        weights = self.config["weights"]
        losses["loss"] = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        if logits is not None and self.task.ghost is not None:
            losses["ghost_share"] = (logits.argmax(-1) == self.task.ghost).float().mean()
            losses["ghost_share_data"] = (batch.species == self.task.ghost).float().mean()
        return losses

    def conditioning(self, z: Tensor, structures: Structures, noise: NoiseSource) -> Tensor:
        """The latent z and the embedded properties, [s, latent + p width]; null vectors are drawn anew."""
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

    def ghost_shares(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Tensor:
        """Share of ghosts after each step of a sampler: [steps, s], 0 where the task has none.

        The species are the most likely ones after every step, which can remove a rare species or let ghosts take over.
        """
        ghost = -1 if self.task.ghost is None else self.task.ghost
        chosen = self.sampler_named(sampler)
        assert isinstance(chosen, Langevin)
        shares = [
            means_of_structures((state.species == ghost)[:, None].to(state.positions.dtype), state)[:, 0]
            for state in chosen.walk(self, start, steps, noise)
        ]
        return torch.stack(shares)


def mean_of_means(values: Tensor, structures: Structures) -> Tensor:
    """Mean over structures of the mean over their atoms of values [n]."""
    return means_of_structures(values[:, None], structures).mean()
