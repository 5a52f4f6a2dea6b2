"""A run: generate, time, measure and store one result per plan, sampler and number of steps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from ..datasets.dataset import Dataset
from ..evaluation.evaluate import (
    METRICS_VERSION,
    Evaluation,
)
from ..generation.generate import FrameConsumer, Generated
from ..interface.evaluation_plan import EvaluationPlan
from ..system.files import check_writable, write_atomically
from ..system.structure_files import frame_writer, read_structures, write_frames
from .generator import Generator, Trial
from .results import STRUCTURES, TABLE, Result, ResultKey, ResultStore, check_file
from .scoring import Scoring

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms


class RunObserver(Protocol):
    """Interface that receives the progress of a run; the command line shows it as progress bars."""

    def trial_started(self, trial: Trial, number: int, total: int, known: bool) -> None:
        """Called when trial ``number`` of ``total`` begins; ``known``: whether its result is already stored."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Called with the number of structures ``done`` of ``total`` in the stage ``generating`` or ``measuring``."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Evaluation of one trained model or non-learned baseline under the evaluation plans of a dataset.

    samplers: names of samplers, each an entry of the table
    metrics: names of metrics in addition to the standard ones
    overlap: whether structures are measured and written while others are generated; None: only if a GPU generates them,
        since on processor cores measurements would increase the reported generation time
    """

    source: Generator
    dataset: Dataset
    plans: tuple[EvaluationPlan, ...]
    samplers: tuple[str, ...]
    store: ResultStore
    metrics: tuple[str, ...] = ()
    seed: int = 0
    overlap: bool | None = None

    @cached_property
    def scoring(self) -> Scoring:
        """The metrics of this run."""
        return Scoring(dataset=self.dataset, metrics=self.metrics, seed=self.seed)

    def trials(self) -> list[Trial]:
        """Trials of this run, one per result, in order of plan and step count.

        Samplers with the same step label at a step count (such as ``restart`` and ``ancestral`` in one step) give equal
        structures; only the first of them has a trial.
        """
        return [
            Trial(plan=plan, sampler=sampler, steps=steps)
            for plan in self.plans
            for steps in self.source.step_counts(plan)
            for sampler in self._samplers_by_label(steps)
        ]

    def merged_samplers(self) -> dict[tuple[str, tuple[str, ...]], tuple[int, ...]]:
        """Step counts at which samplers share a result, by the computed sampler and the samplers without a trial."""
        merged: dict[tuple[str, tuple[str, ...]], set[int]] = {}
        for steps in sorted({steps for plan in self.plans for steps in self.source.step_counts(plan)}):
            for computed, left_out in self._samplers_by_label(steps).items():
                if left_out:
                    merged.setdefault((computed, left_out), set()).add(steps)
        return {samplers: tuple(sorted(counts)) for samplers, counts in merged.items()}

    def _samplers_by_label(self, steps: int) -> dict[str, tuple[str, ...]]:
        """The first sampler of each step label, and the others with the same label."""
        by_label: dict[str, list[str]] = {}
        for sampler in self.samplers:
            by_label.setdefault(self.source.step_label(steps, sampler), []).append(sampler)
        return {first: tuple(others) for first, *others in by_label.values()}

    def key(self, trial: Trial) -> ResultKey:
        plan = trial.plan
        return ResultKey(
            dataset=self.dataset.definition.name,
            dataset_hash=self.dataset.content_hash,
            method=self.source.name,
            checkpoint_hash=self.source.content_hash,
            code=self.source.code,
            sampler=trial.sampler,
            sampler_version=self.source.sampler_version(trial.sampler),
            steps=trial.steps,
            kind=plan.kind,
            plan=plan.name,
            protocol=plan.protocol,
            protocol_version=plan.version,
            metrics_version=METRICS_VERSION,
            count=plan.count,
            targets={name: (float(a), float(b)) for name, (a, b) in plan.targets.items()},
            cube=plan.cube,
            precision=self.source.precision(),
            seed=self.seed,
        )

    def execute(self, executor: Executor | None, watcher: RunObserver) -> Iterator[Result]:
        """Yield every result, computing those that the store lacks; each is stored as soon as it is computed.

        A stored result that lacks requested metrics is completed: only these metrics are measured, on its stored
        structures. All of it is measured again if the code of a metric has changed. Without its structures such a
        result is computed anew.
        """
        check_writable(self.store.folder)
        trials = self.trials()
        with self.source.resuming(self.store.folder / self.dataset.definition.name):
            for number, trial in enumerate(trials, start=1):
                key = self.key(trial)
                result = self.store.find(key)
                watcher.trial_started(trial, number, len(trials), result is not None)
                if result is not None:
                    result = self._with_metrics(result, trial, executor, watcher)
                yield result or self._compute(trial, key, executor, watcher)

    def outdated(self) -> tuple[list[ResultKey], dict[str, int]]:
        """What changed code makes this run compute again.

        Keys of stored results that differ from those of this run in their code alone, and by name of a metric the
        number of results of this run that other code has measured.
        """
        keys = [self.key(trial) for trial in self.trials()]
        stored = [result.key for result in self.store.results()] if self.store.folder.is_dir() else []
        replaced = {
            key.model_copy(update={"code": ""}).digest for key in keys if self.store.find(key) is None
        }
        others = [key for key in stored if key.model_copy(update={"code": ""}).digest in replaced]
        metrics: Counter[str] = Counter()
        for trial, key in zip(self.trials(), keys, strict=True):
            result = self.store.find(key)
            if result is not None:
                metrics.update(self.scoring.changed(result, trial.plan))
        return others, dict(metrics)

    def _measuring(self, watcher: RunObserver, plan: EvaluationPlan) -> Callable[[int], None]:
        return lambda done: watcher.progress("measuring", done, plan.count)

    def _generate(
        self, trial: Trial, executor: Executor | None, watcher: RunObserver, sink: FrameConsumer | None = None
    ) -> Generated:
        def progress(done: int) -> None:
            watcher.progress("generating", done, trial.plan.count)

        return self.source.generate(self.dataset, trial, self.seed, executor, progress, sink)

    def _compute(
        self, trial: Trial, key: ResultKey, executor: Executor | None, watcher: RunObserver
    ) -> Result:
        plan, source = trial.plan, self.source
        path = self.store.path(key, STRUCTURES)

        def generate(sink: FrameConsumer | None = None) -> Generated:
            return self._generate(trial, executor, watcher, sink)

        def measure(frames: Iterable[Atoms]) -> Evaluation:
            return self.scoring.evaluation(frames, plan, executor, self._measuring(watcher, plan))

        began = time.perf_counter()
        if self.overlap if self.overlap is not None else source.on_gpu:
            generated, evaluation = overlapped(generate, measure, path)
        else:
            generated = generate()
            began = time.perf_counter()
            evaluation = measure(generated.frames)
            write_frames(path, generated.frames)
        result = Result(
            key=key,
            step_label=source.step_label(trial.steps, trial.sampler),
            trained_on=source.trained_on,
            conditioned_on=tuple(name for name in plan.targets if name in source.trained_on),
            seconds=generated.seconds,
            evaluations=generated.evaluations,
            measuring_seconds=time.perf_counter() - began,
            measuring_cpu_seconds=float(evaluation.table["measuring_seconds"].sum()),
            structural=evaluation.structural,
            inverse_design=evaluation.inverse_design,
            hits=evaluation.hits,
            descriptors=evaluation.descriptors,
            training_descriptors=self.scoring.reference(plan).descriptors(self.scoring.descriptors()),
            failures=evaluation.failures,
            metric_code=self.scoring.codes(plan),
            files={},
            training=source.record,
            environment=source.environment(),
        )
        return self._store(result, evaluation.table)

    def _store(self, result: Result, table: pd.DataFrame) -> Result:
        # structures and table before the result: if a result exists, all of its files are complete
        write_atomically(self.store.path(result.key, TABLE), lambda file: table.to_parquet(file))
        result = result.model_copy(update={"files": self.store.file_hashes(result.key)})
        self.store.write(result)
        return result

    def _with_metrics(
        self, result: Result, trial: Trial, executor: Executor | None, watcher: RunObserver
    ) -> Result | None:
        """A stored result with all metrics of this run; None if it lacks some and its structures are gone."""
        import pandas as pd

        changed, absent = self.scoring.changed(result, trial.plan), self.scoring.absent(result, trial.plan)
        if not changed and not absent:
            return result
        frames = self._stored_structures(result)
        if frames is None:
            return None
        path = self.store.path(result.key, TABLE)
        context = executor, self._measuring(watcher, trial.plan)
        if changed or not path.is_file():
            return self._store(*self.scoring.measured_again(result, trial.plan, frames, *context))
        check_file(path, result)
        table = pd.read_parquet(path)
        return self._store(*self.scoring.completed(result, trial.plan, frames, table, *context))

    def _stored_structures(self, result: Result) -> list[Atoms] | None:
        path = self.store.path(result.key, STRUCTURES)
        if not path.is_file():
            return None
        check_file(path, result)
        return read_structures(path)


def overlapped(
    made: Callable[[FrameConsumer], Generated], measured: Callable[[Iterable[Atoms]], Evaluation], path: Path
) -> tuple[Generated, Evaluation]:
    """Generated structures and their evaluation, computed at the same time.

    One thread generates, the calling thread measures finished structures, and a third one writes them to ``path``.

    made: generates structures and passes finished ones to its argument
    measured: evaluates the structures of an iterator
    """
    queue: SimpleQueue[list[Atoms] | None] = SimpleQueue()
    stopped = threading.Event()

    def arriving_frames() -> Iterator[Atoms]:
        while (frames := queue.get()) is not None:
            put(frames)
            yield from frames
        generating.result()  # raises the error of the generation, if any

    def sink(frames: list[Atoms]) -> None:
        if stopped.is_set():
            raise RuntimeError("the measurement failed before the generation ended")
        queue.put(frames)

    def generate_all() -> Generated:
        try:
            return made(sink)
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1) as thread, frame_writer(path) as put:
        generating = thread.submit(generate_all)
        try:
            evaluation = measured(arriving_frames())
        except BaseException:
            stopped.set()
            raise
        return generating.result(), evaluation
