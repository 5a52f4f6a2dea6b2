"""Targets, scores and tables of ``amsbench evaluate``: read from structures, formatted as text, written to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ...metrics.metric import CurveMetric
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..registry import load_metric
from ..system.files import write_atomically
from .evaluate import Evaluation

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms


def targets_in(
    frames: Sequence[Atoms], keys: Sequence[str], definition: DatasetDefinition, path: Path
) -> dict[str, np.ndarray]:
    """Targets [s] by property from the ``info`` of structures; keys are property names, with or without ``target_``."""
    targets = {}
    for key in keys:
        name = key.removeprefix("target_")
        definition.property_named(name)
        values = [frame.info.get(f"target_{name}", frame.info.get(name)) for frame in frames]
        missing = [k for k, value in enumerate(values) if value is None]
        if missing:
            raise AmsbenchError(
                f"structure {missing[0]} in {path} has no value for '{key}'; add it to its info"
            )
        targets[name] = np.array(values, dtype=float)
    return targets


def report_lines(evaluation: Evaluation, dataset: Dataset) -> Iterator[str]:
    """The scores of ``amsbench evaluate``, one sentence per line."""
    count = len(evaluation.table)
    yield f"{count} structures against dataset '{dataset.definition.name}'"
    if evaluation.structural is not None:
        for name, scores in evaluation.structural.curves.items():
            head = load_metric(name, CurveMetric).head
            interval = ""
            if scores.low is not None and scores.high is not None:
                interval = f"95 % interval {scores.low:.5f} to {scores.high:.5f}; "
            yield (
                f"{head} RMSD {scores.rmsd:.5f} ({interval}training structures {scores.floor:.5f}, random positions "
                f"{scores.ceiling:.5f}) against the {evaluation.structural.reference} split"
            )
    for name, errors in evaluation.inverse_design.items():
        unit = dataset.definition.property_named(name).unit
        yield (
            f"{name}: MAE {_number(errors.mae)} {unit}, RMSE {_number(errors.rmse)} {unit}, "
            f"MAPE {_number(errors.mape)} %, {errors.measured} of {errors.requested} measured, "
            f"counting failures {_number(errors.penalised_mae)} {unit}"
        )
        if errors.spearman is not None:
            yield (
                f"{name}: Spearman correlation with the target {errors.spearman:.3f} "
                f"({_number(errors.spearman_low)} to {_number(errors.spearman_high)})"
            )
    for name, value in evaluation.descriptors.items():
        if value is not None:
            yield f"mean {name}: {value:.4g}"
    for name, reasons in evaluation.failures.items():
        for reason, number in reasons.items():
            yield f"{name} not measured on {number} of {count}: {reason}"


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
