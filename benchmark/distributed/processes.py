"""Trainings on several devices: one process for each, with a part of every batch."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..interface.method import Method
from ..system.environment import environment_variables, silent_logger
from ..training.options import TrainingOptions, TrainingProgress
from ..training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every process of a training needs.

    state: state of a training that is continued in another folder
    threads: threads of each process
    """

    method: Method
    dataset: Dataset
    settings: dict[str, Any]
    options: TrainingOptions
    output: Path
    earlier_stages: list[dict[str, Any]]
    state: dict[str, Any] | None
    threads: int


def train_side_by_side(
    job: Job, devices: Sequence[torch.device], report: Callable[[TrainingProgress], None] | None
) -> None:
    """Train, or resume, on several devices; losses are those of one device, up to rounding, where they are means over
    structures of equal size.

    Raises AmsbenchError of any process, and KeyboardInterrupt after the state is stored.
    """
    from lightning.fabric import Fabric

    from .quiet_strategy import QuietDDP

    if job.options.batch_size % len(devices):
        raise AmsbenchError(
            f"a batch of {job.options.batch_size} structures cannot be shared by {len(devices)} devices; give a "
            f"--batch-size that is a multiple of {len(devices)}"
        )
    packed = _packed(job)
    on_gpu = devices[0].type == "cuda"
    fabric = Fabric(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[device.index or 0 for device in devices] if on_gpu else len(devices),
        strategy=QuietDDP(
            start_method="spawn",
            process_group_backend="nccl" if on_gpu else "gloo",
            # a loss may leave out parts of the network, such as the composition head
            find_unused_parameters=True,
        ),
    )
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    errors: list[AmsbenchError] = []
    stopped = False

    def listen() -> None:
        while (message := messages.get()) is not None:
            if isinstance(message, AmsbenchError):
                errors.append(message)
            elif report:
                report(message)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        # torch warns of every process that it ends, and of networks all of whose parts are used
        with (
            silent_logger("torch.multiprocessing.spawn"),
            environment_variables({"TORCH_CPP_LOG_LEVEL": "ERROR"}),
        ):
            fabric.launch(_train, packed, messages)  # type: ignore[arg-type]  # further arguments are passed on
    except KeyboardInterrupt:
        stopped = True
    except Exception:
        if not errors:
            raise
    finally:
        if stopped:
            _stop_children()
        messages.put(None)
        listener.join()
    if errors:
        raise errors[0]
    if stopped:
        raise KeyboardInterrupt


def _train(fabric: Any, packed: bytes, messages: Any) -> None:
    """Train in one of the processes."""
    job: Job = pickle.loads(packed)
    torch.set_num_threads(job.threads)
    report = messages.put if fabric.global_rank == 0 else None
    try:
        trainer = Trainer(
            fabric,
            job.method,
            job.dataset,
            job.output,
            job.options,
            report,
            earlier_stages=job.earlier_stages,
        )
        if not trainer.resume(job.settings) and job.state is not None:
            trainer.branch(job.state)
        trainer.run()
    except AmsbenchError as error:
        messages.put(error)
        raise


def _packed(job: Job) -> bytes:
    """The job as bytes: Lightning would look for networks in it and change them."""
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AmsbenchError(
            f"method '{job.method.name}' cannot be sent to other processes ({error}); train it on one device"
        ) from error


def _stop_children() -> None:
    """Ask the processes to store their state, and wait until they have."""
    children = multiprocessing.active_children()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, signal.SIGINT)
    for child in children:
        child.join()
