"""Estimated duration of a run, from one timed network evaluation and one timed measurement per plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..evaluation.measurement import MeasurementTask, measure_structure
from ..generation.cells import cells_of
from ..generation.generate import generate_structures

if TYPE_CHECKING:
    from ..interface.method import Method
    from .generator import Trial
    from .runner import Run


def estimate_seconds(run: Run, method: Method, trials: Sequence[Trial], workers: int) -> tuple[float, float]:
    """Estimated seconds of generation and of measurement of the trials, from one structure of each plan.

    workers: structures that are measured at a time
    """
    per_evaluation: dict[str, float] = {}
    per_measurement: dict[str, float] = {}
    definition = run.dataset.definition
    sample = run.dataset.atoms(int(run.dataset.indices("train")[0]))
    for trial in trials:
        name = trial.plan.name
        if name in per_evaluation:
            continue
        cells, counts = cells_of(trial.plan, run.dataset)
        generated = generate_structures(method, cells=cells[:1], counts=counts[:1], steps=1)
        per_evaluation[name] = generated.seconds / generated.evaluations
        began = time.perf_counter()
        properties = tuple(trial.plan.targets)
        task = MeasurementTask(definition=definition, properties=properties, relaxes=bool(properties))
        measure_structure(task, sample)
        # generated structures are larger and rougher than the training sample: they take more relaxation steps
        scale = float(counts[0]) / len(sample)
        per_measurement[name] = (time.perf_counter() - began) * scale / workers
    generation = sum(
        trial.plan.count
        * per_evaluation[trial.plan.name]
        * method.sampler_named(trial.sampler).evaluations(method, trial.steps)
        for trial in trials
    )
    return generation, sum(trial.plan.count * per_measurement[trial.plan.name] for trial in trials)
