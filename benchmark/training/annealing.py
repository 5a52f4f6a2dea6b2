"""The stage that ends a training at a constant rate: a copy of its state goes on at a rate that falls to the end.

The training itself is not touched and may go on, so that any number of checkpoints can be released from it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..interface.method import method_class
from ..interface.task import Task
from .checkpoints import content_hash
from .options import TrainingOptions, TrainingProgress
from .resume_state import RESUME_FILE, read_state
from .stages import EARLIER_STAGES, stages_with
from .train import Start, train_from


@dataclass(frozen=True, kw_only=True)
class ConstantTraining:
    """The last stored state of a training at a constant rate.

    settings: method, task, configuration and options, as JSON data
    """

    folder: Path
    state: dict[str, Any]
    settings: dict[str, Any]

    @property
    def task(self) -> Task:
        return Task.from_json(self.settings["task"])

    def annealing_options(
        self,
        *,
        samples_seen: int | None = None,
        minutes: float | None = None,
        validate_every: int | None = None,
    ) -> TrainingOptions:
        """Options of a stage of this length that ends the training; all others are those of the training."""
        options = TrainingOptions(**self.settings["options"])
        return replace(
            options,
            schedule="decay",
            samples_seen=samples_seen,
            minutes=minutes,
            validate_every=validate_every or options.validate_every,
        )


def constant_training(folder: Path) -> ConstantTraining:
    """The training in a folder; AmsbenchError if there is none, and for one that is not at a constant rate."""
    state = read_state(folder)
    if state is None:
        raise AmsbenchError(
            f"there is no {RESUME_FILE} in {folder}; give the folder of a training with --schedule constant that has "
            "had a validation"
        )
    settings = json.loads(state["settings"])
    schedule = settings["options"].get("schedule", "cosine")
    if schedule != "constant":
        raise AmsbenchError(
            f"the training in {folder} has the schedule '{schedule}', and only one with --schedule constant can be "
            "annealed"
        )
    return ConstantTraining(folder=folder, state=state, settings=settings)


def anneal(
    source: ConstantTraining,
    dataset: Dataset,
    *,
    output: Path,
    options: TrainingOptions,
    device: str = "cpu",
    report: Callable[[TrainingProgress], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Path:
    """Train the last stage of a training at a constant rate, or resume it, and return the path of its best checkpoint.

    The stage continues weights, optimiser, random numbers and the order of the data. Its record has the training, up to
    where it branched off, as the last of its earlier stages.

    options: from ``ConstantTraining.annealing_options``
    dataset: that of the training
    Raises AmsbenchError for other data, if ``output`` is the folder of the training or holds another training.
    """
    if output.resolve() == source.folder.resolve():
        raise AmsbenchError(f"{output} is the folder of the training itself; choose another --output-dir")
    task = source.task
    if dataset.content_hash != task.dataset_hash:
        raise AmsbenchError(
            f"the training in {source.folder} is on other data of '{task.dataset}' than {dataset.path}; give its file "
            "with --data"
        )
    settings = source.settings | {"options": asdict(options)}
    stored = read_state(output)
    if stored is not None:
        # this stage has branched off earlier, perhaps at an earlier state
        settings["init_from"] = json.loads(stored["settings"])["init_from"]
        stages = json.loads(stored["record"])[EARLIER_STAGES]
    else:
        header = {name: settings[name] for name in ("method", "task", "config")}
        settings["init_from"] = content_hash(header, source.state["ema_model"])
        stages = stages_with(
            json.loads(source.state["record"]),
            method=settings["method"],
            dataset=task.dataset,
            content_hash=settings["init_from"],
        )
    method = method_class(settings["method"])(task, settings["config"])
    start = Start(earlier_stages=stages, state=source.state)
    return train_from(start, method, dataset, settings, options, output, device, report, clock)
