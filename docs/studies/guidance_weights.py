"""Which weights should targets have in the sampler ``guided``? What docs/training.md says of their choice.

    python docs/studies/guidance_weights.py CHECKPOINT.safetensors PROPERTY=WEIGHT,WEIGHT,... [PROPERTY=...]

For every weight 24 structures in 25 steps, with the targets of the property's plan in protocol ``standard`` and other
noise than that of the tables: mean error, rank correlation, measured share, density and what else the plan asks for.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.generation.cells import cells_of
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.system.worker_pool import available_cores, local_pool
from amsbench.benchmark.training.checkpoints import load_checkpoint

COUNT, STEPS, SEED = 24, 25, 1_000


def main(path: str, asked: list[str]) -> None:
    method: Any = load_checkpoint(path).method
    dataset = load_dataset(method.task.dataset)
    plans = {plan.name: plan.changed(count=COUNT) for plan in plans_of(dataset.definition, "standard")}
    reference, rows = Reference(dataset), []
    with local_pool(available_cores()) as pool:
        for item in asked:
            name, _, weights = item.partition("=")
            plan = plans[name]
            cells, counts = cells_of(plan, dataset)
            for weight in map(float, weights.split(",")):
                method.guidance_weights = torch.full_like(method.guidance_weights, weight)
                made = generate_structures(
                    method,
                    cells=cells,
                    counts=counts,
                    targets=plan.target_values(),
                    steps=STEPS,
                    sampler="guided",
                    seed=SEED,
                )
                found = evaluate_structures(
                    made.frames,
                    reference,
                    targets=plan.target_values(),
                    curves=(),
                    executor=pool,
                )
                density = f"{found.descriptors['density']:.2f}"
                for target, errors in found.inverse_design.items():
                    shown = [
                        "-" if value is None else f"{value:.2f}" for value in (errors.mae, errors.spearman)
                    ]
                    measured, mean = f"{errors.coverage:.0f} %", f"{np.nanmean(found.table[target]):.2f}"
                    rows.append([name, f"{weight:g}", target, *shown, measured, density, mean])
                    print(*rows[-1], file=sys.stderr, flush=True)
    heads = ["asked for", "weight", "property", "MAE", "rank correlation", "measured", "g/cm^3", "mean"]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
