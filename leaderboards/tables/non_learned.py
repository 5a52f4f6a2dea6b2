"""What a generative model has to be better than: structures without a model, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...benchmark.runs.results import Result
from .. import reported_values
from ..comparisons import Comparison
from .csv_records import Record
from .formatting import duration
from .step_table import scaled_seconds
from .text_table import Table


def yardstick_tables(
    board: Comparison, heads: Sequence[str], text: Callable[[Result, str], str], records: tuple[Record, ...]
) -> list[Table]:
    """The table of a board's yardsticks, or none.

    heads: what is measured; text: what a cell says of it
    """
    cells = [(column.label, cell) for column in board.yardsticks for cell in column.cells.values()]
    if not cells:
        return []
    rows = [
        (
            label,
            *(text(cell, head) for head in heads),
            duration(cell.seconds / cell.key.count),
            duration(scaled_seconds(cell)),
        )
        for label, cell in cells
    ]
    per = f"per {reported_values.COUNTS[board.key.kind]:,}"
    machines = sorted({cell.environment.device for _, cell in cells})
    return [
        Table(
            title=f"Yardsticks: {board.label}",
            columns=("", *heads, "processor time per structure", per),
            rows=tuple(rows),
            caption=(
                "Structures without a model, which is not asked for targets: what a generative model has to be better "
                f"than. Time of one core ({', '.join(machines)}), also where several worked.",
            ),
            records=records,
        )
    ]
