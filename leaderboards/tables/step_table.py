"""How the tables of a board are laid out: rows of step counts, columns of models, ties, scaled times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...benchmark.runs.results import NO_STEPS, Result
from ...metrics.bootstrap import Interval, tie_groups
from .. import reported_values
from ..comparisons import Comparison, Entry
from .formatting import decimal
from .text_table import EMPTY, Table

TIED = "*"
LEVEL = 0.95
"""Probability of the intervals in the cells."""

Place = tuple[str, int]
"""Entry label and step count of a cell."""
CellText = Callable[[Entry, int], str]


def board_table(
    board: Comparison,
    title: str,
    text: CellText,
    *,
    caption: Sequence[str],
    records: tuple[dict[str, Any], ...],
    reported: Mapping[Place, str] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """A table with a row per step count and a column per model.

    text: what a cell says
    reported: texts of the paper, in columns of their own after ours
    levels: further rows below, by label, a text for each of our columns
    """
    reported, levels = reported or {}, levels or {}
    theirs = list(dict.fromkeys(label for label, _ in reported))
    rows = []
    for steps in sorted({*board.steps, *(steps for _, steps in reported)}):
        ours = [text(column, steps) if steps in column.cells else EMPTY for column in board.columns]
        rows.append((str(steps), *ours, *(reported.get((label, steps), EMPTY) for label in theirs)))
    rows += [(label, *texts, *[EMPTY] * len(theirs)) for label, texts in levels.items()]
    return Table(
        title=f"{title}: {board.label}",
        columns=("steps", *(column.label for column in board.columns), *theirs),
        rows=tuple(rows),
        caption=tuple(caption),
        records=records,
    )


def tied_for_best(board: Comparison, interval_of: Callable[[Result], Interval | None]) -> set[Place]:
    """The cells in the best tie group of their step count, where there is anything to compare."""
    found: set[Place] = set()
    for steps in board.steps:
        intervals = {c.label: interval_of(c.cells[steps]) for c in board.columns if steps in c.cells}
        if len(intervals) > 1 and any(item is not None for item in intervals.values()):
            found |= {(label, steps) for label in tie_groups(intervals)[0]}
    return found


def stored_interval(
    value: float | None, low: float | None, high: float | None, count: int
) -> Interval | None:
    """An interval from a cell; None where a single structure or a failure left none."""
    if value is None or low is None or high is None or count < 2:
        return None
    # The number of resamples is not in the cell; nothing here depends on it.
    return Interval(value=value, low=low, high=high, level=LEVEL, samples=0)


def scaled_seconds(cell: Result) -> float:
    """Generation time for as many structures as the paper's tables count."""
    return cell.seconds * reported_values.COUNTS[cell.key.kind] / cell.key.count


def format_range(column: Entry, value: Callable[[Result], float], places: int) -> str:
    """A level that belongs to the column; from lowest to highest where it is not the same at all steps."""
    texts = [decimal(found, places) for found in sorted(value(cell) for cell in column.cells.values())]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def step_text(steps: int) -> str:
    """``1 step``, ``5 steps``; nothing for a yardstick, which has none."""
    if steps == NO_STEPS:
        return ""
    return f"{steps} step{'s' if steps > 1 else ''}"


def joined(*parts: str | None) -> str:
    """The parts that say something, a space between them."""
    return " ".join(part for part in parts if part)
