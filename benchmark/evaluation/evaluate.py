"""Measurement of structures of any origin and comparison with a dataset, for runs, files and notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...errors import AmsbenchError
from ...metrics.design.hits import HitScores
from ...metrics.design.inverse_design import InverseDesignErrors, inverse_design_errors
from ...metrics.distribution_functions import Curves
from ...metrics.metric import CurveMetric
from ...metrics.structural_errors import squared_errors
from ..datasets.definition import DatasetDefinition
from ..display.shows_itself import ShowsItself
from ..registry import load, load_metric
from ..system.compact_structures import CompactFrames
from .descriptor_means import STANDARD_DESCRIPTORS, descriptor_means
from .design_scores import judge_structures
from .measurement import MeasurementTask, measurements
from .reference import LARGEST_GAS, Reference
from .structural_scores import StructuralScores
from .unmeasurable import UNMEASURABLE, check_any_measurable, is_measured

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

METRICS_VERSION = "1"
"""Version of all metrics; raise it when a change alters any number, so that stored results are recomputed."""

STANDARD_CURVES = ("rdf", "adf")
"""Metrics of mean curves in every structural result."""

FEWEST_IN_PARALLEL = 1_000
"""Smallest number of structures whose curves are computed in worker processes; for fewer the transfer takes longer."""


STRUCTURES_AT_A_TIME = 500
"""Structures whose curves are computed together."""


def squared_error_column(curve: str) -> str:
    """Column of the table with each structure's part of the squared RMSD of a curve (``squared_errors``)."""
    return f"{curve}_squared_error"


@dataclass(frozen=True, kw_only=True)
class Evaluation(ShowsItself):
    """Measurements and scores of a list of structures.

    table: one row per structure: descriptors, properties, targets, reasons of failures
    structural: errors of mean curves; None where no curves were requested
    inverse_design: errors per property with a target
    descriptors: means over structures, None where no structure has a value
    failures: structures that could not be measured, per property or metric and reason
    hits: requests that were answered by a usable structure; None without targets
    cpu_seconds: processor time of the measurements of single structures
    reference: what the structures were compared with
    """

    html_writer: ClassVar[str] = "benchmark.evaluation.evaluation_html:evaluation_html"

    table: pd.DataFrame
    structural: StructuralScores | None
    inverse_design: dict[str, InverseDesignErrors]
    descriptors: dict[str, float | None]
    failures: dict[str, dict[str, int]]
    hits: HitScores | None
    cpu_seconds: float
    reference: Reference


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
    judged: bool = True,
    kept: list[Atoms] | CompactFrames | None = None,
) -> Evaluation:
    """Measure structures and compare them with the reference.

    frames: a sequence, or an iterator that yields structures while they are generated
    targets: target values [s] by property; these properties are measured and compared
    properties: further properties to measure
    curves: metrics of mean curves to score; () for none. Those that do not apply to the material are left out
    descriptors: metrics per structure, in addition to the standard ones
    executor: runs the measurements, one task per structure
    judged: whether substance and novelty are judged, too, and with targets the hits (``judge_structures``)
    kept: where the structures of an iterator are kept for what needs all of them; by default a list
    Structures that cannot be measured, such as those of other elements, are failures with a reason in the table; mean
    curves and descriptors are those of the others. Raises AmsbenchError if there are no structures, if none of them
    has a curve where curves are scored, and for unknown properties or metrics.
    """
    import pandas as pd

    definition = reference.definition
    targets = dict(targets or {})
    properties = tuple(dict.fromkeys([*targets, *properties]))
    for name in properties:
        definition.property_named(name)
    curve_metrics = applicable_curves(curves, definition)
    descriptors = tuple(dict.fromkeys([*STANDARD_DESCRIPTORS, *descriptors]))
    if isinstance(frames, Sequence) and curve_metrics:
        check_any_measurable(frames, definition)  # before any work
    rows: list[dict[str, Any]] = []
    structures: Sequence[Atoms]
    if isinstance(frames, Sequence):
        structures = frames
    else:
        structures = kept = [] if kept is None else kept
        frames = _appended(frames, kept)
    relaxed: list[Atoms | None] = []
    task = MeasurementTask(
        definition=definition, properties=properties, descriptors=descriptors, relaxes=bool(targets)
    )
    cpu_seconds = 0.0
    for measured_structure in measurements(frames, structures, task, executor):
        rows.append(measured_structure.row)
        relaxed.append(measured_structure.relaxed)
        cpu_seconds += measured_structure.cpu_seconds
        if progress:
            progress(len(rows))
    if not rows:
        raise AmsbenchError("there are no structures to evaluate; give at least one")
    table = pd.DataFrame(rows)
    errors = {}
    for name, target in targets.items():
        table[f"target_{name}"] = np.asarray(target, dtype=float)
        errors[name] = inverse_design_errors(
            target, table[name].to_numpy(dtype=float), training=reference.labels(name), seed=seed
        )
    judgement = None
    if judged:
        labels = {name: reference.labels(name) for name in targets}
        usable = np.array([UNMEASURABLE not in row or row[UNMEASURABLE] is None for row in rows])
        material = reference.material(relaxed=bool(targets))
        judgement = judge_structures(table, structures, relaxed, usable, material, targets, labels)
        table = table.assign(**judgement.columns)
    measured = np.array([is_measured(row) for row in rows])
    measured_rows = [row for row in rows if is_measured(row)]
    if not measured_rows and curve_metrics:
        raise AmsbenchError(
            f"none of the {len(rows)} structures can be measured: structure 0 {rows[0][UNMEASURABLE]}"
        )
    structural = None
    if curve_metrics:
        structural, columns = score_curves(structures, measured, curve_metrics, reference, executor, seed)
        table = table.assign(**columns)
    failures = {
        name.removesuffix("_failure"): dict(Counter(row[name] for row in rows if row.get(name)))
        for name in dict.fromkeys(name for row in rows for name in row if name.endswith("_failure"))
    }
    return Evaluation(
        table=table,
        structural=structural,
        inverse_design=errors,
        descriptors=descriptor_means(measured_rows or rows, definition, reference.fractions, descriptors)
        | (judgement.summary if judgement else {}),
        failures={name: reasons for name, reasons in failures.items() if reasons},
        hits=judgement.hits if judgement else None,
        cpu_seconds=cpu_seconds,
        reference=reference,
    )


def _appended(frames: Iterable[Atoms], kept: list[Atoms] | CompactFrames) -> Iterator[Atoms]:
    """The structures of an iterator, each of which is appended to ``kept`` before it is given."""
    for atoms in frames:
        kept.append(atoms)
        yield atoms


def score_curves(
    structures: Sequence[Atoms],
    measured: np.ndarray,
    metrics: Sequence[CurveMetric],
    reference: Reference,
    executor: Executor | None,
    seed: int,
) -> tuple[StructuralScores, dict[str, np.ndarray]]:
    """Errors of the mean curves of structures, and columns [s] of the table with the parts of single ones in them.

    measured [s]: which of the structures can be measured
    """
    indices = np.flatnonzero(measured).tolist()
    parallel = executor if len(indices) > FEWEST_IN_PARALLEL else None
    curves = {metric: _curves(metric, structures, indices, parallel) for metric in metrics}
    columns = {}
    for metric, of_structures in curves.items():
        column = np.full(len(measured), np.nan)
        column[measured] = squared_errors(of_structures.values, reference.curve(metric).mean)
        columns[squared_error_column(metric.name)] = column
    return reference.scores([structures[k] for k in indices[:LARGEST_GAS]], curves, seed), columns


def _curves(
    metric: CurveMetric, structures: Sequence[Atoms], indices: Sequence[int], executor: Executor | None
) -> Curves:
    """The curves of the structures with these indices; without an executor few are in the memory as Atoms at a time."""
    starts = range(0, len(indices), STRUCTURES_AT_A_TIME)
    chosen = ([structures[k] for k in indices[start : start + STRUCTURES_AT_A_TIME]] for start in starts)
    parts = list((executor.map if executor else map)(metric.curves, chosen))
    return Curves(grid=parts[0].grid, values=np.concatenate([part.values for part in parts]))


def metrics_by_kind(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of metrics as those of mean curves and those of single structures; AmsbenchError for an unknown one."""
    kinds = {name: load("metrics", name) for name in names}
    curves = tuple(name for name, kind in kinds.items() if issubclass(kind, CurveMetric))
    return curves, tuple(name for name in kinds if name not in curves)


def applicable_curves(names: Iterable[str], definition: DatasetDefinition) -> list[CurveMetric]:
    """The registered metrics of mean curves of these names, each once, without those of other materials."""
    metrics = [load_metric(name, CurveMetric) for name in dict.fromkeys(names)]
    return [metric for metric in metrics if metric.applies_to(definition)]
