"""Graphite: score matching with MeshGraphNets, by Kwon et al. 2024 (arXiv 2312.05472), adapted to this benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...benchmark.interface.method import Method, ProductType
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.sampler import Sampler
from ...benchmark.interface.structures import Structures
from ...benchmark.interface.task import Task
from ...errors import AmsbenchError
from ...methods import product_precision
from ...methods.conditioning import with_hidden_labels
from ...methods.losses import squared_errors, without_ghosts
from ...methods.processes import ElementProcess, PositionProcess
from ...methods.samplers import sample_one_hot
from ...methods.state import Prediction, State
from .card import CARD
from .mesh_graph_net import GraphiteScoreNetwork, MeshGraphNetConfig, PropertyNetwork
from .noise_schedule import EARLY_SHARE, MOST_EARLY_SHARE, noise_scale, training_times
from .rotations import random_rotations, rotated

GRAPHITE_NETWORKS: dict[str, MeshGraphNetConfig] = {
    "standard": MeshGraphNetConfig(hidden=128, layers=4),
    "paper": MeshGraphNetConfig(hidden=200, layers=5),
}
PROPERTY_NETWORKS: dict[str, MeshGraphNetConfig] = {
    "standard": MeshGraphNetConfig(hidden=64, layers=3),
    "paper": MeshGraphNetConfig(hidden=200, layers=5),
}
"""Presets of the property network, smaller than GRAPHITE_NETWORKS since it predicts one number per structure."""

GRAPHITE_GHOST_CUTOFF = 3.3
"""Cutoff with ghosts, angstrom: two shells of an oxide (cation to oxygen, then oxygen to oxygen and cation to cation at
2.6 to 3.2 A), 17 atoms and ghosts at 0.11 per A^3. With more neighbours the positions are learnt later. Without ghosts
it is the 5 A of ``MeshGraphNetConfig``: two shells of silicon, 26 atoms."""

RESTART_TIME = 0.4
"""Time from which a restart begins, as in the original."""
MOST_RESTARTS = 4
"""Largest number of restarts, as in the original."""
STEPS_PER_RESTART = 16
"""Steps per restart. With fewer steps a restart adds more noise than it removes."""

PROPERTY_WEIGHT = 0.1
"""Weight of the property network's loss. Adam's steps do not depend on it; a small one leaves the clipping of the
gradients and the choice of the best checkpoint to the denoiser."""


class EulerMaruyama(Sampler["Graphite"]):
    """Sampler with equal Euler-Maruyama steps of the reverse SDE from t = 1 to t = 0; properties are an input."""

    def label(self, method: Graphite, steps: int) -> str:
        return "SDE"

    def times(self, steps: int) -> list[tuple[float, float]]:
        """Times (t, s) at the beginning and the end of each step."""
        return _descent(1.0, steps)

    def predict(self, method: Graphite, state: State, t: Tensor, noise: NoiseSource) -> Prediction:
        """Prediction for a step at times t [s], with null vectors drawn for this step."""
        return method.predict(state, method.denoiser.null_properties(noise), t)

    def sample(self, method: Graphite, start: Structures, steps: int, noise: NoiseSource) -> Structures:
        state, now = method.prior(start, noise), 1.0
        ones = torch.ones(len(start), device=start.cells.device, dtype=start.cells.dtype)
        for t, s in self.times(steps):
            if t > now:
                state = method.diffuse(state, t, noise)
            state, now = method.step(state, self.predict(method, state, ones * t, noise), t, s, noise), s
        if state.elements is None:
            return state.structures
        return replace(state.structures, species=state.elements.argmax(dim=-1))


class Restart(EulerMaruyama):
    """Sampler with Euler-Maruyama steps to t = 0, then restarts from t = 0.4."""

    def label(self, method: Graphite, steps: int) -> str:
        return "restart" if self.restarts(steps) else super().label(method, steps)

    def restarts(self, steps: int) -> int:
        """Number of restarts among ``steps`` steps."""
        return min(MOST_RESTARTS, steps // STEPS_PER_RESTART)

    def times(self, steps: int) -> list[tuple[float, float]]:
        """Times (t, s) at the beginning and the end of each step, which all have about the same length.

        With R = min(4, steps // 16) restarts, the first steps / (1 + 0.4 R) steps, rounded, go from 1 to 0, and the
        others, evenly divided, from 0.4 to 0 each time. 164 steps become 63, 26, 25, 25 and 25, close to the original's
        64 and four times 25.
        """
        restarts = self.restarts(steps)
        first = round(steps / (1 + RESTART_TIME * restarts))
        times = _descent(1.0, first)
        for k in range(restarts):
            length = (steps - first) // restarts + (k < (steps - first) % restarts)
            times += _descent(RESTART_TIME, length)
        return times


class Guided(EulerMaruyama):
    """Sampler with posterior sampling (arXiv 2209.14687) by the property network; the denoiser reads no properties.

    Without properties to condition on, the steps are those of ``EulerMaruyama``.
    """

    def label(self, method: Graphite, steps: int) -> str:
        return self.name if method.property_network is not None else super().label(method, steps)

    def evaluations(self, method: Graphite, steps: int) -> int:
        return steps if method.property_network is None else 2 * steps

    def predict(self, method: Graphite, state: State, t: Tensor, noise: NoiseSource) -> Prediction:
        if method.property_network is None:
            return super().predict(method, state, t, noise)
        return method.guided_prediction(state, method.denoiser.null_properties(noise), t)


class Graphite(Method):
    """Graphite: a MeshGraphNet predicts eps of the positions (linear noise) and the species (cosine process)."""

    name = "graphite"
    title = "Graphite: MeshGraphNets on raw edge vectors, linear noise, Euler-Maruyama with restarts"
    samplers = (
        EulerMaruyama(name="euler-maruyama", title="Euler-Maruyama steps of the reverse SDE"),
        Restart(name="restart", title="the same with restarts from t = 0.4, from 16 steps on"),
        Guided(name="guided", title="Euler-Maruyama with posterior sampling by the property network"),
    )
    networks = tuple(GRAPHITE_NETWORKS)
    concurrent = True
    card = CARD

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        size = MeshGraphNetConfig(**config["network"])
        self.denoiser = GraphiteScoreNetwork(task, size, config["property_width"])
        self.property_network = None
        if task.properties:
            size = MeshGraphNetConfig(**config["property_network"])
            self.property_network = PropertyNetwork(task, size)
        self.early_share = config.get("early_share", 0.0)  # absent in older checkpoints
        if not 0 <= self.early_share <= MOST_EARLY_SHARE:
            raise AmsbenchError(
                f"early_share is {self.early_share:g}; give a share of the training from 0 to {MOST_EARLY_SHARE}, so "
                "that all times are trained in the end"
            )
        self.positions = PositionProcess(scale=config["noise"])
        self.elements = ElementProcess(scale=config["element_scale"])

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Default settings.

        noise: k of sigma = k t, angstrom (``noise_scale``)
        early_share: share of the training with times from 0.1 to 0.2 (``training_times``)
        element_scale: standard deviation of the element embeddings at t = 1
        property_dropout: probability with which a training step hides a label from the denoiser, independently for
            each label
        property_time: largest noise time of the structures that train the property network
        guidance: half the slope of the log-likelihood by the misfit in standard deviations of the property. The density
            of a normal property falls with slope 2 at 2 standard deviations, so that targets there need a larger slope
        """
        sizes = GRAPHITE_NETWORKS[network], PROPERTY_NETWORKS[network]
        if task.ghost_density is not None:
            sizes = (
                replace(sizes[0], cutoff=GRAPHITE_GHOST_CUTOFF),
                replace(sizes[1], cutoff=GRAPHITE_GHOST_CUTOFF),
            )
        return {
            "network": asdict(sizes[0]),
            "property_network": asdict(sizes[1]),
            "noise": noise_scale(task),
            "early_share": 0.0 if task.ghost_density is None else EARLY_SHARE,
            "element_scale": 0.5,
            "property_width": 16,
            "property_dropout": 0.5,
            "property_time": 0.1,
            "guidance": 3.0,
        }

    def backend(self) -> str:
        return product_precision.backend(self.denoiser)

    def product_type(self) -> ProductType:
        parameter = next(self.denoiser.parameters())
        return (
            "bfloat16" if product_precision.product_type(parameter) == "bfloat16" else super().product_type()
        )

    @property
    def cutoff(self) -> float:
        return self.denoiser.network.config.cutoff

    # -- training ------------------------------------------------------------------------------------------

    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        # before the noise is drawn, so that the target noise is that of the rotated frame
        batch = rotated(batch, random_rotations(noise))
        least, most = training_times(progress, self.early_share)
        t = noise.uniform_structures(1) * (most - least) + least
        state, eps = self.corrupt(with_hidden_labels(batch, self.config["property_dropout"], noise), t, noise)
        prediction = self.predict(state, self.denoiser.null_properties(noise), t[:, 0])
        target = replace(eps, positions=without_ghosts(eps.positions, batch, self.task.ghost))
        if state.elements is not None and prediction.elements is not None and eps.elements is not None:
            at = t[batch.batch]
            velocity = self.elements.velocity_from_clean(
                state.elements, prediction.elements, at, torch.zeros_like(at)
            )
            prediction = replace(prediction, elements=velocity)
            target = replace(target, elements=self.elements.velocity(self.one_hot(batch), eps.elements, at))
        losses = squared_errors(prediction, target)
        if self.property_network is not None:
            properties = self.property_loss(batch, noise)
            losses |= {"properties": properties, "loss": losses["loss"] + PROPERTY_WEIGHT * properties}
        return losses

    def corrupt(self, batch: Structures, t: Tensor, noise: NoiseSource) -> tuple[State, Prediction]:
        """M_t and its eps for times t [s, 1]."""
        at = t[batch.batch]
        eps = noise.normal_atoms(3)
        noisy = batch.with_positions(self.positions.corrupt(batch.positions, eps, at))
        if not self.denoiser.species:
            return State(structures=noisy, elements=None), Prediction(positions=eps, elements=None)
        eps_e = noise.normal_atoms(self.denoiser.species)
        elements = self.elements.corrupt(self.one_hot(batch), eps_e, at)
        return State(structures=noisy, elements=elements), Prediction(positions=eps, elements=eps_e)

    def property_loss(self, batch: Structures, noise: NoiseSource) -> Tensor:
        """Mean squared error of the standardised labels that are present, for structures with little noise."""
        assert self.property_network is not None
        t = self.config["property_time"] * noise.uniform_structures(1)[batch.batch]
        near = batch.with_positions(self.positions.corrupt(batch.positions, noise.normal_atoms(3), t))
        elements = self.one_hot(batch) if self.denoiser.species else None
        error, present = self.misfit(batch.properties, self.property_network(near, elements))
        return (error**2).sum() / present.sum().clamp(min=1)

    def misfit(self, properties: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted minus standardised properties [s, p], 0 where a property is absent, and which are present."""
        assert self.denoiser.embedding is not None
        target, present = self.denoiser.embedding.standardised(properties)
        return torch.where(present, predicted - target, torch.zeros_like(predicted)), present

    def one_hot(self, batch: Structures) -> Tensor:
        """E_0 of clean structures [n, K]."""
        return torch.nn.functional.one_hot(batch.species, self.denoiser.species).to(batch.positions.dtype)

    def predict(self, state: State, null: Tensor, t: Tensor) -> Prediction:
        """eps of the positions, and the probabilities of the species, E[E_0 | M_t], at times t [s]."""
        e = state.elements
        evidence = (
            None if e is None else self.elements.species_log_likelihood(e, t[state.structures.batch, None])
        )
        return self.denoiser(state, null, t, evidence)

    # -- sampling ------------------------------------------------------------------------------------------

    def prior(self, start: Structures, noise: NoiseSource) -> State:
        """Positions uniform in the cell, element embeddings normal with the process's scale at t = 1."""
        positions = torch.einsum("ni,nij->nj", noise.uniform_atoms(3), start.cells[start.batch])
        width = self.denoiser.species
        elements = self.elements.scale * noise.normal_atoms(width) if width else None
        return State(structures=start.with_positions(positions), elements=elements)

    def diffuse(self, state: State, t: float, noise: NoiseSource) -> State:
        """The state at t = 0 with the noise of time t, where a restart begins."""
        at = torch.full_like(state.structures.positions[:, :1], t)
        x = self.positions.corrupt(state.structures.positions, noise.normal_atoms(3), at)
        e = state.elements
        if e is not None:
            e = self.elements.corrupt(e, noise.normal_atoms(e.shape[1]), at)
        return State(structures=state.structures.with_positions(x), elements=e)

    def step(self, state: State, prediction: Prediction, t: float, s: float, noise: NoiseSource) -> State:
        """The state after one step from t down to s.

        Positions take an Euler-Maruyama step. Species are drawn, and their embeddings come from the exact posterior for
        the drawn E_0: for independent atoms the species have the right probabilities whatever the step size, whereas
        Euler-Maruyama steps of the embeddings diverge at t = 1.
        """
        at, after = (torch.full_like(state.structures.positions[:, :1], time) for time in (t, s))
        x = state.structures.positions
        x = self.positions.euler_maruyama_step(x, prediction.positions, at, after, noise.normal_atoms(3))
        e = state.elements
        if e is not None and prediction.elements is not None:
            clean = sample_one_hot(prediction.elements, noise)
            v = self.elements.velocity_from_clean(e, clean, at, torch.zeros_like(at))
            e = self.elements.ancestral_step(e, v, at, after, noise.normal_atoms(e.shape[1]))
        return State(structures=state.structures.with_positions(x), elements=e)

    def guided_prediction(self, state: State, null: Tensor, t: Tensor) -> Prediction:
        """The prediction without properties plus the gradient of the property network's misfit to the targets.

        Posterior sampling (arXiv 2209.14687, Algorithm 1): the score of the positions gains the gradient, through the
        denoiser, of the squared misfit of the estimated clean structure, divided by the misfit as in the original. This
        corresponds to the likelihood exp(-2 rho |misfit|). Without targets the misfit and its gradient are 0.
        """
        assert self.property_network is not None
        structures = state.structures
        with torch.enable_grad():
            x = structures.positions.detach().requires_grad_()
            hidden = torch.full_like(structures.properties, torch.nan)
            unconditional = replace(structures, positions=x, properties=hidden)
            free = self.predict(replace(state, structures=unconditional), null, t)
            sigma = self.positions.scale * t[structures.batch, None]
            clean = structures.with_positions(x - sigma * free.positions)
            error, _ = self.misfit(structures.properties, self.property_network(clean, free.elements))
            size = torch.sqrt((error**2).sum(1) + 1e-12)
            inputs = [x] if free.elements is None else [x, free.elements]
            pull, *shift = torch.autograd.grad(-2 * self.config["guidance"] * size.sum(), inputs)
        elements = free.elements
        if elements is not None:
            elements = torch.softmax(elements.detach().clamp(min=1e-12).log() + shift[0], dim=-1)
        return Prediction(positions=free.positions.detach() - sigma * pull, elements=elements)


def _descent(begin: float, steps: int) -> list[tuple[float, float]]:
    """Times (t, s) of equal steps from ``begin`` to 0."""
    return list(pairwise(begin * (1 - k / steps) for k in range(steps + 1)))
