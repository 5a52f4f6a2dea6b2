"""`amsbench run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .formatting import duration
from .generators import announce, chosen_source
from .options import (
    CheckpointFile,
    Cores,
    DataFile,
    DatasetName,
    Device,
    MethodName,
    MetricNames,
    Seed,
    chosen_plans,
    method_name,
    metric_names,
)
from .progress import FEWER_COLUMNS, RunBars, progress_bars, say, terminal_width


def run_command(
    method: MethodName,
    dataset: DatasetName,
    protocol: Annotated[
        str,
        typer.Option(
            help="Sizes of the comparison: quick, standard, paper, or wide (standard with the paper's targets)."
        ),
    ] = "quick",
    steps: Annotated[str | None, typer.Option(help="Step counts instead of the protocol's: 1,5,25.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Structures per result.")] = None,
    samplers: Annotated[
        str | None,
        typer.Option(help="Samplers, comma separated, or 'all'; default: the strongest."),
    ] = None,
    plans: Annotated[
        str | None, typer.Option(help="Only these plans, comma separated, such as shear_modulus.")
    ] = None,
    metrics: MetricNames = None,
    checkpoint: CheckpointFile = None,
    data: DataFile = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Results folder.")] = Path("results"),
    seed: Seed = 0,
    device: Device = "auto",
    cores: Cores = None,
) -> None:
    """Evaluate a method over sampling step counts and print its leaderboard table.

    Without --checkpoint: the released checkpoint, that of a finished 'amsbench train', or that of a quick training.

    Finished results are never computed twice; a run that was stopped goes on where it was.
    """
    from ..benchmark.datasets.definition import plans_of
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.runs.results import Result, ResultStore
    from ..benchmark.runs.runner import Run
    from ..benchmark.runs.stored_structures import structures_path
    from ..benchmark.system.files import check_writable
    from ..benchmark.system.worker_pool import available_cores, local_pool
    from ..leaderboards.headlines import bars, outcome
    from ..leaderboards.tables.make_tables import tables_of
    from ..leaderboards.tables.text_table import render

    method = method_name(method)
    loaded = load_dataset(dataset, data)
    chosen = chosen_plans(plans_of(loaded.definition, protocol), plans, steps, count)
    check_writable(output_dir)
    workers = cores or available_cores()
    source, rows = chosen_source(
        method,
        loaded,
        checkpoint=checkpoint,
        steps=steps,
        samplers=samplers,
        device=device,
        cores=workers,
    )
    run = Run(
        source=source,
        dataset=loaded,
        plans=chosen,
        samplers=rows,
        metrics=metric_names(metrics),
        store=ResultStore(output_dir),
        seed=seed,
    )
    announce(run, workers)
    done: list[Result] = []
    with local_pool(workers) as pool, progress_bars() as shown_bars:
        watcher = RunBars(shown_bars)
        for result in run.execute(pool, watcher):
            left_out = sum(result.failures.get("structure", {}).values())
            watcher.finished(
                f"{outcome(result, done)}; generated in {duration(result.seconds)}, "
                f"measured in {duration(result.measuring_seconds)}"
                + (f"; no metric can measure {left_out} of {result.key.count} structures" if left_out else "")
            )
            done.append(result)
    names = metric_names(metrics)
    # the first table of a kind has all targets of a protocol; those of further metrics follow where there are any
    shown = [
        table
        for kind in dict.fromkeys(result.key.kind for result in done)
        for table in tables_of(done, kind, metrics=names, files=run.store)[: None if names else 1]
    ]
    print(render(shown, "plain", width=terminal_width(), hint=FEWER_COLUMNS))
    for line in bars(done, terminal_width()):
        print(line)
    store = run.store
    gone = sum(structures_path(store, result.key) is None for result in done)
    beside = "structures and their table beside them (*.extxyz, *.parquet)"
    if gone:
        beside = (
            f"{gone} of them without their structures; the others have them beside them (*.extxyz or *.npz)"
        )
    say(f"Results: {len(done)} in {output_dir / dataset}/ (*.json), {beside}.")
    say(f"All tables of this folder: amsbench table --results {output_dir} --detail")
    say(f"A page of it for the browser: amsbench page leaderboard --results {output_dir}")
