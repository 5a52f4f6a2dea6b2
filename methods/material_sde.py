"""Material SDE: score matching with exploding positions and variance-preserving elements (paper, B.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..benchmark.interface.method import Method
from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures
from ..benchmark.interface.task import Task
from .conditioning import guidance_weights
from .losses import squared_errors, without_ghosts
from .material_method import MANY_SPECIES, MaterialMethod
from .method_cards import MATERIAL_SDE
from .processes import ElementProcess
from .samplers import _TO_THE_END, DESCENT_SHARE, RESTART_FROM, sample_one_hot
from .state import Prediction, State

GUIDANCE = 4.0
"""Weight of a target in guided steps where a training sets no other, 1 for no guidance."""


class MaterialSDE(MaterialMethod):
    """The network predicts eps of the positions and the velocity (or eps) of the elements (Eqs. 9 and 10).

    Samplers: the paper's Euler-Maruyama, the exact posterior step (ancestral), the probability-flow ODE in Euler steps
    (ode) or steps of second order (multistep), and restarts: every step goes all the way to t = 0 and the next begins
    from there with new noise of a smaller time, as in the multistep sampling of consistency models (arXiv 2303.01469,
    Algorithm 1). What an early step got wrong, a later one mends, which none of the others can; but where the step is
    only the expected X_0, what comes out has less spread than the data. ``guided`` takes restarts by classifier-free
    guidance (arXiv 2207.12598, Eq. 6): away from what the network says without the targets, ``guidance`` times the way
    to what it says with them.
    """

    name = "material-sde"
    title = "Material SDE: score matching, Euler-Maruyama or ancestral steps"
    card = MATERIAL_SDE
    samplers = ("euler-maruyama", "ancestral", "multistep", "restart", "guided", "ode")
    sampler_versions: ClassVar[Mapping[str, int]] = {
        "ancestral": 2
    }  # 1: without the variance of what is not known
    elements: ElementProcess
    guidance_weights: Tensor
    element_outputs = ("species", "velocity", "noise")

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        by_name = config.get("guidance", {})
        weights = torch.tensor([float(by_name.get(name, GUIDANCE)) for name in task.properties])
        self.register_buffer("guidance_weights", weights, persistent=False)

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Beside what all material methods have:

        guidance: weight of each property's target in the steps of the sampler ``guided``; where several are asked
            for, their mean
        descent_share: share of the steps that a path with restarts takes to come to t = 0 for the first time, at least
            one step. One step from t = 1 finds the mean of all compositions, which restarts do not leave again
        drawn_species: whether ancestral steps and restarts go on from species drawn with the probabilities that the
            network gives them, where otherwise they do from the probabilities. Those favour whatever is frequent, so
            that rare elements are lost; with two elements at a fixed ratio there is nothing to lose
        """
        paper = {"element_output": "noise"} if network == "paper" else {}
        many = task.species_count > MANY_SPECIES
        own = {
            "guidance": dict.fromkeys(task.properties, GUIDANCE),
            "descent_share": DESCENT_SHARE if many else 0.0,
            "drawn_species": many,
        }
        return super().default_config(network, task) | own | paper

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        """eps_X and the element velocity v_E, whatever the network itself puts out for elements."""
        raw = super().predict(state, null, t, dt)
        if raw.elements is None or state.elements is None or self.config["element_output"] != "noise":
            return raw
        at = t[:, None][state.structures.batch]
        velocity = self.elements.velocity_from_noise(state.elements, raw.elements, at)
        return Prediction(positions=raw.positions, elements=velocity)

    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        batch = self.hide_properties(batch, noise)
        t = self.draw_times(noise)
        state, eps = self.corrupt(batch, t, noise)
        null = self.denoiser.null_properties(noise)
        now = torch.zeros_like(t[:, 0])
        clean = self.one_hot(batch)
        if self.config["element_output"] == "noise":
            found, elements = self.denoiser(state, null, t[:, 0], now), eps.elements
        else:
            found, elements = self.predict(state, null, t[:, 0], now), None
            if eps.elements is not None and clean is not None:
                elements = self.elements.velocity(clean, eps.elements, t[batch.batch])
        positions = without_ghosts(eps.positions, batch, self.task.ghost)
        return squared_errors(found, Prediction(positions=positions, elements=elements))

    def corrupt(self, batch: Structures, t: Tensor, noise: NoiseSource) -> tuple[State, Prediction]:
        """M_t and its eps for times t [s, 1]."""
        at = t[batch.batch]
        eps_x = noise.normal_atoms(3)
        clean = self.one_hot(batch)
        eps_e = None if clean is None else noise.normal_atoms(clean.shape[1])
        state = State(
            structures=batch.with_positions(self.positions.corrupt(batch.positions, eps_x, at)),
            elements=None if clean is None or eps_e is None else self.elements.corrupt(clean, eps_e, at),
        )
        return state, Prediction(positions=eps_x, elements=eps_e)

    def path(self, steps: int, sampler: str) -> list[tuple[float, float]]:
        """Uniform from 1 to 0; for restarts down to 0 at once or in a few steps, the last of them from RESTART_FROM or
        above, then from evenly spaced times below it, each to 0."""
        if sampler not in _TO_THE_END:
            return super().path(steps, sampler)
        down = max(1, round(self.config.get("descent_share", 0.0) * steps))
        times = [1 - (1 - RESTART_FROM) * k / down for k in range(down)]
        again = steps - down
        return [*pairwise([*times, 0.0]), *((RESTART_FROM * (1 - k / again), 0.0) for k in range(again))]

    def diffuse(self, state: State, s: float, t: float, noise: NoiseSource) -> State:
        x, e = state.structures.positions, state.elements
        times = torch.full_like(x[:, :1], s), torch.full_like(x[:, :1], t)
        x = self.positions.diffuse(x, *times, noise.normal_atoms(3))
        if e is not None:
            if s == 0 and self.config.get("drawn_species", False):
                e = sample_one_hot(e, noise)
            e = self.elements.diffuse(e, *times, noise.normal_atoms(e.shape[1]))
        return State(structures=state.structures.with_positions(x), elements=e)

    def step_kind(self, steps: int, sampler: str) -> str:
        return "ancestral" if sampler in _TO_THE_END else sampler

    def evaluations(self, steps: int, sampler: str) -> int:
        return steps * (2 if self.guided(sampler) else 1)

    def preferred_sampler(self) -> str:
        return "guided" if self.task.properties else "multistep"

    def guided(self, sampler: str) -> bool:
        """Whether the targets are weighed: there must be some that a network can know."""
        return sampler == "guided" and len(self.task.properties) > 0

    def drift(self, state: State, t: Tensor, dt: Tensor, sampler: str, noise: NoiseSource) -> Prediction:
        null = self.denoiser.null_properties(noise)
        asked = self.predict(state, null, t, dt)
        if not self.guided(sampler):
            return self.charge_neutral(state, asked, t, dt)
        hidden = torch.full_like(state.structures.properties, torch.nan)
        free = self.predict(
            replace(state, structures=replace(state.structures, properties=hidden)), null, t, dt
        )
        weight = guidance_weights(state.structures, self.guidance_weights)
        weighed = Prediction(
            positions=torch.lerp(free.positions, asked.positions, weight),
            elements=None
            if free.elements is None or asked.elements is None
            else torch.lerp(free.elements, asked.elements, weight),
        )
        return self.charge_neutral(state, weighed, t, dt)

    def step(
        self, state: State, prediction: Prediction, t: Tensor, s: Tensor, sampler: str, noise: NoiseSource
    ) -> State:
        x, e = state.structures.positions, state.elements
        eps, v = prediction.positions, prediction.elements
        if sampler in ("ode", "multistep"):
            x = self.positions.ode_step(x, eps, t, s)
            e = None if e is None or v is None else self.elements.ode_step(e, v, t, s)
        elif sampler == "ancestral":
            unknown = self.residual_noise_variance(state, prediction, t)
            x = self.positions.ancestral_step(x, eps, t, s, noise.normal_atoms(3), unknown)
            if e is not None and v is not None:
                if self.config.get("drawn_species", False):
                    expected = self.elements.clean(e, v, t)
                    clean = torch.where(s > 0, sample_one_hot(expected, noise), expected)
                    v = self.elements.velocity_from_clean(e, clean, t, torch.zeros_like(t))
                e = self.elements.ancestral_step(e, v, t, s, noise.normal_atoms(e.shape[1]))
        else:
            x = self.positions.euler_maruyama_step(x, eps, t, s, noise.normal_atoms(3))
            if e is not None and v is not None:
                e = self.elements.euler_maruyama_step(e, v, t, s, noise.normal_atoms(e.shape[1]))
        return State(structures=state.structures.with_positions(x), elements=e)

    def residual_noise_variance(self, state: State, prediction: Prediction, t: Tensor) -> Tensor:
        """Variance [n, 1] of the positions' noise around the predicted one, per component, equal in a structure.

        The mean over its atoms, ghosts aside: eps has variance 1, of which a prediction that is its mean explains the
        prediction's own.
        """
        structures, v = state.structures, prediction.elements
        square = (prediction.positions**2).mean(1)
        atoms = torch.ones_like(square)
        if self.task.ghost is not None and state.elements is not None and v is not None:
            atoms -= self.elements.clean(state.elements, v, t)[:, self.task.ghost].clamp(0, 1)
        sums = square.new_zeros(2, len(structures)).index_add_(
            1, structures.batch, torch.stack([square * atoms, atoms])
        )
        explained = sums[0] / sums[1].clamp(min=1e-6)
        return (1 - explained).clamp(0, 1)[structures.batch][:, None]

    def step_label(self, steps: int, sampler: str) -> str:
        if self.guided(sampler):
            return "guided"
        if sampler in _TO_THE_END and steps > 1:
            return "restart"
        rule = self.step_kind(steps, sampler)
        if rule == "multistep" and steps == 1:  # there is no step before to learn from
            rule = "ode"
        return {"ode": "ODE", "euler-maruyama": "SDE"}.get(rule, rule)
