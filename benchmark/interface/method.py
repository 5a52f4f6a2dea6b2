"""The interface of a generative method, which a plug-in implements."""

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
from .sampler import AnySampler
from .settings import Settings
from .structures import Structures
from .task import Task

ProductType = Literal["bfloat16", "tf32", "float32", "float64"]
"""Type in which matrix products are computed; sums and everything else are in float32 or better."""


def method_class(name: str) -> type[Method]:
    """The method registered under ``name``; AmsbenchError for unknown names and for non-learned baselines."""
    if registry.kind_of(name, ("methods", "non_learned")) == "non_learned":
        raise AmsbenchError(
            f"'{name}' is no model: it is not trained and has no checkpoint; 'amsbench run --method {name}' compares it"
        )
    loaded: type[Method] = registry.load("methods", name)
    return loaded


class Method(torch.nn.Module, ABC):
    """A generative method: a network with a training loss and one or more samplers.

    A plug-in sets the class attributes, implements ``training_loss`` and lists its samplers (or implements ``sample``);
    it is registered under the entry-point group ``amsbench.methods``. ``amsbench.testing.check_method`` checks the
    contract.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for ``amsbench methods``."""
    card: ClassVar[MethodCard | None] = None
    """Reference of the method, and differences of this implementation from it."""
    samplers: ClassVar[tuple[AnySampler, ...]]
    """Samplers of the method; the first one is that of the publication and the default row of a table."""
    networks: ClassVar[tuple[str, ...]] = ("standard",)
    """Names of its network presets; the first is the default."""
    concurrent: ClassVar[bool] = False
    """Whether several threads may call ``sample`` at once, which is faster on a CPU with many cores. Sampling must then
    leave the module unchanged."""
    shortcut: ClassVar[bool] = False
    """Whether the method claims correct structures with fewer than 10 steps."""
    rotation_equivariant: ClassVar[bool] = False
    """Whether a rotated cell and rotated noise give the rotated structure."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Names of modules that training alone needs: checkpoints have no weights of them, and a training that
    starts from a checkpoint begins with new ones."""
    trained_as: ClassVar[str | None] = None
    """Name of the method whose checkpoints this class reads, for a class that only adds samplers to that method."""

    def __init__(self, task: Task, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.task = task
        self.config: dict[str, Any] = Settings(config)

    @classmethod
    @abstractmethod
    def default_config(cls, network: str, task: Task) -> dict[str, Any]:
        """The settings that, with the task, rebuild the method, as JSON data; ``network`` names a preset."""

    @property
    @abstractmethod
    def cutoff(self) -> float:
        """Longest edge of the neighbour graph, angstrom; thinner cells cannot be generated."""

    @abstractmethod
    def training_loss(
        self, batch: Structures, noise: NoiseSource, *, teacher: Method, progress: float
    ) -> dict[str, Tensor]:
        """Losses of one batch, ghosts included; the entry ``loss`` is minimised, the others are logged.

        teacher: exponential moving average of this method, for losses that bootstrap
        progress: finished share of the training, from 0 to 1, for losses with a schedule
        """

    def validation_loss(self, batch: Structures, noise: NoiseSource, *, teacher: Method) -> Tensor:
        """Loss of one batch of held-out structures, by which the best checkpoint of a training is chosen.

        By default the training loss at the end of the schedule. Override it where that loss compares the network with
        itself: such a loss is small for a network that is constant, so that it cannot tell a good network.
        """
        return self.training_loss(batch, noise, teacher=teacher, progress=1.0)["loss"]

    @classmethod
    def supports(cls, task: Task) -> str | None:
        """None, or the reason why the method cannot learn this task, as the end of a sentence.

        A training or run on such a dataset is refused with the reason before it begins.
        """
        return None

    def sample(self, start: Structures, steps: int, sampler: str, noise: NoiseSource) -> Structures:
        """Structures in the given cells with the given atom counts and properties, by the sampler of that name.

        ``start`` comes from ``Structures.empty_cells``; only its cells, counts and properties may be read. Returns
        positions (angstrom, also outside the cell) and species, ghosts included. Every random number comes from
        ``noise``: initial positions, uniform in the cell, are its first ``uniform_atoms(3)`` as fractions of the
        lattice vectors, and ``normal_atoms(3)`` are vectors in space. ``amsbench.testing`` translates, rotates and
        permutes these numbers and compares the structures. Raises AmsbenchError for unknown samplers.
        """
        return self.sampler_named(sampler).sample(self, start, steps, noise)

    @classmethod
    def sampler_named(cls, name: str) -> AnySampler:
        """The sampler of that name; AmsbenchError lists the samplers of the method."""
        for sampler in cls.samplers:
            if sampler.name == name:
                return sampler
        names = ", ".join(sampler.name for sampler in cls.samplers)
        raise AmsbenchError(f"method '{cls.name}' has no sampler '{name}'; it has: {names}")

    def start_from(self, source: Method) -> None:
        """Load the weights of ``source``, perhaps another method or task; RuntimeError if they do not fit."""
        self.load_sampling_state(source.sampling_state())

    def sampling_state(self) -> dict[str, Tensor]:
        """The weights that a checkpoint holds: all but those of ``training_only``."""
        return {name: value for name, value in self.state_dict().items() if not self._is_training_only(name)}

    def load_sampling_state(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of ``sampling_state``; RuntimeError if they do not fit."""
        own = {name: value for name, value in self.state_dict().items() if self._is_training_only(name)}
        self.load_state_dict({**own, **state})

    def _is_training_only(self, name: str) -> bool:
        return name.partition(".")[0] in self.training_only

    def backend(self) -> str:
        """Name of the code that evaluates the network here, for the record of a result: ``torch`` or a kernel."""
        return "torch"

    def product_type(self) -> ProductType:
        """Type in which the network's matrix products are computed here; results of different types are kept apart."""
        on_gpu = next(self.parameters()).is_cuda
        return "tf32" if on_gpu and torch.backends.cuda.matmul.allow_tf32 else "float32"

    @property
    def reads_scores(self) -> bool:
        """Whether training batches are ``ScoredStructures``; trainings on data without scores are then refused."""
        return False

    def training_additions(self) -> tuple[str, ...]:
        """Parts of this training that are not of the publication and that a setting switched on, for records and
        captions."""
        return ()

    def preferred_sampler(self) -> str:
        """Name of the most accurate sampler for this task: the default of ``generate`` and ``run``."""
        return self.samplers[0].name
