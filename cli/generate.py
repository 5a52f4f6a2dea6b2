"""`amsbench generate`, `evaluate` and `picture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import AmsbenchError
from .options import (
    AtomTypes,
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
    StructureFile,
    StructureFormat,
    Workers,
    chosen_pool,
    method_name,
    metric_names,
    names_in,
    parsed_numbers,
    parsed_targets,
    use_cores,
)
from .progress import progress_bars, say

TABLE_SUFFIXES = (".csv", ".parquet")


def generate_command(
    method: MethodName,
    dataset: DatasetName,
    output_file: Annotated[Path, typer.Option("--output-file", "-o", help="An .extxyz file.")],
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
    device: Devices = "auto",
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Generate structures with target values of properties.

    A command that was stopped goes on where it was when it is given again.
    """
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.generation.cells import start_cells
    from ..benchmark.generation.generate import outside_training_range, property_table
    from ..benchmark.generation.to_file import generate_to_file
    from ..benchmark.interface.evaluation_plan import steps_text
    from ..benchmark.runs.current_code import method_code
    from ..benchmark.system.files import check_output_file
    from ..benchmark.system.structure_files import check_structure_suffix
    from ..benchmark.training.checkpoint_choice import load_checkpoint_for

    method = method_name(method)
    check_structure_suffix(output_file)
    check_output_file(output_file)
    use_cores(cores)
    pool_of_workers = chosen_pool(executor, scheduler, workers, cores or available_cores())
    loaded = load_checkpoint_for(method, dataset, checkpoint, device=device)
    trained = loaded.method
    targets = parsed_targets(target or [], count)
    property_table(trained.task, targets, count)  # raises for unknown properties
    for sentence in outside_training_range(trained.task, targets):
        say(f"Warning: {sentence}.")
    cells_from = load_dataset(dataset, data) if data is not None else None
    cells, counts = start_cells(trained, count, parsed_numbers(cell), cells_from)
    with pool_of_workers as pool, progress_bars() as bars:
        bar = bars.add_task(steps_text(steps), total=count)
        generated = generate_to_file(
            loaded,
            output_file,
            code=method_code(type(trained)),
            cells=cells,
            counts=counts,
            targets=targets,
            steps=steps,
            sampler=sampler,
            seed=seed,
            executor=pool,
            progress=lambda done: bars.update(bar, completed=done),
        )
    say(f"{count} structures in {output_file}, generated in {generated.seconds:.2f} s")


def evaluate_command(
    file: StructureFile,
    dataset: DatasetName,
    target_keys: Annotated[
        str | None, typer.Option(help="Keys in the frames' info that hold targets: target_shear_modulus,...")
    ] = None,
    properties: Annotated[
        str | None, typer.Option(help="Further properties to measure, comma separated.")
    ] = None,
    metrics: MetricNames = None,
    output_file: Annotated[
        Path | None, typer.Option("--output-file", "-o", help="Per-structure table, .csv or .parquet.")
    ] = None,
    types: AtomTypes = None,
    format_name: StructureFormat = None,
    data: DataFile = None,
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Score structures of any origin by the same metrics as 'run'.

    A bundled dataset has a frozen reference, which needs no data; with --data the reference is computed on that file.

    A structure that cannot be measured (positions that are no numbers, other elements, no cell) counts as failed.
    """
    from ..benchmark.api import evaluate
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.evaluation.report import (
        failure_lines,
        report_lines,
        reservations,
        targets_in,
        write_table,
    )
    from ..benchmark.evaluation.unmeasurable import check_any_measurable
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.runs.references import reference_for
    from ..benchmark.system.files import check_output_file
    from ..benchmark.system.structure_files import read_structures
    from ..benchmark.system.structure_summary import counted

    pool_of_measurements = chosen_pool(executor, scheduler, workers, cores or available_cores())
    if output_file is not None and output_file.suffix not in TABLE_SUFFIXES:
        raise AmsbenchError(
            f"a table is written as {' or '.join(TABLE_SUFFIXES)}, not '{output_file.suffix}' ({output_file}); rename "
            "the output"
        )
    if output_file is not None:
        check_output_file(output_file)
    source = dataset if data is None else load_dataset(dataset, data)
    definition = reference_for(source).definition
    further = metric_names(metrics)
    for name in names_in(properties):
        definition.property_named(name)
    structures = read_structures(file, names_in(types), format_name)
    say(structures.summary())
    structures.check(all_sound=False)
    check_any_measurable(structures, definition, structures.names)
    for sentence in reservations(structures):
        say(sentence)
    targets = targets_in(structures, names_in(target_keys), definition)
    with pool_of_measurements as pool:
        evaluation = evaluate(
            structures,
            source,
            targets=targets,
            properties=names_in(properties),
            metrics=further,
            executor=pool,
        )
    for line in failure_lines(structures, evaluation):
        say(line)
    for line in report_lines(evaluation, names_in(properties)):
        print(line)
    if output_file is not None:
        write_table(evaluation.table, output_file)
        say(f"Table of {counted(len(structures), 'structure')}: {output_file}")


def picture_command(
    file: StructureFile,
    output_file: Annotated[Path, typer.Option("--output-file", "-o", help="A .png, .svg or .pdf file.")],
    index: Annotated[int, typer.Option(min=0, help="Number of the structure in the file, from 0.")] = 0,
    types: AtomTypes = None,
    format_name: StructureFormat = None,
) -> None:
    """Draw one structure."""
    from ..benchmark.system.files import check_output_file
    from ..benchmark.system.structure_files import read_structures
    from ..leaderboards.figures.structure_image import check_picture_suffix, write_picture

    check_picture_suffix(output_file)
    check_output_file(output_file)
    structures = read_structures(file, names_in(types), format_name)
    say(structures.summary())
    if index >= len(structures):
        raise AmsbenchError(f"{file} has no structure {index}; give --index 0 to {len(structures) - 1}")
    if index in structures.faults:
        raise AmsbenchError(
            f"{structures.names[index]} {structures.faults[index]}; or choose another --index"
        )
    write_picture(structures[index], output_file)
    say(f"Picture of {structures.names[index]}: {output_file}")
