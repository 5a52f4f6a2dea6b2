"""A run: generate, time, measure and store one result cell per plan, sampler and step count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from ..datasets.dataset import Dataset
from ..evaluation.evaluate import METRICS_VERSION, Evaluation, evaluate_structures
from ..evaluation.reference import Reference, curve_settings
from ..generation.generate import FrameConsumer, Generated
from ..interface.evaluation_plan import EvaluationPlan
from ..system.files import check_writable, write_atomically
from ..system.structure_files import frame_writer, write_frames
from .generator import Generator, Trial
from .results import Result, ResultKey, ResultStore

if TYPE_CHECKING:
    from ase import Atoms


class RunObserver(Protocol):
    """ProgressCallback how a run goes on; the command line shows it as progress bars."""

    def cell(self, trial: Trial, number: int, total: int, known: bool) -> None:
        """A cell begins, or is there already (``known``)."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Structures generated or measured so far."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained model or a yardstick against a dataset's plans.

    samplers: rows of the table
    overlap: whether structures are measured and written while others are generated; None: where a GPU generates,
        since on processor cores the one would slow down the other and spoil the time that goes into the table
    """

    source: Generator
    dataset: Dataset
    plans: tuple[EvaluationPlan, ...]
    samplers: tuple[str, ...]
    store: ResultStore
    seed: int = 0
    overlap: bool | None = None
    _references: dict[str, Reference] = field(default_factory=dict)

    def trials(self) -> list[Trial]:
        """All results of this run, those with few steps first.

        Samplers with the same step label at a step count (AMShortcut below ten) give the same structures and share one
        result, that of the first of them.
        """
        return [
            Trial(plan=plan, sampler=sampler, steps=steps)
            for plan in self.plans
            for steps in self.source.step_counts(plan)
            for sampler in self._samplers_by_label(steps)
        ]

    def merged_samplers(self) -> dict[tuple[str, tuple[str, ...]], tuple[int, ...]]:
        """Step counts at which samplers share a result, by the computed sampler and those left out for it."""
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
            precision="float32",
            seed=self.seed,
        )

    def execute(self, executor: Executor | None, watcher: RunObserver) -> Iterator[Result]:
        """Yield every cell, computing those that the store does not have; a cell is stored as soon as it is done."""
        check_writable(self.store.folder)
        trials = self.trials()
        with self.source.resuming(self.store.folder / self.dataset.definition.name):
            for number, trial in enumerate(trials, start=1):
                key = self.key(trial)
                cell = self.store.find(key)
                watcher.cell(trial, number, len(trials), cell is not None)
                if cell is None:
                    cell = self._compute(trial, key, executor, watcher)
                yield cell

    def _compute(
        self, trial: Trial, key: ResultKey, executor: Executor | None, watcher: RunObserver
    ) -> Result:
        plan, source = trial.plan, self.source
        targets = plan.target_values()
        path = self.store.path(key, ".extxyz")

        def made(sink: FrameConsumer | None = None) -> Generated:
            def progress(done: int) -> None:
                watcher.progress("generating", done, plan.count)

            return source.generate(self.dataset, trial, self.seed, executor, progress, sink)

        def measured(frames: Iterable[Atoms]) -> Evaluation:
            return evaluate_structures(
                frames,
                reference,
                targets=targets,
                structural=plan.kind == "structural",
                executor=executor,
                progress=lambda done: watcher.progress("measuring", done, plan.count),
                seed=self.seed,
            )

        reference = self._references.setdefault(
            plan.protocol, Reference(self.dataset, protocol=curve_settings(plan.protocol))
        )
        began = time.perf_counter()
        if self.overlap if self.overlap is not None else source.on_gpu:
            generated, found = overlapped(made, measured, path)
        else:
            generated = made()
            began = time.perf_counter()
            found = measured(generated.frames)
            write_frames(path, generated.frames)
        cell = Result(
            key=key,
            mode=source.step_label(trial.steps, trial.sampler),
            trained_on=source.trained_on,
            conditioned_on=tuple(name for name in targets if name in source.trained_on),
            seconds=generated.seconds,
            evaluations=generated.evaluations,
            measuring_seconds=time.perf_counter() - began,
            structural=found.structural,
            inverse_design={name: errors.row() for name, errors in found.inverse_design.items()},
            substance=found.substance,
            training_set=reference.substance,
            failures=found.failures,
            training=source.record,
            environment=source.environment(),
        )
        # the structures and the table first: a cell that is there is a cell that is whole
        write_atomically(self.store.path(key, ".parquet"), lambda file: found.table.to_parquet(file))
        self.store.write(cell)
        return cell


def overlapped(
    made: Callable[[FrameConsumer], Generated], measured: Callable[[Iterable[Atoms]], Evaluation], path: Path
) -> tuple[Generated, Evaluation]:
    """Generation in a thread, measurement of what it has made so far in this one, and the file in a third."""
    queue: SimpleQueue[list[Atoms] | None] = SimpleQueue()
    stopped = threading.Event()

    def arriving() -> Iterator[Atoms]:
        while (frames := queue.get()) is not None:
            put(frames)
            yield from frames
        making.result()  # an error in there is an error here

    def sink(frames: list[Atoms]) -> None:
        if stopped.is_set():
            raise RuntimeError("measuring ended before generating did")
        queue.put(frames)

    def making_all() -> Generated:
        try:
            return made(sink)
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1) as thread, frame_writer(path) as put:
        making = thread.submit(making_all)
        try:
            found = measured(arriving())
        except BaseException:
            stopped.set()
            raise
        return making.result(), found
