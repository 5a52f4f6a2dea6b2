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

GRAPHITE_NETWORKS: dict[str, MeshGraphNetConfig] = {
    "standard": MeshGraphNetConfig(hidden=128, layers=4),
    "paper": MeshGraphNetConfig(hidden=200, layers=5),
}
PROPERTY_NETWORKS: dict[str, MeshGraphNetConfig] = {
    "standard": MeshGraphNetConfig(hidden=64, layers=3),
    "paper": MeshGraphNetConfig(hidden=200, layers=5),
}
"""One number for a whole structure asks for less than the noise of all its atoms."""

GRAPHITE_GHOST_CUTOFF = 3.3
"""A; two shells of an oxide (cation to oxygen, then oxygen to oxygen and cation to cation at 2.6 to 3.2), with 17 atoms
and ghosts at 0.11 per A^3; the more neighbours, the longer it takes until anything is learnt about positions. Without
ghosts it is the 5 A of ``MeshGraphNetConfig``: two shells of silicon, 26 atoms."""

NOISE: dict[str, float] = {"asi": 1.25, "asio2": 0.9, "meg": 0.9}
"""A; k of sigma = k t by dataset, about 0.55 of the mean distance of the nearest neighbour (2.38, 1.63, 1.65 A). The
original has 0.8 for carbon, as much of its bond. What this noise makes of the data differs from uniform atoms by an rms
of 0.09 (asi), 0.02 (asio2) and 0.04 (meg, both with ghosts) in the pair distribution from 0.5 to 6 A."""

NOISE_SHARE = 0.55
"""Of the length of a bond, for datasets that are not in NOISE: twice the median covalent radius of their elements."""

LEAST_TIME = 1e-3
"""Smallest training time, as in the original."""

EARLY_TIMES = (0.1, 0.2)
EARLY_SHARE = 0.25
"""With ghosts, all times of this share of a training lie between EARLY_TIMES, and those of the next one and a half
times as long between limits that move out to 0 and 1. A network that sees all from the beginning says nothing about
positions and stays at that: of most times there is nothing to say (docs/studies/graphite_and_ghosts.py)."""
MOST_EARLY_SHARE = 0.4
"""With which the last step of a training is the first that sees all times."""

RESTART_TIME = 0.4
"""Time to which a restart goes back, as in the original."""
MOST_RESTARTS = 4
"""As in the original."""
STEPS_PER_RESTART = 16
"""A path has one restart for every so many of its steps: with fewer a restart would add more noise than it mends."""

PROPERTY_WEIGHT = 0.1
"""Of the property network's loss. The steps that Adam takes do not depend on it, but clipping of the gradients and the
choice of the best checkpoint do, which are the denoiser's."""


class Graphite(Method):
    """eps of the positions by MeshGraphNets, linear noise, Euler-Maruyama; species by a cosine diffuser beside them.

    Samplers: ``euler-maruyama``, the native one, with properties as input of the network; ``restart``, which goes back
    to t = 0.4 and down again; ``guided``, the native conditioning: a denoiser that is told no properties, and posterior
    sampling (arXiv 2209.14687) with a network of its own for the properties of clean structures.
    """

    name = "graphite"
    title = "Graphite: MeshGraphNets on raw edge vectors, linear noise, Euler-Maruyama with restarts"
    samplers = ("euler-maruyama", "restart", "guided")
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
        self.early_share = config.get("early_share", 0.0)  # which older checkpoints do not have
        if not 0 <= self.early_share <= MOST_EARLY_SHARE:
            raise AmsbenchError(
                f"early_share is {self.early_share:g}; give a share of the training from 0 to {MOST_EARLY_SHARE}, so "
                "that all times are trained in the end"
            )
        self.positions = PositionProcess(scale=config["noise"])
        self.elements = ElementProcess(scale=config["element_scale"])

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """
        noise: k of sigma = k t, angstrom
        early_share: of the training, with times from 0.1 to 0.2; in the next 1.5 times as long they come to be all
        element_scale: standard deviation of the element embeddings at t = 1
        property_dropout: share of the labels that a training step hides from the denoiser, each on its own
        property_time: largest t of the noise on the structures that the property network learns from
        guidance: half the slope of the log-likelihood of a structure by its misfit, in standard deviations of the
            property. Of a normal property 2 standard deviations from its mean the density alone falls with slope 2, so
            that targets as far out are met with a slope well above
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
            "noise": NOISE.get(task.dataset) or noise_of_bonds(task),
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
        # the noise is drawn afterwards, so that the network is asked for it in the turned frame
        batch = rotated(batch, random_rotations(noise))
        least, most = times_of_training(progress, self.early_share)
        t = noise.uniform_structures(1) * (most - least) + least
        state, eps = self.corrupt(with_hidden_labels(batch, self.config["property_dropout"], noise), t, noise)
        found = self.predict(state, self.denoiser.null_properties(noise), t[:, 0])
        wanted = replace(eps, positions=without_ghosts(eps.positions, batch, self.task.ghost))
        if state.elements is not None and found.elements is not None and eps.elements is not None:
            at = t[batch.batch]
            velocity = self.elements.velocity_from_clean(
                state.elements, found.elements, at, torch.zeros_like(at)
            )
            found = replace(found, elements=velocity)
            wanted = replace(wanted, elements=self.elements.velocity(self.one_hot(batch), eps.elements, at))
        losses = squared_errors(found, wanted)
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
        """Mean squared error of the standardised labels that there are, from structures with a little noise."""
        assert self.property_network is not None
        t = self.config["property_time"] * noise.uniform_structures(1)[batch.batch]
        near = batch.with_positions(self.positions.corrupt(batch.positions, noise.normal_atoms(3), t))
        elements = self.one_hot(batch) if self.denoiser.species else None
        error, given = self.misfit(batch.properties, self.property_network(near, elements))
        return (error**2).sum() / given.sum().clamp(min=1)

    def misfit(self, properties: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        """What is found [s, p] less the standardised properties, 0 where one is absent; where they are given."""
        assert self.denoiser.embedding is not None
        wanted, given = self.denoiser.embedding.standardised(properties)
        return torch.where(given, found - wanted, torch.zeros_like(found)), given

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

    def path(self, steps: int, sampler: str) -> list[tuple[float, float]]:
        """Times (t, s) between which each step goes, as many as ``steps``.

        Uniform from 1 to 0. With restarts, R = min(4, steps // 16) of them, the first steps / (1 + 0.4 R), rounded, go
        from 1 to 0, and the others, shared out evenly, each time from 0.4 to 0: all steps have about one length. 164
        steps become 63, 26, 25, 25 and 25, about as in the original (64 and four times 25).
        """
        restarts = self.restarts(steps, sampler)
        first = round(steps / (1 + RESTART_TIME * restarts))
        times = list(pairwise(_grid(1.0, first)))
        for k in range(restarts):
            length = (steps - first) // restarts + (k < (steps - first) % restarts)
            times += pairwise(_grid(RESTART_TIME, length))
        return times

    def restarts(self, steps: int, sampler: str) -> int:
        """How often a path goes back."""
        return min(MOST_RESTARTS, steps // STEPS_PER_RESTART) if sampler == "restart" else 0

    def sample(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Structures:
        self.check_sampler(sampler)
        state, now = self.prior(start, noise), 1.0
        ones = torch.ones(len(start), device=start.cells.device, dtype=start.cells.dtype)
        for t, s in self.path(steps, sampler):
            if t > now:
                state = self.diffuse(state, t, noise)
            null = self.denoiser.null_properties(noise)
            ask = self.guided_prediction if self.is_guided(sampler) else self.predict
            state, now = self.step(state, ask(state, null, ones * t), t, s, noise), s
        if state.elements is None:
            return state.structures
        return replace(state.structures, species=state.elements.argmax(dim=-1))

    def prior(self, start: Structures, noise: NoiseSource) -> State:
        """Positions uniform in the cell, element embeddings normal with the process's scale at t = 1."""
        positions = torch.einsum("ni,nij->nj", noise.uniform_atoms(3), start.cells[start.batch])
        width = self.denoiser.species
        elements = self.elements.scale * noise.normal_atoms(width) if width else None
        return State(structures=start.with_positions(positions), elements=elements)

    def diffuse(self, state: State, t: float, noise: NoiseSource) -> State:
        """Noise of time t on a state at 0: where a restart begins."""
        at = torch.full_like(state.structures.positions[:, :1], t)
        x = self.positions.corrupt(state.structures.positions, noise.normal_atoms(3), at)
        e = state.elements
        if e is not None:
            e = self.elements.corrupt(e, noise.normal_atoms(e.shape[1]), at)
        return State(structures=state.structures.with_positions(x), elements=e)

    def step(self, state: State, prediction: Prediction, t: float, s: float, noise: NoiseSource) -> State:
        """One step from t down to s: Euler-Maruyama of the positions, the exact posterior of a drawn E_0 of species.

        For atoms that are independent of each other the species come out with the right probabilities whatever the
        step; Euler-Maruyama of their embeddings diverges at t = 1.
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
        """The prediction without any property, moved to where the property network finds the targets.

        Posterior sampling (arXiv 2209.14687, Algorithm 1): the score of the positions gains the gradient, through the
        denoiser, of the squared misfit of the estimated clean structure, divided by the misfit as in the original. That
        is the likelihood exp(-2 rho |misfit|). A structure without targets has no misfit and so no gradient.
        """
        assert self.property_network is not None
        structures = state.structures
        with torch.enable_grad():
            x = structures.positions.detach().requires_grad_()
            hidden = torch.full_like(structures.properties, torch.nan)
            asked = replace(structures, positions=x, properties=hidden)
            free = self.predict(replace(state, structures=asked), null, t)
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

    def is_guided(self, sampler: str) -> bool:
        """Whether steps are guided: there must be properties that a network can know."""
        return sampler == "guided" and self.property_network is not None

    def evaluations(self, steps: int, sampler: str) -> int:
        return steps * (2 if self.is_guided(sampler) else 1)

    def step_label(self, steps: int, sampler: str) -> str:
        if self.is_guided(sampler):
            return "guided"
        return "restart" if self.restarts(steps, sampler) else "SDE"


def noise_of_bonds(task: Task) -> float:
    """k for data of these elements, angstrom, to two figures."""
    from ase.data import atomic_numbers, covalent_radii

    radii = torch.tensor([float(covalent_radii[atomic_numbers[symbol]]) for symbol in task.elements])
    return round(NOISE_SHARE * 2 * float(radii.median()), 2)


def times_of_training(progress: float, early: float) -> tuple[float, float]:
    """Least and largest when the share ``progress`` of a training is done and ``early`` is the share that begins with
    EARLY_TIMES; 0 for all times always."""
    grown = min(1.0, max(0.0, progress - early) / (1.5 * early)) if early else 1.0
    least, most = EARLY_TIMES
    return least + grown * (LEAST_TIME - least), most + grown * (1 - most)


def random_rotations(noise: NoiseSource) -> Tensor:
    """Rotation matrices [s, 3, 3], uniform: of unit quaternions that are uniform on their sphere."""
    w, x, y, z = torch.nn.functional.normalize(noise.normal_structures(4), dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=-1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=-1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def rotated(structures: Structures, rotations: Tensor) -> Structures:
    """Cells and positions of each structure turned by its matrix [s, 3, 3]."""
    positions = torch.einsum("ni,nji->nj", structures.positions, rotations[structures.batch])
    return replace(structures, positions=positions, cells=structures.cells @ rotations.transpose(1, 2))


def _grid(t: float, steps: int) -> list[float]:
    """Evenly from t down to 0."""
    return [t * (1 - k / steps) for k in range(steps + 1)]
