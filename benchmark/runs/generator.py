"""Where the structures of a result come from: a trained model, or a yardstick, which is none.

A yardstick says what a generative model has to be better than. It is a plug-in like a method, registered under the
same entry-point group, and ``amsbench run`` takes it by its name; but it is not trained, is asked for no properties and
takes no steps. Its time is that of the processor: one core's seconds, over all cores that worked.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ... import __version__
from ...errors import AmsbenchError
from ...metrics.potentials.potential import lammps_version, load_lammps
from ..datasets.dataset import Dataset, DatasetDefinition
from ..generation.generate import Generated, Sink, generate
from ..interface.evaluation_plan import EvaluationPlan, cells_of
from ..interface.method_card import MethodCard
from ..system.worker_pool import Lost, each
from ..training.checkpoints import Checkpoint
from .partial_results import Pieces, kept_until_done
from .results import NO_STEPS, Environment

if TYPE_CHECKING:
    from ase import Atoms

TIME_LIMIT = 3600.0
"""Seconds for one piece of a yardstick's work; a paper's simulation takes minutes."""


Told = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One result cell to come."""

    plan: EvaluationPlan
    sampler: str
    steps: int


class Source(ABC):
    """What a run asks of that which it evaluates.

    content_hash: of all that the structures depend on, beside what the run itself chooses
    record: how it was trained, as JSON data
    trained_on: properties that it can be asked for
    """

    name: str
    content_hash: str
    record: dict[str, Any]
    trained_on: tuple[str, ...] = ()
    on_gpu: bool = False

    @abstractmethod
    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        """Those of a plan that make sense here."""

    @abstractmethod
    def sampler_version(self, sampler: str) -> int:
        """Raised where a sampler comes to make other structures of the same seed."""

    @abstractmethod
    def mode(self, steps: int, sampler: str) -> str:
        """What a step is in this row of a table."""

    @abstractmethod
    def generate(
        self,
        dataset: Dataset,
        job: Job,
        seed: int,
        executor: Executor | None,
        progress: Told,
        sink: Sink | None,
    ) -> Generated:
        """The structures of one result, and what they cost.

        executor: for work in other processes; progress: told how many there are; sink: given them as they come
        """

    @abstractmethod
    def environment(self) -> Environment:
        """What the numbers of a result were made with."""

    def resuming(self, folder: Path) -> AbstractContextManager[object]:
        """While a run goes on: what it has come to inside a result lies in ``folder`` until all results are there."""
        return nullcontext()


class Model(Source):
    """A method's checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.method.name
        self.content_hash = checkpoint.content_hash
        self.record = checkpoint.record
        self.trained_on = checkpoint.method.task.properties
        self.on_gpu = next(checkpoint.method.parameters()).is_cuda

    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        return plan.steps

    def sampler_version(self, sampler: str) -> int:
        return self.checkpoint.method.sampler_versions.get(sampler, 1)

    def mode(self, steps: int, sampler: str) -> str:
        return self.checkpoint.method.mode(steps, sampler)

    def generate(
        self,
        dataset: Dataset,
        job: Job,
        seed: int,
        executor: Executor | None,
        progress: Told,
        sink: Sink | None,
    ) -> Generated:
        """In the plan's cells, with its targets, in this process, where the model is."""
        cells, counts = cells_of(job.plan, dataset)
        return generate(
            self.checkpoint.method,
            cells=cells,
            counts=counts,
            targets=job.plan.target_values(),
            steps=job.steps,
            sampler=job.sampler,
            seed=seed,
            progress=progress,
            sink=sink,
        )

    def environment(self) -> Environment:
        import torch

        method = self.checkpoint.method
        device = next(method.parameters()).device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
        return _environment(name, torch.get_num_threads(), method.backend())


class Yardstick(Source):
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
        protocol = json.dumps({"name": self.name, **self.protocol()}, sort_keys=True)
        self.content_hash = hashlib.sha256(protocol.encode()).hexdigest()
        self._pieces: Pieces | None = None

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """All that its structures depend on beside count and seed, as JSON data."""

    @abstractmethod
    def jobs(self, count: int, seed: int) -> Sequence[Any]:
        """Pieces of work that make ``count`` structures in all, in their order; they go to worker processes."""

    @staticmethod
    @abstractmethod
    def work(definition: DatasetDefinition, job: Any) -> list[Atoms]:
        """The structures of one piece of work, on one core."""

    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        return (NO_STEPS,)

    def sampler_version(self, sampler: str) -> int:
        return self.version

    def mode(self, steps: int, sampler: str) -> str:
        return self.sampler

    def generate(
        self,
        dataset: Dataset,
        job: Job,
        seed: int,
        executor: Executor | None,
        progress: Told,
        sink: Sink | None,
    ) -> Generated:
        """Structures in cells of their own, whatever the plan asks for, so that plans of one count share them."""
        frames: list[Atoms] = []
        seconds = 0.0
        count = job.plan.count
        pieces = {f"{count}-{seed}-{k}": piece for k, piece in enumerate(self.jobs(count, seed))}
        kept = {name: self._pieces.read(name) for name in pieces} if self._pieces else {}
        missing = (
            (type(self).work, self.dataset.definition, piece)
            for name, piece in pieces.items()
            if kept.get(name) is None
        )
        work = each(_timed, missing, executor, limit=TIME_LIMIT)
        for name in pieces:
            found = kept.get(name)
            if found is None:
                found = next(work)
                if isinstance(found, Lost):
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

    def environment(self) -> Environment:
        return _environment(_processor(), 1, "LAMMPS")

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


def _processor() -> str:
    return f"{platform.machine()} CPU"


def _environment(device: str, threads: int, native: str) -> Environment:
    import torch

    try:
        lammps: str | None = lammps_version()
    except AmsbenchError:
        lammps = None
    return Environment(
        amsbench=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        lammps=lammps,
        platform=platform.platform(),
        device=device,
        threads=threads,
        native=native,
    )
