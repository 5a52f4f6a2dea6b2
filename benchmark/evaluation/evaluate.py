"""Measurement of structures of any origin and comparison with a dataset, for runs, files and notebooks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.distribution_functions import curves_in_chunks
from ...metrics.inverse_design import InverseDesignErrors, inverse_design_errors
from ...metrics.metric import CurveMetric
from ..datasets.definition import DatasetDefinition
from ..registry import load, load_metric
from ..system.time_limits import TaskLost
from ..system.worker_pool import map_with_timeout
from .descriptor_means import STANDARD_DESCRIPTORS, descriptor_means, structure_row
from .reference import Reference
from .screening import STRUCTURE_FAILURE, unmeasured_row, unusable
from .structural_scores import StructuralScores

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

METRICS_VERSION = "1"
"""Version of all metrics; raise it when a change alters any number, so that stored results are recomputed."""

STANDARD_CURVES = ("rdf", "adf")
"""Metrics of mean curves in every structural result."""

MEASUREMENT_TIME_LIMIT = 600.0
"""Processor seconds for all measurements of one structure. Guards against measurements that do not terminate only: a
hundred times the time of a large glass, so that results do not depend on the speed of a machine."""

FEWEST_IN_PARALLEL = 1_000
"""Smallest number of structures whose curves are computed in worker processes; for fewer the transfer takes longer."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Measurements and scores of a list of structures.

    table: one row per structure: descriptors, properties, targets, reasons of failures
    structural: errors of mean curves; None where no curves were requested
    inverse_design: errors per property with a target
    descriptors: means over structures, None where no structure has a value
    failures: structures that could not be measured, per property or metric and reason
    """

    table: pd.DataFrame
    structural: StructuralScores | None
    inverse_design: dict[str, InverseDesignErrors]
    descriptors: dict[str, float | None]
    failures: dict[str, dict[str, int]]


def evaluate_structures(
    frames: Iterable[Atoms],
    reference: Reference,
    *,
    targets: Mapping[str, np.ndarray] | None = None,
    properties: Sequence[str] = (),
    curves: Sequence[str] = STANDARD_CURVES,
    descriptors: Sequence[str] = (),
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure structures and compare them with the reference.

    frames: a sequence, or an iterator that yields structures while they are generated
    targets: target values [s] by property; these properties are measured and compared
    properties: further properties to measure
    curves: metrics of mean curves to score; () for none
    descriptors: metrics per structure, in addition to the standard ones
    executor: runs the measurements, one task per structure
    Raises AmsbenchError for no structures, unknown properties or metrics, and elements that the dataset lacks.
    """
    import pandas as pd

    definition = reference.dataset.definition
    targets = dict(targets or {})
    properties = tuple(dict.fromkeys([*targets, *properties]))
    for name in properties:
        definition.property_named(name)
    curve_metrics = [load_metric(name, CurveMetric) for name in dict.fromkeys(curves)]
    descriptors = tuple(dict.fromkeys([*STANDARD_DESCRIPTORS, *descriptors]))
    if isinstance(frames, Sequence):  # mistakes are reported before any work
        for k, atoms in enumerate(frames):
            _check_elements(k, atoms, definition)
    rows: list[dict[str, Any]] = []
    structures: list[Atoms] = []
    for row in _measurements(frames, structures, definition, properties, descriptors, executor):
        rows.append(row)
        if progress:
            progress(len(rows))
    if not rows:
        raise AmsbenchError("there are no structures to evaluate; give at least one")
    table = pd.DataFrame(rows)
    errors = {}
    for name, target in targets.items():
        table[f"target_{name}"] = np.asarray(target, dtype=float)
        errors[name] = inverse_design_errors(
            target, table[name].to_numpy(dtype=float), training_mean=reference.training_mean(name), seed=seed
        )
    structural = None
    usable = [
        atoms for atoms, row in zip(structures, rows, strict=True) if row.get(STRUCTURE_FAILURE) is None
    ]
    if curve_metrics:
        if not usable:
            raise AmsbenchError(
                f"none of the {len(rows)} structures can be measured, the first has {rows[0][STRUCTURE_FAILURE]}; "
                "leave out the sampler or the number of steps that made them"
            )
        parallel = executor if len(usable) > FEWEST_IN_PARALLEL else None
        measured = {
            metric: curves_in_chunks(metric.curves, usable, executor=parallel) for metric in curve_metrics
        }
        structural = reference.scores(usable, measured, seed)
    failures = {
        name.removesuffix("_failure"): dict(Counter(row[name] for row in rows if row.get(name)))
        for name in dict.fromkeys(name for row in rows for name in row if name.endswith("_failure"))
    }
    return Evaluation(
        table=table,
        structural=structural,
        inverse_design=errors,
        descriptors=descriptor_means(
            [row for row in rows if row.get(STRUCTURE_FAILURE) is None] or rows,
            definition,
            reference.fractions,
            descriptors,
        ),
        failures={name: reasons for name, reasons in failures.items() if reasons},
    )


def metrics_by_kind(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of metrics as those of mean curves and those of single structures; AmsbenchError for an unknown one."""
    kinds = {name: load("metrics", name) for name in names}
    curves = tuple(name for name, kind in kinds.items() if issubclass(kind, CurveMetric))
    return curves, tuple(name for name in kinds if name not in curves)


def _measurements(
    frames: Iterable[Atoms],
    structures: list[Atoms],
    definition: DatasetDefinition,
    properties: tuple[str, ...],
    descriptors: tuple[str, ...],
    executor: Executor | None,
) -> Iterator[dict[str, Any]]:
    """Rows in the order of the structures, as they are measured; the structures are appended to ``structures``."""

    def tasks() -> Iterator[tuple[DatasetDefinition, Atoms, tuple[str, ...], tuple[str, ...]]]:
        for k, atoms in enumerate(frames):
            _check_elements(k, atoms, definition)
            structures.append(atoms)
            yield definition, atoms, properties, descriptors

    measured = map_with_timeout(
        measure_structure,
        tasks(),
        executor,
        limit=MEASUREMENT_TIME_LIMIT,
        task="the measurement of a structure",
    )
    for k, row in enumerate(measured):
        if isinstance(row, TaskLost) and row.crashed:  # what crashes a worker would crash this process, too
            yield unmeasured_row(definition, properties, descriptors, row.reason)
        elif isinstance(row, TaskLost):
            yield _lost(structures[k], definition, properties, descriptors, row.reason)
        else:
            yield row


def _lost(
    atoms: Atoms,
    definition: DatasetDefinition,
    properties: tuple[str, ...],
    descriptors: tuple[str, ...],
    reason: str,
) -> dict[str, Any]:
    """The row of a structure whose measurement did not end: only descriptors that need no potential."""
    unmeasured: dict[str, Any] = dict.fromkeys(properties, math.nan)
    return (
        structure_row(atoms, definition, descriptors, failure=reason)
        | unmeasured
        | {f"{name}_failure": reason for name in properties}
    )


def measure_structure(
    definition: DatasetDefinition,
    atoms: Atoms,
    properties: tuple[str, ...],
    descriptors: tuple[str, ...] = STANDARD_DESCRIPTORS,
) -> dict[str, Any]:
    """One row of the per-structure table; at module level, so that worker processes can import it."""
    reason = unusable(atoms)
    if reason is not None:
        return unmeasured_row(definition, properties, descriptors, reason)
    row = structure_row(atoms, definition, descriptors)
    if len(atoms) == 0:
        values: dict[str, float] = {}
        reasons = dict.fromkeys(properties, "no atoms")
    else:
        measurement = definition.measure(atoms, properties)
        values, reasons = measurement.values, measurement.failures
    for name in properties:
        row[name] = values.get(name, math.nan)
        row[f"{name}_failure"] = reasons.get(name)
    return row


def _check_elements(k: int, atoms: Atoms, definition: DatasetDefinition) -> None:
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(definition.elements))
    if unknown:
        raise AmsbenchError(
            f"structure {k} has {', '.join(unknown)}, which dataset '{definition.name}' does not; "
            f"its elements are {', '.join(definition.elements)}"
        )
