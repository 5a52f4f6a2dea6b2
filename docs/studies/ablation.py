"""Which choices make material SDE and AMShortcut learn fast? Prints one table per group.

    python docs/studies/ablation.py FOLDER MATERIAL_SDE.safetensors [GROUP ...] [--samples N] [--count N]

Trains every variant of a group with two seeds on liquid silicon, generates 128 structures and compares their g(r) and
P(theta) with held-out melts. A row that FOLDER/results.csv has is not computed again, and a training that was stopped
goes on. Groups: ``grid`` (sampling times, with the given checkpoint of any network), ``network`` (each for about the
same time), ``material-sde`` (the same number of structures seen), ``shortcut`` (the same number of structures seen,
from the given checkpoint of the standard network), and ``schedule``, ``average``, ``optimizer``, ``target-score`` and
``self-conditioning`` (options of the training of material SDE, the same number of structures seen, with the median
energy per atom). A variant is a change to the settings or a subclass (``ablation_variants.py``), so that what did not
pay is not part of the package.
``--samples`` and ``--count`` change the structures seen and generated, for a trial of the script.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ablation_variants import GROUPS, OF_THE_TRAINING, ROWS, STRUCTURES_SEEN, Variant
from ase import Atoms
from lightning.fabric import Fabric
from tabulate import tabulate

import amsbench
from amsbench.benchmark.datasets.dataset import Dataset, task_of
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.benchmark.training.trainer import Trainer
from amsbench.metrics.curve_metrics import AngularDistribution, RadialDistribution
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import EvaluationFailed
from amsbench.metrics.structural_errors import curve_rmsd

COUNT, SEEDS = 128, (0, 1)


def trained(
    group: str,
    variant: Variant,
    seed: int,
    dataset: Dataset,
    init_from: Path,
    folder: Path,
    samples_seen: int,
) -> tuple[Method, float, float]:
    """The moving average of a variant's training, and the training's seconds of the clock and of a core."""
    torch.manual_seed(seed)
    task = task_of(dataset, ())
    if group == "grid":
        config = dict(load_checkpoint(init_from).method.config)
    else:
        config = variant.kind.default_config(variant.network, task)
    for name, value in variant.changes.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    method = variant.kind(task, config)
    if group in ("shortcut", "grid"):
        method.start_from(load_checkpoint(init_from).method)
    if group == "grid":
        return method, 0.0, 0.0
    decay = round(variant.decay_share * samples_seen)
    given = {
        "samples_seen": samples_seen - decay, "batch_size": 2, "learning_rate": 1e-3 if group == "shortcut" else 2e-3,
        "validate_every": 2_000, "validation_samples": 16, "seed": seed,
    }  # fmt: skip
    options = TrainingOptions(**given | variant.options)
    seconds = cpu_seconds = 0.0
    stages = [(folder, options)]
    if decay:
        stages.append((folder / "decay", replace(options, schedule="decay", samples_seen=decay)))
    state = None
    for place, stage in stages:
        place.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(Fabric(accelerator="cpu", devices=1), method, dataset, place, stage, None)
        settings = {
            "variant": str(variant),
            "seed": seed,
            "options": asdict(stage),
            "init_from": str(init_from),
        }
        if not trainer.resume(settings) and state is not None:
            trainer.branch(state)
        trainer.run()
        state = read_state(place)
        seconds, cpu_seconds = seconds + trainer.seconds, cpu_seconds + trainer.cpu_seconds
    return trainer.ema_model, seconds, cpu_seconds


def median_energy(structures: list[Atoms], dataset: Dataset) -> float:
    """Median energy per atom (eV) under the dataset's potential; one that cannot be computed counts as infinite."""
    assert dataset.definition.potential is not None
    energies = []
    with LammpsCalculator(dataset.definition.potential) as calculator:
        for atoms in structures:
            try:
                calculator.calculate(atoms)
                energies.append(calculator.results["energy"] / len(atoms))
            except EvaluationFailed:
                energies.append(np.inf)
    return float(np.median(energies))


def main(folder: Path, init_from: Path, groups: list[str], samples: int | None, count: int) -> None:
    torch.set_num_threads(1)
    dataset = amsbench.load_dataset("asi")
    reference, test = Reference(dataset), dataset.split("test")
    cells = np.repeat(test.cells[:1], count, axis=0)
    counts = np.full(count, test.counts[0])
    path = folder / "results.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["group", "variant", "seed"])
    for group in groups:
        for name, variant in GROUPS[group].items():
            for seed in SEEDS:
                if len(known.query("group == @group and variant == @name and seed == @seed")):
                    continue
                place = folder / f"{group}-{list(GROUPS[group]).index(name)}-{seed}"
                seen = samples or variant.samples_seen or STRUCTURES_SEEN.get(group, 0)
                method, seconds, cpu_seconds = trained(group, variant, seed, dataset, init_from, place, seen)
                row: dict[str, Any] = {"group": group, "variant": name, "seed": seed, "minutes": seconds / 60}
                row["samples_seen"], row["core_minutes"] = seen, cpu_seconds / 60
                for sampler, steps in ROWS[group]:
                    made = generate_structures(
                        method, cells=cells, counts=counts, steps=steps, sampler=sampler, seed=seed
                    )
                    for metric in (RadialDistribution(), AngularDistribution()):
                        mean = metric.curves(made.frames).mean
                        row[f"{metric.name} {sampler} {steps}"] = curve_rmsd(
                            mean, reference.curve(metric).mean
                        )
                    if group in OF_THE_TRAINING:
                        row[f"energy {sampler} {steps}"] = median_energy(made.frames, dataset)
                known = pd.concat([known, pd.DataFrame([row])], ignore_index=True)
                known.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
                print(row, file=sys.stderr, flush=True)
        print(f"\n{group}\n\n{table(known, group)}")


def table(known: pd.DataFrame, group: str) -> str:
    """Both seeds of every variant: g(r) errors, those of P(theta) in thousandths, energies per atom in eV."""
    columns = [f"rdf {sampler} {steps}" for sampler, steps in ROWS[group]]
    columns.append(f"adf {ROWS[group][-1][0]} {ROWS[group][-1][1]}")
    if group in OF_THE_TRAINING:
        columns += [f"energy {sampler} {steps}" for sampler, steps in ROWS[group][-2:]] + ["core_minutes"]
    rows = []
    for name in GROUPS[group]:
        found = known.query("group == @group and variant == @name").sort_values("seed")
        row = [name, f"{found['samples_seen'].iloc[0]:,.0f}"]
        for column in columns:
            scale = 1000 if column.startswith("adf") else 1
            row.append(" / ".join(f"{scale * value:.3f}" for value in found[column]))
        rows.append(row)
    units = {"adf": "1000 {}", "energy": "{}, eV", "core_minutes": "minutes of a core"}
    heads = ["", "structures seen", *(units.get(name.split()[0], "{}").format(name) for name in columns)]
    return tabulate(rows, heads, "github", disable_numparse=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--count", type=int, default=COUNT)
    given = parser.parse_args()
    if unknown := sorted(set(given.groups) - set(GROUPS)):
        parser.error(f"no group {', '.join(unknown)}; there are: {', '.join(GROUPS)}")
    main(given.folder, given.checkpoint, given.groups or list(GROUPS), given.samples, given.count)
