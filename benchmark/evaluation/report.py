"""Targets, scores and tables of ``amsbench evaluate``: read from structures, formatted as text, written to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ...metrics.metric import CurveMetric
from ..datasets.definition import DatasetDefinition
from ..registry import load_metric
from ..system.files import write_atomically
from ..system.structure_checks import number_in
from ..system.structure_files import StructureSet
from ..system.structure_summary import counted
from .evaluate import Evaluation
from .material_limits import QUANTITIES
from .unmeasurable import UNMEASURABLE

if TYPE_CHECKING:
    import pandas as pd

FAILURES_SHOWN = 10
"""Most structures that are named with the reason of their failure."""


def targets_in(
    frames: StructureSet, keys: Sequence[str], definition: DatasetDefinition
) -> dict[str, np.ndarray]:
    """Targets [s] by property from the ``info`` of structures.

    keys: ``target_<property>``; the property alone is the key of a measured value
    Raises AmsbenchError for other keys, and for structures without a finite number under one.
    """
    targets = {}
    for key in keys:
        name = key.removeprefix("target_")
        definition.property_named(name)
        if name == key:
            raise AmsbenchError(
                f"'{key}' is the key of a measured value; targets stand under 'target_{key}', give --target-keys "
                f"target_{key}"
            )
        advice = "write it into the structures whose targets it is"
        values = [
            number_in(frame, key, where, advice) for frame, where in zip(frames, frames.names, strict=True)
        ]
        if not np.isfinite(values).all():
            raise AmsbenchError(f"{frames.names[int(np.argmin(np.isfinite(values)))]} has no finite '{key}'")
        targets[name] = np.array(values)
    return targets


def report_lines(evaluation: Evaluation, properties: Sequence[str] = ()) -> Iterator[str]:
    """The scores of ``amsbench evaluate``, one sentence per line.

    properties: of which means are reported
    """
    count = len(evaluation.table)
    reference = evaluation.reference
    definition = reference.definition
    yield f"{counted(count, 'structure')} against dataset '{definition.name}' ({reference.describe()})"
    if evaluation.structural is not None:
        for name, scores in evaluation.structural.curves.items():
            head = load_metric(name, CurveMetric).head
            interval = ""
            if scores.low is not None and scores.high is not None:
                interval = f"95 % interval {scores.low:.5f} to {scores.high:.5f}; "
            yield (
                f"{head} RMSD {scores.rmsd:.5f} ({interval}noise floor {scores.floor:.5f}, random positions "
                f"{scores.ceiling:.5f}) against the {evaluation.structural.reference} split"
            )
    for name, errors in evaluation.inverse_design.items():
        unit = definition.property_named(name).unit
        yield (
            f"{name}: MAE {_number(errors.mae)} {unit}, RMSE {_number(errors.rmse)} {unit}, "
            f"MAPE {_number(errors.mape)} %, {errors.measured} of {errors.requested} measured; MAE over all requests "
            f"{_number(errors.penalised_mae)} {unit}, of always answering the training mean "
            f"{_number(errors.training_mean_mae)} {unit}"
        )
        if errors.spearman is not None:
            yield (
                f"{name}: Spearman correlation with the target {errors.spearman:.3f} "
                f"({_number(errors.spearman_low)} to {_number(errors.spearman_high)})"
            )
    yield from _judgement_lines(evaluation)
    for name in properties:
        values = evaluation.table[name].dropna()
        unit = definition.property_named(name).unit
        spread = f" +- {values.std():.3g}" if len(values) > 1 else ""
        mean = f"{values.mean():.4g}{spread} {unit}" if len(values) else "-"
        yield f"{name}: mean {mean}, {len(values)} of {count} measured"
    for name, value in evaluation.descriptors.items():
        if value is not None and name not in _JUDGED:
            yield f"mean {name}: {value:.4g}"
    for name, reasons in evaluation.failures.items():
        for reason, number in reasons.items():
            yield f"{name} not measured on {number} of {count}: {reason}"


_JUDGED = {
    *(f"{name}_{kind}" for name in QUANTITIES for kind in ("deviation", "distance")),
    "right_substance",
    "copies",
    "duplicates",
    "environment_distance",
}
"""Descriptors that ``_judgement_lines`` says in words."""


def _judgement_lines(evaluation: Evaluation) -> Iterator[str]:
    """Energy and density in standard deviations of the data, copies, environments, and hits, a sentence per line."""
    values = {name: value for name, value in evaluation.descriptors.items() if value is not None}
    for name in QUANTITIES:
        if f"{name}_deviation" in values:
            yield (
                f"{name}: {values[f'{name}_deviation']:+.1f} standard deviations of the data (median), distance of the "
                f"distributions {values[f'{name}_distance']:.1f}"
            )
    if "copies" in values:
        yield (
            f"copies of training structures {100 * values['copies']:.0f} %, of each other "
            f"{100 * values['duplicates']:.0f} %, of the right substance {100 * values['right_substance']:.0f} %"
        )
    if "environment_distance" in values:
        limits = evaluation.reference.material(relaxed=evaluation.hits is not None).limits
        yield (
            f"distance of environments from training structures {values['environment_distance']:.3f} Å (median), of "
            f"held-out structures {limits.held_out_environment_distance:.3f} Å"
        )
    hits = evaluation.hits
    if hits is not None:
        yield (
            f"hits: {hits.hits} of {hits.requested} (95 % interval {100 * hits.share_low:.0f} to "
            f"{100 * hits.share_high:.0f} %); measured {hits.measured}, right substance {hits.right_substance}, novel "
            f"{hits.novel}, within tolerance {hits.within_tolerance}"
        )


def reservations(structures: StructureSet) -> Iterator[str]:
    """Warnings about structures before they are scored, one sentence per line."""
    if structures.copies:
        different = len(structures) - len(structures.copies)
        yield (
            f"Warning: only {different} of the {len(structures)} structures are different; intervals and noise floors "
            "are those of as many independent structures, and too narrow here."
        )


def failure_lines(structures: StructureSet, evaluation: Evaluation) -> Iterator[str]:
    """The structures that could not be measured and why, one sentence per line, at most FAILURES_SHOWN of them."""
    if UNMEASURABLE not in evaluation.table:
        return
    reasons = evaluation.table[UNMEASURABLE].tolist()
    failed = [k for k, reason in enumerate(reasons) if isinstance(reason, str)]
    for k in failed[:FAILURES_SHOWN]:
        yield f"Failed: {structures.names[k]} {reasons[k]}"
    if len(failed) > FAILURES_SHOWN:
        yield f"Failed: {len(failed) - FAILURES_SHOWN} more; their reasons are in the table, --output-file t.csv"


def write_table(table: pd.DataFrame, path: Path) -> None:
    """The per-structure table as .csv or .parquet."""
    if path.suffix == ".csv":
        write_atomically(path, lambda file: table.to_csv(file, index_label="structure"))
    elif path.suffix == ".parquet":
        write_atomically(path, lambda file: table.to_parquet(file))
    else:
        raise AmsbenchError(f"a table is written as .csv or .parquet, not '{path.suffix}' ({path})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
