"""Non-learned baselines that copy training structures: what answers without design score, and that copies are seen."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, ClassVar

import numpy as np

from ..benchmark.datasets.dataset import Dataset
from ..benchmark.generation.collecting import FrameConsumer
from ..benchmark.generation.generate import Generated
from ..benchmark.generation.partial_results import PartialResults
from ..benchmark.interface.method_card import MethodCard
from ..benchmark.runs.generator import ProgressCallback, Trial
from ..benchmark.runs.non_learned import NonLearnedBaseline


class TrainingCopies(NonLearnedBaseline):
    """Base class of baselines that answer every request with a training structure, each used once if there are enough.

    The cells are those of the copied structures. Plans without targets get evenly chosen structures.
    """

    needs_potential: ClassVar[bool] = False
    sampler: ClassVar[str] = "copy"

    def dependencies(self) -> dict[str, Any]:
        return {"structures": self.dataset.content_hash}

    @abstractmethod
    def requests(
        self, targets: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Values [s] by property for which the nearest training structures are taken.

        targets [s]: target values; labels [m]: labels of the training structures
        """

    def generate(
        self,
        dataset: Dataset,
        trial: Trial,
        seed: int,
        executor: Executor | None,
        progress: ProgressCallback,
        sink: FrameConsumer | None,
        partial: PartialResults | None = None,
    ) -> Generated:
        """Copies of training structures with the nearest labels."""
        began, cpu_began = time.perf_counter(), time.process_time()
        train = self.dataset.split("train")
        count, targets = trial.plan.count, trial.plan.target_values()
        if targets:
            columns = {
                name: train.properties[:, train.property_names.index(name)].astype(float) for name in targets
            }
            requests = self.requests(targets, columns)
            scales = {name: float(np.nanstd(column)) or 1.0 for name, column in columns.items()}
            rows = nearest_rows(
                np.stack([requests[name] / scales[name] for name in targets], axis=1),
                np.stack([columns[name] / scales[name] for name in targets], axis=1),
            )
        else:
            rows = np.linspace(0, len(train) - 1, count).round().astype(int)
        frames = []
        for k, row in enumerate(rows):
            atoms = train.atoms(int(row))
            # labels would be taken for what was asked of a generator
            atoms.info = {f"target_{name}": float(values[k]) for name, values in targets.items()}
            frames.append(atoms)
        if sink:
            sink(frames)
        progress(len(frames))
        return Generated(
            frames=frames,
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - cpu_began,
            evaluations=0,
        )


class NearestTraining(TrainingCopies):
    """Baseline of copies of the training structures with the nearest labels, which designs nothing."""

    name = "nearest-training"
    title: ClassVar[str] = "copies of the training structures whose labels are nearest to the targets"
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="none; a lookup in the training set",
        declared=(
            "no structure is generated: the errors are those of the labels in the training set",
            "every copy is found by the overlap with training structures, so that there is no hit",
        ),
    )

    def requests(
        self, targets: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        return targets


class TrainingMean(TrainingCopies):
    """Baseline of copies of the training structures whose labels are nearest to the mean, whatever the targets."""

    name = "training-mean"
    title: ClassVar[str] = (
        "copies of the training structures whose labels are nearest to the mean of the training set"
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="none; a constant answer",
        declared=(
            "targets are ignored: the errors are those of always answering the mean of the training set",
            "every copy is found by the overlap with training structures, so that there is no hit",
        ),
    )

    def requests(
        self, targets: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        return {name: np.full(len(values), np.nanmean(labels[name])) for name, values in targets.items()}


def nearest_rows(requests: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each request [s, p] the row of the nearest labels [m, p], each row once until all are used.

    Rows with a missing label (NaN) are not used.
    """
    usable = np.flatnonzero(np.isfinite(labels).all(axis=1))
    free = usable
    rows = []
    for request in requests:
        if not len(free):
            free = usable
        place = int(((labels[free] - request) ** 2).sum(axis=1).argmin())
        rows.append(int(free[place]))
        free = np.delete(free, place)
    return np.array(rows, dtype=np.int64)
