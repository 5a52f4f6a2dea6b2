"""Evaluation plans: number, cells, targets and step counts of the structures of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

ResultKind = Literal["structural", "inverse-design"]
PROTOCOLS = ("quick", "standard", "paper")
"""Protocols of every dataset."""
WIDE = "wide"
"""Protocol of datasets with targets far outside their training data: sizes of ``standard``, targets of the paper."""


def reference_split(protocol: str) -> Literal["train", "test"]:
    """The reference of a protocol: held-out simulations, except under ``paper``, which has the training set."""
    return "train" if protocol in ("paper", "paper-custom") else "test"


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """One comparison of a protocol; a run makes one result per plan, sampler and step count.

    name: subject of the comparison, such as ``structure`` or ``shear_modulus``
    version: raised when the plan changes, so that results of the old plan are computed again
    count: structures per result
    steps: sampling step counts
    targets: first and last target of each property, in the dataset's units, evenly spaced over the structures
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
        """Copy with other steps or another count.

        The protocol of a plan with another count is ``custom``, or ``paper-custom`` where the structures are compared
        with the training set as in ``paper``.
        """
        plan = self if steps is None else replace(self, steps=steps)
        if count is not None and count != self.count:
            custom = "paper-custom" if reference_split(self.protocol) == "train" else "custom"
            plan = replace(plan, count=count, protocol=custom)
        return plan

    def target_values(self) -> dict[str, np.ndarray]:
        """Target values [count] by property, in the dataset's units."""
        return {name: np.linspace(first, last, self.count) for name, (first, last) in self.targets.items()}


def structural_plan(protocol: str, version: int, count: int, steps: tuple[int, ...]) -> EvaluationPlan:
    """Plan for structural errors, in the cells and with the atom counts of the training set."""
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
    """Plans for inverse design, one per named combination of targets, all with the same cubes and step counts."""
    return tuple(
        EvaluationPlan(
            name=name,
            kind="inverse-design",
            protocol=protocol,
            version=version,
            count=count,
            steps=steps,
            targets=combination,
            cube=cube,
        )
        for name, combination in targets.items()
    )


def steps_text(*steps: int) -> str:
    """Step counts as a sentence names them: ``1 step``, ``1, 5 steps``; empty for a non-learned baseline (0 steps)."""
    if not any(steps):
        return ""
    return f"{', '.join(map(str, steps))} {'step' if steps == (1,) else 'steps'}"
