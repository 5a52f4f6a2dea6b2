"""Whether a stored result is one of a plan: its key, the cells and sizes of its structures, its targets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .. import registry
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition, plans_of
from ..evaluation.evaluate import METRICS_VERSION
from ..generation.cells import cells_of
from ..interface.evaluation_plan import PROTOCOLS, WIDE, EvaluationPlan, reference_split
from .results import NO_STEPS, TABLE, Result, ResultFiles, ResultKey, check_file

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

CELL_TOLERANCE = 1e-4
"""Largest difference of a component of a lattice vector from the plan's, angstrom: that of single precision."""


def plan_of(result: Result, dataset: Dataset, path: Path) -> EvaluationPlan:
    """The plan of a result; AmsbenchError for a result of other data, and one that belongs to no plan of its dataset.

    path: of the result, for messages
    """
    key = result.key
    if key.dataset_hash != dataset.content_hash:
        raise AmsbenchError(
            f"{path} is of other data of '{key.dataset}' than {dataset.path}; give the file of its data with --data"
        )
    if key.metrics_version != METRICS_VERSION:
        raise AmsbenchError(
            f"{path} has numbers of version {key.metrics_version} of the metrics, this installation has version "
            f"{METRICS_VERSION}; run again to measure it anew"
        )
    plans = _plans_like(key, dataset.definition)
    plan = next((plan for plan in plans if _is_of(key, plan)), None)
    if plan is None:
        raise AmsbenchError(
            f"{path} belongs to no plan of '{key.dataset}': plan '{key.plan}', protocol '{key.protocol}' version "
            f"{key.protocol_version}, {key.count} structures, targets {_targets_text(key.targets)}, "
            f"{_cell_text(key.cube)}; "
            + "; or ".join(f"the plan has {_plan_text(plan)}" for plan in plans[:1])
            + ("" if plans else f"the protocols are {', '.join((*PROTOCOLS, WIDE))} and custom")
        )
    if (key.steps == NO_STEPS and key.method in registry.names("methods")) or key.steps < NO_STEPS:
        raise AmsbenchError(f"{path} has {key.steps} steps, which '{key.method}' cannot take; run again")
    structural = result.structural.reference if result.structural else None
    conditioned = tuple(name for name in plan.targets if name in result.trained_on)
    if (plan.kind == "structural") > (structural is not None) or result.conditioned_on != conditioned:
        raise AmsbenchError(f"{path} lacks the scores or the conditions of its plan; run again")
    if structural not in (None, reference_split(plan.protocol)):
        raise AmsbenchError(
            f"{path} is compared with the {structural} split, and its protocol with the "
            f"{reference_split(plan.protocol)} split; run again"
        )
    return plan


def _plans_like(key: ResultKey, definition: DatasetDefinition) -> list[EvaluationPlan]:
    """The plans of a key's name and protocol, with its count where that is custom."""
    plans: list[EvaluationPlan] = []
    for protocol in (*PROTOCOLS, WIDE):
        with suppress(AmsbenchError):  # a dataset without plans of this protocol
            for plan in plans_of(definition, protocol):
                if plan.name == key.plan and key.protocol == protocol:
                    plans.append(plan)
                elif plan.name == key.plan and key.count > 0:
                    changed = plan.changed(count=key.count)
                    plans += [changed] * (changed.protocol == key.protocol)
    return plans


def _is_of(key: ResultKey, plan: EvaluationPlan) -> bool:
    return (key.kind, key.protocol_version, key.count, key.cube) == (
        plan.kind,
        plan.version,
        plan.count,
        plan.cube,
    ) and key.targets == {name: tuple(ends) for name, ends in plan.targets.items()}


def _plan_text(plan: EvaluationPlan) -> str:
    return (
        f"version {plan.version}, {plan.count} structures, targets {_targets_text(plan.targets)}, "
        f"{_cell_text(plan.cube)}"
    )


def _targets_text(targets: object) -> str:
    assert isinstance(targets, dict)
    return ", ".join(f"{name} {first:g} to {last:g}" for name, (first, last) in targets.items()) or "none"


def _cell_text(cube: float | None) -> str:
    return "cells of the training set" if cube is None else f"cubes of {cube:g} A"


def check_structures(
    frames: Sequence[Atoms], result: Result, plan: EvaluationPlan, dataset: Dataset, path: Path
) -> None:
    """Raise AmsbenchError where structures are not as many, as large or in such cells as the plan requires.

    path: of the structures, for messages. The cells and sizes of non-learned baselines are their own.
    """
    if len(frames) != plan.count:
        raise AmsbenchError(
            f"{path} has {len(frames)} structures where its result has {plan.count}; run again"
        )
    if result.key.steps == NO_STEPS:
        return
    cells, counts = cells_of(plan, dataset)
    ghosts = dataset.definition.ghost_density is not None
    for k, atoms in enumerate(frames):
        if not np.allclose(atoms.cell.array, cells[k], rtol=0, atol=CELL_TOLERANCE):
            raise AmsbenchError(
                f"structure {k} in {path} is in another cell, {np.round(atoms.cell.array, 4).tolist()}, than the plan "
                f"has, {np.round(cells[k], 4).tolist()}; generate it in the cell that the method receives"
            )
        if len(atoms) > counts[k] or (not ghosts and len(atoms) < counts[k]):
            raise AmsbenchError(
                f"structure {k} in {path} has {len(atoms)} atoms, and the plan has {'at most ' * ghosts}{counts[k]} "
                "there; generate it with the number of atoms that the method receives"
            )


def checked_table(files: ResultFiles, result: Result, plan: EvaluationPlan) -> pd.DataFrame:
    """The table of a result; AmsbenchError where it is missing, damaged, edited, or has other rows or targets."""
    import pandas as pd
    import pyarrow.parquet

    path = files.path(result.key, TABLE)
    if not path.is_file():
        raise AmsbenchError(f"{path} is missing; copy it beside its .json, or run again")
    check_file(path, result)
    try:
        # the number of rows before any of them is unpacked
        rows = pyarrow.parquet.read_metadata(path).num_rows
        table = pd.read_parquet(path) if rows == plan.count else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AmsbenchError(f"{path} is damaged; run again") from error
    if table is None:
        raise AmsbenchError(f"{path} has {rows} structures where its result has {plan.count}; run again")
    for name, values in plan.target_values().items():
        column = f"target_{name}"
        stored = table[column].to_numpy() if column in table else None
        if stored is None or not np.array_equal(stored, values):
            raise AmsbenchError(
                f"{path} has other targets in its column {column} than the plan '{plan.name}'; run again"
            )
    return table
