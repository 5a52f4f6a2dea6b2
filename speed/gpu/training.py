"""One planned training, in a process of its own: until its end, or until the time of this call runs out."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...benchmark.datasets.dataset import Dataset, task_of
from ...benchmark.datasets.storage import load_dataset
from ...benchmark.interface.method import method_class
from ...benchmark.system.files import write_text
from ...benchmark.training.checkpoints import load_checkpoint
from ...benchmark.training.options import TrainingOptions, TrainingProgress
from ...benchmark.training.train import train_method
from ...errors import AmsbenchError
from .plan import CHECK_EVERY, PlannedTraining

SPECIFICATION, OUTCOME = "training.json", "outcome.json"
"""Files in the folder of a training: what to do, and what has come of it so far."""

END_SECONDS = 15
"""Time between the planned end of a training and that of the call, for the last validation and its files."""


class _TimeIsUp(Exception):
    """Raised at the last validation that ends before the time of the call."""


def train_planned(folder: Path) -> None:
    """Do the training in ``folder / SPECIFICATION`` and write ``OUTCOME`` after every validation.

    The specification has the planned training, the device, the end of the call (seconds since the epoch) and the number
    of structures between validations. A failure is written to the outcome, too.
    """
    specification = json.loads((folder / SPECIFICATION).read_text(encoding="utf-8"))
    outcome = _Outcome(folder)
    try:
        properties = specification["training"]["properties"]
        planned = PlannedTraining(
            **{**specification["training"], "properties": properties and tuple(properties)}
        )
        _train(planned, specification, folder, outcome)
        outcome.write(state="finished")
    except _TimeIsUp:
        outcome.write(state="stopped, can be continued")
    except AmsbenchError as error:
        outcome.write(state="failed", error=str(error))
        raise
    except Exception:
        outcome.write(state="failed", error=traceback.format_exc(limit=-3))
        raise


class _Outcome:
    """What has come of a training so far, kept in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / OUTCOME
        self.values: dict[str, Any] = {"state": "starting", "validations": []}

    def write(self, **values: Any) -> None:
        self.values |= values
        write_text(self.path, json.dumps(self.values, indent=1) + "\n")


def _train(
    planned: PlannedTraining, specification: Mapping[str, Any], folder: Path, outcome: _Outcome
) -> None:
    dataset = load_dataset(planned.dataset)
    preset, properties, config = _network_of(planned, dataset)
    if planned.resume is not None:
        shutil.copyfile(planned.resume, folder / "resume.pt")
    left = specification["end"] - time.time() - END_SECONDS
    if left <= 0:
        raise AmsbenchError("no time is left for the training; give more --minutes")
    options = TrainingOptions(
        minutes=planned.minutes or max(0.01, round(left / 60, 2)),
        batch_size=planned.batch_size,
        learning_rate=planned.learning_rate,
        ema_decay=planned.ema_decay,
        check_every=CHECK_EVERY,
        validate_every=specification["validate_every"],
        validation_samples=planned.validation_samples,
        seed=planned.seed,
    )
    began, last = time.time(), time.time()
    first_step: int | None = None

    def report(progress: TrainingProgress) -> None:
        nonlocal last, first_step
        first_step = progress.step - 1 if first_step is None else first_step
        if progress.validation is None:
            return
        now = time.time()
        samples = (progress.step - first_step) * options.batch_size
        outcome.values["validations"].append([round(progress.seconds, 1), progress.validation])
        outcome.write(
            state="running",
            options=asdict(options),
            fraction=progress.fraction,
            samples_seen=progress.step * options.batch_size,
            samples_per_second=round(samples / (now - began), 2),
            losses=progress.losses,
        )
        print(f"{now - began:7.1f} s  {samples:9d} structures  {progress.losses}  {progress.validation:.6g}")
        # a training without ``minutes`` ends in time by its own clock; of a longer one the state is stored after a
        # validation alone, and a later one would come too late
        late = now + (now - last) + END_SECONDS > specification["end"]
        if planned.minutes is not None and progress.fraction < 1 and late:
            raise _TimeIsUp
        last = now

    train_method(
        planned.method,
        dataset,
        output=folder,
        options=options,
        properties=properties,
        network=preset,
        config=config,
        init_from=planned.checkpoint,
        device=specification["device"],
        report=report,
    )


def _network_of(
    planned: PlannedTraining, dataset: Dataset
) -> tuple[str | None, tuple[str, ...], dict[str, Any]]:
    """Preset, properties and changes to the configuration, by default those of the checkpoint to start from."""
    chosen = method_class(planned.method)
    if planned.checkpoint is None:
        properties = planned.properties
        if properties is None:
            properties = dataset.definition.design_properties
        return planned.preset, properties, planned.set
    source = load_checkpoint(planned.checkpoint).method
    properties = source.task.properties if planned.properties is None else planned.properties
    task = task_of(dataset, properties)
    presets = chosen.networks if planned.preset is None else (planned.preset,)
    for name in presets:
        default = chosen.default_config(name, task) if name in chosen.networks else {}
        network = default.get("network", {})
        # a checkpoint from before a setting has no entry for its default
        same = bool(network) and network == {**network, **source.config.get("network", {})}
        if planned.preset is not None or same:
            return name, properties, {**_shared(source.config, default), **planned.set}
    raise AmsbenchError(
        f"the network of {planned.checkpoint} is that of no preset of '{planned.method}'; give a preset: "
        f"{', '.join(chosen.networks)}"
    )


def _shared(config: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a checkpoint that the new training has, too, without the network; tables entry by entry."""
    return {
        name: {key: item for key, item in value.items() if key in default[name]}
        if isinstance(value, dict)
        else value
        for name, value in config.items()
        if name in default and name != "network"
    }
