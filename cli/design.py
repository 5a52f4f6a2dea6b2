"""`amsbench design`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AmsbenchError
from .options import (
    INCOMPLETE,
    CheckpointFile,
    Cores,
    DataFile,
    DatasetName,
    Devices,
    ExecutorName,
    Scheduler,
    Seed,
    Workers,
    chosen_pool,
    method_name,
    parsed_numbers,
    use_cores,
)
from .progress import progress_bars, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..benchmark.design.records import JudgedRound
    from ..benchmark.design.request import DesignRequest


def design_command(
    dataset: DatasetName,
    target: Annotated[
        list[str], typer.Option(help="name=value, in the unit of the property; may be repeated.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File of the glasses, in the format of its suffix: .extxyz, .traj, ..."
        ),
    ],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="Largest difference from a target: a number for all or name=value, may be repeated; default: half a "
            "standard deviation of the training labels."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Glasses.")] = 1,
    method: Annotated[
        str, typer.Option("--method", "-m", help="A name from 'amsbench methods', or a file.")
    ] = "amshortcut",
    sampler: Annotated[
        str | None, typer.Option(help="One of the method's samplers; default: the strongest.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 25,
    cell: Annotated[
        str | None,
        typer.Option(
            help="Edge of a cube, three edges or nine numbers, angstrom; default: that of the benchmark."
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Minutes that may be spent, interruptions not counted.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, help="Structures that may be tried; default: 50 per glass, at least 200."),
    ] = None,
    round_size: Annotated[
        int,
        typer.Option(min=1, help="Structures that are generated and judged together; more for a GPU."),
    ] = 8,
    correction: Annotated[
        bool, typer.Option(help="Shift the asked targets by the bias of the model that the rounds show.")
    ] = True,
    as_generated: Annotated[
        bool, typer.Option("--as-generated", help="Write the structures as generated, not relaxed.")
    ] = False,
    checkpoint: CheckpointFile = None,
    data: DataFile = None,
    seed: Seed = 0,
    device: Devices = "auto",
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Make glasses with chosen properties: generate, relax, measure, and keep those that are as they should be.

    A glass is kept if it is within the tolerance of every target, novel, and of the right substance: a hit of the
    benchmark, with your tolerance.

    Everything tried is kept in a folder beside the output (glasses.design for glasses.extxyz), with its table; a design
    that was stopped goes on when the command is given again.

    Exit code 3: fewer glasses than --count, because the budget is spent or the targets cannot be reached.
    """
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.design.folder import folder_of, opened_folder
    from ..benchmark.design.output import format_of, write_results
    from ..benchmark.design.report import correction_lines, cost_lines, glass_table, histogram
    from ..benchmark.design.request import DesignRequest
    from ..benchmark.design.run import run_design
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.system.files import check_output_file
    from ..benchmark.training.checkpoint_choice import load_checkpoint_for

    targets = values_by_name(target, "target")
    tolerances = chosen_tolerance(tolerance or [])
    form = format_of(output, count)
    check_output_file(output)
    loaded = load_dataset(dataset, data)
    trained = load_checkpoint_for(method_name(method), dataset, checkpoint, device=device)
    request = DesignRequest.of(
        loaded,
        trained,
        targets,
        count=count,
        tolerance=tolerances,
        sampler=sampler,
        steps=steps,
        seed=seed,
        cell=parsed_numbers(cell),
        round_size=round_size,
        corrects=correction,
        most=most,
        minutes=budget,
    )
    available = cores or available_cores()
    # measurements take about twice the time of the generation
    elsewhere = request.on_gpu or executor != "local"
    generating = available if elsewhere else max(1, available // 3)
    use_cores(generating)
    measuring = available if elsewhere else max(1, available - generating)
    pool_of_measurements = chosen_pool(executor, scheduler, workers, measuring)
    with opened_folder(folder_of(output), request.settings()) as folder:
        folder.check_output(output)
        for line in request.description():
            say(f"{line}.")
        with pool_of_measurements as pool, progress_bars() as bars:
            design = run_design(
                request,
                folder,
                pool,
                DesignBars(bars, request),
                overlap=elsewhere or available > 1,
                as_generated=as_generated,
            )
        write_results(folder, output, design, form)
    if design.frames:
        print("\n".join(glass_table(design)))
    if sys.stdout.isatty():
        for item in request.targets:
            print(histogram(design, item))
    for line in [*cost_lines(design), *correction_lines(design)]:
        say(f"{line}.")
    if design.frames:
        say(f"{len(design.frames)} of {count} glasses: {output}; everything tried: {folder.path}")
    if not design.complete:
        best = "; the nearest one: " + str(folder.nearest) if design.nearest is not None else ""
        say(f"amsbench: {design.ending.sentence}{best}.")
        raise typer.Exit(INCOMPLETE)


def values_by_name(items: Sequence[str], what: str) -> dict[str, float]:
    """Numbers by name from ``name=value``; AmsbenchError for other texts, and for a name that is there twice."""
    values: dict[str, float] = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            value = float(text)
        except ValueError as error:
            raise AmsbenchError(f"'{item}' is not a {what}; write name=value with a number") from error
        if name in values:
            raise AmsbenchError(f"the {what} of '{name}' is there twice; give it once")
        values[name] = value
    return values


def chosen_tolerance(items: Sequence[str]) -> float | dict[str, float] | None:
    """One number for all properties, numbers by property, or None; AmsbenchError for a mixture."""
    if not items:
        return None
    if len(items) == 1 and "=" not in items[0]:
        try:
            return float(items[0])
        except ValueError as error:
            raise AmsbenchError(
                f"'{items[0]}' is not a tolerance; write a number, or name=value with a number"
            ) from error
    return values_by_name(items, "tolerance")


class DesignBars:
    """Observer of a design: bars for the glasses and for the stages of the round, a line per round in a terminal."""

    def __init__(self, bars: Progress, request: DesignRequest) -> None:
        self._bars = bars
        self._request = request
        self._glasses = bars.add_task("glasses", total=request.count)
        self._stages: dict[str, Any] = {}

    def progress(self, stage: str, done: int, total: int) -> None:
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._stages[stage], completed=done, total=total)

    def round_judged(self, number: int, rounds: Sequence[JudgedRound]) -> None:
        from ..benchmark.design.records import hit_count
        from ..benchmark.design.report import round_line

        self._bars.update(self._glasses, completed=min(hit_count(rounds), self._request.count))
        if self._bars.console.is_terminal:
            self._bars.console.print(round_line(self._request, rounds), highlight=False, soft_wrap=True)
