"""Generators of the structures of a result: the common interface, and trained models.

Non-learned baselines are the reference that a generative model has to outperform. A non-learned
baseline is a plug-in of the entry-point group ``amsbench.non_learned``, and ``amsbench run`` accepts its name like that
of a method; but it is not trained, has no targets and takes no steps. Its time is CPU time: seconds of one core, summed
over all cores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ..datasets.dataset import Dataset
from ..generation.cells import cells_of
from ..generation.collecting import FrameConsumer
from ..generation.generate import Generated
from ..generation.on_workers import generate_by, generates, worker_device
from ..generation.partial_results import PartialResults
from ..interface.evaluation_plan import EvaluationPlan
from ..interface.method import Method, ProductType
from ..system.devices import device_name
from ..training.checkpoints import Checkpoint
from .current_code import method_code
from .environment import current_environment
from .results import Environment, ResultKey

ProgressCallback = Callable[[int], None]
"""Function that is called with the number of finished structures."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One result to be computed: a plan, a sampler and a number of steps."""

    plan: EvaluationPlan
    sampler: str
    steps: int


class Generator(ABC):
    """Interface between a Run and what generates its structures: a trained model or a non-learned baseline.

    content_hash: identifies weights or the recipe of a simulation
    code: hash of the code that generates; steps, sampler and seed are in the result's key beside these two
    record: training record as JSON data, empty for non-learned baselines
    trained_on: properties that can have targets
    on_gpu: whether structures are generated on a GPU
    """

    name: str
    content_hash: str
    code: str
    record: dict[str, Any]
    trained_on: tuple[str, ...] = ()
    on_gpu: bool = False

    @abstractmethod
    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        """Numbers of steps of a plan at which structures are generated."""

    @abstractmethod
    def sampler_version(self, sampler: str) -> int:
        """Version of a sampler; it is part of the key of a result."""

    @abstractmethod
    def step_label(self, steps: int, sampler: str) -> str:
        """Name of the kind of step in tables; samplers with equal labels share a result."""

    @abstractmethod
    def generate(
        self,
        dataset: Dataset,
        trial: Trial,
        seed: int,
        executor: Executor | None,
        progress: ProgressCallback,
        sink: FrameConsumer,
        partial: PartialResults | None = None,
    ) -> Generated:
        """Generate the structures of one result for ``sink``; their time and number of evaluations, without frames.

        executor: runs work in other processes
        progress: called with the number of finished structures
        sink: called with structures in their order, as soon as they are finished
        partial: where finished parts are stored, and those of a stopped run lie
        """

    @abstractmethod
    def precision(self) -> ProductType:
        """Type in which matrix products are computed; part of the result's key."""

    @abstractmethod
    def environment(self, executor: Executor | None) -> Environment:
        """Versions and hardware that the structures are generated with, perhaps by the workers of an executor."""

    def parts_of(self, executor: Executor | None) -> str:
        """Text that is equal for generations whose times may be added up, so that one goes on with another's parts."""
        return self.environment(executor).model_dump_json()

    def structures_key(self, key: ResultKey) -> dict[str, Any]:
        """What the structures of a result depend on, as JSON data; results of equal keys share them."""
        return key.model_dump(mode="json", exclude={"metrics_version"})


def samplers_named(method: Method, names: Sequence[str] | None) -> tuple[str, ...]:
    """Samplers of a method, each once: the named ones, all for ``all``, or for None the preferred one.

    AmsbenchError for an unknown name.
    """
    if names is None:
        return (method.preferred_sampler(),)
    if tuple(names) == ("all",):
        return tuple(sampler.name for sampler in method.samplers)
    return tuple(dict.fromkeys(method.sampler_named(name).name for name in names))


class TrainedModel(Generator):
    """Generator of a trained method with its checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.method.name
        self.content_hash = checkpoint.content_hash
        self.code = method_code(type(checkpoint.method))
        self.record = checkpoint.record
        self.trained_on = checkpoint.method.task.properties
        self.on_gpu = next(checkpoint.method.parameters()).is_cuda
        self._worker_devices: WeakKeyDictionary[Executor, str] = WeakKeyDictionary()

    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        return plan.steps

    def sampler_version(self, sampler: str) -> int:
        return self.checkpoint.method.sampler_named(sampler).version

    def step_label(self, steps: int, sampler: str) -> str:
        method = self.checkpoint.method
        return method.sampler_named(sampler).label(method, steps)

    def generate(
        self,
        dataset: Dataset,
        trial: Trial,
        seed: int,
        executor: Executor | None,
        progress: ProgressCallback,
        sink: FrameConsumer,
        partial: PartialResults | None = None,
    ) -> Generated:
        """Structures in the cells of the plan with its targets, generated here or by the workers of a cluster."""
        cells, counts = cells_of(trial.plan, dataset)
        return generate_by(
            executor,
            self.checkpoint,
            cells=cells,
            counts=counts,
            targets=trial.plan.target_values(),
            steps=trial.steps,
            sampler=trial.sampler,
            seed=seed,
            progress=progress,
            sink=sink,
            partial=partial,
            keep=False,
        )

    def precision(self) -> ProductType:
        return self.checkpoint.method.product_type()

    def parts_of(self, executor: Executor | None) -> str:
        environment = self.environment(executor)
        if self.on_gpu:  # processor threads have no part in the time
            environment = environment.model_copy(update={"threads": 0})
        elif generates(executor, self.checkpoint):  # by workers of perhaps several types
            environment = environment.model_copy(update={"device": "workers"})
        return environment.model_dump_json()

    def environment(self, executor: Executor | None) -> Environment:
        import torch

        method = self.checkpoint.method
        if executor is not None and generates(executor, self.checkpoint):
            if executor not in self._worker_devices:
                self._worker_devices[executor] = worker_device(executor)
            return current_environment(self._worker_devices[executor], 1, method.backend())
        devices = self.checkpoint.devices or (next(method.parameters()).device,)
        names = Counter(device_name(device) for device in devices)
        device = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in names.items())
        return current_environment(device, torch.get_num_threads(), method.backend())
