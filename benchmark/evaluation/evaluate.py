"""Scoring structures of any origin against a dataset: one code path for runs, files and notebooks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.inverse_design import InverseDesignErrors, inverse_design_errors
from ...metrics.structural_errors import StructuralCurves, structural_curves
from ..datasets.definition import DatasetDefinition
from ..system.worker_pool import TaskLost, map_with_timeout
from .descriptor_means import composition_facts, structure_row, substance
from .reference import Reference
from .structural_scores import StructuralScores

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

METRICS_VERSION = "1"
"""Raised whenever a change to the metrics changes a number, so that old result cells are computed again."""

MEASUREMENT_TIME_LIMIT = 600.0
"""Seconds for all measurements of one structure, a hundred times what a large glass takes: it ends what would go on
for ever, and its result does not depend on how fast a machine is."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What became of a list of structures.

    table: one row per structure: composition, density, energy, properties, targets, failures
    structural: RDF and ADF errors, None where not asked for
    inverse_design: errors per property with a target
    substance: means over the structures of what they are made of, None where unknown
    failures: structures that could not be measured, per property and reason
    """

    table: pd.DataFrame
    structural: StructuralScores | None
    inverse_design: dict[str, InverseDesignErrors]
    substance: dict[str, float | None]
    failures: dict[str, dict[str, int]]


def evaluate_structures(
    frames: Iterable[Atoms],
    reference: Reference,
    *,
    targets: Mapping[str, np.ndarray] | None = None,
    properties: Sequence[str] = (),
    structural: bool = True,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure structures and compare them with a dataset.

    frames: may be an iterator that still makes them; each is measured when it comes
    targets: values [s] that were asked for, per property; these properties are measured and compared
    properties: further properties to measure
    executor: shares out the measurements, one task per structure
    Raises AmsbenchError for no structures, unknown properties, and elements that the dataset does not have.
    """
    import pandas as pd

    definition = reference.dataset.definition
    targets = dict(targets or {})
    names = tuple(dict.fromkeys([*targets, *properties]))
    for name in names:
        definition.property_named(name)
    if isinstance(frames, Sequence):  # a mistake is told before any work
        for k, frame in enumerate(frames):
            _check_elements(k, frame, definition)
    rows = []
    known: list[Atoms] = []
    for k, row in enumerate(_measured(frames, known, definition, names, executor)):
        rows.append(row)
        if progress:
            progress(k + 1)
    if not rows:
        raise AmsbenchError("there are no structures to evaluate; give at least one")
    table = pd.DataFrame(rows)
    inverse = {}
    for name, wanted in targets.items():
        table[f"target_{name}"] = np.asarray(wanted, dtype=float)
        inverse[name] = inverse_design_errors(
            wanted, table[name].to_numpy(dtype=float), training_mean=reference.training_mean(name), seed=seed
        )
    scored = None
    if structural:
        scored = reference.structural(_curves(known, reference, executor), known, seed)
    failures = {
        name: dict(Counter(row[f"{name}_failure"] for row in rows if row.get(f"{name}_failure")))
        for name in (*names, "energy")
    }
    return Evaluation(
        table=table,
        structural=scored,
        inverse_design=inverse,
        substance=substance(rows, definition, reference.fractions),
        failures={name: reasons for name, reasons in failures.items() if reasons},
    )


def _curves(frames: Sequence[Atoms], reference: Reference, executor: Executor | None) -> StructuralCurves:
    return structural_curves(
        list(frames), protocol=reference.protocol, executor=executor if len(frames) > 1_000 else None
    )


def _measured(
    frames: Iterable[Atoms],
    known: list[Atoms],
    definition: DatasetDefinition,
    names: tuple[str, ...],
    executor: Executor | None,
) -> Iterator[dict[str, Any]]:
    """Rows in the order of the structures, as they are done; the structures go to ``known``."""

    def jobs() -> Iterator[tuple[DatasetDefinition, Atoms, tuple[str, ...]]]:
        for k, frame in enumerate(frames):
            _check_elements(k, frame, definition)
            known.append(frame)
            yield definition, frame, names

    for k, row in enumerate(
        map_with_timeout(measure_structure, jobs(), executor, limit=MEASUREMENT_TIME_LIMIT)
    ):
        yield _lost(known[k], definition, names, row.reason) if isinstance(row, TaskLost) else row


def _lost(atoms: Atoms, definition: DatasetDefinition, names: tuple[str, ...], reason: str) -> dict[str, Any]:
    """The row of a structure whose measurement never ended, with what needs no simulation."""
    unmeasured: dict[str, Any] = dict.fromkeys(names, math.nan)
    return (
        composition_facts(atoms, definition)
        | {"energy_per_atom": math.nan, "largest_force": math.nan, "energy_failure": reason}
        | unmeasured
        | {f"{name}_failure": reason for name in names}
    )


def measure_structure(definition: DatasetDefinition, atoms: Atoms, names: tuple[str, ...]) -> dict[str, Any]:
    """One row of the table; a function of the module, so that worker processes find it."""
    row = structure_row(atoms, definition)
    if len(atoms) == 0:
        measured: dict[str, float] = {}
        reasons = dict.fromkeys(names, "no atoms")
    else:
        result = definition.measure(atoms, names)
        measured, reasons = result.values, result.failures
    for name in names:
        row[name] = measured.get(name, math.nan)
        row[f"{name}_failure"] = reasons.get(name)
    return row


def _check_elements(k: int, frame: Atoms, definition: DatasetDefinition) -> None:
    unknown = sorted(set(frame.get_chemical_symbols()) - set(definition.elements))
    if unknown:
        raise AmsbenchError(
            f"structure {k} has {', '.join(unknown)}, which dataset '{definition.name}' does not; "
            f"its elements are {', '.join(definition.elements)}"
        )
