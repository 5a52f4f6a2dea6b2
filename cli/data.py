"""``amsbench data``: build, import, list, describe, check and export dataset files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import AmsbenchError
from .formatting import description_lines, difference_lines
from .options import (
    AtomTypes,
    Cores,
    ExecutorName,
    Scheduler,
    StructureFile,
    StructureFormat,
    Workers,
    chosen_pool,
    names_in,
)
from .progress import progress_bars, say

data_app = typer.Typer(
    no_args_is_help=True, help="Build, import, list, describe, check and export dataset files."
)

Name = Annotated[str, typer.Argument(help="A name from 'amsbench datasets'.")]
File = Annotated[Path | None, typer.Option("--data", help="A dataset file instead of the bundled one.")]


@data_app.command()
def build(
    name: Name,
    output_file: Annotated[Path, typer.Option("--output-file", "-o", help="The file to make, .npz.")],
    samples: Annotated[int, typer.Option(min=1, help="Samples in all.")],
    recipe: Annotated[str, typer.Option(help="reduced, or paper: the paper's simulation times.")] = "reduced",
    cores: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use, one simulation each; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Every simulation's seed follows from it.")] = 0,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Simulate a dataset with LAMMPS and label it.

    Every finished simulation is kept; a build that was stopped resumes from them, also with more samples.
    """
    from ..benchmark import registry
    from ..benchmark.datasets.build import build_dataset
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.system.files import check_output_file

    definition = registry.load("datasets", name)()
    chosen = checked_recipe(recipe)
    if output_file.suffix != ".npz":
        raise AmsbenchError(
            f"a dataset is written as .npz, not '{output_file.suffix}' ({output_file}); rename the output"
        )
    check_output_file(output_file)
    pool_of_simulations = chosen_pool(executor, scheduler, workers, cores or available_cores())
    with pool_of_simulations as pool, progress_bars() as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{name}: {stage}", total=total)
            bars.update(tasks[stage], completed=done)

        built = build_dataset(
            definition,
            samples=samples,
            output=output_file,
            recipe=chosen,
            seed=seed,
            executor=pool,
            progress=report,
        )
    say(f"{built.samples} samples of {built.simulations} simulations in {built.path}")
    if built.simulation_failures:
        say(f"{len(built.simulation_failures)} attempts failed and were repeated with new seeds")
    if built.abandoned:
        say(f"{len(built.abandoned)} simulations failed at every attempt and are missing: {built.abandoned}")
    for label, reasons in built.label_failures.items():
        for reason, number in reasons.items():
            say(f"{label}: {number} samples without a value: {reason}")


@data_app.command(name="list")
def list_() -> None:
    """List the bundled data files."""
    from ..benchmark import registry
    from ..benchmark.datasets.storage import bundled_path, load_dataset_file

    for name in registry.names("datasets"):
        folder = bundled_path(name).parent
        if not bundled_path(name).is_file():
            print(f"{name:12} no file; make one with 'amsbench data build {name}'")
        for path in sorted([*folder.glob(f"{name}.npz"), *folder.glob(f"{name}_*.npz")]):
            try:
                loaded = load_dataset_file(path)
            except AmsbenchError as error:
                print(f"{path.stem:12} cannot be read: {error}")
                continue
            print(
                f"{path.stem:12} {len(loaded):6} samples, recipe {loaded.provenance['recipe']}, "
                f"{path.stat().st_size / 1e6:.1f} MB, {loaded.content_hash[:12]}"
            )


@data_app.command()
def info(
    name: Name,
    data: File = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, provenance too, as JSON.")] = False,
) -> None:
    """Describe a dataset, and compare its recipe with full-length simulations if there are any."""
    from ..benchmark.datasets import inspection
    from ..benchmark.datasets.storage import bundled_path, load_dataset, load_dataset_file

    loaded = load_dataset(name, data)
    description = inspection.info(loaded)
    paper = bundled_path(f"{name}_paper")
    compared = inspection.compare(loaded, load_dataset_file(paper)) if paper.is_file() else None
    if as_json:
        print(json.dumps(description | {"paper_recipe": compared}, indent=1))
        return
    for line in description_lines(description):
        print(line)
    if compared is not None:
        for line in difference_lines(compared, loaded.definition):
            print(line)


@data_app.command(name="import")
def import_(
    file: StructureFile,
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the dataset.")],
    properties: Annotated[
        str | None, typer.Option(help="Keys in the structures' info that become labels, comma separated.")
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="Si,O,...: where not every structure has all of them.")
    ] = None,
    types: AtomTypes = None,
    format_name: StructureFormat = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Key in the structures' info that is the same for frames of one simulation, or 'file': one "
            "simulation per file. Without it frames of one simulation may be in several splits."
        ),
    ] = None,
    ghost_density: Annotated[
        float | None,
        typer.Option(help="Atoms plus ghosts per A^3: models then decide density and composition."),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output-file", "-o", help="The file to make; NAME.npz by default.")
    ] = None,
) -> None:
    """Make a dataset of your own structures, to train on and to compare with."""
    import numpy as np
    import torch

    from ..benchmark.datasets.importing import check_request, import_structures, possible_group_keys
    from ..benchmark.datasets.inspection import mass_density
    from ..benchmark.generation.cells import cell_heights
    from ..benchmark.system.structure_files import read_structures

    path = output_file or Path(f"{name}.npz")
    check_request(name, names_in(properties), path)
    structures = read_structures(file, names_in(types), format_name)
    say(structures.summary())
    dataset = import_structures(
        structures,
        path,
        name=name,
        properties=names_in(properties),
        elements=names_in(elements),
        group=group,
        ghost_density=ghost_density,
    )
    if group is None:
        keys = possible_group_keys(structures)
        advice = (
            f"--group {' or '.join(keys[:5])}" if keys else "--group with a key in info, or --group file,"
        )
        say(
            "Warning: without --group every structure is a group of its own. If some are frames of one simulation, "
            "they are in several splits, and a model looks better than it is on the test split; "
            f"{advice} keeps them together."
        )
    thinnest = float(cell_heights(torch.as_tensor(dataset.cells)).min())
    density = mass_density(dataset)
    groups = "" if group is None else f" in {len(np.unique(dataset.groups))} groups by '{group}'"
    say(
        f"{len(dataset)} structures{groups} of {', '.join(dataset.definition.elements)} in {path}, density "
        f"{density.mean():.3g} +- {density.std():.2g} g/cm^3; the thinnest cell has a height of {thinnest:.1f} A, "
        "which the cutoff of a network may not exceed"
    )
    say(f"Use it with --dataset {name} --data {path} in train, run, evaluate and generate")


@data_app.command()
def verify(file: Annotated[Path, typer.Argument(help="A dataset file.")]) -> None:
    """Check a dataset file: hash, shapes, splits."""
    from ..benchmark.datasets import inspection

    checked = inspection.verify(file)
    print(
        f"{file}: dataset {checked['dataset']}, recipe {checked['recipe']}, {checked['samples']} samples, "
        f"{checked['atoms']} atoms, content hash {checked['content_hash']}: intact"
    )


@data_app.command()
def freeze(
    name: Name,
    output_file: Annotated[
        Path | None,
        typer.Option("--output-file", "-o", help="The .npz file to write; default: the bundled reference."),
    ] = None,
    data: File = None,
    keep_limits: Annotated[
        bool,
        typer.Option(
            "--keep-limits",
            help="Keep the limits of the material in the file that is there, which take most of the time.",
        ),
    ] = False,
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Make the frozen reference of a dataset, with which 'evaluate' scores structures without the data.

    It holds mean curves, labels, descriptors, training structures, and the limits of the material.
    """
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.evaluation.freezing import summary_lines
    from ..benchmark.evaluation.frozen_reference import frozen_path
    from ..benchmark.evaluation.material_limits import measure_material
    from ..benchmark.execution.cores import available_cores
    from ..benchmark.runs.references import limits_in, make_frozen
    from ..benchmark.system.files import check_writable

    path = output_file or frozen_path(name)
    if path.suffix != ".npz":
        raise AmsbenchError(
            f"a reference is written as .npz, not '{path.suffix}' ({path}); rename the output"
        )
    loaded = load_dataset(name, data)
    check_writable(path.parent)
    if keep_limits:
        limits = limits_in(path, loaded)
    else:
        with chosen_pool(executor, scheduler, workers, cores or available_cores()) as pool:
            limits = measure_material(loaded, pool).limits
    frozen = make_frozen(loaded, limits, path)
    say(f"{path}, {path.stat().st_size / 1000:.0f} kB:")
    for line in summary_lines(frozen):
        say(line)


@data_app.command()
def export(
    name: Name,
    output_file: Annotated[Path, typer.Option("--output-file", "-o", help="The .extxyz file to write.")],
    split: Annotated[str | None, typer.Option(help="train, validation or test; all by default.")] = None,
    data: File = None,
) -> None:
    """Write a dataset as extended XYZ."""
    from ..benchmark.datasets.definition import SPLITS
    from ..benchmark.datasets.storage import export_extxyz, load_dataset
    from ..benchmark.system.files import check_output_file
    from ..benchmark.system.structure_files import check_structure_suffix

    if split is not None and split not in SPLITS:
        raise AmsbenchError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    check_structure_suffix(output_file)
    check_output_file(output_file)
    count = export_extxyz(load_dataset(name, data), output_file, split)
    say(f"{count} structures in {output_file}")


def checked_recipe(name: str) -> Any:
    """``name`` itself; AmsbenchError if it is no recipe."""
    if name not in ("paper", "reduced"):
        raise AmsbenchError(f"unknown recipe '{name}'; known: paper, reduced")
    return name
