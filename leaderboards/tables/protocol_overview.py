"""All that was asked of the models under one protocol in one table (the form of the paper's Table 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...benchmark.runs.results import Result
from .. import reported_values
from ..comparisons import Comparison, unit_of
from .captions import conditions
from .csv_records import Record
from .formatting import duration
from .step_table import joined, scaled_seconds
from .text_table import EMPTY, Table


def grouped(boards: Sequence[Comparison]) -> list[list[Comparison]]:
    """Boards that differ in their targets alone, together; in the order of their first ones."""
    groups: dict[tuple, list[Comparison]] = {}
    for board in boards:
        groups.setdefault(_identity(board), []).append(board)
    return list(groups.values())


def overview_table(
    group: Sequence[Comparison],
    text: Callable[[Result, str], str],
    mean: Callable[[Result, str], str],
    records: tuple[Record, ...],
) -> Table | None:
    """A row per model and step count, a column per property and what was asked for with it.

    text: what a cell of the table says of a result and one of its properties
    mean: the error of always answering the training mean, in the last row
    records: those of the tables of the single properties
    None where one property was asked for in one way: that has all of this in its own table.
    """
    group = [board for board in group if board.columns]
    heads = [_head(board, name) for board in group for name in board.key.targets]
    if len(heads) < 2:
        return None
    results = [
        {(c.label, steps): c.cells[steps] for c in board.columns for steps in c.cells} for board in group
    ]
    modes = {(c.label, steps): c.step_label(steps) for b in group for c in b.columns for steps in c.cells}
    labels = list(dict.fromkeys(label for label, _ in modes))
    rows = []
    for place in sorted(modes, key=lambda place: (labels.index(place[0]), place[1])):
        texts, times = [], []
        for board, found in zip(group, results, strict=True):
            cell = found.get(place)
            texts += [EMPTY if cell is None else text(cell, name) for name in board.key.targets]
            times += [] if cell is None else [scaled_seconds(cell)]
        time = duration(sum(times) / len(times))
        rows.append((place[0], joined(str(place[1]), modes[place]), *texts, time))
    means = [mean(board.columns[0].first, name) for board in group for name in board.key.targets]
    rows.append(("training mean", EMPTY, *means, EMPTY))
    key = group[0].key
    said = dict.fromkeys(sentence for board in group for sentence in conditions(board))
    return Table(
        title=f"Inverse design: {key.dataset}, protocol {key.protocol} version {key.protocol_version}, "
        f"{key.count:,} structures" + (f", {group[0].budget}" if group[0].budget else ""),
        columns=("model", "steps", *heads, f"time per {reported_values.COUNTS[key.kind]:,}"),
        rows=tuple(rows),
        caption=(
            "Cells: MAE / RMSE / MAPE% of the obtained property against its target, over the structures that could be "
            "measured, with their share where it is not all of them; r: their rank correlation. Training mean: MAE of "
            "always answering the mean of the training set. Time: of generation, mean over what was asked for.",
            *said,
        ),
        records=records,
    )


def _head(board: Comparison, name: str) -> str:
    """``youngs_modulus (GPa), li_concentration 15 asked for too``."""
    unit = unit_of(board.key.dataset, name)
    others = [
        f"{other} {first:g}" + ("" if first == last else f" to {last:g}")
        for other, (first, last) in board.key.targets.items()
        if other != name
    ]
    head = joined(name, f"({unit})" if unit else "")
    return f"{head}, with {', '.join(others)}" if others else head


def _identity(board: Comparison) -> tuple:
    key = board.key
    conditions = key.dataset, key.dataset_hash, key.protocol, key.protocol_version, key.metrics_version
    return *conditions, key.count, key.cube, board.budget
