"""Which choices make material SDE and AMShortcut learn fast? Prints one table per group.

    python docs/studies/ablation.py FOLDER MATERIAL_SDE.safetensors [GROUP ...]

Trains every variant of a group with two seeds on liquid silicon, generates 128 structures and compares their g(r) and
P(theta) with held-out melts. A row that FOLDER/results.csv has is not computed again, and a training that was stopped
goes on. Groups: ``grid`` (sampling times, with the given checkpoint of any network), ``network`` (each for about the
same time), ``material-sde`` (the same number of structures seen) and ``shortcut`` (the same number of structures seen,
from the given checkpoint of the standard network). A variant is a change to the settings or a subclass below, so that
what did not pay is not part of the package.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
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
from amsbench.benchmark.training.trainer import Trainer
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_method import MaterialMethod
from amsbench.methods.material_sde import Ancestral, MaterialSDE
from amsbench.methods.samplers import Euler, Multistep, TimeSteps
from amsbench.methods.state import Prediction, State
from amsbench.metrics.curve_metrics import AngularDistribution, RadialDistribution
from amsbench.metrics.structural_errors import curve_rmsd

COUNT, SEEDS = 128, (0, 1)
STRUCTURES_SEEN = {"material-sde": 10_000, "shortcut": 6_000}


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


BEGINNING = {"warmup": 0.0}
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
}
ROWS: dict[str, list[tuple[str, int]]] = {
    "grid": [(sampler, steps) for sampler in ("ancestral", "ode", "multistep") for steps in (5, 10, 25)],
    "network": [("ancestral", 5), ("ancestral", 10), ("ancestral", 25), ("multistep", 25)],
    "material-sde": [("ancestral", 5), ("ancestral", 10), ("ancestral", 25), ("multistep", 25)],
    "shortcut": [("shortcut", 1), ("shortcut", 2), ("shortcut", 5), ("ancestral", 25)],
}


def trained(
    group: str, variant: Variant, seed: int, dataset: Dataset, init_from: Path, folder: Path
) -> tuple[Method, float]:
    """The moving average of a variant's training, and the training's seconds."""
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
        return method, 0.0
    samples_seen = variant.samples_seen or STRUCTURES_SEEN[group]
    options = TrainingOptions(
        samples_seen=samples_seen, batch_size=2, learning_rate=1e-3 if group == "shortcut" else 2e-3,
        validate_every=2_000, validation_samples=16, seed=seed,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(Fabric(accelerator="cpu", devices=1), method, dataset, folder, options, None)
    trainer.resume(
        {"variant": str(variant), "seed": seed, "options": asdict(options), "init_from": str(init_from)}
    )
    trainer.run()
    return trainer.ema_model, trainer.seconds


def main(folder: Path, init_from: Path, groups: list[str]) -> None:
    torch.set_num_threads(1)
    dataset = amsbench.load_dataset("asi")
    reference, test = Reference(dataset), dataset.split("test")
    cells = np.repeat(test.cells[:1], COUNT, axis=0)
    counts = np.full(COUNT, test.counts[0])
    path = folder / "results.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["group", "variant", "seed"])
    for group in groups:
        for name, variant in GROUPS[group].items():
            for seed in SEEDS:
                if len(known.query("group == @group and variant == @name and seed == @seed")):
                    continue
                place = folder / f"{group}-{list(GROUPS[group]).index(name)}-{seed}"
                method, seconds = trained(group, variant, seed, dataset, init_from, place)
                row: dict[str, Any] = {"group": group, "variant": name, "seed": seed, "minutes": seconds / 60}
                row["samples_seen"] = variant.samples_seen or STRUCTURES_SEEN.get(group, 0)
                for sampler, steps in ROWS[group]:
                    made = generate_structures(
                        method, cells=cells, counts=counts, steps=steps, sampler=sampler, seed=seed
                    )
                    for metric in (RadialDistribution(), AngularDistribution()):
                        mean = metric.curves(made.frames).mean
                        row[f"{metric.name} {sampler} {steps}"] = curve_rmsd(
                            mean, reference.curve(metric).mean
                        )
                known = pd.concat([known, pd.DataFrame([row])], ignore_index=True)
                known.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
                print(row, file=sys.stderr, flush=True)
        print(f"\n{group}\n\n{table(known, group)}")


def table(known: pd.DataFrame, group: str) -> str:
    """Both seeds of every variant: g(r) errors, and of the last column those of P(theta) in thousandths."""
    columns = [f"rdf {sampler} {steps}" for sampler, steps in ROWS[group]]
    columns.append(f"adf {ROWS[group][-1][0]} {ROWS[group][-1][1]}")
    rows = []
    for name in GROUPS[group]:
        found = known.query("group == @group and variant == @name").sort_values("seed")
        row = [name, f"{found['samples_seen'].iloc[0]:,.0f}"]
        for column in columns:
            scale = 1000 if column.startswith("adf") else 1
            row.append(" / ".join(f"{scale * value:.3f}" for value in found[column]))
        rows.append(row)
    heads = ["", "structures seen", *columns[:-1], f"1000 {columns[-1]}"]
    return tabulate(rows, heads, "github", disable_numparse=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or not set(sys.argv[3:]) <= set(GROUPS):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or list(GROUPS))
