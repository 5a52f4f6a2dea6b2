"""Which choices make material SDE and AMShortcut learn fast? Prints one table per group.

    python docs/studies/ablation.py FOLDER MATERIAL_SDE.safetensors [GROUP ...] [--samples N] [--count N]

Trains every variant of a group with two seeds on liquid silicon, generates 128 structures and compares their g(r) and
P(theta) with held-out melts. A row that FOLDER/results.csv has is not computed again, and a training that was stopped
goes on. Groups: ``grid`` (sampling times, with the given checkpoint of any network), ``network`` (each for about the
same time), ``material-sde`` (the same number of structures seen), ``shortcut`` (the same number of structures seen,
from the given checkpoint of the standard network), and ``schedule``, ``average``, ``optimizer``, ``target-score`` and
``self-conditioning`` (options of the training of material SDE, the same number of structures seen, with the energy per
atom). A variant is a change to the settings or a subclass below, so that what did not pay is not part of the package.
``--samples`` and ``--count`` change the structures seen and generated, for a trial of the script.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ase import Atoms
from lightning.fabric import Fabric
from tabulate import tabulate
from torch import Tensor

import amsbench
from amsbench.benchmark.datasets.dataset import Dataset, task_of
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import NoiseSource
from amsbench.benchmark.interface.structures import Structures
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.benchmark.training.trainer import Trainer
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_method import MaterialMethod
from amsbench.methods.material_sde import Ancestral, MaterialSDE
from amsbench.methods.samplers import Euler, Multistep, TimeSteps
from amsbench.methods.state import Prediction, State
from amsbench.metrics.curve_metrics import AngularDistribution, RadialDistribution
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import EvaluationFailed
from amsbench.metrics.structural_errors import curve_rmsd

COUNT, SEEDS = 128, (0, 1)
OF_THE_TRAINING = ("schedule", "average", "optimizer", "target-score", "self-conditioning")
"""Groups of options of the training."""
STRUCTURES_SEEN = dict.fromkeys(("material-sde", *OF_THE_TRAINING), 10_000) | {"shortcut": 6_000}


def grid(method: MaterialMethod, steps: int) -> TimeSteps:
    """Times (k/n)^power, with the power of the method."""
    assert isinstance(method, Grid)
    return list(pairwise((1 - k / steps) ** method.power for k in range(steps + 1)))


class GridAncestral(Ancestral):
    def times(self, method: MaterialSDE, steps: int) -> TimeSteps:
        return grid(method, steps)


class GridEuler(Euler):
    def times(self, method: MaterialMethod, steps: int) -> TimeSteps:
        return grid(method, steps)


class GridMultistep(Multistep):
    def times(self, method: MaterialMethod, steps: int) -> TimeSteps:
        return grid(method, steps)


class Grid(MaterialSDE):
    """Material SDE with times (k/n)^power in every sampler."""

    power = 1.0
    samplers = (
        GridAncestral(name="ancestral", title="ancestral steps"),
        GridEuler(name="ode", title="Euler steps"),
        GridMultistep(name="multistep", title="second-order steps"),
    )


class Grid15(Grid):
    power = 1.5


class Grid20(Grid):
    power = 2.0


class Grid30(Grid):
    power = 3.0


class Displacement(MaterialSDE):
    """The network puts out X_t - X_0 in units of the largest noise, not the noise."""

    def predict(self, state: State, null: Tensor, t: Tensor, dt: Tensor) -> Prediction:
        found = super().predict(state, null, t, dt)
        at = t[state.structures.batch][:, None].clamp(min=0.02)
        return Prediction(positions=found.positions / at, elements=found.elements)


class Dyadic(AMShortcut):
    """Step sizes 1, 1/2, ... 1/128 from their multiples, as in the first work on shortcuts (arXiv 2410.12557)."""

    def draw_steps(self, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        u = noise.uniform_structures(2)
        whole = 0.5 ** torch.floor(u[:, :1] * 8)
        return whole * (1 + torch.floor(u[:, 1:] / whole)), whole / 2


class OwnTeacher(AMShortcut):
    """The network at its present weights says what two steps would do, not their moving average."""

    def consistency_loss(self, batch: Structures, noise: NoiseSource, teacher: Method) -> Tensor:
        return super().consistency_loss(batch, noise, self)


class FourSteps(AMShortcut):
    """Four steps in a row teach the step of four times the size."""

    def consistency_loss(self, batch: Structures, noise: NoiseSource, teacher: Method) -> Tensor:
        assert isinstance(teacher, AMShortcut)
        t, half = self.draw_steps(noise)
        dt = half / 2
        state, _ = self.corrupt(batch, t, noise)
        begin, null, total = state, self.denoiser.null_properties(noise), torch.zeros_like(batch.positions)
        with torch.no_grad():
            for k in range(4):
                now = t - k * dt
                found = teacher.predict(state, null, now[:, 0], dt[:, 0])
                at = now[batch.batch], (now - dt).clamp(min=0)[batch.batch]
                state = self.ode_step(state, found, *at)
                total = total + found.positions / 4
        found = self.predict(begin, null, t[:, 0], 4 * dt[:, 0])
        return ((found.positions - total) ** 2).sum(-1).mean()


@dataclass(frozen=True, kw_only=True)
class Variant:
    kind: type[MaterialSDE] = MaterialSDE
    network: str = "standard"
    changes: dict[str, Any] = field(default_factory=dict)
    samples_seen: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Changes to the options of the training."""
    decay_share: float = 0.0
    """Share of the structures that are seen in a decay after a constant rate."""


BEGINNING = {"warmup": 0.0}
WIDTH = {"ema_width": 0.1}
CONSTANT = WIDTH | {"schedule": "constant"}
SCORE_ROWS = [("ancestral", 5), ("ancestral", 10), ("ancestral", 25), ("multistep", 25)]
GROUPS: dict[str, dict[str, Variant]] = {
    "network": {
        "64 wide, 3 layers (standard)": Variant(samples_seen=10_000),
        "64 wide, 6 layers (deep)": Variant(network="deep", samples_seen=4_900),
        "128 wide, 4 layers (wide)": Variant(network="wide", samples_seen=3_400),
        "32 wide, 3 layers": Variant(changes={"network": {"hidden": 32}}, samples_seen=15_000),
        "128 wide, 4 layers, tanh of the distances": Variant(
            network="paper", changes={"network": {"form": "standard"}}, samples_seen=700
        ),
    },
    "grid": {
        "k/n": Variant(kind=Grid),
        "(k/n)^1.5": Variant(kind=Grid15),
        "(k/n)^2": Variant(kind=Grid20),
        "(k/n)^3": Variant(kind=Grid30),
    },
    "material-sde": {
        "as released": Variant(),
        "uniform t": Variant(changes={"uniform_share": 1.0}),
        "no uniform t": Variant(changes={"uniform_share": 0.0}),
        "displacement as output": Variant(kind=Displacement),
    },
    "shortcut": {
        "as released": Variant(kind=AMShortcut, changes=BEGINNING),
        "25 % of the batches": Variant(kind=AMShortcut, changes=BEGINNING | {"consistency_share": 0.25}),
        "all batches": Variant(kind=AMShortcut, changes=BEGINNING | {"consistency_share": 1.0}),
        "never more at t = 1": Variant(kind=AMShortcut, changes=BEGINNING | {"start_share": 0.0}),
        "never more of full steps": Variant(kind=AMShortcut, changes=BEGINNING | {"full_share": 0.0}),
        "dyadic steps": Variant(kind=Dyadic, changes=BEGINNING),
        "own teacher": Variant(kind=OwnTeacher, changes=BEGINNING),
        "four steps teach one": Variant(kind=FourSteps, changes=BEGINNING),
    },
    "schedule": {
        "cosine": Variant(options=WIDTH),
        "constant": Variant(options=CONSTANT),
        "constant, 10 % decay": Variant(options=CONSTANT, decay_share=0.1),
        "constant, 20 % decay": Variant(options=CONSTANT, decay_share=0.2),
        "constant, 40 % decay": Variant(options=CONSTANT, decay_share=0.4),
    },
    "average": {
        "0.999 per step (as released)": Variant(),
        "width 0.02": Variant(options={"ema_width": 0.02}),
        "width 0.05": Variant(options={"ema_width": 0.05}),
        "width 0.1": Variant(options=WIDTH),
        "width 0.2": Variant(options={"ema_width": 0.2}),
    },
    "optimizer": {
        "Adam, 2e-3 (as released)": Variant(),
        "Adam, 4e-3": Variant(options={"learning_rate": 4e-3}),
        "Muon, 1e-3": Variant(options={"optimizer": "muon", "learning_rate": 1e-3}),
        "Muon, 2e-3": Variant(options={"optimizer": "muon"}),
        "Muon, 4e-3": Variant(options={"optimizer": "muon", "learning_rate": 4e-3}),
    },
    "target-score": {
        "without (as released)": Variant(),
        "weight 0.5": Variant(changes={"target_score": {"weight": 0.5}}),
        "weight 1": Variant(changes={"target_score": {"weight": 1.0}}),
    },
    "self-conditioning": {
        "without (as released)": Variant(),
        "with": Variant(changes={"self_conditioning": True}),
        # a step with an estimate takes one evaluation more: the same time as without
        "with, 20 % fewer structures": Variant(changes={"self_conditioning": True}, samples_seen=8_000),
    },
}
ROWS: dict[str, list[tuple[str, int]]] = {
    "grid": [(sampler, steps) for sampler in ("ancestral", "ode", "multistep") for steps in (5, 10, 25)],
    **dict.fromkeys(("network", "material-sde", *OF_THE_TRAINING), SCORE_ROWS),
    "shortcut": [("shortcut", 1), ("shortcut", 2), ("shortcut", 5), ("ancestral", 25)],
}


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


def mean_energy(structures: list[Atoms], dataset: Dataset) -> float:
    """Mean energy per atom (eV) under the potential of the dataset; of the structures that have one."""
    assert dataset.definition.potential is not None
    energies = []
    with LammpsCalculator(dataset.definition.potential) as calculator:
        for atoms in structures:
            try:
                calculator.calculate(atoms)
            except EvaluationFailed:
                continue
            energies.append(calculator.results["energy"] / len(atoms))
    return float(np.mean(energies)) if energies else float("nan")


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
                        row[f"energy {sampler} {steps}"] = mean_energy(made.frames, dataset)
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
