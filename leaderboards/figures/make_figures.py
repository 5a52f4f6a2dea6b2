"""Figures of the leaderboards: errors against steps and time, and obtained against target properties."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...benchmark.runs.results import Result, ResultStore
from ...benchmark.system.files import check_writable, write_atomically
from ...errors import AmsbenchError
from .. import reported_values
from ..comparisons import Comparison, Entry, boards, unit_of
from ..tables.formatting import decimal
from ..tables.inverse_design import coverage_text, errors_of
from ..tables.step_table import scaled_seconds, step_text
from ..tables.structural import DECIMALS, structural_score
from .plot_style import (
    Point,
    draw,
    draw_reported,
    finish,
    label_costs,
    level,
    log_scales,
    new_figure,
    set_title,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figures(
    store: ResultStore, output_folder: Path | str, cells: Sequence[Result] | None = None
) -> list[Path]:
    """Draw every figure that the results, or some cells of them, allow into ``output_folder`` as PNG; gives the files.

    Per structural table the RDF and ADF errors; per property asked for its error, and the obtained against
    the target values of the single structures, which are read from the parquet files beside the cells.
    Raises AmsbenchError where there are no results, where a parquet file is missing or damaged, and where the
    folder cannot be written.
    """
    folder = Path(output_folder)
    cells = list(store.results() if cells is None else cells)
    kinds = {cell.key.kind for cell in cells}
    if not kinds:
        raise AmsbenchError(f"there are no results in {store.folder} to draw; run 'amsbench run' first")
    check_writable(folder)
    paths: list[Path] = []

    def save(figure: Figure, name: str) -> None:
        path = folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
        write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=160))
        paths.append(path)

    if "structural" in kinds:
        for board in _of_models(boards(cells, "structural")):
            save(structural_figure(board), f"structural {board.label}")
    if "inverse-design" in kinds:
        for board in _of_models(boards(cells, "inverse-design")):
            for name in board.key.targets:
                save(errors_figure(board, name), f"errors {name} {board.label}")
                save(targets_figure(board, name, store), f"targets {name} {board.label}")
    return paths


def _of_models(boards: Sequence[Comparison]) -> list[Comparison]:
    """Yardsticks take no steps: where there is nothing else, there are no curves."""
    return [board for board in boards if board.columns]


def structural_figure(board: Comparison) -> Figure:
    """RDF and ADF errors against steps and time, with intervals, noise floor and the paper's curves."""
    figure = new_figure(11.0, 8.4)
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    styles = styles_of(board.columns)
    reported = reported_values.reported_structure(board.key.dataset)
    models = [(method, "") for method in dict.fromkeys(r.method for r in reported)]
    for panels, name in zip(axes, DECIMALS, strict=True):
        for ax, cost in zip(panels, (_steps, scaled_seconds), strict=True):
            for column in board.columns:
                points = [
                    Point(cost(cell), *_error(cell, name), bool(column.step_label(steps)))
                    for steps, cell in column.cells.items()
                ]
                draw(ax, points, styles[column.label])
            for method, _ in models:
                theirs = [
                    (r.steps if cost is _steps else r.seconds, getattr(r, f"{name}_rmsd"))
                    for r in reported
                    if r.method == method
                ]
                draw_reported(ax, theirs, method)
            for label, part in (("noise floor", "floor"), ("random positions", "ceiling")):
                level(ax, label, [structural_score(cell, name, part) for cell in board.cells])
            log_scales(ax)
        panels[0].set_ylabel(f"{name.upper()} RMSD")
    label_costs(axes[1], board, [r.steps for r in reported])
    finish(figure, board, styles, f"Structure: {board.label}", models)
    return figure


def errors_figure(board: Comparison, name: str) -> Figure:
    """MAE of one property against steps and time, with intervals and the paper's curves.

    The paper's tables give no times of inverse design, so its curves stand against steps only.
    """
    figure = new_figure(11.0, 5.4)
    axes = figure.subplots(1, 2, sharey=True)
    styles = styles_of(board.columns)
    reported = reported_values.reported_errors(board.key.dataset, name)
    models = list(dict.fromkeys((r.method, r.training) for r in reported))
    for ax, cost in zip(axes, (_steps, scaled_seconds), strict=True):
        for column in board.columns:
            points = []
            for steps, cell in column.cells.items():
                row = errors_of(cell, name)
                if row["mae"] is not None:
                    limits = row["mae_low"], row["mae_high"]
                    points.append(Point(cost(cell), row["mae"], *limits, bool(column.step_label(steps))))
            draw(ax, points, styles[column.label])
        for model in models if cost is _steps else ():
            theirs = [(r.steps, r.mae) for r in reported if (r.method, r.training) == model]
            draw_reported(ax, theirs, *model)
        level(ax, "training mean", [errors_of(cell, name)["training_mean_mae"] for cell in board.cells])
        log_scales(ax)
    axes[0].set_ylabel(f"MAE of {_with_unit(board, name)}")
    label_costs(axes, board, [r.steps for r in reported])
    finish(figure, board, styles, f"Inverse design: {board.label}", models)
    return figure


def targets_figure(board: Comparison, name: str, store: ResultStore) -> Figure:
    """Obtained against target value of every structure: a row per model, a column per step count.

    Where all targets are the same, histograms of the obtained values about the target.
    """
    values = {cell.key.digest: structure_values(store, cell, name) for cell in board.cells}
    first, last = sorted(board.key.targets[name])
    low, high = _panel_limits([obtained for _, obtained in values.values()], first, last)
    constant = first == last
    figure = new_figure(max(6.0, 1.4 + 2.2 * len(board.steps)), 1.4 + 2.3 * len(board.columns))
    axes = figure.subplots(len(board.columns), len(board.steps), sharex=True, sharey=True, squeeze=False)
    styles = styles_of(board.columns)
    for panels, column in zip(axes, board.columns, strict=True):
        for ax, steps in zip(panels, board.steps, strict=True):
            if steps not in column.cells:
                ax.set_facecolor("#F4F4F4")
                continue
            wanted, obtained = values[column.cells[steps].key.digest]
            shown = np.clip(obtained, low, high)
            outside = shown != obtained  # also where nothing was measured, which is not drawn
            colour = styles[column.label].colour
            if constant:
                ax.hist(shown[np.isfinite(shown)], list(np.linspace(low, high, 31)), color=colour)
                ax.axvline(first, color="black", linewidth=1)
            else:
                ax.plot([first, last], [first, last], color="black", linewidth=1)
                ax.plot(wanted[~outside], shown[~outside], "o", color=colour, markersize=2.5, alpha=0.6)
                edge = outside & np.isfinite(shown)
                if edge.any():  # unclipped, so that an empty line would count as one at the figure's corner
                    ax.plot(wanted[edge], shown[edge], "x", color=colour, markersize=4, clip_on=False)
            ax.set_title(_panel_title(column, steps, name), fontsize=8)
        axis = "structures" if constant else "obtained"
        panels[0].set_ylabel("\n".join([*textwrap.wrap(column.label, 24), axis]), fontsize=8)
    if not constant:
        axes[0, 0].set_ylim(low, high)
    for ax in axes[-1]:
        ax.set_xlabel("obtained" if constant else "target", fontsize=9)
    legend = (
        "line: the target; outermost bars: all beyond" if constant else "line: as asked; x: beyond the panel"
    )
    set_title(figure, f"{_with_unit(board, name)}: {board.label}", legend)
    return figure


def structure_values(store: ResultStore, cell: Result, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Target and obtained value of each structure of a cell, NaN where it could not be measured: [s], [s].

    AmsbenchError where the parquet file beside the cell is missing, damaged or belongs to another cell.
    """
    import pandas as pd

    path = store.path(cell.key, ".parquet")
    if not path.is_file():
        raise AmsbenchError(
            f"{path} with the values of the single structures is missing; copy it beside its .json, "
            "or delete that and run again"
        )
    names = [f"target_{name}", name]
    try:
        table = pd.read_parquet(path, columns=names)
    except (OSError, ValueError) as error:
        raise AmsbenchError(
            f"{path} is damaged or lacks the columns {', '.join(names)}; "
            "delete it and its .json and run again"
        ) from error
    if len(table) != cell.key.count:
        raise AmsbenchError(
            f"{path} has {len(table)} structures where its result has {cell.key.count}; "
            "delete it and its .json and run again"
        )
    return table[names[0]].to_numpy(dtype=float), table[name].to_numpy(dtype=float)


def _panel_limits(obtained: Sequence[np.ndarray], first: float, last: float) -> tuple[float, float]:
    """Limits that show the targets and nearly all that was obtained; far outliers would hide the rest."""
    found = np.concatenate([values[np.isfinite(values)] for values in obtained])
    low, high = (first, last) if len(found) == 0 else np.quantile(found, [0.01, 0.99])
    low, high = min(low, first), max(high, last)
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _panel_title(column: Entry, steps: int, name: str) -> str:
    cell = column.cells[steps]
    row = errors_of(cell, name)
    first = " ".join(filter(None, [step_text(steps), column.step_label(steps)]))
    correlation = "" if row["spearman"] is None else f", rank corr. {row['spearman']:.2f}"
    second = f"MAE {decimal(row['mae'], 2)}{correlation}"
    return "\n".join(filter(None, [first, second, coverage_text(row)]))


def _with_unit(board: Comparison, name: str) -> str:
    unit = unit_of(board.key.dataset, name)
    return f"{name} ({unit})" if unit else name


def _steps(cell: Result) -> float:
    return float(cell.key.steps)


def _error(cell: Result, name: str) -> tuple[float, float | None, float | None]:
    value, low, high = (structural_score(cell, name, part) for part in ("rmsd", "low", "high"))
    return (value, low, high) if cell.key.count > 1 else (value, None, None)
