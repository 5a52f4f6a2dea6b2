"""Training steps measured one by one: time, memory, kernels launched, and where the host waits for the GPU."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ...benchmark.datasets.dataset import task_of
from ...benchmark.datasets.storage import load_dataset
from ...benchmark.interface.method import method_class
from ...benchmark.interface.settings import with_changes
from ...benchmark.system.devices import synchronise
from ...benchmark.system.environment import environment_variables
from ...benchmark.training.options import TrainingOptions
from ...benchmark.training.trainer import Trainer
from .plan import CHECK_EVERY

WATCHED_STEPS = 2
"""Steps in which waits and launches are counted; counting them slows a step down."""
MOST_PLACES = 12
"""Most lines of code with waits in a report."""


def measure_steps(
    method_name: str,
    dataset_name: str,
    *,
    batch: int,
    steps: int,
    preset: str,
    changes: Mapping[str, Any],
    environment: Mapping[str, str | None],
    device: torch.device,
    end: float,
) -> dict[str, Any]:
    """Speed of the training steps of a method with all parts of its loss, on one path.

    changes: to the method's configuration
    environment: variables that select the path
    end: time (seconds since the epoch) after which no further step begins
    Returns steps, samples_per_second, first_seconds (the first step, with compilation), peak_memory (bytes), and on a
    GPU waits_per_step, wait_places and launches_per_step; or error, where the memory was too small.
    """
    from lightning.fabric import Fabric

    dataset = load_dataset(dataset_name)
    task = task_of(dataset, dataset.definition.design_properties)
    chosen = method_class(method_name)
    torch.manual_seed(0)
    config = with_changes(chosen.default_config(preset, task), changes, f"method '{method_name}'")
    fabric = Fabric(accelerator="gpu" if device.type == "cuda" else "cpu", devices=1)
    options = TrainingOptions(
        samples_seen=10**9, batch_size=batch, learning_rate=1e-9, check_every=CHECK_EVERY
    )
    with environment_variables(environment), tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(fabric, chosen(task, config), dataset, Path(folder), options, None)
        trainer.step = options.steps // 2  # when the loss has all of its parts
        batches, numbers = trainer.batches(), itertools.count(trainer.step)

        def step() -> None:
            trainer.update(next(batches))
            trainer.step = next(numbers)

        try:
            return _measured(step, batch, steps, device, end)
        except torch.cuda.OutOfMemoryError:
            return {"error": "too little memory on the GPU"}


def _measured(
    step: Callable[[], None], batch: int, steps: int, device: torch.device, end: float
) -> dict[str, Any]:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)

    def run(count: int) -> tuple[int, float]:
        began, done = time.perf_counter(), 0
        while done < count and (done == 0 or time.time() < end):
            step()
            done += 1
        synchronise(device)
        return done, time.perf_counter() - began

    _, first = run(1)
    run(min(2, steps))
    done, seconds = run(steps)
    result: dict[str, Any] = {
        "steps": done,
        "samples_per_second": round(done * batch / seconds, 2),
        "first_seconds": round(first, 3),
    }
    if device.type == "cuda":
        result["peak_memory"] = torch.cuda.max_memory_allocated(device)
        result |= waits(step) | launches(step)
    return result


def waits(step: Callable[[], None]) -> dict[str, Any]:
    """How often the host waits for the GPU in a step, and the lines of code where it does, the most frequent first."""
    places: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(WATCHED_STEPS):
                step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for item in caught:
        if "synchroniz" in str(item.message):
            places[f"{os.sep.join(Path(item.filename).parts[-3:])}:{item.lineno}"] += 1
    return {
        "waits_per_step": sum(places.values()) / WATCHED_STEPS,
        "wait_places": {place: n / WATCHED_STEPS for place, n in places.most_common(MOST_PLACES)},
    }


def launches(step: Callable[[], None]) -> dict[str, Any]:
    """Kernels that are launched in a step; nothing where the profiler does not work."""
    from torch.profiler import ProfilerActivity, profile

    try:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            for _ in range(WATCHED_STEPS):
                step()
        events = profiler.key_averages()
    except RuntimeError as problem:
        return {"launches_per_step": None, "profiler": str(problem).splitlines()[0]}
    count = sum(event.count for event in events if "LaunchKernel" in event.key)
    return {"launches_per_step": count / WATCHED_STEPS}
