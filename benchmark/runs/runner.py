"""A run: generate, time, measure and store one result per plan, sampler and number of steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from ...metrics.metric import CurveMetric
from ..datasets.dataset import Dataset
from ..evaluation.descriptor_means import STANDARD_DESCRIPTORS, structure_metrics
from ..evaluation.evaluate import (
    METRICS_VERSION,
    STANDARD_CURVES,
    Evaluation,
    applicable_curves,
    evaluate_structures,
    metrics_by_kind,
)
from ..evaluation.reference import Reference, reference_split
from ..generation.generate import FrameConsumer, Generated
from ..interface.evaluation_plan import EvaluationPlan
from ..registry import load_metric
from ..system.files import check_writable, write_atomically
from ..system.structure_files import frame_writer, read_structures, write_frames
from .generator import Generator, Trial
from .results import Result, ResultKey, ResultStore

if TYPE_CHECKING:
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
    _references: dict[str, Reference] = field(default_factory=dict)

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
        structures, or on regenerated ones, which are identical, if their file is missing.
        """
        check_writable(self.store.folder)
        trials = self.trials()
        with self.source.resuming(self.store.folder / self.dataset.definition.name):
            for number, trial in enumerate(trials, start=1):
                key = self.key(trial)
                result = self.store.find(key)
                watcher.trial_started(trial, number, len(trials), result is not None)
                if result is None:
                    result = self._compute(trial, key, executor, watcher)
                elif missing := self._missing_metrics(result, trial.plan):
                    result = self._completed(result, trial, missing, executor, watcher)
                yield result

    def _reference(self, plan: EvaluationPlan) -> Reference:
        return self._references.setdefault(
            plan.protocol, Reference(self.dataset, split=reference_split(plan.protocol))
        )

    def _curves(self, plan: EvaluationPlan) -> tuple[str, ...]:
        """Names of the metrics of mean curves: requested ones, and in structural plans the standard ones."""
        standard = STANDARD_CURVES if plan.kind == "structural" else ()
        names = [*standard, *metrics_by_kind(self.metrics)[0]]
        return tuple(metric.name for metric in applicable_curves(names, self.dataset.definition))

    def _generate(
        self, trial: Trial, executor: Executor | None, watcher: RunObserver, sink: FrameConsumer | None = None
    ) -> Generated:
        def progress(done: int) -> None:
            watcher.progress("generating", done, trial.plan.count)

        return self.source.generate(self.dataset, trial, self.seed, executor, progress, sink)

    def _compute(
        self, trial: Trial, key: ResultKey, executor: Executor | None, watcher: RunObserver
    ) -> Result:
        plan, source, reference = trial.plan, self.source, self._reference(trial.plan)
        targets = plan.target_values()
        descriptors = metrics_by_kind(self.metrics)[1]
        path = self.store.path(key, ".extxyz")

        def generate(sink: FrameConsumer | None = None) -> Generated:
            return self._generate(trial, executor, watcher, sink)

        def measure(frames: Iterable[Atoms]) -> Evaluation:
            return evaluate_structures(
                frames,
                reference,
                targets=targets,
                curves=self._curves(plan),
                descriptors=descriptors,
                executor=executor,
                progress=lambda done: watcher.progress("measuring", done, plan.count),
                seed=self.seed,
            )

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
            conditioned_on=tuple(name for name in targets if name in source.trained_on),
            seconds=generated.seconds,
            evaluations=generated.evaluations,
            measuring_seconds=time.perf_counter() - began,
            structural=evaluation.structural,
            inverse_design=evaluation.inverse_design,
            descriptors=evaluation.descriptors,
            training_descriptors=reference.descriptors((*STANDARD_DESCRIPTORS, *descriptors)),
            failures=evaluation.failures,
            training=source.record,
            environment=source.environment(),
        )
        # structures and table before the result: if a result exists, all of its files are complete
        write_atomically(self.store.path(key, ".parquet"), lambda file: evaluation.table.to_parquet(file))
        self.store.write(result)
        return result

    def _missing_metrics(self, result: Result, plan: EvaluationPlan) -> tuple[str, ...]:
        """Requested metrics of which a stored result has no values, or values of another version."""
        scores = result.structural.curves if result.structural else {}
        curves = [
            name
            for name in self._curves(plan)
            if name not in scores or scores[name].version != load_metric(name, CurveMetric).version
        ]
        quantities = {
            metric.name: metric.quantities(self.dataset.definition)
            for metric in structure_metrics(metrics_by_kind(self.metrics)[1])
        }
        absent = [
            name for name, items in quantities.items() if any(q.name not in result.descriptors for q in items)
        ]
        return (*curves, *absent)

    def _completed(
        self,
        result: Result,
        trial: Trial,
        metrics: tuple[str, ...],
        executor: Executor | None,
        watcher: RunObserver,
    ) -> Result:
        import pandas as pd

        path = self.store.path(result.key, ".extxyz")
        frames = read_structures(path) if path.is_file() else self._generate(trial, executor, watcher).frames
        curves, descriptors = metrics_by_kind(metrics)
        reference = self._reference(trial.plan)
        evaluation = evaluate_structures(
            frames,
            reference,
            curves=curves,
            descriptors=descriptors,
            executor=executor,
            progress=lambda done: watcher.progress("measuring", done, trial.plan.count),
            seed=self.seed,
        )
        structural = result.structural
        if evaluation.structural is not None:
            stored_curves = structural.curves if structural else {}
            structural = evaluation.structural.model_copy(
                update={"curves": {**stored_curves, **evaluation.structural.curves}}
            )
        result = result.model_copy(
            update={
                "structural": structural,
                "descriptors": evaluation.descriptors | result.descriptors,
                "training_descriptors": reference.descriptors((*STANDARD_DESCRIPTORS, *descriptors))
                | result.training_descriptors,
            }
        )
        table = self.store.path(result.key, ".parquet")
        if table.is_file():
            rows = pd.read_parquet(table)
            added = evaluation.table[[name for name in evaluation.table if name not in rows]]
            write_atomically(table, lambda file: rows.join(added).to_parquet(file))
        self.store.write(result)
        return result


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
