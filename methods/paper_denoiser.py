"""The denoiser of the paper to the letter: features in, features out, nothing around the EGNN (4.4, B.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..benchmark.interface.neighbour_graph import Graph
from ..benchmark.interface.task import Task
from ..errors import AmsbenchError
from .denoiser import Denoiser
from .egnn.config import EGNNConfig
from .egnn.paper_network import PaperEGNN
from .state import Prediction, State


class PaperDenoiser(Denoiser):
    """mu(M_t, y, t) or, with the step size, u(M_t, y, t, dt) (Eq. 5), with the layers of ``PaperEGNN`` alone.

    The node features are E_t, the embedded properties, t and, if ``reads_step_size``, dt, side by side; columns up to
    the width of the layers are 0, which the paper does not describe. The predicted elements are the columns of E_t in
    the last layer's features, the predicted positions X^(0) - X^(L) of the first channel.
    """

    backbone: PaperEGNN

    def __init__(self, task: Task, config: EGNNConfig, property_width: int, *, reads_step_size: bool) -> None:
        super().__init__(task, property_width)
        self.reads_step_size = reads_step_size
        columns = self.element_width + property_width * len(task.properties) + 1 + reads_step_size
        if columns > config.hidden:
            raise AmsbenchError(
                f"the node features of form 'paper' are {columns} numbers ({self.element_width} species, "
                f"{len(task.properties)} properties of {property_width}, times), more than 'hidden', {config.hidden}; "
                "set a larger 'hidden' or a smaller 'property_width'"
            )
        self.padding = config.hidden - columns
        self.backbone = PaperEGNN(config)

    def forward(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        """The prediction at times t [s] for step sizes dt [s]; dt = 0 gives the instantaneous drift."""
        structures = state.structures
        times = [t[:, None], dt[:, None]] if self.reads_step_size else [t[:, None]]
        features = torch.cat([self.embedded_properties(structures, null), *times], dim=-1)[structures.batch]
        if state.elements is not None:
            features = torch.cat([state.elements, features], dim=-1)
        graph = self.neighbours(structures)
        assert isinstance(graph, Graph)
        h, shift = self.backbone(
            torch.nn.functional.pad(features, (0, self.padding)), structures.positions, graph
        )
        return Prediction(
            positions=shift, elements=h[:, : self.element_width] if self.element_width else None
        )
