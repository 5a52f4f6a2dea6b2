"""Tables of structural errors (Table 1 of the paper): RDF / ADF RMSD and generation time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ...benchmark.evaluation.structural_scores import StructuralScores
from ...benchmark.runs.results import Result
from ...errors import AmsbenchError
from ...metrics.bootstrap import Interval
from .. import reported_values
from ..comparisons import Comparison, Entry, boards
from .captions import conditions, paper_note, steps_note, ties_note
from .csv_records import Record, measured_record, reported_record
from .descriptors import substance_table
from .formatting import decimal, duration, interval
from .non_learned import yardstick_tables
from .step_table import (
    TIED,
    Place,
    board_table,
    format_range,
    joined,
    scaled_seconds,
    stored_interval,
    tied_for_best,
)
from .text_table import Table

DECIMALS = {"rdf": 4, "adf": 5}
"""Decimals of the errors."""

Ties = dict[str, set[Place]]


def structural_tables(
    cells: Iterable[Result], *, with_paper: bool = False, detail: bool = False
) -> list[Table]:
    """RDF and ADF errors with the generation time, one table per dataset and set of conditions.

    with_paper: the paper's values as further columns, where it reports the dataset
    detail: further tables with intervals, noise-corrected errors, Wasserstein distances, substance and cost
    Raises AmsbenchError where there are no structural results.
    """
    made = []
    for board in boards(cells, "structural"):
        ties = structural_ties(board)
        reported = reported_values.reported_structure(board.key.dataset) if with_paper else ()
        records = _records(board, ties, reported)
        if board.columns:
            made.append(_errors(board, ties, reported, with_paper, records))
        made += yardstick_tables(board, ("RDF RMSD / ADF RMSD",), _yardstick_text, records)
        if detail and board.columns:
            made += [_intervals(board, name, ties[name], records) for name in DECIMALS]
            made.append(_wasserstein(board, records))
        if detail:
            made.append(substance_table(board, records))
    return made


def _yardstick_text(cell: Result, head: str) -> str:
    return " / ".join(
        decimal(structural_score(cell, name, "rmsd"), places) for name, places in DECIMALS.items()
    )


def structural_of(cell: Result) -> StructuralScores:
    """The structural errors of a structural cell; AmsbenchError where it has none."""
    if cell.structural is None:
        raise AmsbenchError(
            f"result {cell.key.stem} is structural but holds no structural errors; delete it and run it again"
        )
    return cell.structural


def structural_ties(board: Comparison) -> Ties:
    """The cells tied for the best RDF and ADF of their row."""

    return {name: tied_for_best(board, partial(error_interval, name)) for name in DECIMALS}


def error_interval(name: str, cell: Result) -> Interval | None:
    """The error ``rdf`` or ``adf`` with its interval; None for a single structure, which has none."""
    value, low, high = (structural_score(cell, name, part) for part in ("rmsd", "low", "high"))
    return stored_interval(value, low, high, cell.key.count)


def structural_score(cell: Result, name: str, part: str) -> float:
    """One number of the structural errors: ``structural_score(cell, "rdf", "floor")``."""
    return float(getattr(structural_of(cell).curves[name], part))


def _errors(
    board: Comparison,
    ties: Ties,
    reported: Sequence[reported_values.ReportedStructure],
    with_paper: bool,
    records: tuple[Record, ...],
) -> Table:
    def text(column: Entry, steps: int) -> str:
        cell = column.cells[steps]
        errors = [
            decimal(structural_score(cell, name, "rmsd"), places)
            + TIED * ((column.label, steps) in ties[name])
            for name, places in DECIMALS.items()
        ]
        shown = f"{' / '.join(errors)} ({duration(scaled_seconds(cell))})"
        return joined(shown, column.step_label(steps))

    theirs = {(f"{r.method} (reported)", r.steps): _reported_text(r) for r in reported}
    return board_table(
        board,
        "Structure",
        text,
        caption=[
            *conditions(board),
            "Cells: RDF RMSD / ADF RMSD (generation time, scaled to 10,000 structures).",
            "Noise floor: what as many training structures score against the same reference; random "
            "positions: an ideal gas in the same cells.",
            *ties_note(any(ties.values()), "error"),
            *steps_note(board),
            *paper_note(board, "its training set", bool(reported), with_paper),
        ],
        records=records,
        reported=theirs,
        levels=_levels(board, tuple(DECIMALS)),
    )


def _levels(board: Comparison, names: Sequence[str]) -> dict[str, list[str]]:
    """What training structures score and what an ideal gas does, for each column."""

    def text(column: Entry, part: str) -> str:
        return " / ".join(
            format_range(column, partial(structural_score, name=name, part=part), DECIMALS[name])
            for name in names
        )

    parts = {"noise floor": "floor", "random positions": "ceiling"}
    return {label: [text(column, part) for column in board.columns] for label, part in parts.items()}


def _reported_text(reported: reported_values.ReportedStructure) -> str:
    rdf, adf = decimal(reported.rdf_rmsd, DECIMALS["rdf"]), decimal(reported.adf_rmsd, DECIMALS["adf"])
    mode = reported_values.reported_mode(reported.method, reported.steps)
    return joined(f"{rdf} / {adf} ({duration(reported.seconds)})", mode)


def _intervals(board: Comparison, name: str, ties: set[Place], records: tuple[Record, ...]) -> Table:
    def text(column: Entry, steps: int) -> str:
        cell = column.cells[steps]
        value, corrected = (
            decimal(structural_score(cell, name, part), DECIMALS[name]) for part in ("rmsd", "corrected")
        )
        star = TIED * ((column.label, steps) in ties)
        found = error_interval(name, cell)
        limits = interval(found.low, found.high, DECIMALS[name]) if found else ""
        return joined(f"{value}{star}{limits}, {corrected}", column.step_label(steps))

    return board_table(
        board,
        f"{name.upper()} RMSD with intervals",
        text,
        caption=[
            f"Cells: {name.upper()} RMSD [95 % bootstrap interval over structures], and what is left of it "
            "when the noise floor is taken off in quadrature.",
            *ties_note(bool(ties), "error"),
        ],
        records=records,
        levels=_levels(board, (name,)),
    )


def _wasserstein(board: Comparison, records: tuple[Record, ...]) -> Table:
    def text(column: Entry, steps: int) -> str:
        found = structural_of(column.cells[steps]).curves
        distances = f"{decimal(found['rdf'].wasserstein, 4)} / {decimal(found['adf'].wasserstein, 3)}"
        return joined(distances, column.step_label(steps))

    return board_table(
        board,
        "Wasserstein-1 distances",
        text,
        caption=["Cells: Wasserstein-1 distance from the reference of the RDF (Å) / of the ADF (degrees)."],
        records=records,
    )


def _records(
    board: Comparison, ties: Ties, reported: Sequence[reported_values.ReportedStructure]
) -> tuple[Record, ...]:
    ours = [
        measured_record(
            column,
            steps,
            {"reference": structural_of(cell).reference}
            | {
                f"{name}_{part}": value
                for name, scores in structural_of(cell).curves.items()
                for part, value in scores.model_dump().items()
                if part != "version"
            }
            | {f"{name}_tied_for_best": (column.label, steps) in ties[name] for name in DECIMALS},
        )
        for column in (*board.columns, *board.yardsticks)
        for steps, cell in column.cells.items()
    ]
    theirs = [
        reported_record(
            board,
            method=r.method,
            steps=r.steps,
            reference="train",
            seconds_scaled=r.seconds,
            rdf_rmsd=r.rdf_rmsd,
            adf_rmsd=r.adf_rmsd,
        )
        for r in reported
    ]
    return (*ours, *theirs)
