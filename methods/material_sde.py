"""Material SDE: score matching with exploding positions and variance-preserving elements (paper, B.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..benchmark.interface.method import Method
from ..benchmark.interface.noise import NoiseSource, uniform_numbers
from ..benchmark.interface.sampler import AnySampler
from ..benchmark.interface.structures import ScoredStructures, Structures
from ..benchmark.interface.task import Task
from ..errors import AmsbenchError
from .conditioning import guidance_weights
from .losses import noise_with_scores, squared_errors
from .material_method import MANY_SPECIES, MaterialMethod, with_training_tables
from .method_cards import MATERIAL_SDE
from .processes import ElementProcess
from .samplers import Euler, MaterialSampler, Multistep, TimeSteps, sample_one_hot
from .state import Prediction, State

GUIDANCE = 4.0
"""Default weight of a target in guided steps; 1 is no guidance."""

RESTART_FROM = 0.4
"""Time to which the first restart goes back. Bonds form below it (docs/training.md)."""

DESCENT_SHARE = 0.35
"""With more than MANY_SPECIES species, share of the steps before the first t = 0 in samplers with restarts."""


class EulerMaruyama(MaterialSampler["MaterialSDE"]):
    """Sampler with Euler-Maruyama steps of the reverse SDE (paper, Eq. 2)."""

    def label(self, method: MaterialSDE, steps: int) -> str:
        return "SDE"

    def step(
        self, method: MaterialSDE, state: State, drift: Prediction, t: Tensor, s: Tensor, noise: NoiseSource
    ) -> State:
        x, e = state.structures.positions, state.elements
        x = method.positions.euler_maruyama_step(x, drift.positions, t, s, noise.normal_atoms(3))
        if e is not None and drift.elements is not None:
            z = noise.normal_atoms(e.shape[1])
            e = method.elements.euler_maruyama_step(e, drift.elements, t, s, z)
        return State(structures=state.structures.with_positions(x), elements=e)


class Ancestral(MaterialSampler["MaterialSDE"]):
    """Sampler that draws the state at s from its exact posterior, with the residual variance of the noise."""

    def step(
        self, method: MaterialSDE, state: State, drift: Prediction, t: Tensor, s: Tensor, noise: NoiseSource
    ) -> State:
        x, e, v = state.structures.positions, state.elements, drift.elements
        unknown = method.residual_noise_variance(state, drift, t)
        x = method.positions.ancestral_step(x, drift.positions, t, s, noise.normal_atoms(3), unknown)
        if e is not None and v is not None:
            if method.config.get("drawn_species", False):
                expected = method.elements.clean(e, v, t)
                clean = torch.where(s > 0, sample_one_hot(expected, noise), expected)
                v = method.elements.velocity_from_clean(e, clean, t, torch.zeros_like(t))
            e = method.elements.ancestral_step(e, v, t, s, noise.normal_atoms(e.shape[1]))
        return State(structures=state.structures.with_positions(x), elements=e)


class Restart(Ancestral):
    """Sampler with repeated steps to t = 0, each from new noise of a smaller time than the one before.

    This is the multistep sampling of consistency models (arXiv 2303.01469, Algorithm 1). A later step can correct
    errors of an earlier one. Where a step gives only the expected X_0, structures have less spread than the data.
    """

    def label(self, method: MaterialSDE, steps: int) -> str:
        # a single step has no restart and is an ancestral one
        return "restart" if steps > 1 else "ancestral"

    def times(self, method: MaterialSDE, steps: int) -> TimeSteps:
        """From 1 to 0, at once or in the steps of ``descent_share``, the last of them from RESTART_FROM or above; then
        from evenly spaced times below RESTART_FROM, each to 0."""
        descent = max(1, round(method.config.get("descent_share", 0.0) * steps))
        beginnings = [1 - (1 - RESTART_FROM) * k / descent for k in range(descent)]
        restarts = steps - descent
        return [
            *pairwise([*beginnings, 0.0]),
            *((RESTART_FROM * (1 - k / restarts), 0.0) for k in range(restarts)),
        ]

    def start_step(
        self, method: MaterialSDE, state: State, now: float, t: float, noise: NoiseSource
    ) -> State:
        return method.diffuse(state, now, t, noise) if t > now else state


class Guided(Restart):
    """Sampler ``Restart`` with classifier-free guidance (arXiv 2207.12598, Eq. 6).

    The drift is extrapolated from the one without targets through the one with them, by the factor ``guidance``.
    Without properties to condition on, the steps are those of ``Restart``.
    """

    def label(self, method: MaterialSDE, steps: int) -> str:
        return "guided" if method.task.properties else super().label(method, steps)

    def evaluations(self, method: MaterialSDE, steps: int) -> int:
        return 2 * steps if method.task.properties else steps

    def drift(
        self, method: MaterialSDE, state: State, t: Tensor, dt: Tensor, noise: NoiseSource
    ) -> Prediction:
        if not method.task.properties:
            return super().drift(method, state, t, dt, noise)
        null = method.denoiser.null_properties(noise)
        conditional = method.predict(state, null, t, dt)
        structures = state.structures
        hidden = replace(structures, properties=torch.full_like(structures.properties, torch.nan))
        unconditional = method.predict(replace(state, structures=hidden), null, t, dt)
        weight = guidance_weights(structures, method.guidance_weights)
        elements = None
        if unconditional.elements is not None and conditional.elements is not None:
            elements = torch.lerp(unconditional.elements, conditional.elements, weight)
        positions = torch.lerp(unconditional.positions, conditional.positions, weight)
        return method.charge_neutral(state, Prediction(positions=positions, elements=elements), t, dt)


EULER_MARUYAMA = EulerMaruyama(name="euler-maruyama", title="Euler-Maruyama steps of the reverse SDE")
# version 1 left out the residual variance of the noise
ANCESTRAL = Ancestral(name="ancestral", version=2, title="draws from the exact posterior of each step")
MULTISTEP = Multistep(name="multistep", title="second-order steps of the probability-flow ODE")
RESTART = Restart(name="restart", title="steps to t = 0, each from new noise of a smaller time")
GUIDED = Guided(name="guided", title="restarts with classifier-free guidance to the targets")
ODE = Euler(name="ode", title="Euler steps of the probability-flow ODE")


class MaterialSDE(MaterialMethod):
    """Material SDE: the network predicts eps of the positions and velocity (or eps) of the elements (Eqs. 9, 10)."""

    name = "material-sde"
    title = "Material SDE: score matching, Euler-Maruyama or ancestral steps"
    card = MATERIAL_SDE
    samplers: ClassVar[tuple[AnySampler, ...]] = (EULER_MARUYAMA, ANCESTRAL, MULTISTEP, RESTART, GUIDED, ODE)
    elements: ElementProcess
    guidance_weights: Tensor
    element_outputs = ("species", "velocity", "noise")

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        by_name = config.get("guidance", {})
        share = self.target_score_weight
        if not 0 <= share <= 1:
            raise AmsbenchError(
                f"'weight' of the setting 'target_score' is {share}; give a number from 0 (without) to 1"
            )
        weights = torch.tensor([float(by_name.get(name, GUIDANCE)) for name in task.properties])
        self.register_buffer("guidance_weights", weights, persistent=False)

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Settings in addition to those of ``MaterialMethod``.

        guidance: weight of each property's target in the sampler ``guided``; the mean for several targets
        descent_share: share of the steps before the first t = 0 in samplers with restarts, at least one step. A single
            step from t = 1 gives the mean of all compositions, which restarts do not leave
        drawn_species: whether ancestral steps and restarts continue from species drawn with the predicted probabilities
            instead of from the probabilities, which favour frequent species, so that rare elements are lost
        target_score: target score matching (not of the paper), for data that are Boltzmann samples: the share of its
            best mixture with the noise in the target of the positions, 0 without it to 1 (``noise_with_scores``)
        self_conditioning: whether the network reads its estimate of X_0 and E_0 of the step before (not of the paper)
        """
        paper = {"element_output": "noise"} if network == "paper" else {}
        many = task.species_count > MANY_SPECIES
        defaults = {
            "guidance": dict.fromkeys(task.properties, GUIDANCE),
            "descent_share": DESCENT_SHARE if many else 0.0,
            "drawn_species": many,
            "target_score": {"weight": 0.0},
            "self_conditioning": False,
        }
        return super().default_config(network, task) | defaults | paper

    @property
    def target_score_weight(self) -> float:
        # a checkpoint from before this setting has no entry
        return float(self.config.get("target_score", {"weight": 0.0})["weight"])

    @property
    def reads_scores(self) -> bool:
        return self.target_score_weight > 0

    def training_additions(self) -> tuple[str, ...]:
        weight = self.target_score_weight
        score = (f"target score matching (weight {weight:g})",) if weight > 0 else ()
        return (*score, *(("self-conditioning",) if self.config.get("self_conditioning", False) else ()))

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        """eps_X and the element velocity v_E, for every ``element_output``."""
        raw = super().predict(state, null, t, dt)
        if raw.elements is None or state.elements is None or self.config["element_output"] != "noise":
            return raw
        at = t[:, None][state.structures.batch]
        velocity = self.elements.velocity_from_noise(state.elements, raw.elements, at)
        return Prediction(positions=raw.positions, elements=velocity)

    @with_training_tables
    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        batch = self.hide_properties(batch, noise)
        t = self.draw_times(noise)
        state, eps = self.corrupt(batch, t, noise)
        null = self.denoiser.null_properties(noise)
        now = torch.zeros_like(t[:, 0])
        clean = self.one_hot(batch)
        if self.config.get("self_conditioning", False) and uniform_numbers(noise, 1)[0] < 0.5:
            with torch.no_grad():
                first = self.predict(state, null, t[:, 0], now)
                state = replace(state, estimate=self.estimate(state, first, t[:, 0], now))
        if self.config["element_output"] == "noise":
            prediction, elements = self.denoiser(state, null, t[:, 0], now), eps.elements
        else:
            prediction, elements = self.predict(state, null, t[:, 0], now), None
            if eps.elements is not None and clean is not None:
                elements = self.elements.velocity(clean, eps.elements, t[batch.batch])
        positions = eps.positions
        # structures held out have no scores: validation losses are those of the noise alone, and compare
        if isinstance(batch, ScoredStructures):
            sigma = self.positions.scale * t[batch.batch]
            positions = noise_with_scores(positions, batch, sigma, self.target_score_weight)
        positions = self.position_target(positions, batch)
        return squared_errors(prediction, Prediction(positions=positions, elements=elements))

    def estimate(self, state: State, drift: Prediction, t: Tensor, dt: Tensor) -> State | None:
        if not self.config.get("self_conditioning", False):
            return None
        x, e, v = state.structures.positions, state.elements, drift.elements
        at, step = (times[:, None][state.structures.batch] for times in (t, dt))
        clean = None if e is None or v is None else self.elements.implied_clean(e, v, at, step)
        positions = self.positions.ode_step(x, drift.positions, at, torch.zeros_like(at))
        return State(structures=state.structures.with_positions(positions), elements=clean)

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

    def diffuse(self, state: State, s: float, t: float, noise: NoiseSource) -> State:
        """The state at s with more noise, up to a later time t."""
        x, e = state.structures.positions, state.elements
        times = torch.full_like(x[:, :1], s), torch.full_like(x[:, :1], t)
        x = self.positions.diffuse(x, *times, noise.normal_atoms(3))
        if e is not None:
            if s == 0 and self.config.get("drawn_species", False):
                e = sample_one_hot(e, noise)
            e = self.elements.diffuse(e, *times, noise.normal_atoms(e.shape[1]))
        return State(structures=state.structures.with_positions(x), elements=e)

    def preferred_sampler(self) -> str:
        return "guided" if self.task.properties else "multistep"

    def ode_step(self, state: State, drift: Prediction, t: Tensor, s: Tensor) -> State:
        x, e = state.structures.positions, state.elements
        x = self.positions.ode_step(x, drift.positions, t, s)
        if e is not None and drift.elements is not None:
            e = self.elements.ode_step(e, drift.elements, t, s)
        return State(structures=state.structures.with_positions(x), elements=e)

    def residual_noise_variance(self, state: State, prediction: Prediction, t: Tensor) -> Tensor:
        """Variance [n, 1] of the position noise around the predicted one, per component, equal in each structure.

        eps has variance 1, and a prediction that is its conditional mean explains the prediction's own variance. The
        mean is over the atoms of a structure without ghosts.
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
