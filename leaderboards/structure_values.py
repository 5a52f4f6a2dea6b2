"""Values of the single structures of a result, from the parquet file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..benchmark.evaluation.evaluate import squared_error_column
from ..benchmark.runs.results import TABLE, Result, ResultFiles, check_file
from ..errors import AmsbenchError
from ..metrics.design import inverse_design

if TYPE_CHECKING:
    import pandas as pd


def structure_values(files: ResultFiles, result: Result, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Target and obtained value of each structure of a result, NaN where it could not be measured: [s], [s].

    AmsbenchError where the parquet file beside the result is missing, damaged, edited or of another result.
    """
    names = [f"target_{name}", name]
    table = _columns(files, result, names)
    if not set(names) <= set(table):
        raise AmsbenchError(
            f"{files.path(result.key, TABLE)} lacks the columns {', '.join(names)}; delete it and its .json and run "
            "again"
        )
    _check_length(files, result, table)
    return table[names[0]].to_numpy(dtype=float), table[name].to_numpy(dtype=float)


def squared_curve_errors(files: ResultFiles | None, result: Result, name: str) -> np.ndarray | None:
    """Part of each structure in the squared RMSD of a mean curve [s] (``squared_errors``), NaN without a curve.

    None where there is no parquet file beside the result, or none with these values. AmsbenchError where it is damaged,
    edited or foreign.
    """
    if files is None or not files.path(result.key, TABLE).is_file():
        return None
    column = squared_error_column(name)
    table = _columns(files, result, [column])
    if column not in table:
        return None
    _check_length(files, result, table)
    return table[column].to_numpy(dtype=float)


def _columns(files: ResultFiles, result: Result, names: Sequence[str]) -> pd.DataFrame:
    """Those of the named columns that the table beside a result has; it is the table that was stored with it."""
    import pandas as pd
    from pyarrow import parquet

    path = files.path(result.key, TABLE)
    if not path.is_file():
        raise AmsbenchError(
            f"{path} with the values of the single structures is missing; copy it beside its .json, "
            "or delete that and run again"
        )
    check_file(path, result)
    try:
        present = parquet.read_schema(path).names
        return pd.read_parquet(path, columns=[name for name in names if name in present])
    except (OSError, ValueError) as error:
        raise AmsbenchError(f"{path} is damaged; delete it and its .json and run again") from error


def _check_length(files: ResultFiles, result: Result, table: pd.DataFrame) -> None:
    if len(table) != result.key.count:
        raise AmsbenchError(
            f"{files.path(result.key, TABLE)} has {len(table)} structures where its result has {result.key.count}; "
            "delete it and its .json and run again"
        )


def penalised_errors(files: ResultFiles | None, result: Result, name: str) -> np.ndarray | None:
    """Error of each structure [s], failed ones included, whose mean is the penalised MAE of the result.

    None where there is no parquet file beside the result. AmsbenchError where that is damaged, edited or foreign.
    """
    if files is None or not files.path(result.key, TABLE).is_file():
        return None
    target, obtained = structure_values(files, result, name)
    return inverse_design.penalised_errors(target, obtained, result.inverse_design[name].training)
