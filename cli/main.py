"""The command line: thin commands around the library, each importing what it needs when it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..errors import AmsbenchError
from .data import app as data_commands
from .options import (
    announce,
    changed_settings,
    chosen_plans,
    chosen_source,
    names_in,
    parsed_numbers,
    parsed_targets,
    property_names,
    train_with_bars,
    use_threads,
)
from .plugins import methods, new_method
from .progress import RunBars, duration, progress_bars, say, terminal_width
from .speed import bench

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark generative models of amorphous materials, and make glass structures with chosen properties.",
)

app.add_typer(data_commands, name="data")

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
    protocol: Annotated[
        str, typer.Option(help="quick, standard or paper: sizes of the comparison.")
    ] = "quick",
    steps: Annotated[str | None, typer.Option(help="Step counts instead of the protocol's: 1,5,25.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Structures per cell of the table.")] = None,
    samplers: Annotated[
        str | None,
        typer.Option(help="Samplers, comma separated, or 'all'; default: the paper's and the strongest."),
    ] = None,
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
    from ..benchmark.api import load_dataset
    from ..benchmark.interface.evaluation_plan import plans_of
    from ..benchmark.runs.results import ResultStore
    from ..benchmark.runs.runner import Run
    from ..benchmark.system.files import check_writable
    from ..benchmark.system.worker_pool import cores, local_pool
    from ..leaderboards.tables.make_tables import render, tables_of

    loaded = load_dataset(dataset, data)
    plans = chosen_plans(plans_of(loaded.definition, protocol), targets, steps, count)
    check_writable(output)
    workers = threads or cores()
    source, rows = chosen_source(
        method,
        loaded,
        checkpoint=checkpoint,
        steps=steps,
        samplers=samplers,
        device=device,
        threads=workers,
    )
    job = Run(source=source, dataset=loaded, plans=plans, samplers=rows, store=ResultStore(output), seed=seed)
    announce(job, workers)
    done = []
    with local_pool(workers) as pool, progress_bars() as bars:
        watcher = RunBars(bars)
        for cell in job.execute(pool, watcher):
            watcher.finished(
                f"generated in {duration(cell.seconds)}, measured in {duration(cell.measuring_seconds)}"
            )
            done.append(cell)
    print(render(tables_of(done), "plain", width=terminal_width()))
    say(
        f"Results: {len(done)} cells in {output / dataset}/ (*.json), structures beside them (*.extxyz, *.parquet)."
    )
    say(f"All tables of this folder: amsbench table --results {output}")


@app.command()
def table(
    kind: Annotated[str | None, typer.Argument(help="structural or inverse-design; both by default.")] = None,
    results: Annotated[Path, typer.Option("--results", "-r", help="Results folder.")] = Path("results"),
    format: Annotated[str, typer.Option("--format", "-f", help="plain, github, csv or latex.")] = "plain",
    with_paper: Annotated[
        bool, typer.Option("--with-paper", help="Add the values that the paper reports.")
    ] = False,
    detail: Annotated[
        bool, typer.Option("--detail", help="Intervals, noise-corrected values, charged errors, failures.")
    ] = False,
    methods: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    samplers: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Also draw the figures into this folder.")] = None,
) -> None:
    """Print the leaderboard tables of a results folder."""
    from ..benchmark.runs.results import ResultStore
    from ..leaderboards.tables.make_tables import chosen, render, tables_of

    store = ResultStore(results)
    cells = chosen(
        store.cells(), *(None if names is None else names_in(names) for names in (methods, samplers))
    )
    tables = tables_of(cells, kind=kind, with_paper=with_paper, detail=detail)
    print(render(tables, format, width=terminal_width()))
    if figures is not None:
        from ..leaderboards.figures.make_figures import save_figures

        for path in save_figures(store, figures, cells):
            say(f"Figure: {path}")


@app.command()
def train(
    method: MethodName,
    dataset: DatasetName,
    budget: Annotated[
        str, typer.Option(help="quick, fixed, standard or paper: how many structures are seen.")
    ] = "quick",
    passes: Annotated[int | None, typer.Option(min=1, help="Structures seen, instead of a budget.")] = None,
    properties: Annotated[
        str, typer.Option(help="all, none, or names: what the model is conditioned on.")
    ] = "all",
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
    from ..benchmark.api import load_dataset
    from ..benchmark.training.budgets import budget_passes
    from ..benchmark.training.train import TrainingOptions

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
    target: Annotated[
        list[str] | None, typer.Option(help="name=value or name=first:last; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Structures.")] = 1,
    steps: Annotated[int, typer.Option(help="Sampling steps, 1 or more.")] = 5,
    sampler: Annotated[
        str | None,
        typer.Option(help="One of the method's samplers; default: the strongest."),
    ] = None,
    cell: Annotated[
        str | None, typer.Option(help="Edge of a cube, three edges or nine numbers, angstrom.")
    ] = None,
    checkpoint: CheckpointFile = None,
    data: DataFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make structures with chosen properties."""
    from ..benchmark.api import load_checkpoint_for, load_dataset, start_cells
    from ..benchmark.generation import generate as generation
    from ..benchmark.system.files import check_writable, frame_writer

    check_writable(output.parent)
    use_threads(threads)
    trained = load_checkpoint_for(method, dataset, checkpoint, device=generation.pick_device(device)).method
    wanted = parsed_targets(target or [], count)
    generation.property_table(trained.task, wanted, count)
    for sentence in generation.outside_training_range(trained.task, wanted):
        say(f"Warning: {sentence}.")
    own = load_dataset(dataset, data) if data is not None else None
    cells, counts = start_cells(trained, count, parsed_numbers(cell), own)
    with frame_writer(output) as put, progress_bars() as bars:
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
            sink=put,
        )
    say(f"{count} structures in {output}, generated in {made.seconds:.2f} s")


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="Structures in any format that ASE reads.")],
    dataset: DatasetName,
    targets: Annotated[
        str | None, typer.Option(help="Keys in the frames' info that hold targets: target_shear_modulus,...")
    ] = None,
    properties: Annotated[
        str | None, typer.Option(help="Further properties to measure, comma separated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Per-structure table, .csv or .parquet.")
    ] = None,
    data: DataFile = None,
    threads: Threads = None,
) -> None:
    """Score structures of any origin by the code path of 'run'."""
    from ..benchmark import api
    from ..benchmark.evaluation.report import read_structures, report_lines, targets_in, write_table
    from ..benchmark.system.worker_pool import cores, local_pool

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
def picture(
    file: Annotated[Path, typer.Argument(help="Structures in any format that ASE reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png, .svg or .pdf file.")],
    index: Annotated[int, typer.Option(min=0, help="Which structure of the file, from 0.")] = 0,
) -> None:
    """Draw one structure."""
    from ..benchmark.evaluation.report import read_structures
    from ..leaderboards.figures.structure_image import write_picture

    frames = read_structures(file)
    if index >= len(frames):
        raise AmsbenchError(f"{file} has no structure {index}; give --index 0 to {len(frames) - 1}")
    write_picture(frames[index], output)
    say(f"Structure {index} of {file}: {output}")


@app.command()
def datasets() -> None:
    """List the registered datasets."""
    from ..benchmark import registry

    for item in registry.names("datasets"):
        cls = registry.load("datasets", item)
        names = ", ".join(f"{p.name} ({p.unit})" for p in cls.properties) or "no properties"
        print(f"{item:8} {cls.title}; {names}")


@app.command()
def info() -> None:
    """Show versions, hardware and the computing paths that are active here."""
    import platform

    import torch

    from .. import __version__
    from ..benchmark.system.worker_pool import cores
    from ..methods.egnn import edge_sums_native, edge_sums_triton
    from ..methods.product_precision import product_type
    from ..metrics.neighbours import neighbour_list
    from ..metrics.potentials.potential import lammps_version

    print(
        f"amsbench {__version__}, Python {platform.python_version()}, torch {torch.__version__}, {cores()} cores"
    )
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"CUDA device: {cuda}")
    paths = {
        "native network kernel": edge_sums_native.info(),
        "native neighbour lists": neighbour_list.info(),
        "triton kernels": edge_sums_triton.info(),
    }
    for name, path in paths.items():
        facts = [path[key] for key in ("level", "mode") if path.get(key)]
        reason = f" ({path['reason']})" if path["reason"] else ""
        print(f"{name}: {', '.join(facts) or 'not active'}{reason}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"networks of the baselines: torch, products in {product_type(torch.zeros(1, device=device))}")
    print(f"LAMMPS: {lammps_version()}")


app.command()(methods)
app.command()(new_method)
app.command()(bench)


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and exit code 2."""
    os.environ.setdefault("KMP_WARNINGS", "off")
    # a job scheduler's way to stop a command; as with Ctrl-C, worker processes end and half-written files go
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except AmsbenchError as error:
        say(f"amsbench: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:
        if end.code == 130:  # typer's, for the interrupt of a command
            _stopped()
        raise


def _stopped() -> NoReturn:
    say("amsbench: stopped; given again, data build, train and run go on, other commands begin anew")
    sys.exit(130)
