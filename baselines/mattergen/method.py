"""MatterGen (Zeni et al. 2025) for amorphous materials: an independent adaptation, in given cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from ...benchmark.interface.method import Method, ProductType
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures, cartesian, fractional
from ...benchmark.interface.task import Task
from ...methods import product_precision
from ...methods.conditioning import guidance_weights, with_hidden_labels
from ...methods.losses import without_ghosts
from ..triplet_network import TripletConfig
from .card import CARD
from .mask_diffusion import MaskDiffusion
from .network import MatterGenScoreNetwork, Score
from .wrapped_normal import WrappedProcess

MATTERGEN_NETWORKS: dict[str, TripletConfig] = {
    "standard": TripletConfig(hidden=128, blocks=3, cutoff=6.5, neighbours=20),
    "paper": TripletConfig(hidden=512, blocks=4, cutoff=7.0, neighbours=50, triplet=64),
}
"""Presets: ``paper`` has the sizes of the original's GemNet-dT."""

MASK_MIN_TIME = 1e-5
"""Smallest training time (the original's)."""

GUIDANCE = 2.0
"""Weight of a target in the sampler ``guided`` where a training sets no other (the original's), 1 for no guidance."""


class MatterGen(Method):
    """Wrapped diffusion of positions, masked diffusion of species, one score network.

    Samplers: ``predictor-corrector`` (native), a step of Langevin dynamics and an ancestral step, each with an
    evaluation of its own; ``predictor``, the ancestral steps alone; ``guided``, the native one by classifier-free
    guidance (arXiv 2207.12598): away from what the network says without targets, ``guidance`` times the way to what it
    says with them, for scores and logits.
    """

    name = "mattergen"
    title = "MatterGen (adapted): wrapped diffusion of positions, masked diffusion of species"
    card = CARD
    samplers = ("predictor-corrector", "predictor", "guided")
    networks = tuple(MATTERGEN_NETWORKS)
    concurrent = True
    guidance_weights: Tensor

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        self.process = WrappedProcess()
        # with one species there is nothing to mask
        self.masks = MaskDiffusion(kinds=task.species_count) if task.species_count > 1 else None
        self.network = MatterGenScoreNetwork(
            task, TripletConfig(**config["network"]), config["property_width"], self.masks
        )
        weights = torch.tensor([float(config["guidance"].get(name, GUIDANCE)) for name in task.properties])
        self.register_buffer("guidance_weights", weights, persistent=False)

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """
        property_dropout: share of the labels that a training step hides, each on its own
        weights: of the losses of positions and species
        cross_entropy: weight of the cross entropy beside the Kullback-Leibler divergence in the loss of the species
        kl_steps: the divergence is that of a step of 1 / kl_steps, as in the original with its 1000 steps
        snr: signal-to-noise ratio of the corrector
        guidance: weight of each property's target in the sampler ``guided``; where several are asked for, their mean
        """
        return {
            "network": asdict(MATTERGEN_NETWORKS[network]),
            "property_width": 16,
            "property_dropout": 0.2,
            "weights": {"positions": 0.1, "species": 1.0},
            "cross_entropy": 0.01,
            "kl_steps": 1000,
            "snr": 0.4,
            "guidance": dict.fromkeys(task.properties, GUIDANCE),
        }

    def backend(self) -> str:
        return product_precision.backend(self.network)

    def product_type(self) -> ProductType:
        parameter = next(self.network.parameters())
        return (
            "bfloat16" if product_precision.product_type(parameter) == "bfloat16" else super().product_type()
        )

    @property
    def cutoff(self) -> float:
        return self.network.backbone.config.cutoff

    def predict(self, structures: Structures, t: Tensor) -> Score:
        """The score and logits of noisy structures at times t [s]."""
        return self.network(structures, t)

    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        """``positions``: mean over atoms and axes of the squared error of the score times sigma; ``species``: mean over
        atoms of the hybrid loss; its parts are logged too."""
        batch = with_hidden_labels(batch, self.config["property_dropout"], noise)
        t = MASK_MIN_TIME + (1 - MASK_MIN_TIME) * noise.uniform_structures(1)
        noisy, wanted = self.corrupt(batch, t, noise)
        found = self.predict(noisy, t[:, 0])
        weights = self.config["weights"]
        losses = {"positions": ((found.positions - wanted) ** 2).mean()}
        losses["loss"] = weights["positions"] * losses["positions"]
        if self.masks and found.species is not None:
            at = t[batch.batch]
            before = (at - 1 / self.config["kl_steps"]).clamp(min=0)
            divergence, entropy = self.masks.losses(found.species, batch.species, noisy.species, at, before)
            losses |= {"divergence": divergence.mean(), "cross_entropy": entropy.mean()}
            losses["species"] = losses["divergence"] + self.config["cross_entropy"] * losses["cross_entropy"]
            losses["loss"] = losses["loss"] + weights["species"] * losses["species"]
        return losses

    def corrupt(self, batch: Structures, t: Tensor, noise: NoiseSource) -> tuple[Structures, Tensor]:
        """Noisy structures at times t [s, 1], and the scaled score [n, 3] that the network is asked for."""
        sigma = self.process.sigma(t, batch)
        x, wanted = self.process.corrupt(fractional(batch.positions, batch), noise.normal_atoms(3), sigma)
        species = batch.species
        if self.masks:
            species = self.masks.corrupt(species, t[batch.batch], noise.uniform_atoms(1))
        noisy = replace(batch, positions=cartesian(x, batch), species=species)
        return noisy, without_ghosts(wanted, batch, self.task.ghost)

    def sample(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Structures:
        """From the prior at t = 1 in ``steps`` equal steps to t = 0."""
        self.check_sampler(sampler)
        state = self.prior(start, noise)
        for k in range(steps):
            t, s = (torch.full_like(start.cells[:, :1, 0], 1 - m / steps) for m in (k, k + 1))
            if sampler != "predictor":
                state = self.corrector_step(state, self.score(state, t, sampler), t, noise)
            state = self.predictor_step(state, self.score(state, t, sampler), t, s, noise)
        return state

    def prior(self, start: Structures, noise: NoiseSource) -> Structures:
        """Positions uniform in the cell, all species masked."""
        positions = cartesian(noise.uniform_atoms(3), start)
        species = start.species if self.masks is None else torch.full_like(start.species, self.masks.mask)
        return replace(start, positions=positions, species=species)

    def score(self, state: Structures, t: Tensor, sampler: str) -> Score:
        """What a sampler follows at times t [s, 1]."""
        asked = self.predict(state, t[:, 0])
        if sampler != "guided" or not self.task.properties:
            return asked
        free = self.predict(replace(state, properties=torch.full_like(state.properties, torch.nan)), t[:, 0])
        weight = guidance_weights(state, self.guidance_weights)
        species = None
        if free.species is not None and asked.species is not None:
            species = torch.lerp(free.species, asked.species, weight)
        return Score(positions=torch.lerp(free.positions, asked.positions, weight), species=species)

    def corrector_step(self, state: Structures, score: Score, t: Tensor, noise: NoiseSource) -> Structures:
        """Langevin dynamics of the positions at times t [s, 1]."""
        counted = torch.ones_like(score.positions[:, 0])
        if self.task.ghost is not None:
            counted = counted.masked_fill(state.species == self.task.ghost, 0.0)
        x = self.process.langevin_step(
            fractional(state.positions, state),
            score.positions,
            self.process.sigma(t, state),
            noise.normal_atoms(3),
            snr=self.config["snr"],
            structures=state,
            counted=counted,
        )
        return state.with_positions(cartesian(x, state))

    def predictor_step(
        self, state: Structures, score: Score, t: Tensor, s: Tensor, noise: NoiseSource
    ) -> Structures:
        """Ancestral step from times t to s, both [s, 1]; at s = 0 the mean of the positions, and every species."""
        sigma = self.process.sigma(t, state)
        after = torch.where(s > 0, 1.0, 0.0)[state.batch] * self.process.sigma(s, state)
        x = fractional(state.positions, state)
        x = self.process.ancestral_step(x, score.positions, sigma, after, noise.normal_atoms(3))
        species = state.species
        if self.masks and score.species is not None:
            at, then = t[state.batch], s[state.batch]
            species = self.masks.step(species, score.species, at, then, noise.uniform_atoms(2))
        return replace(state, positions=cartesian(x, state), species=species)

    def evaluations(self, steps: int, sampler: str) -> int:
        per_step = {"predictor": 1, "predictor-corrector": 2, "guided": 4 if self.task.properties else 2}
        return steps * per_step[self.check_sampler(sampler)]

    def step_label(self, steps: int, sampler: str) -> str:
        return "predictor-corrector" if sampler == "guided" and not self.task.properties else sampler

    def preferred_sampler(self) -> str:
        return "guided" if self.task.properties else self.samplers[0]
