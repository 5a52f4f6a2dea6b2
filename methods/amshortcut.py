"""AMShortcut: material SDE whose network also reads the step size (paper, 4.3 and B.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..benchmark.interface.method import Method
from ..benchmark.interface.noise import NoiseSource, uniform_numbers
from ..benchmark.interface.structures import Structures
from ..benchmark.interface.task import Task
from ..errors import AmsbenchError
from .environments.critic import EnvironmentCritic, critic_losses
from .environments.discrepancy import environment_discrepancy, target_similarity
from .environments.distances import MOST_ATOMS
from .losses import squared_errors
from .material_method import MIN_TIME, with_training_tables
from .material_sde import Guided, MaterialSDE, Restart
from .method_cards import AMSHORTCUT
from .samplers import MaterialSampler, TimeSteps, denser_times
from .state import Prediction, State


class Shortcut(MaterialSampler[MaterialSDE]):
    """Sampler with ODE steps by the learnt average drift, which depends on the step size (paper, B.3)."""

    def step_size(self, t: float, s: float) -> float:
        return t - s

    def step(
        self, method: MaterialSDE, state: State, drift: Prediction, t: Tensor, s: Tensor, noise: NoiseSource
    ) -> State:
        return method.ode_step(state, drift, t, s)


class DenserShortcut(Shortcut):
    """Sampler with shortcuts that become shorter towards t = 0."""

    def label(self, method: MaterialSDE, steps: int) -> str:
        return self.name if steps > 1 else SHORTCUT.name

    def times(self, method: MaterialSDE, steps: int) -> TimeSteps:
        return denser_times(steps)


class ShortcutRestart(Shortcut, Restart):
    """Sampler with repeated shortcuts to t = 0, each from new noise of a smaller time than the one before."""

    def label(self, method: MaterialSDE, steps: int) -> str:
        return self.name if steps > 1 else SHORTCUT.name


class ShortcutGuided(Shortcut, Guided):
    """Sampler ``ShortcutRestart`` with classifier-free guidance."""

    def label(self, method: MaterialSDE, steps: int) -> str:
        return self.name if method.task.properties else SHORTCUT_RESTART.label(method, steps)


SHORTCUT = Shortcut(name="shortcut", title="equal steps by the learnt average drift of each step")
SHORTCUT_MULTISTEP = DenserShortcut(
    name="shortcut-multistep", title="shortcuts that are shorter towards t = 0"
)
SHORTCUT_RESTART = ShortcutRestart(name="shortcut-restart", title="shortcuts to t = 0 with restarts")
SHORTCUT_GUIDED = ShortcutGuided(
    name="shortcut-guided", title="shortcuts to t = 0 with restarts and classifier-free guidance"
)


class AMShortcut(MaterialSDE):
    """AMShortcut: material SDE whose network u(M_t, y, t, dt) predicts the average drift over [t - dt, t].

    L = L_SDE (dt = 0) + L_SC, the second on a share of the batches (Eq. 4 with the mean of the two drifts, which
    is what two consecutive averages give; the paper prints their sum). Our addition, the setting ``matching``, is the
    discrepancy between the local environments after a shortcut to t = 0 and those of data.
    """

    name = "amshortcut"
    title = "AMShortcut: material SDE with learnt shortcuts, right structures in 1 to 5 steps"
    card = AMSHORTCUT
    # those of material SDE evaluate the network with the step size 0, where it predicts the instantaneous drift
    samplers = (SHORTCUT, SHORTCUT_MULTISTEP, SHORTCUT_RESTART, SHORTCUT_GUIDED, *MaterialSDE.samplers)
    shortcut = True
    training_only = ("critic",)
    reads_step_size = True

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__(task, config)
        if "matching" in config:
            _check_matching(config["matching"])
        self.critic: EnvironmentCritic | None = None
        if config.get("matching", {}).get("critic", 0) > 0:
            self.critic = EnvironmentCritic(task.elements, len(task.properties))

    def training_additions(self) -> tuple[str, ...]:
        matching = {"weight": 0.0, "critic": 0.0} | self.config.get("matching", {})
        names = {"weight": "matching of local environments", "critic": "critic of local environments"}
        own = [f"{text} (weight {matching[name]:g})" for name, text in names.items() if matching[name] > 0]
        return (*super().training_additions(), *own)

    def preferred_sampler(self) -> str:
        return "shortcut-guided" if self.task.properties else "shortcut"

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Settings in addition to those of material SDE.

        warmup: share of the training before the first shortcut loss
        consistency_share: share of the batches with a shortcut loss (paper: 0.25; a larger one is better in short
            trainings)
        start_share: share of the shortcut losses at t = 1, where sampling begins, in addition to uniform times
        full_share: share of the shortcut losses with a step all the way to t = 0, in addition to uniform step sizes
        own_target: whether the network itself computes the target of its shortcuts, as in the paper, or its moving
            average
        drift_errors: whether the errors of shortcuts are those of the drift, of positions in angstrom and of elements
            with a weight of 1, as in Eq. 4, or those of ``squared_errors``
        matching: matching of local environments (not of the paper): its weight in the loss, 0 without it; the share of
            the batches that have it; the share of the training before the first; and the number of steps of the sampler
            ``shortcut-restart`` whose shortcuts to t = 0 it trains, of which the first counts more by ``start_share``;
            ``critic``: weight of the loss against a critic of the environments after the same shortcuts, 0 without it
        """
        paper = network == "paper"
        return super().default_config(network, task) | {
            "warmup": 0.0 if paper else 0.4,
            "consistency_share": 0.25 if paper else 0.75,
            "start_share": 0.0 if paper else 0.3,
            "full_share": 0.0 if paper else 0.35,
            "own_target": paper,
            "drift_errors": paper,
            "matching": {"weight": 0.0, "share": 1.0, "warmup": 0.0, "steps": 5, "critic": 0.0},
        }

    @with_training_tables
    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        losses = super().training_loss(batch, noise, teacher=teacher, progress=progress)
        chosen = uniform_numbers(noise, 1)[0] < self.config["consistency_share"]
        if chosen and progress >= self.config["warmup"]:
            consistency = self.consistency_loss(batch, noise, teacher)
            losses |= {"consistency": consistency, "loss": losses["loss"] + consistency}
        # a checkpoint from before this setting has no entry
        matching = {"weight": 0.0, "critic": 0.0} | self.config.get("matching", {})
        # a validation has no critic
        largest = max(matching["weight"], matching["critic"] if self.training else 0.0)
        if (
            largest > 0
            and uniform_numbers(noise, 1)[0] < matching["share"]
            and progress >= matching["warmup"]
        ):
            added = self.matching_losses(batch, noise, teacher)
            losses |= added
            losses["loss"] = losses["loss"] + largest * added["held species"]
            if "matching" in added:
                losses["loss"] = losses["loss"] + matching["weight"] * added["matching"]
            if "critic" in added:
                losses["loss"] = losses["loss"] + matching["critic"] * added["adversary"] + added["critic"]
        return losses

    def consistency_loss(self, batch: Structures, noise: NoiseSource, teacher: Method) -> Tensor:
        """L_SC: one step of 2 dt against two of dt by the probability-flow ODE, under a stopped gradient."""
        teacher = self if self.config.get("own_target", False) else teacher
        assert isinstance(teacher, AMShortcut)
        batch = self.hide_properties(batch, noise)
        t, dt = self.draw_steps(noise)
        state, _ = self.corrupt(batch, t, noise)
        null = self.denoiser.null_properties(noise)
        with torch.no_grad():
            first = teacher.predict(state, null, t[:, 0], dt[:, 0])
            at, after = t[batch.batch], (t - dt)[batch.batch]
            middle = self.ode_step(state, first, at, after)
            second = teacher.predict(middle, null, (t - dt)[:, 0], dt[:, 0])
            target = Prediction(
                positions=(first.positions + second.positions) / 2,
                elements=None
                if first.elements is None or second.elements is None
                else (first.elements + second.elements) / 2,
            )
        prediction = self.predict(state, null, t[:, 0], 2 * dt[:, 0])
        errors = squared_errors(prediction, target)
        if not self.config.get("drift_errors", False):
            return errors["loss"]
        return self.positions.scale**2 * errors["positions"] + errors.get("elements", 0.0)

    def draw_steps(self, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """Times t [s, 1] and half steps dt [s, 1] with 0 < 2 dt <= t, continuous rather than powers of two."""
        u = noise.uniform_structures(4)
        t = u[:, :1] * (1 - 4 * MIN_TIME) + 4 * MIN_TIME
        t = torch.where(u[:, 1:2] < self.config["start_share"], torch.ones_like(t), t)
        whole = MIN_TIME + u[:, 2:3] * (t - MIN_TIME)
        whole = torch.where(u[:, 3:4] < self.config["full_share"], t, whole)
        return t, whole / 2

    def matching_losses(self, batch: Structures, noise: NoiseSource, teacher: Method) -> dict[str, Tensor]:
        """Losses of the environments after a shortcut to t = 0, against those of the batch, and ``held species``, the
        squared distance of the species output from that of the moving average.

        ``matching``: maximum mean discrepancy, where its weight is not 0; ``critic`` and ``adversary``: losses of the
        critic and of the shortcut against it, in training, where the weight of the critic is not 0.

        The shortcut is a random one of the sampler ``shortcut-restart``, for the targets and cells of the batch.
        It begins where the moving average arrives in the steps before it. Species have no gradient from the
        environments, since an atom has one species or another; they are held, so that the composition stays that of the
        other losses.
        Raises AmsbenchError in training with batches of one structure, which have no pairs of structures.
        """
        assert isinstance(teacher, AMShortcut)
        settings = self.config["matching"]
        if settings["weight"] > 0 and self.training and len(batch) < 2:
            raise AmsbenchError(
                f"matching compares structures with each other, and a batch has {len(batch)}; train with "
                "--batch-size 2 or more, or with --set matching='{\"weight\": 0}'"
            )
        batch = self.hide_properties(batch, noise)
        # as by Structures.empty_cells, which waits for the device to learn the number of atoms
        positions, species = torch.zeros_like(batch.positions), torch.zeros_like(batch.species)
        start = replace(batch, positions=positions, species=species)
        before, (t, _) = self.draw_shortcut(noise)
        with torch.no_grad():
            state = SHORTCUT_RESTART.integrate(teacher, start, before, noise)
            now = before[-1][1] if before else 1.0
            state = SHORTCUT_RESTART.start_step(teacher, state, now, t, noise)
        null = self.denoiser.null_properties(noise)
        times = torch.full_like(batch.cells[:, 0, 0], t)
        prediction = self.predict(state, null, times, times)
        at = times[batch.batch][:, None]
        end = self.ode_step(state, prediction, at, torch.zeros_like(at))
        held = end.structures.positions.new_zeros(())
        if prediction.elements is not None and end.elements is not None:
            with torch.no_grad():
                expected = teacher.predict(state, null, times, times).elements
            assert expected is not None
            held = ((t * (prediction.elements - expected)) ** 2).sum(-1).mean()
            end = State(structures=end.structures, elements=end.elements.detach())
        made, losses = self.finish(end), {"held species": held}
        embedding = self.denoiser.embedding
        if settings["weight"] > 0:
            similarity = None
            if embedding is not None:
                similarity = target_similarity(batch.properties, embedding.std.to(batch.properties))
            # batches for which all atoms are compared draw no numbers
            order = noise.uniform_atoms(1)[:, 0] if len(batch.positions) > MOST_ATOMS else None
            losses["matching"] = environment_discrepancy(made, batch, self.task.elements, similarity, order)
        if self.critic is not None and self.training:
            targets = batch.properties
            if embedding is not None:
                values, present = embedding.standardised(targets)
                targets = torch.cat([values, present.to(values)], 1)
            losses |= critic_losses(self.critic, made, batch, noise, t=t, targets=targets)
        return losses

    def draw_shortcut(self, noise: NoiseSource) -> tuple[TimeSteps, tuple[float, float]]:
        """A random shortcut to t = 0 of the sampler ``shortcut-restart``, and the steps before it."""
        alone, which = uniform_numbers(noise, 2)
        steps = 1 if alone < self.config["start_share"] else self.config["matching"]["steps"]
        path = SHORTCUT_RESTART.times(self, steps)
        last = [k for k, (_, s) in enumerate(path) if s == 0]
        chosen = last[int(which * len(last))]
        return path[:chosen], path[chosen]


def _check_matching(settings: Mapping[str, Any]) -> None:
    """Raise AmsbenchError for a setting ``matching`` out of range."""
    for name, most in (("weight", math.inf), ("critic", math.inf), ("share", 1.0), ("warmup", 1.0)):
        if not 0 <= settings.get(name, 0.0) <= most:
            raise AmsbenchError(
                f"'{name}' of the setting 'matching' is {settings[name]}; give a number of at least 0"
                + (f" and at most {most:g}" if most < math.inf else "")
            )
    if isinstance(settings["steps"], bool) or settings["steps"] < 1:
        raise AmsbenchError(
            f"'steps' of the setting 'matching' is {settings['steps']}; give a whole number of at least 1"
        )
