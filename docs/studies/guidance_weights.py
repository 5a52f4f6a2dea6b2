"""Which weight should the targets have in guided sampling? The table of docs/training.md.

    python docs/studies/guidance_weights.py run METHOD DATASET [PLAN ...]
    python docs/studies/guidance_weights.py table
    python docs/studies/guidance_weights.py apply METHOD DATASET

Every method with guidance gets the same trials on every plan of a dataset: the RELATIVE multiples of its default
weight, COUNT glasses in STEPS steps each. Targets are labels of the validation split, and the noise is not that of the
tables, so that no number of a table takes part in the choice. A trial's score is the penalised mean error over the
error of always answering the training mean, averaged over the plan's targets. The smallest one is chosen; of scores
that are equal to two digits, that with the largest rank correlation of asked and obtained values. Trials are kept in
guidance_weights.json beside this file; ``run`` computes those that are missing, ``table`` writes the table, and
``apply`` gives the released checkpoint the chosen weights; a method with a single weight gets the one with the smallest
mean over the plans.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stored_table import StoredTable, run_study
from tabulate import tabulate

from amsbench.benchmark.datasets.dataset import Dataset
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.execution.cores import available_cores
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.generation.cells import cells_of
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.evaluation_plan import EvaluationPlan
from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.system.files import write_text
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.benchmark.training.checkpoints import content_hash, save_checkpoint
from amsbench.errors import AmsbenchError

SAMPLERS = {
    "material-sde": "guided",
    "amshortcut": "shortcut-guided",
    "mattergen": "guided",
    "graphite": "guided",
}
"""The guided sampler of each method."""
RELATIVE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights of the trials in units of the method's default."""
COUNT = {"asio2": 64, "meg": 24}
"""Glasses of a trial of each dataset."""
STEPS, SEED = 25, 1_000
STORED = StoredTable("guidance_weights", "training.md", "guidance weights")


def default_weight(method: Method) -> float:
    """The default weight of a method, which is the same for all properties."""
    settings = type(method).default_config(type(method).networks[0], method.task)["guidance"]
    return float(next(iter(settings.values())) if isinstance(settings, dict) else settings)


def set_weight(method: Any, weight: float) -> None:
    """Give every target of ``method`` the same guidance weight."""
    if isinstance(method.config["guidance"], dict):
        method.guidance_weights = torch.full_like(method.guidance_weights, weight)
    else:
        method.config = {**method.config, "guidance": weight}


def network_hash(method: Method) -> str:
    """Hash of a method without its guidance weights, which the trials choose."""
    config = {name: value for name, value in method.config.items() if name != "guidance"}
    header = {"method": method.name, "task": method.task.to_json(), "config": config}
    return content_hash(header, method.sampling_state())


def validation_targets(dataset: Dataset, plan: EvaluationPlan, count: int) -> dict[str, np.ndarray]:
    """Labels [count] of the plan's properties, of the validation samples nearest to targets spaced as the plan's.

    Several properties are those of the same sample, so that they can be met together.
    """
    labels = dataset.split("validation").properties[
        :, [dataset.property_names.index(n) for n in plan.targets]
    ]
    labels = labels[np.isfinite(labels).all(axis=1)]
    if not len(labels):
        raise AmsbenchError(
            f"no validation sample of '{dataset.definition.name}' has labels of {', '.join(plan.targets)}"
        )
    own = labels[:, list(plan.targets).index(plan.name)]
    # evenly in value: targets evenly spaced in rank are mostly near the mean, where no guidance is needed
    first, last = plan.targets[plan.name]
    evenly = np.linspace(first, last, count)
    chosen = labels[[int(np.abs(own - value).argmin()) for value in evenly]]
    return {name: column.astype(float) for name, column in zip(plan.targets, chosen.T, strict=True)}


def trial(
    method: Method,
    sampler: str,
    weight: float,
    dataset: Dataset,
    plan: EvaluationPlan,
    *,
    count: int,
    steps: int = STEPS,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Errors of ``count`` structures by target, and the ``score`` of the weight."""
    plan = plan.changed(count=count)
    cells, counts = cells_of(plan, dataset)
    targets = validation_targets(dataset, plan, count)
    set_weight(method, weight)
    generated = generate_structures(
        method, cells=cells, counts=counts, targets=targets, steps=steps, sampler=sampler, seed=SEED
    )
    evaluation = evaluate_structures(
        generated.frames, Reference(dataset), targets=targets, curves=(), executor=executor
    )
    errors = evaluation.inverse_design
    return {
        "targets": {
            name: {
                "mae": e.mae,
                "penalised_mae": e.penalised_mae,
                "training_mean_mae": e.training_mean_mae,
                "coverage": e.coverage,
                "spearman": e.spearman,
            }
            for name, e in errors.items()
        },
        "density": evaluation.descriptors["density"],
        "score": float(np.mean([e.penalised_mae / e.training_mean_mae for e in errors.values()])),
    }


def stored(path: Path = STORED.file) -> list[dict[str, Any]]:
    """All trials so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def run(name: str, dataset_name: str, names: list[str], path: Path = STORED.file) -> None:
    """Compute the trials of a method on the plans of a dataset that are not stored."""
    if name not in SAMPLERS:
        raise AmsbenchError(f"method '{name}' has no guidance weight; choose one of {', '.join(SAMPLERS)}")
    if dataset_name not in COUNT:
        raise AmsbenchError(f"there are no trials for '{dataset_name}'; choose one of {', '.join(COUNT)}")
    checkpoint = load_checkpoint_for(name, dataset_name)
    dataset = load_dataset(dataset_name)
    plans = {plan.name: plan for plan in plans_of(dataset.definition, "standard")}
    unknown = set(names) - plans.keys()
    if unknown:
        raise AmsbenchError(f"'{dataset_name}' has no plan {', '.join(unknown)}; it has: {', '.join(plans)}")
    default = default_weight(checkpoint.method)
    network = network_hash(checkpoint.method)
    with local_pool(available_cores()) as pool:
        for plan_name in names or plans:
            for relative in RELATIVE:
                identity = {
                    "method": name,
                    "network": network,
                    "dataset": dataset_name,
                    "plan": plan_name,
                    "sampler": SAMPLERS[name],
                    "weight": relative * default,
                    "count": COUNT[dataset_name],
                    "steps": STEPS,
                    "seed": SEED,
                }
                trials = stored(path)
                if any(identity.items() <= done.items() for done in trials):
                    continue
                numbers = trial(
                    checkpoint.method,
                    SAMPLERS[name],
                    relative * default,
                    dataset,
                    plans[plan_name],
                    count=COUNT[dataset_name],
                    executor=pool,
                )
                write_text(path, json.dumps([*trials, identity | numbers], indent=1) + "\n")
                print(plan_name, f"{relative * default:g}", numbers, file=sys.stderr, flush=True)


def table(trials: list[dict[str, Any]]) -> str:
    """One row per method and plan: the score of every weight, the chosen one, and the errors with it."""
    if not trials:
        return "No trial is stored yet."
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in trials:
        groups.setdefault((one["dataset"], one["plan"], one["method"]), []).append(one)
    rows = []
    for (dataset, plan, method), group in sorted(groups.items()):
        by_weight = sorted(group, key=lambda one: one["weight"])
        best = min(by_weight, key=lambda one: rank([one]))
        scores = ", ".join(f"{one['weight']:g}: {one['score']:.2f}" for one in by_weight)
        errors = "; ".join(
            f"{name} {'-' if e['mae'] is None else format(e['mae'], '.2f')} ({e['coverage']:.0f} %)"
            for name, e in best["targets"].items()
        )
        chosen = f"{best['weight']:g}" if len(by_weight) == len(RELATIVE) else "trials missing"
        rows.append([f"`{dataset}` {plan}", f"`{method}` {best['sampler']}", scores, chosen, errors])
    heads = ["plan", "method, sampler", "score by weight", "chosen", "MAE with it (share measured)"]
    return str(tabulate(rows, heads, "pipe", disable_numparse=True))


def rank(trials: list[dict[str, Any]]) -> tuple[float, float]:
    """What the weight of trials is chosen by, the smaller the better: mean score to two digits, rank correlation."""
    correlations = [e["spearman"] or 0.0 for one in trials for e in one["targets"].values()]
    score = float(np.mean([one["score"] for one in trials]))
    return round(score, 2), -float(np.mean(correlations or [0.0]))


def chosen_weights(trials: list[dict[str, Any]], name: str, dataset: str, method: Any) -> Any:
    """The weights with the smallest scores, as the method's configuration has them: by property, or a single one."""
    plans: dict[str, dict[float, dict[str, Any]]] = {}
    for one in trials:
        if (one["method"], one["dataset"]) == (name, dataset):
            plans.setdefault(one["plan"], {})[one["weight"]] = one
    if not plans or any(len(weights) < len(RELATIVE) for weights in plans.values()):
        raise AmsbenchError(f"trials of {name} on {dataset} are missing; run them first")
    if isinstance(method.config["guidance"], dict):
        return {
            **method.config["guidance"],
            **{
                plan: min(weights, key=lambda weight: rank([weights[weight]]))
                for plan, weights in plans.items()
            },
        }
    first = next(iter(plans.values()))
    return min(first, key=lambda weight: rank([weights[weight] for weights in plans.values()]))


def apply(name: str, dataset: str, path: Path = STORED.file) -> None:
    """Write the chosen weights into the released checkpoint, whose network stays as it is."""
    checkpoint = load_checkpoint_for(name, dataset)
    method = checkpoint.method
    weights = chosen_weights(stored(path), name, dataset, method)
    method.config = {**method.config, "guidance": weights}
    save_checkpoint(checkpoint.path, method, checkpoint.record)
    print(f"{checkpoint.path.name}: {weights}")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run", name, dataset, *plans]:
            run(name, dataset, plans)
        case ["apply", name, dataset]:
            apply(name, dataset)
        case ["table"]:
            STORED.write(table(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
