"""The command line: thin commands around the library, each importing what it needs when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import RunBars, duration, progress_bars, say
from .errors import AmsbenchError

if TYPE_CHECKING:
    from .benchmark.checkpoints import Checkpoint
    from .benchmark.datasets.base import Dataset
    from .benchmark.protocols import EvaluationPlan
    from .benchmark.runner import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark generative models of amorphous materials, and make glass structures with chosen properties.",
)

MethodName = Annotated[str, typer.Option("--method", "-m", help="A name from 'amsbench methods'.")]
DatasetName = Annotated[str, typer.Option("--dataset", "-d", help="A name from 'amsbench datasets'.")]
DataFile = Annotated[
    Path | None, typer.Option("--data", help="A dataset file of your own build instead of the bundled one.")
]
CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", help="A checkpoint file instead of the released one.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor cores to use; all by default.")]


@app.command()
def run(
    method: MethodName,
    dataset: DatasetName,
    protocol: Annotated[str, typer.Option(help="quick, standard or paper: sizes of the comparison.")] = "quick",
    steps: Annotated[str | None, typer.Option(help="Step counts instead of the protocol's: 1,5,25.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Structures per cell of the table.")] = None,
    samplers: Annotated[str | None, typer.Option(help="Samplers, comma separated, or 'all'.")] = None,
    targets: Annotated[str | None, typer.Option(help="Only these plans, such as shear_modulus.")] = None,
    checkpoint: CheckpointFile = None,
    data: DataFile = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Results folder.")] = Path("results"),
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Evaluate a method over sampling step counts and print its leaderboard table.

    Finished cells are never computed twice; a run that was stopped goes on where it was.
    """
    from .benchmark.api import load_dataset
    from .benchmark.execution import cores, local_pool
    from .benchmark.files import check_writable
    from .benchmark.protocols import plans_of
    from .benchmark.results import ResultStore
    from .benchmark.runner import Run
    from .leaderboards.tables import render, tables_of

    loaded = load_dataset(dataset, data)
    plans = chosen_plans(plans_of(loaded.definition, protocol), targets, steps, count)
    check_writable(output)
    workers = threads or cores()
    trained = checkpoint_or_training(method, loaded, checkpoint, device, workers)
    rows = chosen_samplers(trained, samplers)
    job = Run(
        checkpoint=trained, dataset=loaded, plans=plans, samplers=rows, store=ResultStore(output), seed=seed
    )
    announce(job, workers)
    done = []
    with local_pool(workers) as pool, progress_bars() as bars:
        watcher = RunBars(bars)
        for cell in job.execute(pool, watcher):
            watcher.finished(f"generated in {duration(cell.seconds)}, measured in {duration(cell.measuring_seconds)}")
            done.append(cell)
    for table in tables_of(done):
        print(render(table, "plain"))
        print()
    say(f"Results: {len(done)} cells in {output / dataset}/ (*.json), structures beside them (*.extxyz, *.parquet).")
    say(f"All tables of this folder: amsbench table --results {output}")


@app.command()
def table(
    kind: Annotated[str | None, typer.Argument(help="structural or inverse-design; both by default.")] = None,
    results: Annotated[Path, typer.Option("--results", "-r", help="Results folder.")] = Path("results"),
    format: Annotated[str, typer.Option("--format", "-f", help="plain, github, csv or latex.")] = "plain",
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Add the values that the paper reports.")] = False,
    detail: Annotated[bool, typer.Option("--detail", help="Intervals, floors, correlations, substance.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Also draw the figures into this folder.")] = None,
) -> None:
    """Print the leaderboard tables of a results folder."""
    from .benchmark.results import ResultStore
    from .leaderboards.tables import render, tables_of

    store = ResultStore(results)
    for item in tables_of(store.cells(), kind=kind, with_paper=with_paper, detail=detail):
        print(render(item, format))
        print()
    if figures is not None:
        from .leaderboards.figures import save_figures

        for path in save_figures(store, figures):
            say(f"Figure: {path}")


@app.command()
def train(
    method: MethodName,
    dataset: DatasetName,
    budget: Annotated[str, typer.Option(help="quick, standard or paper: how many structures are seen.")] = "quick",
    passes: Annotated[int | None, typer.Option(min=1, help="Structures seen, instead of a budget.")] = None,
    properties: Annotated[str, typer.Option(help="all, none, or names: what the model is conditioned on.")] = "all",
    network: Annotated[str | None, typer.Option(help="Network preset of the method.")] = None,
    initial: Annotated[Path | None, typer.Option(help="Checkpoint whose weights to start from.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: name=value.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 4,
    learning_rate: Annotated[float, typer.Option(min=1e-8)] = 1e-3,
    validate_every: Annotated[int, typer.Option(min=1, help="Structures between validations.")] = 2_000,
    data: DataFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; runs/<method>-<dataset> by default.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train a method. A stopped training goes on where it was when the same command is given again."""
    from .benchmark.api import load_dataset
    from .benchmark.training import TrainingOptions, budget_passes

    loaded = load_dataset(dataset, data)
    options = TrainingOptions(
        passes=passes or budget_passes(budget),
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
        seed=seed,
    )
    path = train_with_bars(
        method,
        loaded,
        output=output or Path("runs") / f"{method}-{dataset}",
        options=options,
        properties=property_names(properties, loaded),
        network=network,
        config=changed_settings(set_ or []),
        initial=initial,
        device=device,
        threads=threads,
    )
    say(f"Best checkpoint: {path}; log: {path.parent / 'log.csv'}")


@app.command()
def generate(
    method: MethodName,
    dataset: DatasetName,
    output: Annotated[Path, typer.Option("--output", "-o", help="An .extxyz file.")],
    target: Annotated[list[str] | None, typer.Option(help="name=value or name=first:last; may be repeated.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Structures.")] = 1,
    steps: Annotated[int, typer.Option(help="Sampling steps, 1 or more.")] = 5,
    sampler: Annotated[str | None, typer.Option(help="One of the method's samplers.")] = None,
    cell: Annotated[str | None, typer.Option(help="Edge of a cube, three edges or nine numbers, angstrom.")] = None,
    checkpoint: CheckpointFile = None,
    data: DataFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make structures with chosen properties."""
    from .benchmark import generation
    from .benchmark.api import load_checkpoint_for, load_dataset, start_cells
    from .benchmark.files import check_writable
    from .benchmark.runner import write_frames

    check_writable(output.parent)
    use_threads(threads)
    trained = load_checkpoint_for(method, dataset, checkpoint, device=generation.pick_device(device)).method
    wanted = parsed_targets(target or [], count)
    generation.property_table(trained.task, wanted, count)
    for sentence in generation.outside_training_range(trained.task, wanted):
        say(f"Warning: {sentence}.")
    own = load_dataset(dataset, data) if data is not None else None
    cells, counts = start_cells(trained, count, parsed_numbers(cell), own)
    with progress_bars() as bars:
        bar = bars.add_task(f"{steps} steps", total=count)
        made = generation.generate(
            trained,
            cells=cells,
            counts=counts,
            targets=wanted,
            steps=steps,
            sampler=sampler,
            seed=seed,
            progress=lambda done: bars.update(bar, completed=done),
        )
    write_frames(output, made.frames)
    say(f"{count} structures in {output}, generated in {made.seconds:.2f} s")


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="Structures in any format that ASE reads.")],
    dataset: DatasetName,
    targets: Annotated[
        str | None, typer.Option(help="Keys in the frames' info that hold targets: target_shear_modulus,...")
    ] = None,
    properties: Annotated[str | None, typer.Option(help="Further properties to measure, comma separated.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Per-structure table, .csv or .parquet.")] = None,
    data: DataFile = None,
    threads: Threads = None,
) -> None:
    """Score structures of any origin by the code path of 'run'."""
    from .benchmark import api
    from .benchmark.evaluation_report import read_structures, report_lines, targets_in, write_table
    from .benchmark.execution import cores, local_pool

    loaded = api.load_dataset(dataset, data)
    frames = read_structures(file)
    wanted = targets_in(frames, names_in(targets), loaded.definition, file)
    with local_pool(threads or cores()) as pool:
        found = api.evaluate(frames, loaded, targets=wanted, properties=names_in(properties), executor=pool)
    for line in report_lines(found, loaded):
        print(line)
    if output is not None:
        write_table(found.table, output)
        say(f"Table of {len(frames)} structures: {output}")


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="Show one method.")] = None) -> None:
    """List the registered methods."""
    from .benchmark import registry

    for item in [name] if name else registry.names("methods"):
        cls = registry.load("methods", item)
        print(f"{item:14} {cls.title}")
        if name:
            print(f"  samplers: {', '.join(cls.samplers)}\n  networks: {', '.join(cls.networks)}")


@app.command()
def datasets() -> None:
    """List the registered datasets."""
    from .benchmark import registry

    for item in registry.names("datasets"):
        cls = registry.load("datasets", item)
        names = ", ".join(f"{p.name} ({p.unit})" for p in cls.properties) or "no properties"
        print(f"{item:8} {cls.title}; {names}")


# -- what commands share --------------------------------------------------------------------------------------


def names_in(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def parsed_numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in names_in(text)]
    except ValueError as error:
        raise AmsbenchError(f"'{text}' is not a list of numbers; write 18 or 18,18,20") from error


def parsed_targets(items: list[str], count: int) -> dict[str, Any]:
    """``name=value`` or ``name=first:last`` as one value per structure."""
    import numpy as np

    found: dict[str, Any] = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            ends = [float(part) for part in text.split(":")]
            if len(ends) not in (1, 2) or not np.isfinite(ends).all():
                raise ValueError
        except ValueError as error:
            raise AmsbenchError(f"'{item}' is not a target; write name=value or name=first:last") from error
        found[name] = np.linspace(ends[0], ends[-1], count)
    return found


def chosen_plans(
    plans: tuple[EvaluationPlan, ...], names: str | None, steps: str | None, count: int | None
) -> tuple[EvaluationPlan, ...]:
    from .benchmark.registry import near_matches

    known = [plan.name for plan in plans]
    for name in names_in(names):
        if name not in known:
            raise AmsbenchError(f"unknown target '{name}'; {near_matches(name, known)}")
    counts = None
    if steps is not None:
        try:
            counts = tuple(int(part) for part in names_in(steps))
        except ValueError as error:
            raise AmsbenchError(f"'{steps}' is not a list of step counts; write 1,5,25") from error
        if not counts or min(counts) < 1:
            raise AmsbenchError(f"step counts are 1 or more, not '{steps}'")
    return tuple(
        plan.changed(steps=counts, count=count) for plan in plans if names is None or plan.name in names_in(names)
    )


def chosen_samplers(checkpoint: Checkpoint, text: str | None) -> tuple[str, ...]:
    method = checkpoint.method
    if text is None:
        return method.samplers[:2]
    return method.samplers if text == "all" else tuple(method.check_sampler(name) for name in names_in(text))


def property_names(text: str, dataset: Dataset) -> tuple[str, ...]:
    if text == "all":
        return dataset.definition.design_properties
    return () if text == "none" else names_in(text)


def changed_settings(items: list[str]) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError as error:
            raise AmsbenchError(f"'{item}' is not a setting; write name=value with a JSON value") from error
    return found


def use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def checkpoint_or_training(
    method: str, dataset: Dataset, path: Path | None, device: str, threads: int
) -> Checkpoint:
    """The checkpoint asked for, the released one, or one trained now with the quick budget."""
    from .benchmark.api import load_checkpoint_for
    from .benchmark.checkpoints import released_path
    from .benchmark.generation import pick_device
    from .benchmark.training import BUDGETS, TrainingOptions

    use_threads(threads)
    name = dataset.definition.name
    if path is None and not released_path(method, name).is_file():
        say(
            f"No released checkpoint of '{method}' on '{name}': training one first with the quick budget "
            f"({BUDGETS['quick']:,} sample passes, far too few for good structures; see 'amsbench train')."
        )
        path = train_with_bars(
            method,
            dataset,
            output=Path("runs") / f"{method}-{name}-quick",
            options=TrainingOptions(passes=BUDGETS["quick"]),
            properties=dataset.definition.design_properties,
            network=None,
            config={},
            initial=None,
            device=device,
            threads=threads,
        )
    return load_checkpoint_for(method, name, path, device=pick_device(device))


def train_with_bars(
    method: str, dataset: Dataset, *, output: Path, device: str, threads: int | None, **settings: Any
) -> Path:
    from .benchmark.generation import pick_device
    from .benchmark.training import train as fit

    use_threads(threads)
    begun: list[float] = []
    with progress_bars() as bars:
        options = settings["options"]
        bar = bars.add_task(f"training {method} on {dataset.definition.name}", total=options.steps)

        def report(progress: Any) -> None:
            begun.append(progress.seconds)
            if len(begun) == 6:
                left = (begun[-1] - begun[0]) / 5 * (options.steps - progress.step)
                bars.console.print(f"Training {method} takes about {duration(left)} from here.", highlight=False)
            bars.update(bar, completed=progress.step)
            if progress.validation is not None:
                bars.console.print(
                    f"{progress.step * options.batch_size:,} passes, {duration(progress.seconds)}: "
                    f"validation loss {progress.validation:.4f}",
                    highlight=False,
                )

        return fit(method, dataset, output=output, device=pick_device(device), report=report, **settings)


def announce(job: Run, workers: int) -> None:
    """What the run will do and how long that should take, from one timed network call and one measurement."""
    from .benchmark.estimate import estimate_seconds

    jobs = job.jobs()
    missing = [item for item in jobs if job.store.find(job.key(item)) is None]
    name = job.dataset.definition.name
    steps = ", ".join(str(k) for k in sorted({item.steps for item in jobs}))
    counts = sorted({item.plan.count for item in jobs})
    say(
        f"{job.checkpoint.method.name} on {name}: {len(jobs)} cells ({', '.join(plan.name for plan in job.plans)}; "
        f"{' and '.join(job.samplers)}; {steps} steps), {' or '.join(map(str, counts))} structures each, "
        f"protocol '{job.plans[0].protocol}', checkpoint {job.checkpoint.path.name}."
    )
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of them are in {job.store.folder} already.")
    if missing:
        say(f"Expected time on {workers} cores: about {duration(estimate_seconds(job, missing, workers))}.")


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and exit code 2."""
    os.environ.setdefault("KMP_WARNINGS", "off")
    try:
        app()
    except AmsbenchError as error:
        say(f"amsbench: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("amsbench: stopped; give the same command again to go on")
        sys.exit(130)
