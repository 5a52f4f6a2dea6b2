"""What is generated for a comparison: how many structures, in which cells, with which targets, in how many steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

ResultKind = Literal["structural", "inverse-design"]
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
    kind: ResultKind
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
