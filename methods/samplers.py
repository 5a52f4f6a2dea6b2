"""Samplers that material ODE, material SDE and AMShortcut share: the loop over time steps, Euler and multistep."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.sampler import Sampler
from ..benchmark.interface.structures import Structures
from .material_method import MaterialMethod
from .state import Prediction, State

MULTISTEP_POWER = 1.5
"""Exponent of the times of the sampler ``multistep`` (docs/methods.md)."""

AnyMaterialMethod = TypeVar("AnyMaterialMethod", bound=MaterialMethod, contravariant=True)

TimeSteps = list[tuple[float, float]]
"""Times (t, s) at the beginning and the end of each step, t > s."""


def uniform_times(steps: int) -> TimeSteps:
    """Equal steps from t = 1 to t = 0 (paper, Eq. 2)."""
    return list(pairwise(1 - k / steps for k in range(steps + 1)))


def denser_times(steps: int) -> TimeSteps:
    """Steps from t = 1 to t = 0 that are shorter towards 0, where the structure takes shape."""
    return list(pairwise((1 - k / steps) ** MULTISTEP_POWER for k in range(steps + 1)))


@dataclass(frozen=True, kw_only=True)
class MaterialSampler(Sampler[AnyMaterialMethod]):
    """Base class of samplers that integrate the learnt drift in time steps from the prior at t = 1 to t = 0."""

    def times(self, method: AnyMaterialMethod, steps: int) -> TimeSteps:
        """Beginning and end of each of the ``steps`` steps."""
        return uniform_times(steps)

    def step_size(self, t: float, s: float) -> float:
        """The step size dt that the network reads for a step from t to s; 0 for the instantaneous drift."""
        return 0.0

    def start_step(
        self, method: AnyMaterialMethod, state: State, now: float, t: float, noise: NoiseSource
    ) -> State:
        """The state at the beginning t of a step, from that at the end ``now`` of the last one."""
        return state

    def drift(
        self, method: AnyMaterialMethod, state: State, t: Tensor, dt: Tensor, noise: NoiseSource
    ) -> Prediction:
        """The drift at times t [s] for step sizes dt [s], with null vectors drawn for this step."""
        return method.charge_neutral(
            state, method.predict(state, method.denoiser.null_properties(noise), t, dt), t, dt
        )

    def step_drift(
        self, drift: Prediction, previous: tuple[Prediction, float] | None, length: float
    ) -> Prediction:
        """The drift of a step of this length; ``previous`` has the drift and the length of the step before."""
        return drift

    @abstractmethod
    def step(
        self,
        method: AnyMaterialMethod,
        state: State,
        drift: Prediction,
        t: Tensor,
        s: Tensor,
        noise: NoiseSource,
    ) -> State:
        """One step of all atoms from times t [n, 1] to s [n, 1]."""

    def sample(
        self, method: AnyMaterialMethod, start: Structures, steps: int, noise: NoiseSource
    ) -> Structures:
        with method.denoiser.deferred_overflow_check(start) as capacity:
            while True:
                structures = method.finish(self.integrate(method, start, self.times(method, steps), noise))
                if capacity.check():
                    return structures
                # an atom had more neighbours than its table holds: again with a larger one
                noise = noise.restarted()

    def integrate(
        self, method: AnyMaterialMethod, start: Structures, time_steps: TimeSteps, noise: NoiseSource
    ) -> State:
        """The state after these steps from the prior."""
        state, now = method.prior(start, noise), 1.0
        previous: tuple[Prediction, float] | None = None
        estimate: State | None = None
        per_structure = torch.ones(len(start), device=start.cells.device, dtype=start.cells.dtype)
        for t, s in time_steps:
            state = self.start_step(method, state, now, t, noise)
            times, sizes = per_structure * t, per_structure * self.step_size(t, s)
            # networks are trained with estimates for the instantaneous drift alone
            instantaneous = self.step_size(t, s) == 0
            state = replace(state, estimate=estimate if instantaneous else None)
            drift = self.drift(method, state, times, sizes, noise)
            estimate = method.estimate(state, drift, times, sizes) if instantaneous else None
            step_drift, previous = self.step_drift(drift, previous, t - s), (drift, t - s)
            per_atom = torch.ones_like(state.structures.positions[:, :1])
            state, now = self.step(method, state, step_drift, per_atom * t, per_atom * s, noise), s
        return state


class Euler(MaterialSampler[MaterialMethod]):
    """Sampler with Euler steps of the (probability-flow) ODE."""

    def label(self, method: MaterialMethod, steps: int) -> str:
        return "ODE"

    def step(
        self,
        method: MaterialMethod,
        state: State,
        drift: Prediction,
        t: Tensor,
        s: Tensor,
        noise: NoiseSource,
    ) -> State:
        return method.ode_step(state, drift, t, s)


class Multistep(Euler):
    """Sampler with second-order (Adams-Bashforth) steps of the ODE, denser towards t = 0."""

    def label(self, method: MaterialMethod, steps: int) -> str:
        # a single step has no step before it and is one of Euler's
        return "multistep" if steps > 1 else super().label(method, steps)

    def times(self, method: MaterialMethod, steps: int) -> TimeSteps:
        return denser_times(steps)

    def step_drift(
        self, drift: Prediction, previous: tuple[Prediction, float] | None, length: float
    ) -> Prediction:
        return drift if previous is None else adams_bashforth_drift(drift, *previous, length)


def adams_bashforth_drift(
    drift: Prediction, previous: Prediction, previous_length: float, length: float
) -> Prediction:
    """Drift of the positions in the middle of a step, extrapolated linearly from this step and the previous one.

    A step of the probability-flow ODE with it is of second order (Adams and Bashforth; for diffusion models in
    arXiv 2202.09778) at one network evaluation. The drift of the elements is unchanged: it follows from a
    distribution over the species, and an extrapolation may not be one.
    """
    change = length / (2 * previous_length) * (drift.positions - previous.positions)
    return Prediction(positions=drift.positions + change, elements=drift.elements)


def sample_one_hot(expected: Tensor, noise: NoiseSource) -> Tensor:
    """One-hot species [n, K] drawn with probabilities [n, K]; negative ones, which guidance may give, count as 0."""
    bounds = expected.clamp(min=0).cumsum(-1)
    place = noise.uniform_atoms(1) * bounds[:, -1:]
    species = (bounds <= place).sum(-1).clamp(max=expected.shape[1] - 1)
    return torch.nn.functional.one_hot(species, expected.shape[1]).to(expected.dtype)
