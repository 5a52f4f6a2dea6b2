"""How much a target helps to predict the noise of an atom. The table of docs/training.md.

    python docs/studies/what_a_target_says.py CHECKPOINT.safetensors

Held-out glasses of ``asio2`` are noised to a time t. Printed for each property: the mean squared error of the predicted
noise of their atoms without any target, how that changes with the glass's own value and with another glass's, and how
far apart the predictions are for a high and a low value, 1.5 standard deviations from the mean (in units of the noise).
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

import amsbench
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.state import State

TIMES = (0.15, 0.25, 0.35, 0.50)


def held_out(method: MaterialSDE) -> Structures:
    dataset = amsbench.load_dataset("asio2")
    rows = np.concatenate([dataset.indices("validation"), dataset.indices("test")])
    columns = [dataset.property_names.index(name) for name in method.task.properties]
    labelled = [k for k in rows if np.isfinite(dataset.properties[k, columns]).all()]
    chosen = dataset.subset(np.array(labelled))
    counts = torch.tensor(chosen.counts)
    glasses = Structures(
        positions=torch.tensor(chosen.positions),
        species=torch.tensor(chosen.species),
        cells=torch.tensor(chosen.cells),
        counts=counts,
        batch=torch.repeat_interleave(torch.arange(len(counts)), counts),
        properties=torch.tensor(chosen.properties[:, columns]),
    )
    density, ghost = method.task.ghost_density, method.task.ghost
    assert density is not None
    assert ghost is not None
    return add_ghosts(glasses, density, ghost, torch.Generator().manual_seed(0))


def predicted(method: MaterialSDE, state: State, properties: Tensor, null: Tensor, time: float) -> Tensor:
    """eps [n, 3] of all atoms and ghosts."""
    t = torch.full((len(null),), time)
    asked = replace(state, structures=replace(state.structures, properties=properties))
    with torch.no_grad():
        return method.predict(asked, null, t, 0 * t).positions


def main(path: str) -> None:
    method = load_checkpoint(path).method
    assert isinstance(method, MaterialSDE)
    glasses, task = held_out(method), method.task
    assert task.ghost is not None
    atoms = glasses.species.ne(task.ghost)
    others = torch.randperm(len(glasses), generator=torch.Generator().manual_seed(1))
    none = torch.full_like(glasses.properties, torch.nan)
    print(f"{len(glasses)} glasses")
    for time in TIMES:
        noise = StructureNoise(glasses.counts.tolist(), list(range(len(glasses))))
        state, eps = method.corrupt(glasses, torch.full((len(glasses), 1), time), noise)
        null = method.denoiser.null_properties(noise)
        found = predicted(method, state, none, null, time)
        without = mean_square(found - eps.positions, atoms)
        line = f"t = {time:.2f}: {without:.4f} without targets"
        for k, name in enumerate(task.properties):
            own, mean, spread = glasses.properties[:, k], task.property_mean[k], task.property_std[k]
            asked = {"own": own, "another's": own[others]}
            asked |= {"high": 0 * own + mean + 1.5 * spread, "low": 0 * own + mean - 1.5 * spread}
            answers = {}
            for kind, values in asked.items():
                properties = none.clone()
                properties[:, k] = values
                answers[kind] = predicted(method, state, properties, null, time)
            changes = [
                f"{mean_square(answers[kind] - eps.positions, atoms) - without:+.4f} {kind}"
                for kind in ("own", "another's")
            ]
            apart = (answers["high"] - answers["low"])[atoms].norm(dim=-1).mean()
            line += f"; {name}: {', '.join(changes)}, high to low {float(apart):.3f}"
        print(line, flush=True)


def mean_square(vectors: Tensor, atoms: Tensor) -> float:
    return float((vectors[atoms] ** 2).sum(-1).mean())


if __name__ == "__main__":
    main(sys.argv[1])
