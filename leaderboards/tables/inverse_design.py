"""Tables of inverse design (Tables 2 and 3 of the paper): property obtained against property asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from ...benchmark.runs.results import Result
from ...errors import AmsbenchError
from ...metrics.bootstrap import Interval
from .. import reported_values
from ..comparisons import Comparison, Entry, boards, unit_of
from .captions import conditions, paper_note, steps_note, ties_note
from .csv_records import Record, measured_record, reported_record
from .descriptors import substance_table
from .formatting import decimal, interval
from .non_learned import yardstick_tables
from .protocol_overview import grouped, overview_table
from .step_table import (
    TIED,
    Place,
    board_table,
    format_range,
    joined,
    step_text,
    stored_interval,
    tied_for_best,
)
from .text_table import EMPTY, Table

LEAST_SHARE = 0.5
"""Of a result's structures that must have been measured for it to be marked as best: those that can be measured are not
like the others."""
LEAST_RANKED = 8
"""Measured structures with which a rank correlation is shown."""


def inverse_design_tables(
    cells: Iterable[Result], *, with_paper: bool = False, detail: bool = False
) -> list[Table]:
    """Errors and rank correlation per dataset and property, and the substance of the structures beside them.

    with_paper: the paper's values as further columns of the errors, where it reports the property
    detail: further tables with intervals, with failures charged, and with the reasons of the failures
    Raises AmsbenchError where there are no inverse-design results.
    """
    made: list[Table] = []
    for group in grouped(boards(cells, "inverse-design")):
        tables = [table for board in group for table in _tables_of(board, with_paper, detail)]
        records = {id(record): record for table in tables for record in table.records}
        overview = overview_table(group, _overview_text, _training_mean_text, tuple(records.values()))
        made += tables if overview is None else [overview, *tables]
    return made


def _tables_of(board: Comparison, with_paper: bool, detail: bool) -> list[Table]:
    made: list[Table] = []
    every: tuple[Record, ...] = ()
    for name in board.key.targets:
        ties = tied_for_best(board, partial(_charged_interval, name))
        reported = reported_values.reported_errors(board.key.dataset, name) if with_paper else ()
        records = _records(board, name, ties, reported)
        every += records
        if not board.columns:
            continue
        made.append(_errors(board, name, ties, reported, with_paper, records))
        if any(_is_ranked(errors_of(cell, name)) for cell in board.cells):
            made.append(_correlations(board, name, records))
        if detail:
            made += [_intervals(board, name, records), _charged(board, name, ties, records)]
    made += yardstick_tables(board, tuple(board.key.targets), _overview_text, every)
    made.append(substance_table(board, every))
    if detail and any(cell.failures for cell in board.cells):
        made.append(_failures(board, every))
    return made


def errors_of(cell: Result, name: str) -> Mapping[str, Any]:
    """The errors of one property; AmsbenchError where an inverse-design cell lacks them."""
    if name not in cell.inverse_design:
        raise AmsbenchError(
            f"result {cell.key.stem} was asked for '{name}' but holds no errors of it; "
            "delete it and run it again"
        )
    errors = asdict(cell.inverse_design[name])
    for part in ("mae", "rmse", "penalised_mae"):
        interval = errors.pop(f"{part}_interval") or {}
        errors |= {f"{part}_{end}": interval.get(end) for end in ("low", "high")}
    control = errors.pop("shuffled") or {}
    for part in ("correlation", "low", "high", "mae", "p_value"):
        errors[f"shuffled_{part}"] = control.get(part)
    return errors


def coverage_text(row: Mapping[str, Any]) -> str:
    """``92.1% measured`` where anything failed; rounded down, so that a failure never shows as 100 %."""
    if row["measured"] == row["requested"]:
        return ""
    share = math.floor(1000 * row["measured"] / row["requested"]) / 10
    return f"({share:g}% measured)"


def _overview_text(cell: Result, name: str) -> str:
    """``5.21 / 6.39 / 21.4% (78.1% measured), r 0.15``."""
    row = errors_of(cell, name)
    errors = f"{decimal(row['mae'], 2)} / {decimal(row['rmse'], 2)} / {_percent(row['mape'])}"
    rank = f"r {_correlation(row['spearman'], None, None)}" if _is_ranked(row) else None
    return ", ".join(filter(None, [joined(errors, coverage_text(row)), rank]))


def _training_mean_text(cell: Result, name: str) -> str:
    return decimal(errors_of(cell, name)["training_mean_mae"], 2)


def _charged_interval(name: str, cell: Result) -> Interval | None:
    row = errors_of(cell, name)
    if row["measured"] < LEAST_SHARE * row["requested"]:
        return None
    return stored_interval(
        row["penalised_mae"], row["penalised_mae_low"], row["penalised_mae_high"], row["requested"]
    )


def _errors(
    board: Comparison,
    name: str,
    ties: set[Place],
    reported: Sequence[reported_values.ReportedErrors],
    with_paper: bool,
    records: tuple[Record, ...],
) -> Table:
    def text(column: Entry, steps: int) -> str:
        row = errors_of(column.cells[steps], name)
        star = TIED * ((column.label, steps) in ties)
        errors = f"{decimal(row['mae'], 2)}{star} / {decimal(row['rmse'], 2)} / {_percent(row['mape'])}"
        return joined(errors, coverage_text(row), column.step_label(steps))

    theirs = {(f"{r.method} ({r.training}) (reported)", r.steps): _reported_text(r) for r in reported}
    failing = any(coverage_text(errors_of(cell, name)) for cell in board.cells)
    return board_table(
        board,
        f"Inverse design, {_with_unit(board, name)}",
        text,
        caption=[
            *conditions(board),
            f"Cells: MAE / RMSE / MAPE% of the obtained {name} against its target, over the structures that "
            "could be measured" + (", with their share where it is not all of them." if failing else "."),
            "(All): trained on all design properties of the dataset, (Target): on those asked for only.",
            "Training mean: MAE of always answering the mean of the training set.",
            *ties_note(
                bool(ties),
                "MAE (penalised: a failed structure counts with the error of the training mean; at least half must be measured)",
            ),
            *steps_note(board),
            *paper_note(board, "its own measurements of the property", bool(reported), with_paper),
        ],
        records=records,
        reported=theirs,
        levels={
            "training mean": [
                format_range(column, lambda cell: errors_of(cell, name)["training_mean_mae"], 2)
                for column in board.columns
            ]
        },
    )


def _correlations(board: Comparison, name: str, records: tuple[Record, ...]) -> Table:
    """Spearman correlation, and beside it the control with shuffled targets."""

    def text(column: Entry, steps: int) -> str:
        row = errors_of(column.cells[steps], name)
        if not _is_ranked(row):
            return EMPTY
        real, control = (
            _correlation(row[value], row[f"{prefix}_low"], row[f"{prefix}_high"])
            for value, prefix in (("spearman", "spearman"), ("shuffled_correlation", "shuffled"))
        )
        return joined(f"{real}; {control}", column.step_label(steps))

    return board_table(
        board,
        f"Rank correlation, {name}",
        text,
        caption=[
            f"Cells: Spearman correlation of the obtained {name} with its target [95 % bootstrap interval]; "
            "then the same structures against shuffled targets, mean [95 % interval] of the permutations.",
            f"Over the structures that could be measured; - where these are fewer than {LEAST_RANKED}, or targets or "
            "values are all the same.",
        ],
        records=records,
    )


def _intervals(board: Comparison, name: str, records: tuple[Record, ...]) -> Table:
    def text(column: Entry, steps: int) -> str:
        row = errors_of(column.cells[steps], name)
        shown = " / ".join(
            decimal(row[error], 2) + interval(row[f"{error}_low"], row[f"{error}_high"], 2)
            for error in ("mae", "rmse")
        )
        return joined(shown, column.step_label(steps))

    return board_table(
        board,
        f"MAE and RMSE with intervals, {_with_unit(board, name)}",
        text,
        caption=["Cells: MAE / RMSE [95 % bootstrap interval], over the structures that could be measured."],
        records=records,
    )


def _charged(board: Comparison, name: str, ties: set[Place], records: tuple[Record, ...]) -> Table:
    def text(column: Entry, steps: int) -> str:
        row = errors_of(column.cells[steps], name)
        star = TIED * ((column.label, steps) in ties)
        limits = interval(row["penalised_mae_low"], row["penalised_mae_high"], 2)
        shown = f"{decimal(row['penalised_mae'], 2)}{star}{limits} / {decimal(row.get('shuffled_mae'), 2)}"
        return joined(shown, column.step_label(steps))

    return board_table(
        board,
        f"Penalised MAE, {_with_unit(board, name)}",
        text,
        caption=[
            "Cells: penalised MAE (a failed structure counts with the error of the training mean) [95 % bootstrap "
            "interval] / MAE of the measured ones against shuffled targets.",
            *ties_note(bool(ties), "penalised MAE (at least half must be measured)"),
        ],
        records=records,
        levels={
            "training mean": [
                format_range(column, lambda cell: errors_of(cell, name)["training_mean_mae"], 2)
                for column in board.columns
            ]
        },
    )


def _failures(board: Comparison, records: tuple[Record, ...]) -> Table:
    """Why structures could not be measured: one row per result, property and reason."""
    rows = [
        (f"{column.label}, {step_text(steps)}", name, reason, f"{number} of {cell.key.count:,}")
        for column in board.columns
        for steps, cell in column.cells.items()
        for name, reasons in cell.failures.items()
        for reason, number in reasons.items()
    ]
    return Table(
        title=f"Failures: {board.label}",
        columns=("structures", "property", "reason", "failed"),
        rows=tuple(rows),
        caption=("Structures whose property could not be measured.",),
        records=records,
    )


def _records(
    board: Comparison, name: str, ties: set[Place], reported: Sequence[reported_values.ReportedErrors]
) -> tuple[Record, ...]:
    ours = [
        measured_record(
            column, steps, {**errors_of(cell, name), "tied_for_best": (column.label, steps) in ties}, name
        )
        for column in (*board.columns, *board.yardsticks)
        for steps, cell in column.cells.items()
    ]
    theirs = [
        reported_record(
            board,
            method=r.method,
            steps=r.steps,
            name=name,
            training=r.training,
            mae=r.mae,
            rmse=r.rmse,
            mape=r.mape,
        )
        for r in reported
    ]
    return (*ours, *theirs)


def _correlation(value: float, low: float | None, high: float | None) -> str:
    """``0.93 [0.91, 0.95]``; a correlation of 0.004 is 0.00, not a number to be read to its last digit."""
    limits = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{limits}".replace("-0.00", "0.00")


def _reported_text(reported: reported_values.ReportedErrors) -> str:
    if reported.mae is None and reported.rmse is None and reported.mape is None:
        return EMPTY
    errors = f"{decimal(reported.mae, 2)} / {decimal(reported.rmse, 2)} / {_percent(reported.mape)}"
    return joined(errors, reported_values.reported_mode(reported.method, reported.steps))


def _is_ranked(row: Mapping[str, Any]) -> bool:
    return row["spearman"] is not None and row["measured"] >= LEAST_RANKED


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.1f}%"


def _with_unit(board: Comparison, name: str) -> str:
    unit = unit_of(board.key.dataset, name)
    return f"{name} ({unit})" if unit else name
