"""Material ODE: flow matching along straight lines from data to noise (paper, B.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..benchmark.interface.method import Method
from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures, minimum_image
from ..benchmark.interface.task import Task
from .losses import squared_errors
from .material_method import MaterialMethod, with_training_tables
from .method_cards import MATERIAL_ODE
from .processes import LinearElementProcess
from .samplers import Euler, Multistep
from .state import Prediction, State


class MaterialODE(MaterialMethod):
    """Material ODE: X_t = X_0 + t u_X and E_t = E_0 + t u_E; the network predicts u (Eqs. 7 and 8)."""

    name = "material-ode"
    title = "Material ODE: flow matching on positions and elements, Euler or multistep"
    card = MATERIAL_ODE
    samplers = (
        Euler(name="ode", title="Euler steps of the learnt drift"),
        Multistep(name="multistep", title="second-order steps of the learnt drift"),
    )
    element_process = LinearElementProcess
    time_power = 2.0

    @classmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Settings in addition to those of ``MaterialMethod``.

        scaled_positions: whether the network's positions and their errors are in units of the standard deviation of u,
            so that they have the weight of eps_X in material SDE for every cell. The paper has angstrom
        """
        paper = network == "paper"
        # the paper's end of the lines is a standard normal embedding
        scale = {"element_scale": 1.0} if paper else {}
        return super().default_config(network, task) | {"scaled_positions": not paper} | scale

    def position_unit(self, structures: Structures) -> Tensor:
        """Unit [n, 1] of the network's positions, angstrom."""
        scale = spread(structures)
        return scale if self.config.get("scaled_positions", True) else torch.ones_like(scale)

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        raw = super().predict(state, null, t, dt)
        return replace(raw, positions=self.position_unit(state.structures) * raw.positions)

    @with_training_tables
    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        batch = self.hide_properties(batch, noise)
        t = self.draw_times(noise)
        at = t[batch.batch]
        end = self.prior(batch, noise)
        u_x = minimum_image(end.structures.positions - batch.positions, batch)
        clean = self.one_hot(batch)
        u_e = None if clean is None or end.elements is None else end.elements - clean
        state = State(
            structures=batch.with_positions(batch.positions + at * u_x),
            elements=None if clean is None or u_e is None else clean + at * u_e,
        )
        null = self.denoiser.null_properties(noise)
        prediction = self.predict(state, null, t[:, 0], torch.zeros_like(t[:, 0]))
        scale = self.position_unit(batch)
        prediction = replace(prediction, positions=prediction.positions / scale)
        target = self.position_target(u_x / scale, batch)
        return squared_errors(prediction, Prediction(positions=target, elements=u_e))

    def ode_step(self, state: State, drift: Prediction, t: Tensor, s: Tensor) -> State:
        elements = state.elements
        if elements is not None and drift.elements is not None:
            elements = elements - (t - s) * drift.elements
        positions = state.structures.positions - (t - s) * drift.positions
        return State(structures=state.structures.with_positions(positions), elements=elements)


def spread(structures: Structures) -> Tensor:
    """Standard deviation [n, 1] of a component of u_X, angstrom: uniform over a cube of the cell's volume."""
    return (structures.volumes ** (1 / 3) / 12**0.5)[structures.batch, None]
