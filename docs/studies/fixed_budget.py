"""Every method with the same budget and as many trials of its learning rate.

    python docs/studies/fixed_budget.py FOLDER DATASET [METHOD[:PROPERTY[+PROPERTY]] ...]

Of each method (by default all six) three trainings of the budget ``quick`` with learning rates of 5e-4, 1e-3 and 2e-3,
and one of the budget ``fixed`` with the rate of the lowest validation loss; batches of two structures, the method's
first network, one thread; conditioned on all properties that the dataset's designs ask for, or on those named alone
(the paper's ``(Target)``), which takes over the rate that was chosen for all. Everything lies in FOLDER, so that a
study that was stopped goes on. Prints the trials, and writes the last trainings' checkpoints, with which
``amsbench run --checkpoint`` makes the rows of the fixed budget.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

import amsbench
from amsbench.benchmark.system.files import write_text
from amsbench.benchmark.training.budgets import BUDGETS
from amsbench.benchmark.training.checkpoints import load_checkpoint

RATES = (5e-4, 1e-3, 2e-3)
BATCH = 2
METHODS = ("material-ode", "material-sde", "amshortcut", "cdvae", "mattergen", "graphite")


def trained(
    method: str, dataset: str, folder: Path, budget: str, rate: float, **options: Any
) -> dict[str, Any]:
    """The record of a training, which is done or gone on with where it is not finished."""
    finished = folder / "finished.json"
    if not finished.exists():
        path = amsbench.train(
            method,
            dataset,
            output=folder,
            samples_seen=BUDGETS[budget],
            batch_size=BATCH,
            learning_rate=rate,
            validate_every=BUDGETS[budget] // 10,
            **options,
        )
        record = load_checkpoint(path).record
        last = load_checkpoint(folder / "last.safetensors").record
        text = json.dumps(record | {"whole_cpu_seconds": last["cpu_seconds"]}, indent=1)
        write_text(finished, text)
    found: dict[str, Any] = json.loads(finished.read_text())
    return found


def main(folder: Path, dataset: str, methods: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    rows = []
    for name in methods:
        method, _, only = name.partition(":")
        place = folder / dataset / method
        trials = {rate: trained(method, dataset, place / f"{rate:g}", "quick", rate) for rate in RATES}
        losses = {rate: trial["validation_loss"] for rate, trial in trials.items()}
        best = min(losses, key=lambda rate: math.inf if math.isnan(losses[rate]) else losses[rate])
        target = {"properties": tuple(only.split("+"))} if only else {}
        final = trained(method, dataset, place / f"fixed{only and '-' + only}", "fixed", best, **target)
        rows.append(
            [
                name,
                *(f"{losses[rate]:.4f}" for rate in RATES),
                f"{best:g}",
                f"{final['validation_loss']:.4f}",
                f"{final['whole_cpu_seconds'] / 3600:.2f}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    heads = [
        "",
        *(f"{rate:g}" for rate in RATES),
        "chosen",
        "validation loss",
        "core-hours",
    ]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]) or METHODS)
