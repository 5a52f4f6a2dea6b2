"""`amsbench train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..benchmark.training.options import TrainingOptions
from ..errors import AmsbenchError
from .generators import train_with_bars, training_bar, training_folder
from .options import (
    Cores,
    DataFile,
    DatasetName,
    Devices,
    MethodName,
    Seed,
    changed_settings,
    method_name,
    property_names,
    use_cores,
)
from .progress import say


def train_command(
    method: MethodName,
    dataset: DatasetName,
    budget: Annotated[
        str, typer.Option(help="quick, fixed, standard or paper: how many structures are seen.")
    ] = "quick",
    samples: Annotated[int | None, typer.Option(min=1, help="Structures seen, instead of a budget.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Wall-clock time, instead of a budget; the learning rate falls with the clock."),
    ] = None,
    properties: Annotated[
        str, typer.Option(help="all, none, or names: what the model is conditioned on.")
    ] = "all",
    preset: Annotated[str | None, typer.Option(help="Network preset of the method.")] = None,
    init_from: Annotated[Path | None, typer.Option(help="Checkpoint whose weights to start from.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: name=value.")] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Structures per optimiser step.")
    ] = TrainingOptions.batch_size,
    learning_rate: Annotated[
        float, typer.Option(min=1e-8, help="Learning rate after its rise over 100 steps.")
    ] = TrainingOptions.learning_rate,
    schedule: Annotated[
        str,
        typer.Option(
            help="cosine: the rate falls over the training; constant: it stays, a larger --samples or --minutes makes "
            "the training longer, and 'amsbench anneal' ends it."
        ),
    ] = TrainingOptions.schedule,
    optimizer: Annotated[
        str, typer.Option(help="adam, or muon for the matrices between hidden features.")
    ] = TrainingOptions.optimizer,
    ema_width: Annotated[
        float | None,
        typer.Option(
            help="Width of the moving average as a share of the structures seen, such as 0.1; by default its decay per "
            "step is 0.999."
        ),
    ] = None,
    check_every: Annotated[
        int, typer.Option(min=1, help="Steps between readings of the losses; on a GPU, for example 100.")
    ] = TrainingOptions.check_every,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Structures between validations.")
    ] = TrainingOptions.validate_every,
    data: DataFile = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Folder; runs/<method>-<dataset> by default.")
    ] = None,
    seed: Seed = 0,
    device: Devices = "auto",
    cores: Cores = None,
) -> None:
    """Train a method. A stopped training goes on where it was when the same command is given again."""
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.training.budgets import budget_samples

    method = method_name(method)
    if samples is not None and minutes is not None:
        raise AmsbenchError(
            f"a training ends after --samples {samples} or after --minutes {minutes:g}; give one of them"
        )
    loaded = load_dataset(dataset, data)
    options = TrainingOptions(
        samples_seen=None if minutes is not None else samples or budget_samples(budget),
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        optimizer=optimizer,
        ema_width=ema_width,
        check_every=check_every,
        validate_every=validate_every,
        seed=seed,
    )
    path = train_with_bars(
        method,
        loaded,
        output=output_dir or training_folder(method, dataset),
        options=options,
        properties=property_names(properties, loaded),
        network=preset,
        config=changed_settings(set_ or []),
        init_from=init_from,
        device=device,
        cores=cores,
    )
    say(f"Best checkpoint: {path}; log: {path.parent / 'log.csv'}")


def anneal_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a training with --schedule constant.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Structures seen in the stage.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Wall-clock time of the stage, instead.")] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Structures between validations; as in the training by default.")
    ] = None,
    data: DataFile = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Folder; FOLDER-annealed by default.")
    ] = None,
    device: Devices = "auto",
    cores: Cores = None,
) -> None:
    """End a training at a constant rate: a copy of it goes on while the rate falls. The training itself may go on."""
    from ..benchmark.datasets.storage import load_dataset
    from ..benchmark.training.annealing import anneal, constant_training

    if (samples is None) == (minutes is None):
        raise AmsbenchError("a stage ends after --samples structures or after --minutes; give one of them")
    source = constant_training(folder)
    options = source.annealing_options(samples_seen=samples, minutes=minutes, validate_every=validate_every)
    use_cores(cores)
    name = source.task.dataset
    with training_bar(f"annealing {source.settings['method']} on {name}", options) as report:
        path = anneal(
            source,
            load_dataset(name, data),
            output=output_dir or folder.resolve().with_name(f"{folder.resolve().name}-annealed"),
            options=options,
            device=device,
            report=report,
        )
    say(f"Best checkpoint: {path}; log: {path.parent / 'log.csv'}")
