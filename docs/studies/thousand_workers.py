"""How long does the protocol `paper` take on 1,000 workers? The table of docs/guides/use_a_cluster.md.

    python docs/studies/thousand_workers.py measure [PART ...]
    python docs/studies/thousand_workers.py table

``measure`` times, on one core of this machine: each released method in the cells of each plan (one structure, STEPS
steps), the measurement of MEASURED such structures of ``amshortcut``, tasks of a Dask cluster that do nothing, and
the loss of a worker. The times are kept in thousand_workers.json beside this file; ``table`` computes from them what
WORKERS workers would take, and writes the page. Run it on an idle machine.
"""

from __future__ import annotations

import math
import signal
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from stored_table import StoredTable, run_study
from tabulate import tabulate

import amsbench
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.measurement import MeasurementTask, measure_structure
from amsbench.benchmark.execution.dask_pool import dask_pool
from amsbench.benchmark.execution.task_map import MOST_TOGETHER, TOGETHER_SECONDS, results_of
from amsbench.benchmark.generation.batches import atoms_per_batch
from amsbench.benchmark.generation.cells import cells_of
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.evaluation_plan import EvaluationPlan

DATASETS = ("asi", "asio2", "meg")
PARTS = ("cluster", *DATASETS)
METHODS = ("cdvae", "mattergen", "graphite", "material-ode", "material-sde", "amshortcut")
STEPS, MEASURED = 5, 4
EMPTY_TASKS = 2_000
WORKERS = 1_000
LONGEST_OVER_MEAN = 3.0
"""Assumed time of the longest measurement of a result, in units of the mean."""
HOURS_BETWEEN_LOSSES = 1_000.0
"""Assumed hours after which a worker is lost on average: one of a thousand every hour."""
SAMPLES = {"asi": (10_000, 4.0 / 60), "asio2": (6_000, 8.0 / 60), "meg": (9_027, None)}
"""Training structures of the paper, and core-hours of a simulation of full length (docs/datasets.md)."""
STORED = StoredTable("thousand_workers", "guides/use_a_cluster.md", "thousand workers")


class Stage(NamedTuple):
    """Equal tasks of one result, s: their number, and the mean and the longest time of one."""

    tasks: int
    mean: float
    longest: float

    def seconds(self, workers: int, overhead: float, loss: float) -> float:
        """Time of the stage on ``workers`` workers.

        The last task begins, at the latest, when the others keep all workers busy, and is the longest one. The program
        hands out a task in ``overhead`` seconds on average. A worker that is lost repeats its task after ``loss``
        seconds, which lengthens the stage by that and one task for each loss.
        """
        busy = self.tasks * self.mean / workers
        end = max(busy, self.tasks * overhead) + self.longest
        losses = end * min(workers, self.tasks) / (HOURS_BETWEEN_LOSSES * 3600)
        return end + losses * (loss + self.longest)


def overhead(longest: float, cluster: dict[str, float]) -> float:
    """Time in which the program hands out a task, s, of as many together as ``task_map`` sends if the longest takes
    ``longest`` s.

    A task alone takes ``alone``; of MOST_TOGETHER, each has that part of it and what it takes itself.
    """
    together = max(1, min(MOST_TOGETHER, int(TOGETHER_SECONDS / longest)))
    own = max(0.0, cluster["together"] - cluster["alone"] / MOST_TOGETHER)
    return own * (together > 1) + cluster["alone"] / together


def paper_plans(dataset: str) -> list[EvaluationPlan]:
    """Plans of the protocol ``paper``."""
    return list(plans_of(load_dataset(dataset).definition, "paper"))


def generation_times(dataset: str) -> dict[str, Any]:
    """Times of one structure and step by method and plan, s, and structures of a batch by plan."""
    data = load_dataset(dataset)
    times: dict[str, Any] = {}
    for name in METHODS:
        method = amsbench.load_method(name, dataset=dataset)
        for plan in paper_plans(dataset):
            cells, counts = cells_of(plan, data)
            targets = {key: values[:1] for key, values in plan.target_values().items()}
            made = generate_structures(
                method, cells=cells[:1], counts=counts[:1], targets=targets, steps=STEPS
            )
            times[f"{name} {plan.name}"] = {
                "seconds_per_step": (made.cpu_seconds or made.seconds) / STEPS,
                "structures_per_batch": max(
                    1, atoms_per_batch(method, "cpu", int(counts.sum())) // int(counts.max())
                ),
            }
            print(dataset, name, plan.name, times[f"{name} {plan.name}"], file=sys.stderr, flush=True)
    return times


def measuring_times(dataset: str) -> dict[str, list[float]]:
    """Times of the measurement of MEASURED structures by plan, s."""
    data = load_dataset(dataset)
    method = amsbench.load_method("amshortcut", dataset=dataset)
    times: dict[str, list[float]] = {}
    for plan in paper_plans(dataset):
        few = plan.changed(count=MEASURED)
        cells, counts = cells_of(few, data)
        made = generate_structures(
            method, cells=cells, counts=counts, targets=few.target_values(), steps=STEPS, seed=1
        )
        names = tuple(plan.targets)
        task = MeasurementTask(definition=data.definition, properties=names, relaxes=bool(names))
        times[plan.name] = []
        measure_structure(task, made.frames[0])  # starts LAMMPS, as a worker does once
        for atoms in made.frames:
            began = time.process_time()
            measure_structure(task, atoms)
            times[plan.name].append(time.process_time() - began)
        print(dataset, plan.name, times[plan.name], file=sys.stderr, flush=True)
    return times


def cluster_times() -> dict[str, float]:
    """Times, s: of a task that does nothing, alone and of MOST_TOGETHER in one; from the loss of a worker to the end of
    the work that it had."""
    with dask_pool(workers=1) as pool:
        list(results_of(int, [(0,)], pool))
        began = time.perf_counter()
        for done in [pool.submit_together(None, "", int, [(k,)]) for k in range(EMPTY_TASKS)]:
            done.result()
        alone = (time.perf_counter() - began) / EMPTY_TASKS
        many = [[(k,) for k in range(MOST_TOGETHER)] for _ in range(EMPTY_TASKS // MOST_TOGETHER)]
        began = time.perf_counter()
        for answers in [pool.submit_together(None, "", int, jobs) for jobs in many]:
            answers.result()
        together = (time.perf_counter() - began) / (len(many) * MOST_TOGETHER)
    with TemporaryDirectory() as folder, dask_pool(workers=1) as pool:
        list(results_of(int, [(0,)], pool))
        # the worker is the parent of the process that does the task; the second attempt finds the file and ends
        lost = Path(folder) / "lost"
        kill = f"(open({str(lost)!r}, 'x'), __import__('os').kill(__import__('os').getppid(), {int(signal.SIGKILL)}))"
        began = time.perf_counter()
        list(results_of(eval, [(f"__import__('os').path.exists({str(lost)!r}) or {kill}",)], pool))
        loss = time.perf_counter() - began
    return {"alone": alone, "together": together, "loss": loss}


def measure(parts: list[str]) -> None:
    """Store the times of all parts, or of those that are named."""
    torch.set_num_threads(1)
    for part in parts or PARTS:
        times: dict[str, Any] = {}
        if part == "cluster":
            times |= cluster_times()
        else:
            times |= {"generation": generation_times(part), "measurement": measuring_times(part)}
        STORED.store({**stored(), part: times})


def stages(dataset: str, found: dict[str, Any]) -> tuple[list[Stage], list[Stage]]:
    """Stages of generation and of measurement of all results of a dataset: six methods, all plans and steps."""
    generations, measurements = [], []
    for key, times in found[dataset]["generation"].items():
        (plan,) = (one for one in paper_plans(dataset) if one.name == key.split()[1])
        mean = statistics.mean(found[dataset]["measurement"][plan.name])
        for steps in plan.steps:
            shard = times["structures_per_batch"] * steps * times["seconds_per_step"]
            generations.append(Stage(math.ceil(plan.count / times["structures_per_batch"]), shard, shard))
            measurements.append(Stage(plan.count, mean, LONGEST_OVER_MEAN * mean))
    return generations, measurements


def table(found: dict[str, Any]) -> str:
    """One row per dataset for its simulations, and one for the results of all methods."""
    if not found:
        return "No time is stored yet."
    cluster = found["cluster"]
    rows = []
    for dataset in DATASETS:
        samples, hours = SAMPLES[dataset]
        if hours is not None:
            built = Stage(samples, hours * 3600, hours * 3600)
            rows.append([f"`{dataset}`, simulations of full length", *_cells([built], cluster)])
        generated, measured = stages(dataset, found)
        rows.append([f"`{dataset}`, {len(generated)} results: generation", *_cells(generated, cluster)])
        rows.append([f"`{dataset}`: measurement", *_cells(measured, cluster)])
    heads = ["work", "tasks", "core-hours", f"hours on {WORKERS:,} workers", "of which workers compute"]
    return str(tabulate(rows, heads, "pipe", disable_numparse=True))


def _cells(work: list[Stage], cluster: dict[str, float]) -> list[str]:
    """Tasks, core-hours, hours on WORKERS workers, and the share of these that is computation."""
    core_hours = sum(stage.tasks * stage.mean for stage in work) / 3600
    hours = (
        sum(stage.seconds(WORKERS, overhead(stage.longest, cluster), cluster["loss"]) for stage in work)
        / 3600
    )
    tasks = sum(stage.tasks for stage in work)
    return [f"{tasks:,}", f"{core_hours:,.0f}", f"{hours:.1f}", f"{100 * core_hours / WORKERS / hours:.0f} %"]


def stored() -> dict[str, Any]:
    """The stored times."""
    return STORED.numbers() or {}


def main(arguments: list[str]) -> None:
    match arguments:
        case ["measure", *parts] if set(parts) <= set(PARTS):
            measure(parts)
        case ["table"]:
            STORED.write(table(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
