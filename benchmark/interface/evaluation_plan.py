"""What is generated for a comparison: how many structures, in which cells, with which targets, in how many steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset, DatasetDefinition

Kind = Literal["structural", "inverse-design"]
PROTOCOLS = ("quick", "standard", "paper")


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """One comparison of a protocol; a run makes one result cell per plan, sampler and step count.

    name: what is asked for, such as ``structure`` or ``shear_modulus``
    count: structures per cell of the table
    steps: sampling step counts
    targets: for each property asked for, its first and last value (evenly spaced over the structures)
    cube: edge of the cubic cells in angstrom, or None for the cells and atom counts of the training set
    """

    name: str
    kind: Kind
    protocol: str
    version: int
    count: int
    steps: tuple[int, ...]
    targets: Mapping[str, tuple[float, float]]
    cube: float | None

    def changed(self, *, steps: tuple[int, ...] | None = None, count: int | None = None) -> EvaluationPlan:
        """The plan with other steps or another count; its protocol is then ``custom`` if the count differs."""
        plan = self if steps is None else replace(self, steps=steps)
        if count is not None and count != self.count:
            plan = replace(plan, count=count, protocol="custom")
        return plan

    def target_values(self) -> dict[str, np.ndarray]:
        """The property values asked of the structures, each [count]."""
        return {name: np.linspace(first, last, self.count) for name, (first, last) in self.targets.items()}


def structural_plan(protocol: str, version: int, count: int, steps: tuple[int, ...]) -> EvaluationPlan:
    """Structure alone, in the cells and with the atom counts of the training set."""
    return EvaluationPlan(
        name="structure",
        kind="structural",
        protocol=protocol,
        version=version,
        count=count,
        steps=steps,
        targets={},
        cube=None,
    )


def inverse_design_plans(
    protocol: str,
    version: int,
    count: int,
    steps: tuple[int, ...],
    cube: float,
    targets: Mapping[str, Mapping[str, tuple[float, float]]],
) -> tuple[EvaluationPlan, ...]:
    """Inverse design with each of the named combinations of targets, in the same cubes and step counts."""
    return tuple(
        EvaluationPlan(
            name=name,
            kind="inverse-design",
            protocol=protocol,
            version=version,
            count=count,
            steps=steps,
            targets=asked,
            cube=cube,
        )
        for name, asked in targets.items()
    )


def plans_of(definition: DatasetDefinition, protocol: str) -> tuple[EvaluationPlan, ...]:
    """The comparisons that a dataset makes under a protocol; AmsbenchError for an unknown one."""
    if protocol not in PROTOCOLS:
        raise AmsbenchError(f"unknown protocol '{protocol}'; known: {', '.join(PROTOCOLS)}")
    return tuple(definition.evaluation_plans(protocol))


def cells_of(plan: EvaluationPlan, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Cells [count, 3, 3] (angstrom) and atom counts [count], ghosts included.

    Cells of the training set are dealt out evenly over it, so that few samples span it too.
    """
    density = dataset.definition.ghost_density
    if plan.cube is not None:
        cells = np.tile(np.eye(3) * plan.cube, (plan.count, 1, 1))
        if density is None:
            raise AmsbenchError(
                f"plan '{plan.name}' of '{dataset.definition.name}' asks for cubes, but without ghosts the atom "
                "count is not known; give the dataset a ghost density"
            )
        counts = np.full(plan.count, int(np.floor(density * plan.cube**3)))
        return cells, counts
    train = dataset.indices("train")
    rows = train[(np.arange(plan.count) * len(train)) // plan.count % len(train)]
    cells = dataset.cells[rows].astype(float)
    if density is None:
        return cells, dataset.counts[rows]
    return cells, np.floor(density * np.abs(np.linalg.det(cells))).astype(np.int64)
