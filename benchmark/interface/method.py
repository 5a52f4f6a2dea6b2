"""The contract of a generative method: what a plug-in implements, and what it may know of its data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...errors import AmsbenchError
from .. import registry
from .method_card import MethodCard
from .noise import NoiseSource
from .structures import Structures
from .task import Task

ProductType = Literal["bfloat16", "tf32", "float32", "float64"]
"""Type in which matrix products are computed; sums and everything else are in float32 or better."""


def method_class(name: str) -> type[Method]:
    """The method registered under ``name``; AmsbenchError where there is none, or it is a yardstick."""
    found = registry.load("methods", name)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise AmsbenchError(
            f"'{name}' is no model: it is not trained and has no checkpoint; 'amsbench run --method {name}' compares it"
        )
    return found


class Method(torch.nn.Module, ABC):
    """A generative method: a network with a training loss and a sampler for any number of steps.

    A plug-in sets the class attributes and implements ``training_loss`` and ``sample``;
    it is registered under the entry-point group ``amsbench.methods``. What all of them keep to is checked by
    ``amsbench.testing.check_method``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for ``amsbench methods``."""
    card: ClassVar[MethodCard | None] = None
    """What of a published method this is."""
    samplers: ClassVar[tuple[str, ...]]
    """Names of its samplers; the first is the paper's."""
    sampler_versions: ClassVar[Mapping[str, int]] = {}
    """Of samplers that are not what they were at first: raised where one comes to make other structures of the same
    checkpoint and seed, so that results of the two are not taken for each other."""
    networks: ClassVar[tuple[str, ...]] = ("standard",)
    """Names of its network presets; the first is the default."""
    concurrent: ClassVar[bool] = False
    """Whether several threads may call ``sample`` at once, which generates faster on a CPU of many cores: it must
    change nothing in the module."""
    shortcut: ClassVar[bool] = False
    """Whether it claims right structures from fewer than 10 steps."""
    rotation_equivariant: ClassVar[bool] = False
    """Whether a rotated cell with rotated noise gives the rotated structure."""

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.task = task
        self.config = dict(config)

    @classmethod
    @abstractmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """Everything that rebuilds the method beside the task, as JSON data; ``network`` is a preset."""

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Longest edge of the network's graph, angstrom; the thinnest cell that can be generated."""

    @abstractmethod
    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        """Losses of one batch (ghosts already added); the entry ``loss`` is minimised, others are logged.

        teacher: the exponential moving average of this method, for losses that bootstrap
        progress: share of the training that is done, from 0 to 1, for losses with a schedule
        """

    @abstractmethod
    def sample(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Structures:
        """Generate in the given cells with the given atom counts and properties.

        ``start`` comes from ``Structures.empty_cells``: cells, counts and properties are all that is read of it.
        Returns positions, also outside the cell, and species (ghosts still there). Everything random comes from
        ``noise``: positions that begin uniform in the cell are its first ``uniform_atoms(3)`` as fractions of the
        lattice vectors, and ``normal_atoms(3)`` are vectors in space. ``amsbench.testing`` moves, turns and permutes
        these numbers to see that the structures move, turn and permute with them.
        """

    def start_from(self, source: Method) -> None:
        """Take over the weights of ``source``, another method or task perhaps; RuntimeError where they do not fit."""
        self.load_state_dict(source.state_dict())

    def evaluations(self, steps: int, sampler: str) -> int:
        """Network evaluations per structure."""
        return steps

    def step_label(self, steps: int, sampler: str) -> str:
        """What a step is in this row of a table, such as ``ODE`` or ``SDE``."""
        return sampler

    def backend(self) -> str:
        """What computes the network here, for the record of a result: ``torch``, or a kernel of the method's own."""
        return "torch"

    def product_type(self) -> ProductType:
        """Type in which the network's matrix products are computed here; results of different types are kept apart."""
        on_gpu = next(self.parameters()).is_cuda
        return "tf32" if on_gpu and torch.backends.cuda.matmul.allow_tf32 else "float32"

    def preferred_sampler(self) -> str:
        """The strongest sampler for this task: the default of ``generate``, and beside the paper's that of ``run``."""
        return self.samplers[0]

    def check_sampler(self, sampler: str) -> str:
        """``sampler`` itself, or an AmsbenchError that lists what the method has."""
        if sampler not in self.samplers:
            raise AmsbenchError(
                f"method '{self.name}' has no sampler '{sampler}'; it has: {', '.join(self.samplers)}"
            )
        return sampler
