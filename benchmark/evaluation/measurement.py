"""Measurement of single structures: descriptors, properties, and the minimum to which a structure relaxes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...metrics.descriptors import has_overlap
from ...metrics.potentials.potential import EvaluationFailed
from ..datasets.definition import DatasetDefinition, Measurement, RelaxationFailure, RelaxedStructure
from ..execution.task_map import map_with_timeout
from ..execution.time_limits import TaskLost
from .descriptor_means import STANDARD_DESCRIPTORS, structure_row
from .material_limits import mass_density
from .unmeasurable import NO_ATOMS, UNMEASURABLE, unmeasurable, unmeasured_row

if TYPE_CHECKING:
    from ase import Atoms

MEASUREMENT_TIME_LIMIT = 600.0
"""Processor seconds for all measurements of one structure. Guards against measurements that do not terminate only: a
hundred times the time of a large glass, so that results do not depend on the speed of a machine."""


@dataclass(frozen=True, kw_only=True)
class MeasurementTask:
    """What is measured on each structure.

    relaxes: whether energy and density of the relaxed structure are measured, if the dataset has a potential
    """

    definition: DatasetDefinition
    properties: tuple[str, ...]
    descriptors: tuple[str, ...] = STANDARD_DESCRIPTORS
    relaxes: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredStructure:
    """What was measured on a structure.

    row: of the per-structure table
    relaxed: the relaxed structure; None if there is none
    cpu_seconds: processor time of the measurement; 0 for one that crashed its process, whose time is not known
    """

    row: dict[str, Any]
    relaxed: Atoms | None = None
    cpu_seconds: float = 0.0


def measurements(
    frames: Iterable[Atoms], structures: Sequence[Atoms], task: MeasurementTask, executor: Executor | None
) -> Iterator[MeasuredStructure]:
    """Rows in the order of the structures, as they are measured.

    structures: those of ``frames`` by their number, as soon as ``frames`` has given them
    """
    measured = map_with_timeout(
        measure_structure,
        ((task, atoms) for atoms in frames),
        executor,
        limit=MEASUREMENT_TIME_LIMIT,
        task="the measurement of a structure",
    )
    for k, row in enumerate(measured):
        if isinstance(row, TaskLost):
            # what crashes a worker would crash this process, too
            lost = _unmeasured if row.crashed else _lost
            # a measurement that did not end took the whole limit; the time of one that crashed is not known
            yield MeasuredStructure(
                row=lost(structures[k], task, row.reason),
                cpu_seconds=0.0 if row.crashed else MEASUREMENT_TIME_LIMIT,
            )
        else:
            yield row


def _unmeasured(atoms: Atoms, task: MeasurementTask, reason: str) -> dict[str, Any]:
    return unmeasured_row(atoms, reason, task.definition, task.properties, task.descriptors)


def _lost(atoms: Atoms, task: MeasurementTask, reason: str) -> dict[str, Any]:
    """The row of a structure whose measurement did not end: only descriptors that need no potential."""
    unmeasured: dict[str, Any] = dict.fromkeys(task.properties, math.nan)
    return (
        structure_row(atoms, task.definition, task.descriptors, failure=reason)
        | unmeasured
        | {f"{name}_failure": reason for name in task.properties}
    )


def measure_structure(task: MeasurementTask, atoms: Atoms) -> MeasuredStructure:
    """Measurements of one structure; at module level, so that worker processes can import it."""
    began = time.process_time()
    definition = task.definition
    if (reason := unmeasurable(atoms, definition)) is not None:
        return MeasuredStructure(row=_unmeasured(atoms, task, reason))
    row = structure_row(atoms, definition, task.descriptors)
    if len(atoms) == 0:
        row[UNMEASURABLE] = NO_ATOMS
        measurement = Measurement(failures=dict.fromkeys(task.properties, "no atoms"))
    else:
        measurement = definition.measure(atoms, task.properties)
    for name in task.properties:
        row[name] = measurement.values.get(name, math.nan)
        row[f"{name}_failure"] = measurement.failures.get(name)
    relaxation = measurement.relaxed
    if relaxation is None and task.relaxes and definition.potential is not None:
        relaxation = _relaxation(definition, atoms)
    relaxed = relaxation if isinstance(relaxation, RelaxedStructure) else None
    if task.relaxes and definition.potential is not None:
        row["relaxed_energy_per_atom"] = math.nan if relaxed is None else relaxed.energy_per_atom
        row["relaxed_density"] = math.nan if relaxed is None else mass_density(relaxed.atoms)
    return MeasuredStructure(
        row=row,
        relaxed=None if relaxed is None else relaxed.atoms,
        cpu_seconds=time.process_time() - began,
    )


def _relaxation(definition: DatasetDefinition, atoms: Atoms) -> RelaxedStructure | RelaxationFailure:
    """The relaxed structure, or why there is none."""
    if len(atoms) == 0:
        return RelaxationFailure(reason="no atoms")
    if has_overlap(atoms):
        return RelaxationFailure(reason="atoms overlap")
    try:
        return definition.relax(atoms)
    except EvaluationFailed as error:
        return RelaxationFailure(reason=str(error))
