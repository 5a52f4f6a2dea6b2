"""Structures from files in, scores as text and tables out: the work behind ``amsbench evaluate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..system.files import write_atomically
from .evaluate import Evaluation

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms


def targets_in(
    frames: Sequence[Atoms], keys: Sequence[str], definition: DatasetDefinition, path: Path
) -> dict[str, np.ndarray]:
    """Targets per property from the frames' ``info``; a key is a property's name with or without ``target_``."""
    found = {}
    for key in keys:
        name = key.removeprefix("target_")
        definition.property_named(name)
        values = [frame.info.get(f"target_{name}", frame.info.get(name)) for frame in frames]
        missing = [k for k, value in enumerate(values) if value is None]
        if missing:
            raise AmsbenchError(
                f"structure {missing[0]} in {path} has no value for '{key}'; add it to its info"
            )
        found[name] = np.array(values, dtype=float)
    return found


def report_lines(found: Evaluation, dataset: Dataset) -> Iterator[str]:
    """The scores in words."""
    count = len(found.table)
    yield f"{count} structures against dataset '{dataset.definition.name}'"
    if found.structural is not None:
        s = found.structural
        for name in ("rdf", "adf"):
            value, low, high = (getattr(s, f"{name}_{part}") for part in ("rmsd", "low", "high"))
            floor, ceiling = getattr(s, f"{name}_floor"), getattr(s, f"{name}_ceiling")
            yield (
                f"{name.upper()} RMSD {value:.5f} (95 % interval {low:.5f} to {high:.5f}; training structures "
                f"{floor:.5f}, random positions {ceiling:.5f}) against the {s.reference} split"
            )
    for name, errors in found.inverse_design.items():
        unit = dataset.definition.property_named(name).unit
        yield (
            f"{name}: MAE {_number(errors.mae)} {unit}, RMSE {_number(errors.rmse)} {unit}, "
            f"MAPE {_number(errors.mape)} %, {errors.measured} of {errors.requested} measured, "
            f"with failures charged {_number(errors.charged_mae)} {unit}"
        )
        if errors.spearman is not None:
            yield (
                f"{name}: Spearman correlation with the target {errors.spearman:.3f} "
                f"({_number(errors.spearman_low)} to {_number(errors.spearman_high)})"
            )
    for name, value in found.substance.items():
        if value is not None:
            yield f"mean {name}: {value:.4g}"
    for name, reasons in found.failures.items():
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
