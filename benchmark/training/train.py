"""Training of a method on a dataset, from names and options to the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import AmsbenchError
from ..datasets.boltzmann import check_boltzmann
from ..datasets.dataset import Dataset, task_of
from ..distributed.processes import Job, train_side_by_side
from ..generation.cells import cell_heights
from ..interface.method import Method, method_class
from ..interface.settings import with_changes
from ..system.devices import pick_devices
from ..system.files import check_writable, exclusive_lock
from .checkpoints import Checkpoint, load_checkpoint
from .loss_window import NotFinite
from .options import TrainingOptions, TrainingProgress
from .stages import stages_with
from .trainer import Trainer

__all__ = ["NotFinite", "TrainingOptions", "TrainingProgress", "train_method", "with_changes"]


def train_method(
    method_name: str,
    dataset: Dataset,
    *,
    output: Path,
    options: TrainingOptions,
    properties: tuple[str, ...] = (),
    network: str | None = None,
    config: dict[str, Any] | None = None,
    init_from: Path | None = None,
    device: str = "cpu",
    report: Callable[[TrainingProgress], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Path:
    """Train a method, or resume the training in ``output``, and return the path of the best checkpoint.

    Writes to ``output``: ``log.csv``, ``resume.pt`` (the whole state, so that a stopped training resumes with the same
    losses), ``last.safetensors`` and ``best.safetensors`` (the moving average at the lowest validation loss).

    properties: properties that the method is conditioned on
    network: a network preset of the method, by default its first
    config: changes to the method's default configuration; nested tables, such as ``network``, are changed entry by
        entry
    init_from: checkpoint whose weights to start from, of any method with the same network or of one that
        ``Method.start_from`` accepts
    device: auto, cpu, cuda, or one or several GPUs such as cuda:0,cuda:1, which share every batch
    clock: wall-clock time in seconds, for trainings that end after ``options.minutes``
    Raises AmsbenchError if ``output`` holds a training with other settings or one that is running, if a cell of the
    dataset is thinner than the network's cutoff, if a loss is not finite, and if a finished training has lost its
    checkpoint.
    """
    if options.schedule == "decay":
        raise AmsbenchError(
            "the schedule 'decay' is that of the stage after a constant rate, which 'amsbench anneal FOLDER' trains; "
            "give cosine or constant"
        )
    pick_devices(device)
    torch.manual_seed(options.seed)
    chosen = method_class(method_name)
    task = task_of(dataset, properties)
    if (reason := chosen.supports(task)) is not None:
        raise AmsbenchError(f"method '{method_name}' cannot be trained on '{task.dataset}': {reason}")
    preset = network or chosen.networks[0]
    if preset not in chosen.networks:
        raise AmsbenchError(
            f"method '{method_name}' has no network '{preset}'; it has: {', '.join(chosen.networks)}"
        )
    settings = chosen.default_config(preset, task)
    settings = with_changes(settings, config or {}, f"method '{method_name}'")
    method = chosen(task, settings)
    _check_cells(dataset, method.cutoff)
    if method.reads_scores:
        check_boltzmann(dataset)
    origin = None if init_from is None else _start_from(method, init_from)
    settings_of_training = {
        "method": method_name,
        "task": task.to_json(),
        "config": settings,
        "options": asdict(options),
        "init_from": origin and origin.content_hash,
    }
    start = Start(earlier_stages=_stages_behind(origin))
    return train_from(start, method, dataset, settings_of_training, options, output, device, report, clock)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a training begins with, beside the weights of its method.

    earlier_stages: stages of training behind these weights, oldest first
    state: state of a training that is continued in another folder
    """

    earlier_stages: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] | None = None


def train_from(
    start: Start,
    method: Method,
    dataset: Dataset,
    settings: dict[str, Any],
    options: TrainingOptions,
    output: Path,
    device: str,
    report: Callable[[TrainingProgress], None] | None,
    clock: Callable[[], float],
) -> Path:
    """Train from ``start``, or resume the training in ``output``, and return the path of the best checkpoint."""
    from lightning.fabric import Fabric

    devices = [torch.device(name) for name in pick_devices(device)]
    check_writable(output)
    with exclusive_lock(output):
        if len(devices) > 1:
            job = Job(
                method=method,
                dataset=dataset,
                settings=settings,
                options=options,
                output=output,
                earlier_stages=start.earlier_stages,
                state=start.state,
                threads=max(1, torch.get_num_threads() // len(devices)),
            )
            train_side_by_side(job, devices, report)
        else:
            on_gpu = devices[0].type == "cuda"
            fabric = Fabric(
                accelerator="gpu" if on_gpu else "cpu", devices=[devices[0].index or 0] if on_gpu else 1
            )
            trainer = Trainer(fabric, method, dataset, output, options, report, clock, start.earlier_stages)
            if not trainer.resume(settings) and start.state is not None:
                trainer.branch(start.state)
            trainer.run()
    best = output / "best.safetensors"
    if not best.is_file():
        raise AmsbenchError(
            f"the training in {output} has ended, but its checkpoint {best} is missing; restore it, or delete the "
            "folder to train again"
        )
    return best


def _check_cells(dataset: Dataset, cutoff: float) -> None:
    """Raise AmsbenchError for a cell thinner than the network's cutoff, in which nothing could be generated."""
    heights = cell_heights(torch.as_tensor(dataset.cells))
    thinnest = int(heights.argmin())
    if float(heights[thinnest]) < cutoff:
        raise AmsbenchError(
            f"the cell of sample {thinnest} of {dataset.path} has a height of {float(heights[thinnest]):.2f} A, below "
            f"the network's cutoff of {cutoff:g} A; leave it out or choose a network with a shorter cutoff"
        )


def _start_from(method: Method, path: Path) -> Checkpoint:
    """Copy the weights of the checkpoint at ``path`` into the method and return the checkpoint."""
    checkpoint = load_checkpoint(path)
    source = checkpoint.method
    try:
        method.start_from(source)
    except RuntimeError as error:
        raise AmsbenchError(
            f"the network in {path} ({source.name} on '{source.task.dataset}') does not fit the one to train; "
            "choose a checkpoint with the same network, elements and properties"
        ) from error
    return checkpoint


def _stages_behind(origin: Checkpoint | None) -> list[dict[str, Any]]:
    """The stages of training behind the checkpoint that a training starts from; none from random weights."""
    if origin is None:
        return []
    trained = origin.method
    return stages_with(
        origin.record,
        method=trained.name,
        dataset=trained.task.dataset,
        content_hash=origin.content_hash,
    )
