"""``amsbench run`` and ``amsbench sweep``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import AmsbenchError
from .formatting import cost_lines, cost_table, duration
from .generators import announce, chosen_source
from .options import (
    INCOMPLETE,
    CheckpointFile,
    Cores,
    DataFile,
    DatasetName,
    Devices,
    ExecutorName,
    MethodName,
    MetricNames,
    Scheduler,
    Seed,
    Workers,
    chosen_pool,
    method_name,
    metric_names,
    names_in,
    parsed_steps,
    use_cores,
)
from .progress import FEWER_COLUMNS, RunBars, progress_bars, say, terminal_width

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..benchmark.runs.results import Result
    from ..benchmark.runs.runner import Run


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
    device: Devices = "auto",
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Evaluate a method over sampling step counts and print its leaderboard table.

    Without --checkpoint: the released checkpoint, that of a finished 'amsbench train', or that of a quick training.

    Finished results are never computed twice; a run that was stopped goes on where it was.
    """
    from ..benchmark.datasets.definition import plans_of
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.runs.results import ResultStore
    from ..benchmark.runs.runner import Run
    from ..benchmark.runs.stored_structures import structures_path
    from ..benchmark.system.files import check_writable
    from ..leaderboards.headlines import bars
    from ..leaderboards.tables.make_tables import tables_of
    from ..leaderboards.tables.text_table import render

    method = method_name(method)
    loaded = load_dataset(dataset, data)
    chosen = plans_of(
        loaded.definition,
        protocol,
        names=None if plans is None else names_in(plans),
        steps=parsed_steps(steps),
        count=count,
    )
    check_writable(output_dir)
    cores = cores or available_cores()
    pool_of_run = chosen_pool(executor, scheduler, workers, cores)
    source, rows = chosen_source(
        method,
        loaded,
        checkpoint=checkpoint,
        steps=steps,
        samplers=samplers,
        device=device,
        cores=cores,
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
    announce(run, cores)
    done: list[Result] = []
    with pool_of_run as pool, progress_bars() as shown_bars:
        done.extend(compute(run, pool, RunBars(shown_bars)))
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


def compute(run: Run, pool: Executor, watcher: RunBars) -> Iterator[Result]:
    """Yield the results of a run, with a line for each one."""
    from ..leaderboards.headlines import outcome

    done: list[Result] = []
    for result in run.execute(pool, watcher):
        left_out = sum(result.failures.get("structure", {}).values())
        watcher.finished(
            f"{outcome(result, done)}; generated in {duration(result.seconds)}, "
            f"measured in {duration(result.measuring_seconds)}"
            + (f"; no metric can measure {left_out} of {result.key.count} structures" if left_out else "")
        )
        done.append(result)
        yield result


def sweep_command(
    plan: Annotated[Path, typer.Argument(help="A .toml file with tables [[runs]].")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Results folder.")] = Path("results"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the runs and what they cost.")
    ] = False,
    device: Devices = "auto",
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Compute all runs of a plan: methods, datasets, protocols, steps and seeds.

    A table [[runs]] has lists 'methods', 'datasets', 'protocols' (standard) and 'seeds' (0), all of whose combinations
    are runs, and may have 'samplers', 'plans', 'metrics', 'steps', 'count', 'data', and for one method and dataset
    'checkpoints'.

    All runs are checked before the first begins. One that fails is reported at the end, and the others go on. Finished
    results are never computed twice; a sweep that was stopped goes on where it was.

    Exit code 3: some runs failed.
    """
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.execution.task_map import ExecutorLost
    from ..benchmark.runs.results import ResultStore
    from ..benchmark.sweep.plan import read_sweep
    from ..benchmark.sweep.runs import expected_cost, opened_runs
    from ..benchmark.system.devices import pick_devices
    from ..benchmark.system.files import check_writable
    from ..leaderboards.result_folders import PUBLISHED, ResultFolders

    cores = cores or available_cores()
    pool_of_sweep = chosen_pool(executor, scheduler, workers, cores)
    pick_devices(device)  # raises for unknown ones
    planned = read_sweep(plan)
    for item in planned:
        metric_names(",".join(item.metrics))  # raises for unknown ones
    if not dry_run:
        check_writable(output_dir)
    use_cores(cores)
    runs = opened_runs(planned, ResultStore(output_dir), device=device)
    published = ResultFolders([PUBLISHED]).results()
    say(f"{len(runs)} runs; timing one structure of each plan.")
    costs = [expected_cost(run, published, workers=workers or cores) for _, run in runs]
    print(cost_table([item.title for item, _ in runs], costs))
    for line in cost_lines(costs):
        say(line)
    if dry_run:
        return
    failed: list[tuple[str, str]] = []
    count = 0
    with pool_of_sweep as pool, progress_bars() as shown_bars:
        whole = shown_bars.add_task("all runs, in seconds", total=max(1.0, sum(c.seconds for c in costs)))
        watcher = RunBars(shown_bars)
        for (item, run), cost in zip(runs, costs, strict=True):
            say(f"{item.title}: {cost.results} results, {cost.stored} of them there already.")
            try:
                for _ in compute(run, pool, watcher):
                    count += 1
            except ExecutorLost:
                raise
            except AmsbenchError as error:
                failed.append((item.title, str(error)))
                say(f"{item.title}: failed: {error}")
            shown_bars.advance(whole, cost.seconds)
    say(f"Results: {count} in {output_dir}/.")
    say(f"All tables of this folder: amsbench table --results {output_dir} --detail")
    for title, reason in failed:
        say(f"failed: {title}: {reason}")
    if failed:
        say(f"amsbench: {len(failed)} of {len(runs)} runs failed; the same command computes what is missing.")
        raise typer.Exit(INCOMPLETE)
