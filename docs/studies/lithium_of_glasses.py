"""How much lithium do generated glasses have that were asked for 0, 5, 10 and 15 %? The table of docs/training.md.

    python docs/studies/lithium_of_glasses.py [CHECKPOINT.safetensors ...]

Generates 32 glasses per target in cubes of 14 A with each checkpoint and step count, by the checkpoint's preferred
sampler or that of SAMPLERS, and prints the mean lithium and the standard deviation over the glasses, percent of all
atoms, and the rank correlation over all of them; - where some glass has no atoms. Without checkpoints: the released
ones of ``meg``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from tabulate import tabulate

from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.training.checkpoints import RELEASED, load_checkpoint

TARGETS = (0.0, 5.0, 10.0, 15.0)
STEPS = (1, 5, 25)
COUNT, EDGE = 32, 14.0
SAMPLERS = {("amshortcut", 25): "guided"}
"""Samplers of some methods and step counts in place of the preferred one."""


def main(paths: list[Path]) -> None:
    wanted = np.repeat(TARGETS, COUNT)
    rows = []
    for path in paths:
        method = load_checkpoint(path).method
        density = method.task.ghost_density
        assert density is not None
        sites = int(density * EDGE**3)
        for steps in STEPS:
            made = generate_structures(
                method,
                cells=np.tile(EDGE * np.eye(3), (len(wanted), 1, 1)),
                counts=np.full(len(wanted), sites),
                targets={"li_concentration": wanted},
                steps=steps,
                sampler=SAMPLERS.get((method.name, steps)),
            )
            if not all(len(atoms) for atoms in made.frames):  # one step may leave nothing but ghosts
                rows.append([method.name, steps, *["-"] * (len(TARGETS) + 1)])
                continue
            lithium = np.array([100 * np.mean(atoms.symbols == "Li") for atoms in made.frames])
            each = lithium.reshape(len(TARGETS), COUNT)
            cells = [f"{values.mean():.1f} ± {values.std():.1f}" for values in each]
            rows.append([method.name, steps, *cells, f"{spearmanr(wanted, lithium).statistic:.2f}"])
            print(*rows[-1], file=sys.stderr, flush=True)
    heads = ["", "steps", *(f"{target:g} % wanted" for target in TARGETS), "rank correlation"]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(RELEASED.glob("*-meg.safetensors")))
