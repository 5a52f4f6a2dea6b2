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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..execution.local_pool import end_with_parent
from ..interface.method import Method
from ..system.environment import environment_variables, silent_logger
from ..training.interruption import SIGNALS
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
    from lightning.fabric.plugins.environments import LightningEnvironment

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
        plugins=LightningEnvironment(),  # also in a job of Slurm, where Lightning expects to be started by srun
    )
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    others = set(multiprocessing.active_children())
    errors: list[BaseException] = []

    def listen() -> None:
        while (message := messages.get()) is not None:
            if isinstance(message, AmsbenchError):
                errors.append(message)
            elif report and not errors:
                try:
                    report(message)
                except BaseException as error:  # it ends the training, as in a training on one device
                    errors.append(error)
                    _stop(others)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    stopped, failure = False, None
    try:
        # torch warns of every process that it ends, and of networks all of whose parts are used
        with (
            silent_logger("torch.multiprocessing.spawn"),
            environment_variables({"TORCH_CPP_LOG_LEVEL": "ERROR", "MASTER_PORT": None}),
        ):
            stopped = fabric.launch(_train, packed, messages)  # type: ignore[arg-type]  # more arguments are passed on
    except KeyboardInterrupt:
        stopped = True
        for process in _stop(others):
            process.join()
    except (ProcessExitedException, ProcessRaisedException) as error:
        failure = error
    messages.put(None)
    listener.join()
    if errors:
        raise errors[0]
    if isinstance(failure, ProcessExitedException):
        raise AmsbenchError(
            f"a process of the training in {job.output} has ended ({failure.signal_name or failure.exit_code}), mostly "
            "because memory was full; the same command goes on from the last stored state"
        ) from failure
    if failure:
        raise failure
    if stopped:
        raise KeyboardInterrupt


def _train(fabric: Any, packed: bytes, messages: Any) -> bool:
    """Train in one of the processes; whether a signal has stopped it, after its state was stored."""
    end_with_parent()
    for number in SIGNALS:
        # Ctrl-C comes from the terminal and from the program; the trainer notes the first, and the second is ignored
        signal.signal(number, signal.SIG_IGN)
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
    except KeyboardInterrupt:
        return True
    except AmsbenchError as error:
        messages.put(error)
        raise
    return False


def _packed(job: Job) -> bytes:
    """The job as bytes: Lightning would look for networks in it and change them."""
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AmsbenchError(
            f"method '{job.method.name}' cannot be sent to other processes ({error}); train it on one device"
        ) from error


def _stop(others: set[BaseProcess]) -> list[BaseProcess]:
    """Ask the processes of the training to store their state and end; the processes.

    others: child processes of this program that have nothing to do with it
    """
    children = [child for child in multiprocessing.active_children() if child not in others]
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, signal.SIGINT)
    return children
