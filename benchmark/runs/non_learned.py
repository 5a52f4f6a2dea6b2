"""The base class of baselines that are not trained, such as the simulation that made the data."""

from __future__ import annotations

import hashlib
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import AmsbenchError
from ...metrics.potentials.lammps import load_lammps
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..generation.generate import FrameConsumer, Generated
from ..interface.evaluation_plan import EvaluationPlan
from ..interface.method import ProductType
from ..interface.method_card import MethodCard
from ..system.devices import device_name
from ..system.worker_pool import TaskLost, map_with_timeout
from .environment import current_environment
from .generator import Generator, ProgressCallback, Trial
from .partial_results import PartialResults, kept_until_done
from .results import NO_STEPS, Environment

if TYPE_CHECKING:
    from ase import Atoms


TASK_TIME_LIMIT = 3600.0
"""Seconds for one piece of a yardstick's work; a paper's simulation takes minutes."""


class NonLearnedBaseline(Generator):
    """Structures without a model. A plug-in sets the class attributes and implements what is abstract here.

    dataset: what it is compared with
    Raises AmsbenchError where the data have no simulation of their own.
    """

    title: ClassVar[str]
    """One line for ``amsbench methods``."""
    card: ClassVar[MethodCard | None] = None
    sampler: ClassVar[str]
    """What it does, in a word; stands where methods have the name of a sampler."""
    version: ClassVar[int] = 1
    """Raised where it comes to make other structures of the same seed."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.definition.potential is None:
            raise AmsbenchError(
                f"'{self.name}' needs the simulation that made the data, and '{dataset.definition.name}' has none; "
                "it is for datasets that 'amsbench data build' makes"
            )
        self.dataset = dataset
        self.record = {}
        protocol = json.dumps({"name": self.name, **self.dependencies()}, sort_keys=True)
        self.content_hash = hashlib.sha256(protocol.encode()).hexdigest()
        self._pieces: PartialResults | None = None

    @abstractmethod
    def dependencies(self) -> dict[str, Any]:
        """All that its structures depend on beside count and seed, as JSON data."""

    @abstractmethod
    def jobs(self, count: int, seed: int) -> Sequence[Any]:
        """PartialResults of work that make ``count`` structures in all, in their order; they go to worker processes."""

    @staticmethod
    @abstractmethod
    def work(definition: DatasetDefinition, job: Any) -> list[Atoms]:
        """The structures of one piece of work, on one core."""

    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        return (NO_STEPS,)

    def sampler_version(self, sampler: str) -> int:
        return self.version

    def step_label(self, steps: int, sampler: str) -> str:
        return self.sampler

    def generate(
        self,
        dataset: Dataset,
        trial: Trial,
        seed: int,
        executor: Executor | None,
        progress: ProgressCallback,
        sink: FrameConsumer | None,
    ) -> Generated:
        """Structures in cells of their own, whatever the plan asks for, so that plans of one count share them."""
        frames: list[Atoms] = []
        seconds = 0.0
        count = trial.plan.count
        pieces = {f"{count}-{seed}-{k}": piece for k, piece in enumerate(self.jobs(count, seed))}
        kept = {name: self._pieces.read(name) for name in pieces} if self._pieces else {}
        missing = (
            (type(self).work, self.dataset.definition, piece)
            for name, piece in pieces.items()
            if kept.get(name) is None
        )
        work = map_with_timeout(_timed, missing, executor, limit=TASK_TIME_LIMIT)
        for name in pieces:
            found = kept.get(name)
            if found is None:
                found = next(work)
                if isinstance(found, TaskLost):
                    raise AmsbenchError(f"a piece of the work of '{self.name}' was lost: {found.reason}")
                if self._pieces:
                    self._pieces.write(name, found)
            made, taken = found
            frames += made
            seconds += taken
            if sink:
                sink(made)
            progress(len(frames))
        return Generated(frames=frames, seconds=seconds, evaluations=0)

    def precision(self) -> ProductType:
        """LAMMPS computes in double precision."""
        return "float64"

    def environment(self) -> Environment:
        return current_environment(device_name("cpu"), 1, "LAMMPS")

    @contextmanager
    def resuming(self, folder: Path) -> Iterator[None]:
        """A piece of work may take minutes, and plans of one count share it."""
        made_by = f"{self.name}-{self.version}-{self.content_hash[:12]}"
        with kept_until_done(folder / f"{made_by}.pieces") as self._pieces:
            yield
        self._pieces = None


def _timed(
    work: Callable[[DatasetDefinition, Any], list[Atoms]], definition: DatasetDefinition, job: Any
) -> tuple[list[Atoms], float]:
    load_lammps()  # once per process; not what a structure costs
    began = time.process_time()
    return work(definition, job), time.process_time() - began
