"""Building a dataset: independent simulations in a pool of processes, each stored as soon as it is finished.

Finished simulations are stored in ``<output>.parts/``; a build that was killed resumes from them and loses running
simulations only. The packed file is rewritten from time to time, so that it can be used before the build ends.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ..execution.local_pool import local_pool
from ..execution.task_map import completed_tasks
from ..execution.time_limits import TaskLost
from ..system.files import exclusive_lock
from .build_cache import BuildCache
from .definition import DatasetDefinition, Recipe, SimulationFailed
from .storage import decode_structures, encode_structures

BuildProgress = Callable[[str, int, int], None]
"""Called with the stage (``simulate`` or ``label``), the number of simulations that passed it, and their total."""

SIMULATION_ATTEMPTS = 5
"""Failed attempts after which a simulation is abandoned; the next build continues with new seeds."""


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """Contents of the file of a build."""

    path: Path
    content_hash: str
    samples: int
    simulations: int
    simulation_failures: list[str] = field(default_factory=list)
    """One reason per failed attempt; the simulation was repeated with another seed."""
    abandoned: list[int] = field(default_factory=list)
    """Numbers of the simulations that failed at every attempt and are not in the file."""
    labelled: dict[str, int] = field(default_factory=dict)
    """Number of samples with a value, by property."""
    label_failures: dict[str, dict[str, int]] = field(default_factory=dict)
    """Number of samples that could not be measured, by property and reason."""


def build_dataset(
    definition: DatasetDefinition,
    *,
    samples: int,
    output: str | Path,
    recipe: Recipe = "reduced",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    properties: Sequence[str] | None = None,
    refresh: int = 8,
    progress: BuildProgress | None = None,
) -> BuildReport:
    """Simulate and label ``samples`` samples, write them to ``output``, and resume an earlier build of the same file.

    seed: all random numbers follow from (seed, number of the simulation, attempt)
    workers: processes of the local pool, one simulation each
    executor: used instead of the local pool, for example one of a cluster (``execution.dask_pool``)
    properties: properties to measure, by default all; a later build measures missing ones
    refresh: number of finished simulations after which the packed file is rewritten
    A simulation whose process is killed is repeated with the same seed; one that crashes its process whenever it runs
    alone counts as failed. Raises AmsbenchError if the parts beside ``output`` were made with other arguments or by a
    build that is running, if processes are killed again and again, or if no simulation succeeds.
    """
    if samples < 1 or workers < 1:
        raise AmsbenchError(f"a build needs at least one sample and one worker, not {samples} and {workers}")
    path = Path(output)
    names = tuple(
        definition.property_named(name).name
        for name in (properties if properties is not None else [item.name for item in definition.properties])
    )
    parts = BuildCache.open(path, definition, recipe=recipe, seed=seed)
    per_simulation = definition.samples_per_simulation(recipe)
    samples_by_simulation = {
        index: min(per_simulation, samples - index * per_simulation)
        for index in range(math.ceil(samples / per_simulation))
    }
    pool = local_pool(workers) if executor is None else nullcontext(executor)
    with exclusive_lock(parts.folder), pool as running:
        build = _Build(definition, parts, samples_by_simulation, names, progress, refresh, samples)
        build.run(running)
        finished = set(parts.finished(samples_by_simulation))
        lost = set(samples_by_simulation) - finished - build.abandoned
        lost |= {index for index in finished if parts.missing_labels(index, names)}
        if lost:
            raise AmsbenchError(
                f"simulations {sorted(lost)} or their labels were removed from {parts.folder} while the build was "
                "running; run the command again, which computes what is missing"
            )
        return _report(parts, samples, sorted(set(samples_by_simulation) - finished))


class _Build:
    """Schedule of one build; finished simulations are labelled before new ones are started.

    requested: number of samples of each simulation, by its number
    abandoned: numbers of the simulations that failed at every attempt
    """

    def __init__(
        self,
        definition: DatasetDefinition,
        parts: BuildCache,
        requested: dict[int, int],
        names: tuple[str, ...],
        progress: BuildProgress | None,
        refresh: int,
        samples: int,
    ) -> None:
        self._definition, self._parts, self._requested, self._names = definition, parts, requested, names
        self._progress, self._refresh, self._samples = progress, refresh, samples
        finished = parts.finished(requested)
        unlabelled = [index for index in finished if parts.missing_labels(index, self._names)]
        self._done = {"simulate": len(finished), "label": len(finished) - len(unlabelled)}
        self._queue = deque([("label", index) for index in unlabelled])
        self._queue.extend(("simulate", index) for index in requested if index not in set(finished))
        self._crashes: Counter[int] = Counter()
        self.abandoned: set[int] = set()

    def run(self, executor: Executor) -> None:
        since_refresh = 0
        for stage in self._done:
            self._report(stage)
        for _, (stage, index, _), result in completed_tasks(
            _work, self, executor, limit=None, task="a simulation", ahead=0
        ):
            if isinstance(result, TaskLost):
                self._lost(stage, index, result.reason)
            else:
                self._store(stage, index, result)
            since_refresh += stage == "simulate"
            if since_refresh >= self._refresh:
                self._parts.pack(self._samples)
                since_refresh = 0

    def __iter__(self) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
        return self

    def __next__(self) -> tuple[str, int, tuple[Any, ...]]:
        """Stage, number and arguments of the next job; at the end there may be more once another job is finished."""
        if not self._queue:
            raise StopIteration
        stage, index = self._queue.popleft()
        if stage == "label":
            arrays, names = self._parts.arrays(index), self._parts.missing_labels(index, self._names)
            return stage, index, (self._definition, arrays, names)
        first_attempt = len(self._parts.failures(index))
        recipe, seed = self._parts.recipe, self._parts.seed
        return stage, index, (self._definition, recipe, seed, index, self._requested[index], first_attempt)

    def _lost(self, stage: str, index: int, reason: str) -> None:
        """Store that a job crashes its process whenever it runs alone."""
        if stage == "label":
            names = self._parts.missing_labels(index, self._names)
            lost: dict[str, Any] = {"values": {}, "failures": dict.fromkeys(names, reason)}
            self._store(stage, index, [lost] * len(self._parts.labels(index)))
            return
        self._parts.store_failures(index, [reason])
        self._crashes[index] += 1
        if self._crashes[index] < SIMULATION_ATTEMPTS:
            self._queue.appendleft((stage, index))
        else:
            self.abandoned.add(index)

    def _store(self, stage: str, index: int, result: Any) -> None:
        if stage == "label":
            self._parts.store_labels(index, result)
        else:
            self._parts.store_failures(index, result.failures)
            if result.arrays is None:
                self.abandoned.add(index)
                return
            self._parts.store_simulation(index, result.arrays, self._requested[index], result.seconds)
            if self._parts.missing_labels(index, self._names):
                self._queue.appendleft(("label", index))
            else:
                self._done["label"] += 1
        self._done[stage] += 1
        self._report(stage)

    def _report(self, stage: str) -> None:
        if self._progress is not None and (stage == "simulate" or self._names):
            self._progress(stage, self._done[stage], len(self._requested))


def _work(stage: str, index: int, args: tuple[Any, ...]) -> Any:
    """The result of a job; at module level, so that worker processes can import it."""
    return _label(*args) if stage == "label" else _simulate(*args)


@dataclass(frozen=True)
class _Simulated:
    arrays: dict[str, np.ndarray] | None
    failures: list[str]
    seconds: float


def _simulate(
    definition: DatasetDefinition, recipe: Recipe, seed: int, index: int, samples: int, first_attempt: int
) -> _Simulated:
    failures: list[str] = []
    for attempt in range(first_attempt, first_attempt + SIMULATION_ATTEMPTS):
        start = time.perf_counter()
        try:
            seed_of_attempt = simulation_seed(seed, index, attempt)
            structures = definition.definition_for(index).simulate(recipe, seed_of_attempt, samples)
        except SimulationFailed as failure:
            failures.append(str(failure))
            continue
        arrays = encode_structures(structures, definition.elements)
        return _Simulated(arrays, failures, time.perf_counter() - start)
    return _Simulated(None, failures, 0.0)


def _label(
    definition: DatasetDefinition, arrays: dict[str, np.ndarray], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    measured = [definition.measure(atoms, names) for atoms in decode_structures(arrays, definition.elements)]
    return [{"values": item.values, "failures": item.failures} for item in measured]


def simulation_seed(seed: int, index: int, attempt: int) -> int:
    """Seed of one attempt at one simulation, within LAMMPS' range from 1 to 900,000,000."""
    return int(np.random.SeedSequence((seed, index, attempt)).generate_state(1)[0]) % 900_000_000 + 1


def _report(parts: BuildCache, samples: int, abandoned: list[int]) -> BuildReport:
    packed = parts.pack(samples)
    provenance = packed.provenance
    return BuildReport(
        path=parts.output,
        content_hash=packed.content_hash,
        samples=provenance["samples"],
        simulations=provenance["simulations"],
        simulation_failures=provenance["simulation_failures"],
        abandoned=abandoned,
        labelled=provenance["labelled"],
        label_failures=provenance["label_failures"],
    )
