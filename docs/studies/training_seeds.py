"""How much do the errors of liquid silicon change from one training to the next? The table of docs/baselines.md.

    python docs/studies/training_seeds.py run FOLDER [METHOD ...]
    python docs/studies/training_seeds.py table

``run`` trains every method (by default all six) three times with the fixed budget on ``asi``, with the learning rate
that its trials have chosen (docs/baselines.md, ``fixed_budget.py``), and scores each model under the protocol
``standard`` in STEPS steps with the sampler of its publication. Trainings and results lie in FOLDER, so that a study
that was stopped goes on. The numbers are kept in training_seeds.json beside this file; ``table`` writes the table.
"""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stored_table import StoredTable, run_study
from tabulate import tabulate

import amsbench
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.runs.generator import TrainedModel, Trial
from amsbench.benchmark.runs.results import Result, ResultStore
from amsbench.benchmark.runs.runner import Run
from amsbench.benchmark.training.budgets import BUDGETS
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.errors import AmsbenchError

DATASET = "asi"
RATES = {
    "material-ode": 2e-3,
    "material-sde": 2e-3,
    "amshortcut": 2e-3,
    "cdvae": 1e-3,
    "mattergen": 2e-3,
    "graphite": 1e-3,
}
"""Learning rate of each method, that of the lowest validation loss of its trials."""
SEEDS = (0, 1, 2)
STEPS = (1, 5, 25)
CURVES = ("rdf", "adf")
STORED = StoredTable("training_seeds", "baselines.md", "training seeds")


class Silent:
    """Observer of a run that shows nothing."""

    def trial_started(self, trial: Trial, number: int, total: int, known: bool) -> None: ...

    def progress(self, stage: str, done: int, total: int) -> None: ...


def trained(method: str, seed: int, folder: Path) -> Path:
    """The checkpoint of a training with the fixed budget, which is done or gone on with where it is not finished."""
    best, last = folder / "best.safetensors", folder / "last.safetensors"
    if last.is_file() and load_checkpoint(last).record["fraction"] == 1.0:
        return best
    return amsbench.train(
        method,
        DATASET,
        output=folder,
        samples_seen=BUDGETS["fixed"],
        batch_size=2,
        learning_rate=RATES[method],
        validate_every=BUDGETS["fixed"] // 10,
        seed=seed,
    )


def results(path: Path, folder: Path, executor: Executor | None) -> list[Result]:
    """The results of a checkpoint; those that lie in ``folder`` are not computed again."""
    dataset = load_dataset(DATASET)
    checkpoint = load_checkpoint(path)
    plans = tuple(plan.changed(steps=STEPS) for plan in plans_of(dataset.definition, "standard"))
    run = Run(
        source=TrainedModel(checkpoint),
        dataset=dataset,
        plans=plans,
        samplers=(checkpoint.method.samplers[0].name,),  # that of the publication
        store=ResultStore(folder),
    )
    return list(run.execute(executor, Silent()))


def row(result: Result, seed: int) -> dict[str, Any]:
    """What the table needs of a result."""
    assert result.structural is not None
    return {
        "method": result.key.method,
        "sampler": result.key.sampler,
        "steps": result.key.steps,
        "seed": seed,
        "checkpoint": result.key.checkpoint_hash,
        "code": result.key.code,
        "validation_loss": result.training["validation_loss"],
        "energy_deviation": result.descriptors["energy_per_atom_deviation"],
        **{
            name: {part: getattr(result.structural.curves[name], part) for part in ("rmsd", "low", "high")}
            for name in CURVES
        },
    }


def stored() -> list[dict[str, Any]]:
    """All rows so far."""
    return STORED.numbers() or []


def run(folder: Path, methods: list[str]) -> None:
    """Train and score the methods; each seed of each method is stored when it is done."""
    unknown = set(methods) - RATES.keys()
    if unknown:
        raise AmsbenchError(f"no learning rate of {', '.join(sorted(unknown))}; known: {', '.join(RATES)}")
    torch.set_num_threads(1)
    with local_pool(1) as pool:
        for seed in SEEDS:  # all methods have one training before any has two
            for method in methods or RATES:
                rows = stored()
                if any((item["method"], item["seed"]) == (method, seed) for item in rows):
                    continue
                path = trained(method, seed, folder / f"{method}-{seed}")
                new = [row(result, seed) for result in results(path, folder / "results", pool)]
                STORED.store([*rows, *new])
                print(method, seed, [item["rdf"]["rmsd"] for item in new], file=sys.stderr, flush=True)


def cell(items: list[dict[str, Any]], curve: str, decimals: int) -> str:
    """Mean over trainings with its standard deviation, and half the width of an interval over structures."""
    values = [item[curve]["rmsd"] for item in items]
    half = np.mean([(item[curve]["high"] - item[curve]["low"]) / 2 for item in items])
    spread = f" ± {np.std(values, ddof=1):.{decimals}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{decimals}f}{spread} ({half:.{decimals}f})"


def table(rows: list[dict[str, Any]]) -> str:
    """A row per method and number of steps."""
    if not rows:
        return "No training is stored yet."
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for item in sorted(
        rows, key=lambda item: (list(RATES).index(item["method"]), item["steps"], item["seed"])
    ):
        groups.setdefault((item["method"], item["sampler"], item["steps"]), []).append(item)
    heads = ["method, sampler", "steps", "trainings", "RDF RMSD", "ADF RMSD", "energy (σ)"]
    lines = []
    for (method, sampler, steps), items in groups.items():
        energies = [item["energy_deviation"] for item in items]
        energy = f"{min(energies):.1f} to {max(energies):.1f}"
        lines.append(
            [f"`{method}` {sampler}", steps, len(items), cell(items, "rdf", 4), cell(items, "adf", 5), energy]
        )
    return str(tabulate(lines, heads, "pipe", disable_numparse=True))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run", folder, *methods]:
            run(Path(folder), methods)
        case ["table"]:
            STORED.write(table(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
