"""The base class of material ODE, material SDE and AMShortcut: denoiser, prior and training times."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor

from ..benchmark.interface.method import Method, ProductType
from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures
from ..benchmark.interface.task import Task
from ..errors import AmsbenchError
from .charge_neutrality import neutral_probabilities, neutral_species
from .conditioning import with_hidden_labels
from .denoiser import FlexibleDenoiser
from .egnn import edge_sums_native, edge_sums_triton
from .egnn.config import EGNNConfig
from .egnn.network import EGNN
from .losses import without_ghosts
from .paper_denoiser import PaperDenoiser
from .processes import S_E, ElementProcess, LinearElementProcess, PositionProcess
from .state import Prediction, State

MATERIAL_NETWORKS: dict[str, EGNNConfig] = {
    "standard": EGNNConfig(hidden=64, layers=3),
    "deep": EGNNConfig(hidden=64, layers=6),
    "wide": EGNNConfig(hidden=128, layers=4),
    "paper": EGNNConfig(hidden=128, layers=4, edge_features="tanh", form="paper"),
}
"""Presets: ``standard`` and ``deep`` are those of the released checkpoints, ``paper`` has the equations of B.4."""

GHOST_CUTOFF = 4.4
"""Cutoff of networks with radial bases for data with ghosts, angstrom. At the paper's 0.11 atoms per A^3 the sphere
holds 40 neighbours, the number by which sums over edges are scaled; with 6.5 A it holds 127."""


MANY_SPECIES = 4
"""With more species than this (ghosts count as one) atoms read the mean element embedding of their structure."""


MIN_TIME = 1e-3
"""Smallest training time: at t = 0 the noise has no scale."""


TrainingLoss = TypeVar("TrainingLoss", bound=Callable[..., dict[str, Tensor]])


def with_training_tables(training_loss: TrainingLoss) -> TrainingLoss:
    """Decorate ``training_loss``: in training, neighbour tables are as of ``Denoiser.training_tables``."""

    @wraps(training_loss)
    def decorated(
        self: MaterialMethod, batch: Structures, *arguments: Any, **options: Any
    ) -> dict[str, Tensor]:
        if not self.training:
            return training_loss(self, batch, *arguments, **options)
        with self.denoiser.training_tables(batch):
            return training_loss(self, batch, *arguments, **options)

    return cast(TrainingLoss, decorated)


class MaterialMethod(Method):
    """A material differential equation with a learnt drift (paper, 4.1)."""

    networks = tuple(MATERIAL_NETWORKS)
    concurrent = True
    rotation_equivariant = True
    positions = PositionProcess()
    element_process: ClassVar[type[ElementProcess] | type[LinearElementProcess]] = ElementProcess
    element_outputs: ClassVar[tuple[str, ...]] = ("species", "velocity")
    charges: Tensor
    reads_step_size: ClassVar[bool] = False
    """Whether step sizes other than 0 are given to the network."""
    time_power: ClassVar[float] = 1.0
    """Exponent of the non-uniform training times. Material ODE spreads atoms over the whole cell, so that structure
    forms at smaller t."""

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        if config.get("element_output", "species") not in self.element_outputs:
            outputs = ", ".join(self.element_outputs)
            raise AmsbenchError(
                f"method '{self.name}' has no element output '{config['element_output']}'; it has: {outputs}"
            )
        self.denoiser = self._denoiser(task, config)
        self.elements = self.element_process(scale=config.get("element_scale", S_E))
        charges = torch.tensor([*(task.formal_charges or ()), 0.0][: task.species_count])
        self.register_buffer("charges", charges, persistent=False)

    def _denoiser(self, task: Task, config: Mapping[str, Any]) -> FlexibleDenoiser | PaperDenoiser:
        network, species = EGNNConfig(**config["network"]), config.get("element_output") == "species"
        composition, estimates = (
            config.get("composition_input", False),
            config.get("self_conditioning", False),
        )
        if network.form == "standard":
            return FlexibleDenoiser(
                task,
                network,
                config["property_width"],
                predict_species_probabilities=species,
                composition=composition,
                self_conditioning=estimates,
            )
        for setting, on in (
            ("element_output=species", species),
            ("composition_input=true", composition),
            ("self_conditioning=true", estimates),
        ):
            if on:
                raise AmsbenchError(
                    f"the network of form 'paper' cannot be trained with {setting}; leave the setting out, or train "
                    "another preset"
                )
        return PaperDenoiser(task, network, config["property_width"], reads_step_size=self.reads_step_size)

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Default settings; those of the preset ``paper`` are the paper's.

        uniform_share: share of uniform training times, as in the paper; the others are concentrated around t = 0.25,
            where the structure forms
        property_dropout: probability with which a training step hides a label, independently for each label, so that
            all subsets of the properties are trained. The paper hides none; short trainings then handle absent
            properties badly
        element_scale: standard deviation s_E of the element embeddings at t = 1. With the paper's 1.5 species and
            positions are decided at the same t; with a smaller value species are decided first, which is easier to
            learn
        element_output: ``species``, a distribution from which the drift follows; ``velocity``, the drift itself; or in
            material SDE the paper's ``noise``, which contains no information on E_0 at t = 1
        composition_input: whether every atom reads the mean element embedding of its structure, for data with many
            elements of which each structure has a few
        ghost_noise: whether the target of a ghost is the noise that was drawn for it, as in the paper, or its mean, 0
        neutral: whether species are chosen so that every structure is neutral (data with formal charges): in
            expectation during sampling, exactly at its end
        """
        size, paper = MATERIAL_NETWORKS[network], network == "paper"
        if task.ghost_density is not None and not paper:
            size = replace(size, cutoff=GHOST_CUTOFF)
        return {
            "network": asdict(size),
            "property_width": 16,
            "uniform_share": 1.0 if paper else 0.3,
            "property_dropout": 0.0 if paper else 0.5,
            "element_scale": S_E if paper else 0.5,
            "element_output": "velocity" if paper else "species",
            "composition_input": not paper and task.species_count > MANY_SPECIES,
            "ghost_noise": paper,
            "neutral": not paper and task.formal_charges is not None,
        }

    def start_from(self, source: Method) -> None:
        """Load weights, also of the same network with fewer layers or without self-conditioning.

        Additional layers start as identities, additional inputs without effect.
        """
        state: dict[str, Any] = source.sampling_state()
        new = self.denoiser.backbone
        old = source.denoiser.backbone if isinstance(source, MaterialMethod) else None
        if isinstance(old, EGNN) and isinstance(new, EGNN):
            prefix = "denoiser.backbone."
            state = {k: v for k, v in state.items() if not k.startswith(prefix)} | {
                prefix + name: value for name, value in new.grown_from(old).items()
            }
        if isinstance(self.denoiser, FlexibleDenoiser) and self.denoiser.estimate_input is not None:
            state = {"denoiser.estimate_input.weight": self.denoiser.estimate_input.weight, **state}
        self.load_sampling_state(state)

    @property
    def cutoff(self) -> float:
        return self.denoiser.backbone.config.cutoff

    def backend(self) -> str:
        if edge_sums_triton.usable(self.denoiser.backbone.config, next(self.parameters())):
            return f"triton {edge_sums_triton.info()['mode']}"
        if not edge_sums_native.usable(self.denoiser.backbone.config, next(self.parameters())):
            return "torch"
        kernel = edge_sums_native.info()
        return f"native {kernel['level']}" + (" float32" if kernel["mode"] == "float32" else "")

    def product_type(self) -> ProductType:
        backend = self.backend()
        if backend == "torch":
            return super().product_type()
        kernel = edge_sums_triton.info() if backend.startswith("triton") else edge_sums_native.info()
        return "bfloat16" if kernel["mode"] == "bfloat16" else "float32"

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        """The drift of positions and elements, as the method defines it, at times t [s] for step sizes dt [s]."""
        e = state.elements
        if e is None or not self.denoiser.predict_species_probabilities:
            return self.denoiser(state, null, t, dt)
        at, step = (times[:, None][state.structures.batch] for times in (t, dt))
        prediction = self.denoiser(state, null, t, dt, self.elements.species_log_likelihood(e, at))
        assert prediction.elements is not None
        velocity = self.elements.velocity_from_clean(e, prediction.elements, at, step)
        return replace(prediction, elements=velocity)

    def estimate(self, state: State, drift: Prediction, t: Tensor, dt: Tensor) -> State | None:
        """The sample without noise that a drift implies, which the next step reads; None without self-conditioning."""
        return None

    @abstractmethod
    def ode_step(self, state: State, drift: Prediction, t: Tensor, s: Tensor) -> State:
        """One Euler step of the ODE from times t [n, 1] down to s [n, 1]."""

    @property
    def neutral(self) -> bool:
        return self.config.get("neutral", False) and self.task.formal_charges is not None

    def charge_neutral(self, state: State, prediction: Prediction, t: Tensor, dt: Tensor) -> Prediction:
        """The prediction for which the expected charge of every structure is zero, where ``neutral`` is set."""
        e, v = state.elements, prediction.elements
        if e is None or v is None or not self.neutral:
            return prediction
        at, step = (times[:, None][state.structures.batch] for times in (t, dt))
        expected = self.elements.implied_clean(e, v, at, step)
        expected = neutral_probabilities(expected, self.charges, state.structures)
        return replace(prediction, elements=self.elements.velocity_from_clean(e, expected, at, step))

    def prior(self, start: Structures, noise: NoiseSource) -> State:
        """Positions uniform in the cell, element embeddings normal with the process's scale at t = 1."""
        fractions = noise.uniform_atoms(3)
        positions = torch.einsum("ni,nij->nj", fractions, start.cells[start.batch])
        width = self.denoiser.element_width
        elements = self.elements.scale * noise.normal_atoms(width) if width else None
        return State(structures=start.with_positions(positions), elements=elements)

    def finish(self, state: State) -> Structures:
        """Structures whose species have the largest element embedding; if ``neutral``, among neutral choices."""
        if state.elements is None:
            return state.structures
        if self.neutral:
            species = neutral_species(state.elements, self.charges, state.structures)
            return replace(state.structures, species=species)
        return replace(state.structures, species=state.elements.argmax(dim=-1))

    def one_hot(self, batch: Structures) -> Tensor | None:
        """E_0 of a training batch [n, K], or None for a single species."""
        width = self.denoiser.element_width
        if not width:
            return None
        return torch.nn.functional.one_hot(batch.species, width).to(batch.positions.dtype)

    def hide_properties(self, batch: Structures, noise: NoiseSource) -> Structures:
        return with_hidden_labels(batch, self.config["property_dropout"], noise)

    def position_target(self, noise: Tensor, batch: Structures) -> Tensor:
        """The noise [n, 3] that the network is trained to predict, for the setting ``ghost_noise``."""
        return (
            noise if self.config.get("ghost_noise", False) else without_ghosts(noise, batch, self.task.ghost)
        )

    def draw_times(self, noise: NoiseSource) -> Tensor:
        """Training times [s, 1]: Beta(2, 4), the second smallest of five uniform numbers, or uniform."""
        u = noise.uniform_structures(7)
        centred = u[:, :5].sort(dim=1).values[:, 1:2] ** self.time_power
        t = torch.where(u[:, 5:6] < self.config["uniform_share"], u[:, 6:], centred)
        return t * (1 - MIN_TIME) + MIN_TIME
