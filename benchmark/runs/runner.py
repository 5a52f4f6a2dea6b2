"""A run: generate, time, measure and store one result per plan, sampler and number of steps."""

from __future__ import annotations

import glob
import hashlib
import json
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
from ..generation.collecting import FrameConsumer
from ..generation.generate import Generated
from ..generation.partial_results import PartialResults, kept_until_done, remove_unused
from ..interface.evaluation_plan import EvaluationPlan
from ..system.compact_structures import CompactFrames, on_grid
from ..system.files import check_writable
from ..system.structure_files import frame_writer, write_frames
from .generator import Generator, Trial
from .results import COMPACT, STRUCTURES, TABLE, Environment, Result, ResultKey, ResultStore, check_file
from .scoring import Scoring
from .stored_structures import stored_structures

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
            method=ResultKey.usable(self.source.name),
            checkpoint_hash=self.source.content_hash,
            code=self.source.code,
            sampler=ResultKey.usable(trial.sampler),
            sampler_version=self.source.sampler_version(trial.sampler),
            steps=trial.steps,
            kind=plan.kind,
            plan=ResultKey.usable(plan.name),
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
        keys = [self.key(trial) for trial in trials]
        for number, (trial, key) in enumerate(zip(trials, keys, strict=True), start=1):
            result = self.store.find(key)
            watcher.trial_started(trial, number, len(trials), result is not None)
            if result is not None:
                result = self._with_metrics(result, trial, executor, watcher)
            if result is None:
                # what later results of this run share is removed with the last of them
                later = any(
                    self._partial_stem(other) == self._partial_stem(key) and self.store.find(other) is None
                    for other in keys[number:]
                )
                result = self._compute(trial, key, executor, watcher, keep_parts=later)
            yield result

    def outdated(self) -> tuple[list[ResultKey], dict[str, int]]:
        """What changed code makes this run compute again.

        Keys of stored results that differ from those of this run in their code alone, and by name of a metric the
        number of results of this run that other code has measured.
        """
        others: list[ResultKey] = []
        metrics: Counter[str] = Counter()
        for trial in self.trials():
            key = self.key(trial)
            result = self.store.find(key)
            if result is None:
                others += [
                    other
                    for other in self.store.similar(key)
                    if key == other.model_copy(update={"code": key.code})
                ]
            else:
                metrics.update(self.scoring.changed(result, trial.plan))
        return others, dict(metrics)

    def _progress(self, watcher: RunObserver, stage: str, trial: Trial) -> Callable[[int], None]:
        return lambda done: watcher.progress(stage, done, trial.plan.count)

    def _compute(
        self,
        trial: Trial,
        key: ResultKey,
        executor: Executor | None,
        watcher: RunObserver,
        *,
        keep_parts: bool,
    ) -> Result:
        """Generate, measure and store a result; finished structures are on disk before they are measured."""
        with kept_until_done(self._partial_folder(key, executor), remove=not keep_parts) as partial:
            # of structures that a result which was deleted had
            self.store.path(key, COMPACT).unlink(missing_ok=True)
            partial.record_environment(self.source.environment(executor).model_dump_json())
            generated, evaluation, measuring_seconds = self._generated_and_measured(
                trial, self.store.path(key, STRUCTURES), executor, watcher, partial
            )
            plan, source = trial.plan, self.source
            result = Result(
                key=key,
                step_label=source.step_label(trial.steps, trial.sampler),
                trained_on=source.trained_on,
                conditioned_on=tuple(name for name in plan.targets if name in source.trained_on),
                seconds=generated.seconds,
                cpu_seconds=generated.cpu_seconds,
                evaluations=generated.evaluations,
                measuring_seconds=measuring_seconds,
                measuring_cpu_seconds=evaluation.cpu_seconds,
                structural=evaluation.structural,
                inverse_design=evaluation.inverse_design,
                hits=evaluation.hits,
                descriptors=evaluation.descriptors,
                training_descriptors=self.scoring.reference(plan).descriptors(self.scoring.descriptors()),
                failures=evaluation.failures,
                metric_code=self.scoring.codes(plan),
                files={},
                training=source.record,
                environment=Environment.model_validate_json(partial.environment()),
            )
            result = self._store(result, evaluation.table)
        if not keep_parts:  # also those that were begun with other hardware
            remove_unused(self._partial_folders(key))
        return result

    def _generated_and_measured(
        self,
        trial: Trial,
        path: Path,
        executor: Executor | None,
        watcher: RunObserver,
        partial: PartialResults,
    ) -> tuple[Generated, Evaluation, float]:
        """Structures of a trial, their evaluation and the seconds of the latter; the structures are in ``path``."""

        # thousands of structures at once would not fit into the memory as ASE Atoms
        kept = CompactFrames()

        def generate(sink: FrameConsumer) -> Generated:
            generated = self.source.generate(
                self.dataset,
                trial,
                self.seed,
                executor,
                self._progress(watcher, "generating", trial),
                sink,
                partial,
            )
            partial.record_complete()
            return generated

        def measure(frames: Iterable[Atoms]) -> Evaluation:
            return self.scoring.evaluation(
                frames, trial.plan, executor, self._progress(watcher, "measuring", trial), kept
            )

        began = time.perf_counter()
        if self.overlap if self.overlap is not None else self.source.on_gpu:
            generated, evaluation = overlapped(generate, measure, path)
        else:
            generated = generate(kept.extend)
            write_frames(path, kept)
            began = time.perf_counter()
            evaluation = measure(kept)
        return generated, evaluation, time.perf_counter() - began

    def _partial_stem(self, key: ResultKey) -> str:
        text = json.dumps(self.source.structures_key(key), sort_keys=True)
        return f"{self.source.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def _partial_folders(self, key: ResultKey) -> list[Path]:
        folder = self.store.folder / key.dataset
        return sorted(folder.glob(f"{glob.escape(self._partial_stem(key))}-*.partial"))

    def _partial_folder(self, key: ResultKey, executor: Executor | None) -> Path:
        """The folder for finished structures of a result: one per type of hardware, since their times are added up.

        Structures that are complete are taken from any environment, which is then that of the result.
        """
        digest = hashlib.sha256(self.source.parts_of(executor).encode()).hexdigest()[:8]
        own = self.store.folder / key.dataset / f"{self._partial_stem(key)}-{digest}.partial"
        complete = [path for path in self._partial_folders(key) if PartialResults(path).complete]
        return own if own in complete or not complete else complete[0]

    def _store(self, result: Result, table: pd.DataFrame) -> Result:
        # structures and table before the result: if a result exists, all of its files are complete
        self.store.write_table(result.key, table)
        files = self.store.file_hashes(result.key)
        if files.get(COMPACT) != result.files.get(COMPACT):  # of other structures
            files.pop(COMPACT, None)
        result = result.model_copy(update={"files": files})
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
        frames = stored_structures(self.store, result)
        if frames is None:
            return None
        path = self.store.path(result.key, TABLE)
        context = executor, self._progress(watcher, "measuring", trial)
        if changed or not path.is_file():
            return self._store(*self.scoring.measured_again(result, trial.plan, frames, *context))
        check_file(path, result)
        table = pd.read_parquet(path)
        return self._store(*self.scoring.completed(result, trial.plan, frames, table, *context))


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
        queue.put([on_grid(atoms) for atoms in frames])

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
