"""What a design is to make: targets with tolerances, the model, and how much may be spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..datasets.definition import plans_of
from ..evaluation.design_scores import TOLERANCE
from ..evaluation.evaluate import METRICS_VERSION
from ..generation.cells import cell_matrix, cells_of, check_cells, start_cells
from ..generation.generate import property_table
from ..interface.noise import structure_seeds
from ..registry import near_matches
from ..runs.current_code import method_code, metric_codes
from ..system.arguments import number, whole_number
from ..training.checkpoints import Checkpoint

STEPS = 25
"""Sampling steps by default. Of the published results of the default method on silica those of 25 steps have hits, and
those of 1 and 5 steps have none."""
METHOD = "amshortcut"
"""Method by default, with its preferred sampler."""
ROUND = 8
"""Structures of a round by default: enough to see a bias of one standard deviation, and few for a single glass."""
STRUCTURES_PER_GLASS, LEAST_STRUCTURES = 50, 200
"""Structures that may be tried by default, for each glass and at least."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DesignTarget:
    """The value that a property is to have.

    tolerance: largest difference of a hit, in the unit of the property
    labels: those of the training structures that have one, sorted
    """

    name: str
    unit: str
    value: float
    tolerance: float
    labels: np.ndarray

    @property
    def asked_range(self) -> tuple[float, float]:
        """Smallest and largest value that the model may be asked for: that of the labels, widened to the target."""
        return min(float(self.labels[0]), self.value), max(float(self.labels[-1]), self.value)

    @property
    def text(self) -> str:
        """The target with its tolerance and unit."""
        return f"{self.name} = {self.value:g} ± {self.tolerance:.3g} {self.unit}"

    def place(self) -> str:
        """Where the target lies among the training labels, as a sentence."""
        low, high = self.labels[0], self.labels[-1]
        below = float((self.labels < self.value).mean())
        above = float((self.labels > self.value).mean())
        side, share = ("above", below) if below >= above else ("below", above)
        near = int((np.abs(self.labels - self.value) <= self.tolerance).sum())
        percent = f"{100 * share:.0f} %"
        if 0.995 <= share < 1:
            percent = "more than 99 %"
        return (
            f"{self.text}: {side} {'all' if share == 1 else percent} of the {len(self.labels)} training glasses "
            f"({low:.4g} to {high:.4g} {self.unit}), {near or 'none'} of them within the tolerance"
        )


def design_targets(
    dataset: Dataset, targets: Mapping[str, float], tolerance: float | Mapping[str, float] | None
) -> tuple[DesignTarget, ...]:
    """Targets of a dataset's properties with their tolerances.

    tolerance: one number for all, or by property; half a standard deviation of the training labels for the others, as
        in the hits of the benchmark

    Raises AmsbenchError for unknown properties and for values that are no finite numbers, or tolerances not above 0.
    """
    if not isinstance(targets, Mapping) or not targets:
        raise AmsbenchError("a design needs a target, such as {'shear_modulus': 25.0}; give at least one")
    given = dict(tolerance) if isinstance(tolerance, Mapping) else dict.fromkeys(targets, tolerance)
    for name in given:
        if name not in targets:
            raise AmsbenchError(f"a tolerance of '{name}' has no target; {near_matches(name, list(targets))}")
    train = dataset.split("train")
    chosen = []
    for name, value in targets.items():
        item = dataset.definition.property_named(name)
        column = train.properties[:, dataset.property_names.index(name)].astype(float)
        labels = np.sort(column[np.isfinite(column)])
        if not len(labels):
            raise AmsbenchError(
                f"no training structure of {dataset.path} has a label of '{name}'; leave it out"
            )
        own = given.get(name)
        if own is None:
            own = TOLERANCE * float(labels.std())
        chosen.append(
            DesignTarget(
                name=name,
                unit=item.unit,
                value=number(value, f"the target of {name}", above=-np.inf),
                tolerance=number(own, f"the tolerance of {name}", above=0.0),
                labels=labels,
            )
        )
    return tuple(chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class DesignRequest:
    """A design.

    count: glasses to keep
    cell: edge of a cube, three edges or nine numbers, angstrom; None for the cells of the benchmark
    round_size: structures that are generated and judged together
    corrects: whether later rounds ask for shifted targets (``bias``)
    most: structures that may be tried, whole rounds
    minutes: of elapsed time that may be spent, None without limit
    """

    dataset: Dataset
    checkpoint: Checkpoint
    targets: tuple[DesignTarget, ...]
    count: int
    sampler: str
    steps: int = STEPS
    seed: int = 0
    cell: tuple[float, ...] | None = None
    round_size: int = ROUND
    corrects: bool = True
    most: int
    minutes: float | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        checkpoint: Checkpoint,
        targets: Mapping[str, float],
        *,
        count: int,
        tolerance: float | Mapping[str, float] | None = None,
        sampler: str | None = None,
        steps: int = STEPS,
        seed: int = 0,
        cell: float | Sequence[float] | None = None,
        round_size: int = ROUND,
        corrects: bool = True,
        most: int | None = None,
        minutes: float | None = None,
    ) -> DesignRequest:
        """A checked request from what people write; AmsbenchError, one sentence, for what cannot be made.

        sampler: by default the preferred one of the method
        most: by default ``STRUCTURES_PER_GLASS`` for each glass, and at least ``LEAST_STRUCTURES``; cut to whole rounds
        """
        count = whole_number(count, "the number of glasses", least=1)
        round_size = whole_number(round_size, "the number of structures of a round", least=1)
        if most is None:
            most = max(LEAST_STRUCTURES, STRUCTURES_PER_GLASS * count, round_size)
        most = whole_number(most, "the largest number of structures", least=1)
        if most < round_size:
            raise AmsbenchError(
                f"at most {most} structures are fewer than the {round_size} of a round; allow more, or smaller rounds"
            )
        method = checkpoint.method
        request = cls(
            dataset=dataset,
            checkpoint=checkpoint,
            targets=design_targets(dataset, targets, tolerance),
            count=count,
            sampler=method.sampler_named(sampler or method.preferred_sampler()).name,
            steps=whole_number(steps, "the number of sampling steps", least=1),
            seed=whole_number(seed, "the seed", least=0),
            cell=None if cell is None else tuple(float(value) for value in cell_matrix(cell).ravel()),
            round_size=round_size,
            corrects=corrects,
            most=most // round_size * round_size,
            minutes=None if minutes is None else number(minutes, "the budget in minutes", above=0.0),
        )
        request.check()
        return request

    @property
    def on_gpu(self) -> bool:
        return next(self.checkpoint.method.parameters()).is_cuda

    def check(self) -> None:
        """Raise AmsbenchError for targets that the checkpoint was not trained on, and for cells that do not fit."""
        method = self.checkpoint.method
        property_table(method.task, {target.name: np.array([target.value]) for target in self.targets}, 1)
        cells, _ = self.cells(0, 1)
        check_cells(torch.as_tensor(cells), method.cutoff)

    def settings(self) -> dict[str, Any]:
        """What the tried structures and their judgement depend on, as JSON data."""
        method = self.checkpoint.method
        return {
            "dataset": self.dataset.definition.name,
            "dataset_hash": self.dataset.content_hash,
            "method": method.name,
            "checkpoint": self.checkpoint.content_hash,
            "sampler": self.sampler,
            "sampler_version": method.sampler_named(self.sampler).version,
            "steps": self.steps,
            "seed": self.seed,
            "targets": {target.name: target.value for target in self.targets},
            "tolerances": {target.name: target.tolerance for target in self.targets},
            "cell": None if self.cell is None else list(self.cell),
            "round_size": self.round_size,
            "correction": self.corrects,
            "precision": method.product_type(),
            "code": method_code(type(method)),
            "metrics_version": METRICS_VERSION,
            "property_code": metric_codes(
                self.dataset.definition, (), [target.name for target in self.targets]
            ),
        }

    def cells(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Cells [count, 3, 3] (angstrom) and atom counts [count], ghosts included, from structure ``first`` on.

        By default the cubes of the dataset's protocol ``standard``; without any, a training cell for each structure,
        drawn by its seed.
        """
        if self.cell is not None:
            return start_cells(self.checkpoint.method, count, self.cell, self.dataset)
        plans = plans_of(self.dataset.definition, "standard")
        plan = next((plan for plan in plans if plan.cube is not None), None)
        if plan is not None:
            return cells_of(plan.changed(count=count), self.dataset)
        cells, counts = self._training_cells
        rows = np.array(structure_seeds(self.seed, first, count)) % len(cells)
        return cells[rows], counts[rows]

    @cached_property
    def _training_cells(self) -> tuple[np.ndarray, np.ndarray]:
        plan = plans_of(self.dataset.definition, "standard")[0]
        return cells_of(plan.changed(count=len(self.dataset.indices("train"))), self.dataset)

    def description(self) -> list[str]:
        """Sentences that say what is asked for, how far from the data it is, and by which model."""
        method = self.checkpoint.method
        lines = [target.place() for target in self.targets]
        if len(self.targets) > 1:
            train = self.dataset.split("train").properties
            near = [
                np.abs(train[:, self.dataset.property_names.index(target.name)] - target.value)
                <= target.tolerance
                for target in self.targets
            ]
            both = int(np.logical_and.reduce(near).sum())
            lines.append(f"{both or 'None'} of the {len(train)} training glasses are within all tolerances")
        limit = f"{self.most} structures" + (f" or {self.minutes:g} min" if self.minutes is not None else "")
        lines.append(
            f"{method.name}, sampler {self.sampler}, {self.steps} steps, checkpoint "
            f"{self.checkpoint.content_hash[:12]}, seed {self.seed}; at most {limit}"
        )
        return lines
