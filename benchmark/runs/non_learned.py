"""Base classes of non-learned baselines, such as the simulation that made the dataset."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import AmsbenchError
from ...metrics.potentials.lammps import load_lammps
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..execution.task_map import map_with_timeout
from ..execution.time_limits import TaskLost, processor_seconds
from ..generation.collecting import FrameConsumer
from ..generation.generate import Generated
from ..generation.partial_results import FinishedPart, PartialResults
from ..interface.evaluation_plan import EvaluationPlan
from ..interface.method import ProductType
from ..interface.method_card import MethodCard
from ..system.devices import device_name
from .current_code import baseline_code
from .environment import current_environment
from .generator import Generator, ProgressCallback, Trial
from .results import NO_STEPS, Environment, ResultKey

if TYPE_CHECKING:
    from ase import Atoms


TASK_TIME_LIMIT = 3600.0
"""Time limit of a task of a non-learned baseline, processor seconds; a full-length simulation takes minutes."""


class NonLearnedBaseline(Generator):
    """Base class of baselines without a trained model, such as copies of training structures.

    A plug-in sets the class attributes and implements ``dependencies`` and ``generate``; one that computes its
    structures in independent tasks derives from ``TaskBaseline``. The constructor takes the dataset with which the
    structures are compared. Raises AmsbenchError for a dataset without the potential that the baseline needs.
    """

    title: ClassVar[str]
    """One line for ``amsbench methods``."""
    card: ClassVar[MethodCard | None] = None
    sampler: ClassVar[str]
    """Label shown in the sampler column of the leaderboards."""
    version: ClassVar[int] = 1
    """Raise it when the same seed gives other structures; stored results of the old version are then recomputed."""
    needs_potential: ClassVar[bool] = True
    """Whether the structures are made with the potential of the dataset."""

    def __init__(self, dataset: Dataset) -> None:
        if self.needs_potential and dataset.definition.potential is None:
            raise AmsbenchError(
                f"'{self.name}' needs the simulation that made the data, and '{dataset.definition.name}' has none; "
                "it is for datasets that 'amsbench data build' makes"
            )
        self.dataset = dataset
        self.record = {}
        protocol = json.dumps({"name": self.name, **self.dependencies()}, sort_keys=True)
        self.content_hash = hashlib.sha256(protocol.encode()).hexdigest()
        self.code = baseline_code(type(self))

    @abstractmethod
    def dependencies(self) -> dict[str, Any]:
        """Everything that the structures depend on apart from count and seed, as JSON data."""

    def step_counts(self, plan: EvaluationPlan) -> tuple[int, ...]:
        return (NO_STEPS,)

    def sampler_version(self, sampler: str) -> int:
        return self.version

    def step_label(self, steps: int, sampler: str) -> str:
        return self.sampler

    def precision(self) -> ProductType:
        """``float64``, the precision of LAMMPS."""
        return "float64"

    def environment(self, executor: Executor | None) -> Environment:
        return current_environment(device_name("cpu"), 1, "LAMMPS")


class TaskBaseline(NonLearnedBaseline):
    """Base class of baselines that compute their structures in independent tasks, such as simulations.

    A plug-in implements ``dependencies``, ``jobs`` and ``work``. Tasks run on all cores, and those that are finished
    are kept if a run is interrupted. Structures do not depend on targets.
    """

    @abstractmethod
    def jobs(self, count: int, seed: int) -> Sequence[Any]:
        """Tasks that give ``count`` structures in all, in order; each is pickled to a worker process."""

    @staticmethod
    @abstractmethod
    def work(definition: DatasetDefinition, job: Any) -> list[Atoms]:
        """The structures of one task, computed on one core."""

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
        """Structures of the baseline; they depend on count and seed only, so that plans of equal count share them."""
        seconds = 0.0
        done = 0
        count = trial.plan.count
        jobs = {f"{k:08d}": job for k, job in enumerate(self.jobs(count, seed))}
        kept = {name for name in jobs if partial and partial.read(name)}
        missing = (
            (type(self).work, self.dataset.definition, job) for name, job in jobs.items() if name not in kept
        )
        work = map_with_timeout(
            _timed, missing, executor, limit=TASK_TIME_LIMIT, task=f"a task of '{self.name}'"
        )
        for name in jobs:
            if partial and name in kept:
                finished = partial.complete_part(name)
            else:
                result = next(work)
                if isinstance(result, TaskLost):
                    raise AmsbenchError(
                        f"a task of '{self.name}' gave no structures: {result.reason}; run the command "
                        "again, finished tasks are kept"
                    )
                structures, cpu_seconds = result
                finished = FinishedPart([_plain(atoms) for atoms in structures], cpu_seconds, cpu_seconds)
                if partial:
                    partial.write(name, finished)
            seconds += finished.cpu_seconds
            sink(finished.frames)
            done += len(finished.frames)
            progress(done)
        return Generated(frames=[], seconds=seconds, cpu_seconds=seconds, evaluations=0)

    def structures_key(self, key: ResultKey) -> dict[str, Any]:
        """Recipe, code, count and seed: plans of equal count share the structures."""
        return {
            "baseline": self.name,
            "version": self.version,
            "recipe": self.content_hash,
            "code": self.code,
            "count": key.count,
            "seed": key.seed,
        }


def _plain(atoms: Atoms) -> Atoms:
    """Species, positions and cell of a structure alone, which is what partial results hold."""
    from ase import Atoms

    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell.array, pbc=True)


def _timed(
    work: Callable[[DatasetDefinition, Any], list[Atoms]], definition: DatasetDefinition, job: Any
) -> tuple[list[Atoms], float]:
    load_lammps()  # once per process, which is not part of the cost of a structure
    began = processor_seconds()
    return work(definition, job), processor_seconds() - began
