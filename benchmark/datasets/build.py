"""Building a dataset: independent simulations in a pool, each stored as soon as it is finished.

Finished simulations lie in ``<output>.parts/``; a build that was killed goes on from there and loses only
what was running. The packed file is refreshed while the build goes on, so it can be used before the end.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ..system.files import exclusive_lock
from ..system.worker_pool import local_pool
from .build_cache import BuildCache
from .definition import DatasetDefinition, Recipe, SimulationFailed
from .storage import decode_structures, encode_structures

BuildProgress = Callable[[str, int, int], None]
"""Called with the stage (``simulate`` or ``label``), how many simulations passed it, and how many in all."""

SIMULATION_ATTEMPTS = 5
"""A simulation that fails this often in one build is given up; the next build goes on with new seeds."""


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build has put into its file."""

    path: Path
    content_hash: str
    samples: int
    simulations: int
    simulation_failures: list[str] = field(default_factory=list)
    """One reason per failed attempt; the simulation was repeated with another seed."""
    abandoned: list[int] = field(default_factory=list)
    """Simulations that failed at every attempt and are not in the file."""
    labelled: dict[str, int] = field(default_factory=dict)
    """Samples that have a value, per property."""
    label_failures: dict[str, dict[str, int]] = field(default_factory=dict)
    """Samples that could not be measured, per property and reason."""


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
    """Simulate, label and pack ``samples`` samples into ``output``, going on where an earlier build stopped.

    seed: everything random follows from (seed, number of the simulation, attempt)
    workers: processes of the local pool, one simulation each
    executor: used instead of a local pool, for example a cluster's
    properties: what to measure on the samples, all by default; a later build measures what is missing
    refresh: the packed file is rewritten after so many finished simulations
    Raises AmsbenchError when the parts beside ``output`` were made with other arguments or another build of them is
    running, when a worker dies, or when no simulation succeeds.
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
    wanted = {
        index: min(per_simulation, samples - index * per_simulation)
        for index in range(math.ceil(samples / per_simulation))
    }
    pool = local_pool(workers) if executor is None else nullcontext(executor)
    with exclusive_lock(parts.folder), pool as running:
        _Build(definition, parts, wanted, names, progress, refresh, samples).run(running, workers)
    return _report(parts, samples, sorted(set(wanted) - set(parts.finished(wanted))))


class _Build:
    """The schedule of one build: labels of finished simulations go before new simulations."""

    def __init__(
        self,
        definition: DatasetDefinition,
        parts: BuildCache,
        wanted: dict[int, int],
        names: tuple[str, ...],
        progress: BuildProgress | None,
        refresh: int,
        samples: int,
    ) -> None:
        self._definition, self._parts, self._wanted, self._names = definition, parts, wanted, names
        self._progress, self._refresh, self._samples = progress, refresh, samples
        finished = parts.finished(wanted)
        unlabelled = [index for index in finished if parts.missing_labels(index, self._names)]
        self._done = {"simulate": len(finished), "label": len(finished) - len(unlabelled)}
        self._queue = deque([("label", index) for index in unlabelled])
        self._queue.extend(("simulate", index) for index in wanted if index not in set(finished))

    def run(self, executor: Executor, workers: int) -> None:
        running: dict[Future[Any], tuple[str, int]] = {}
        since_refresh = 0
        for stage in self._done:
            self._tell(stage)
        while self._queue or running:
            while self._queue and len(running) < workers:
                task = self._queue.popleft()
                running[self._submit(executor, *task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, index = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    raise AmsbenchError(
                        f"a worker process died during '{stage}' of simulation {index} (out of memory?); "
                        "finished simulations are kept, start the build again"
                    ) from error
                self._store(stage, index, result)
                since_refresh += stage == "simulate"
            if since_refresh >= self._refresh:
                self._parts.pack(self._samples)
                since_refresh = 0

    def _submit(self, executor: Executor, stage: str, index: int) -> Future[Any]:
        if stage == "label":
            arrays = self._parts.arrays(index)
            names = self._parts.missing_labels(index, self._names)
            return executor.submit(_label, self._definition, arrays, names)
        first_attempt = len(self._parts.failures(index))
        return executor.submit(
            _simulate,
            self._definition,
            self._parts.recipe,
            self._parts.seed,
            index,
            self._wanted[index],
            first_attempt,
        )

    def _store(self, stage: str, index: int, result: Any) -> None:
        if stage == "label":
            self._parts.store_labels(index, result)
        else:
            self._parts.store_failures(index, result.failures)
            if result.arrays is None:
                return
            self._parts.store_simulation(index, result.arrays, self._wanted[index], result.seconds)
            if self._parts.missing_labels(index, self._names):
                self._queue.appendleft(("label", index))
            else:
                self._done["label"] += 1
        self._done[stage] += 1
        self._tell(stage)

    def _tell(self, stage: str) -> None:
        if self._progress is not None and (stage == "simulate" or self._names):
            self._progress(stage, self._done[stage], len(self._wanted))


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
    """The seed of one attempt at one simulation, in the range that LAMMPS takes (1 to 900,000,000)."""
    return int(np.random.SeedSequence((seed, index, attempt)).generate_state(1)[0]) % 900_000_000 + 1


def _report(parts: BuildCache, samples: int, abandoned: list[int]) -> BuildReport:
    packed = parts.pack(samples)
    facts = packed.provenance
    return BuildReport(
        path=parts.output,
        content_hash=packed.content_hash,
        samples=facts["samples"],
        simulations=facts["simulations"],
        simulation_failures=facts["simulation_failures"],
        abandoned=abandoned,
        labelled=facts["labelled"],
        label_failures=facts["label_failures"],
    )
