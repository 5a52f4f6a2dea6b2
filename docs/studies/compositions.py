"""How near are the compositions of generated glasses to the data's? The table of docs/methods.md.

    python docs/studies/compositions.py [CHECKPOINT.safetensors ...]

Says first how much of the moduli a linear model of composition and density explains (docs/datasets.md).

Generates 64 glasses without targets in cubes of 14 A with each checkpoint, sampler and step count, with the species in
ancestral steps and restarts drawn or not and the first way down in several steps or one (``drawn_species`` and
``descent_share``), and compares them with the training glasses.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from amsbench.benchmark.datasets import inspection
from amsbench.benchmark.datasets.dataset import Dataset
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.descriptor_means import element_fractions, structure_row
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.samplers import MaterialSampler
from amsbench.metrics.composition import fraction_distance

COUNT, EDGE = 64, 14.0
PRESENT = 0.01
"""Share from which on a glass counts as having an element; compositions have none with a smaller one."""
RUNS = [("ancestral", 100), ("ancestral", 25), ("restart", 25), ("restart", 5)]
SETTINGS: list[dict[str, Any]] = [
    {"drawn_species": True, "descent_share": 0.35},
    {"drawn_species": False, "descent_share": 0.35},
    {"drawn_species": False, "descent_share": 0.0},
]
HEADS = (
    "model",
    "sampler",
    "steps",
    "species",
    "down in",
    "distance",
    "elements",
    "charge",
    "|charge|",
    "neutral",
)

COMPOSITION = ("atoms", "composition", "charge")
"""Metrics of single structures that need no potential."""


def row(method: MaterialSDE, sampler: str, steps: int, dataset: Dataset, train: np.ndarray) -> list[str]:
    density = dataset.definition.ghost_density
    assert density is not None
    sites = int(EDGE**3 * density)
    made = generate_structures(
        method,
        cells=np.tile(EDGE * np.eye(3), (COUNT, 1, 1)),
        counts=np.full(COUNT, sites),
        steps=steps,
        sampler=sampler,
        seed=0,
    )
    rows = [structure_row(atoms, dataset.definition, COMPOSITION) for atoms in made.frames]
    fractions = np.array([[item[f"fraction_{e}"] for e in dataset.definition.elements] for item in rows])
    charges = np.array([item["charge"] / max(item["atoms"], 1) for item in rows])
    return [
        f"{fraction_distance(fractions, train):.4f}",
        f"{(fractions > PRESENT).sum(1).mean():.1f}",
        f"{charges.mean():+.3f}",
        f"{np.abs(charges).mean():.3f}",
        f"{np.mean(charges == 0):.2f}",
    ]


def explained(dataset: Dataset, name: str, features: np.ndarray, folds: int = 10) -> float:
    """Share of a property's variance that a linear model explains in glasses that it was not fitted to."""
    values = dataset.properties[:, dataset.property_names.index(name)].astype(float)
    known = np.isfinite(values)
    values, inputs = values[known], np.c_[features[known], np.ones(known.sum())]
    found = np.empty_like(values)
    for fold in range(folds):
        out = np.arange(len(values)) % folds == fold
        found[out] = inputs[out] @ np.linalg.lstsq(inputs[~out], values[~out], rcond=None)[0]
    return float(1 - ((found - values) ** 2).mean() / values.var())


def main(checkpoints: list[str]) -> None:
    dataset = load_dataset("meg")
    fractions = element_fractions(dataset)
    for name in ("youngs_modulus", "shear_modulus"):
        both = np.c_[fractions, inspection.mass_density(dataset)]
        print(
            f"{name}: {explained(dataset, name, fractions):.2f} of the variance from the composition,",
            end=" ",
        )
        print(f"{explained(dataset, name, both):.2f} with the density")
    train, test = (element_fractions(dataset.split(name)) for name in ("train", "test"))
    held_out = [
        f"{fraction_distance(test, train):.4f}",
        f"{(test > PRESENT).sum(1).mean():.1f}",
        "+0.000",
        "0.000",
        "1.00",
    ]
    rows = [["held-out glasses", "", "", "", "", *held_out]]
    for path in checkpoints:
        method = load_checkpoint(path).method
        assert isinstance(method, MaterialSDE)
        for sampler, steps in RUNS:
            done = set()
            for settings in SETTINGS:
                method.config |= settings
                chosen = method.sampler_named(sampler)
                assert isinstance(chosen, MaterialSampler)
                drawn, times = settings["drawn_species"], chosen.times(method, steps)
                first = 1 + [s for _, s in times].index(0.0)
                if (drawn, first) in done:
                    continue
                done.add((drawn, first))
                said = [Path(path).stem, sampler, str(steps), "drawn" if drawn else "means", str(first)]
                rows.append([*said, *row(method, sampler, steps, dataset, train)])
                print(rows[-1], file=sys.stderr, flush=True)
    print(tabulate(rows, HEADS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(sys.argv[1:])
