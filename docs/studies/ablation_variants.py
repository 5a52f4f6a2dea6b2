"""The variants that docs/studies/ablation.py trains, and what is generated with each: settings and changed methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import NoiseSource
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_method import MaterialMethod
from amsbench.methods.material_sde import Ancestral, MaterialSDE
from amsbench.methods.samplers import Euler, Multistep, TimeSteps
from amsbench.methods.state import Prediction, State

OF_THE_TRAINING = ("schedule", "average", "optimizer", "target-score", "self-conditioning")
"""Groups of options of the training."""
STRUCTURES_SEEN = dict.fromkeys(("material-sde", *OF_THE_TRAINING), 10_000) | {"shortcut": 6_000}


def grid(method: MaterialMethod, steps: int) -> TimeSteps:
    """Times (k/n)^power, with the power of the method."""
    assert isinstance(method, Grid)
    return list(pairwise((1 - k / steps) ** method.power for k in range(steps + 1)))


class GridAncestral(Ancestral):
    def times(self, method: MaterialSDE, steps: int) -> TimeSteps:
        return grid(method, steps)


class GridEuler(Euler):
    def times(self, method: MaterialMethod, steps: int) -> TimeSteps:
        return grid(method, steps)


class GridMultistep(Multistep):
    def times(self, method: MaterialMethod, steps: int) -> TimeSteps:
        return grid(method, steps)


class Grid(MaterialSDE):
    """Material SDE with times (k/n)^power in every sampler."""

    power = 1.0
    samplers = (
        GridAncestral(name="ancestral", title="ancestral steps"),
        GridEuler(name="ode", title="Euler steps"),
        GridMultistep(name="multistep", title="second-order steps"),
    )


class Grid15(Grid):
    power = 1.5


class Grid20(Grid):
    power = 2.0


class Grid30(Grid):
    power = 3.0


class Displacement(MaterialSDE):
    """The network puts out X_t - X_0 in units of the largest noise, not the noise."""

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        found = super().predict(state, null, t, dt)
        at = t[state.structures.batch][:, None].clamp(min=0.02)
        return Prediction(positions=found.positions / at, elements=found.elements)


class Dyadic(AMShortcut):
    """Step sizes 1, 1/2, ... 1/128 from their multiples, as in the first work on shortcuts (arXiv 2410.12557)."""

    def draw_steps(self, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        u = noise.uniform_structures(2)
        whole = 0.5 ** torch.floor(u[:, :1] * 8)
        return whole * (1 + torch.floor(u[:, 1:] / whole)), whole / 2


class OwnTeacher(AMShortcut):
    """The network at its present weights says what two steps would do, not their moving average."""

    def consistency_loss(self, batch: Structures, noise: NoiseSource, teacher: Method) -> Tensor:
        return super().consistency_loss(batch, noise, self)


class FourSteps(AMShortcut):
    """Four steps in a row teach the step of four times the size."""

    def consistency_loss(self, batch: Structures, noise: NoiseSource, teacher: Method) -> Tensor:
        assert isinstance(teacher, AMShortcut)
        t, half = self.draw_steps(noise)
        dt = half / 2
        state, _ = self.corrupt(batch, t, noise)
        begin, null, total = state, self.denoiser.null_properties(noise), torch.zeros_like(batch.positions)
        with torch.no_grad():
            for k in range(4):
                now = t - k * dt
                found = teacher.predict(state, null, now[:, 0], dt[:, 0])
                at = now[batch.batch], (now - dt).clamp(min=0)[batch.batch]
                state = self.ode_step(state, found, *at)
                total = total + found.positions / 4
        found = self.predict(begin, null, t[:, 0], 4 * dt[:, 0])
        return ((found.positions - total) ** 2).sum(-1).mean()


@dataclass(frozen=True, kw_only=True)
class Variant:
    kind: type[MaterialSDE] = MaterialSDE
    network: str = "standard"
    changes: dict[str, Any] = field(default_factory=dict)
    samples_seen: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Changes to the options of the training."""
    decay_share: float = 0.0
    """Share of the structures that are seen in a decay after a constant rate."""


BEGINNING = {"warmup": 0.0}
WIDTH = {"ema_width": 0.1}
CONSTANT = WIDTH | {"schedule": "constant"}
SCORE_ROWS = [("ancestral", 5), ("ancestral", 10), ("ancestral", 25), ("multistep", 25)]
GROUPS: dict[str, dict[str, Variant]] = {
    "network": {
        "64 wide, 3 layers (standard)": Variant(samples_seen=10_000),
        "64 wide, 6 layers (deep)": Variant(network="deep", samples_seen=4_900),
        "128 wide, 4 layers (wide)": Variant(network="wide", samples_seen=3_400),
        "32 wide, 3 layers": Variant(changes={"network": {"hidden": 32}}, samples_seen=15_000),
        "128 wide, 4 layers, tanh of the distances": Variant(
            network="paper", changes={"network": {"form": "standard"}}, samples_seen=700
        ),
    },
    "grid": {
        "k/n": Variant(kind=Grid),
        "(k/n)^1.5": Variant(kind=Grid15),
        "(k/n)^2": Variant(kind=Grid20),
        "(k/n)^3": Variant(kind=Grid30),
    },
    "material-sde": {
        "as released": Variant(),
        "uniform t": Variant(changes={"uniform_share": 1.0}),
        "no uniform t": Variant(changes={"uniform_share": 0.0}),
        "displacement as output": Variant(kind=Displacement),
    },
    "shortcut": {
        "as released": Variant(kind=AMShortcut, changes=BEGINNING),
        "25 % of the batches": Variant(kind=AMShortcut, changes=BEGINNING | {"consistency_share": 0.25}),
        "all batches": Variant(kind=AMShortcut, changes=BEGINNING | {"consistency_share": 1.0}),
        "never more at t = 1": Variant(kind=AMShortcut, changes=BEGINNING | {"start_share": 0.0}),
        "never more of full steps": Variant(kind=AMShortcut, changes=BEGINNING | {"full_share": 0.0}),
        "dyadic steps": Variant(kind=Dyadic, changes=BEGINNING),
        "own teacher": Variant(kind=OwnTeacher, changes=BEGINNING),
        "four steps teach one": Variant(kind=FourSteps, changes=BEGINNING),
    },
    "schedule": {
        "cosine": Variant(options=WIDTH),
        "constant": Variant(options=CONSTANT),
        "constant, 10 % decay": Variant(options=CONSTANT, decay_share=0.1),
        "constant, 20 % decay": Variant(options=CONSTANT, decay_share=0.2),
        "constant, 40 % decay": Variant(options=CONSTANT, decay_share=0.4),
    },
    "average": {
        "0.999 per step (as released)": Variant(),
        "width 0.02": Variant(options={"ema_width": 0.02}),
        "width 0.05": Variant(options={"ema_width": 0.05}),
        "width 0.1": Variant(options=WIDTH),
        "width 0.2": Variant(options={"ema_width": 0.2}),
    },
    "optimizer": {
        "Adam, 2e-3 (as released)": Variant(),
        "Adam, 4e-3": Variant(options={"learning_rate": 4e-3}),
        "Muon, 1e-3": Variant(options={"optimizer": "muon", "learning_rate": 1e-3}),
        "Muon, 2e-3": Variant(options={"optimizer": "muon"}),
        "Muon, 4e-3": Variant(options={"optimizer": "muon", "learning_rate": 4e-3}),
    },
    "target-score": {
        "without (as released)": Variant(),
        "weight 0.5": Variant(changes={"target_score": {"weight": 0.5}}),
        "weight 1": Variant(changes={"target_score": {"weight": 1.0}}),
    },
    "self-conditioning": {
        "without (as released)": Variant(),
        "with": Variant(changes={"self_conditioning": True}),
        # a step with an estimate takes one evaluation more: the same time as without
        "with, 20 % fewer structures": Variant(changes={"self_conditioning": True}, samples_seen=8_000),
    },
}
ROWS: dict[str, list[tuple[str, int]]] = {
    "grid": [(sampler, steps) for sampler in ("ancestral", "ode", "multistep") for steps in (5, 10, 25)],
    **dict.fromkeys(("network", "material-sde", *OF_THE_TRAINING), SCORE_ROWS),
    "shortcut": [("shortcut", 1), ("shortcut", 2), ("shortcut", 5), ("ancestral", 25)],
}
