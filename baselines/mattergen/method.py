"""MatterGen (Zeni et al. 2025) for amorphous materials: an independent adaptation; cells are an input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from ...benchmark.interface.method import Method, ProductType
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.sampler import Sampler
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
"""Default weight of a target in the sampler ``guided`` (the original's); 1 is no guidance."""


class PredictorCorrector(Sampler["MatterGen"]):
    """Sampler with a Langevin step and an ancestral step per time step, and one evaluation of the score for each."""

    def score(self, method: MatterGen, state: Structures, t: Tensor) -> Score:
        """Score and logits for the steps at times t [s, 1]."""
        return method.predict(state, t[:, 0])

    def correct(self, method: MatterGen, state: Structures, t: Tensor, noise: NoiseSource) -> Structures:
        """The state after the corrector's step at times t [s, 1]."""
        return method.corrector_step(state, self.score(method, state, t), t, noise)

    def evaluations(self, method: MatterGen, steps: int) -> int:
        return 2 * steps

    def sample(self, method: MatterGen, start: Structures, steps: int, noise: NoiseSource) -> Structures:
        """Structures sampled from the prior at t = 1 in equal time steps to t = 0."""
        state = method.prior(start, noise)
        for k in range(steps):
            t, s = (torch.full_like(start.cells[:, :1, 0], 1 - m / steps) for m in (k, k + 1))
            state = self.correct(method, state, t, noise)
            state = method.predictor_step(state, self.score(method, state, t), t, s, noise)
        return state


class Predictor(PredictorCorrector):
    """Sampler with ancestral steps only."""

    def correct(self, method: MatterGen, state: Structures, t: Tensor, noise: NoiseSource) -> Structures:
        return state

    def evaluations(self, method: MatterGen, steps: int) -> int:
        return steps


class Guided(PredictorCorrector):
    """Sampler ``PredictorCorrector`` with classifier-free guidance (arXiv 2207.12598) of scores and logits.

    Both are extrapolated from those without targets through those with them, by the factor ``guidance``. Without
    properties to condition on, the steps are those of ``PredictorCorrector``.
    """

    def label(self, method: MatterGen, steps: int) -> str:
        return self.name if method.task.properties else PREDICTOR_CORRECTOR.name

    def evaluations(self, method: MatterGen, steps: int) -> int:
        return (2 if method.task.properties else 1) * super().evaluations(method, steps)

    def score(self, method: MatterGen, state: Structures, t: Tensor) -> Score:
        conditional = super().score(method, state, t)
        if not method.task.properties:
            return conditional
        hidden = replace(state, properties=torch.full_like(state.properties, torch.nan))
        unconditional = super().score(method, hidden, t)
        weight = guidance_weights(state, method.guidance_weights)
        species = None
        if unconditional.species is not None and conditional.species is not None:
            species = torch.lerp(unconditional.species, conditional.species, weight)
        positions = torch.lerp(unconditional.positions, conditional.positions, weight)
        return Score(positions=positions, species=species)


PREDICTOR_CORRECTOR = PredictorCorrector(
    name="predictor-corrector", title="a Langevin step, then an ancestral step"
)
PREDICTOR = Predictor(name="predictor", title="ancestral steps alone")
GUIDED = Guided(name="guided", title="predictor-corrector with classifier-free guidance to the targets")


class MatterGen(Method):
    """MatterGen: wrapped diffusion of positions and masked diffusion of species with one score network."""

    name = "mattergen"
    title = "MatterGen (adapted): wrapped diffusion of positions, masked diffusion of species"
    card = CARD
    samplers = (PREDICTOR_CORRECTOR, PREDICTOR, GUIDED)
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
        """Default settings.

        property_dropout: probability with which a training step hides a label, independently for each label
        weights: weights of the losses of positions and species
        cross_entropy: weight of the cross entropy relative to the Kullback-Leibler divergence in the species loss
        kl_steps: the divergence is that of a step of length 1 / kl_steps; the original has 1000 steps
        snr: signal-to-noise ratio of the corrector
        guidance: weight of each property's target in the sampler ``guided``; the mean for several targets
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
        """The loss; ``positions``: squared error of the score times sigma, mean over atoms and axes; ``species``: mean
        over atoms of the hybrid loss, with its parts."""
        batch = with_hidden_labels(batch, self.config["property_dropout"], noise)
        t = MASK_MIN_TIME + (1 - MASK_MIN_TIME) * noise.uniform_structures(1)
        noisy, target = self.corrupt(batch, t, noise)
        score = self.predict(noisy, t[:, 0])
        weights = self.config["weights"]
        losses = {"positions": ((score.positions - target) ** 2).mean()}
        losses["loss"] = weights["positions"] * losses["positions"]
        if self.masks and score.species is not None:
            at = t[batch.batch]
            before = (at - 1 / self.config["kl_steps"]).clamp(min=0)
            divergence, entropy = self.masks.losses(score.species, batch.species, noisy.species, at, before)
            losses |= {"divergence": divergence.mean(), "cross_entropy": entropy.mean()}
            losses["species"] = losses["divergence"] + self.config["cross_entropy"] * losses["cross_entropy"]
            losses["loss"] = losses["loss"] + weights["species"] * losses["species"]
        return losses

    def corrupt(self, batch: Structures, t: Tensor, noise: NoiseSource) -> tuple[Structures, Tensor]:
        """Noisy structures at times t [s, 1], and the target [n, 3] of the scaled score."""
        sigma = self.process.sigma(t, batch)
        x, target = self.process.corrupt(fractional(batch.positions, batch), noise.normal_atoms(3), sigma)
        species = batch.species
        if self.masks:
            species = self.masks.corrupt(species, t[batch.batch], noise.uniform_atoms(1))
        noisy = replace(batch, positions=cartesian(x, batch), species=species)
        return noisy, without_ghosts(target, batch, self.task.ghost)

    def prior(self, start: Structures, noise: NoiseSource) -> Structures:
        """Positions uniform in the cell, all species masked."""
        positions = cartesian(noise.uniform_atoms(3), start)
        species = start.species if self.masks is None else torch.full_like(start.species, self.masks.mask)
        return replace(start, positions=positions, species=species)

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
        """Ancestral step from times t to s, both [s, 1]. At s = 0 positions are the mean and all species unmasked."""
        sigma = self.process.sigma(t, state)
        after = torch.where(s > 0, 1.0, 0.0)[state.batch] * self.process.sigma(s, state)
        x = fractional(state.positions, state)
        x = self.process.ancestral_step(x, score.positions, sigma, after, noise.normal_atoms(3))
        species = state.species
        if self.masks and score.species is not None:
            at, then = t[state.batch], s[state.batch]
            species = self.masks.step(species, score.species, at, then, noise.uniform_atoms(2))
        return replace(state, positions=cartesian(x, state), species=species)

    def preferred_sampler(self) -> str:
        return GUIDED.name if self.task.properties else PREDICTOR_CORRECTOR.name
