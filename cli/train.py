"""`amsbench train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..benchmark.training.options import TrainingOptions
from ..errors import AmsbenchError
from .generators import train_with_bars, training_folder
from .options import (
    Cores,
    DataFile,
    DatasetName,
    Device,
    MethodName,
    Seed,
    changed_settings,
    method_name,
    property_names,
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
        float, typer.Option(min=1e-8, help="Learning rate of Adam at the start.")
    ] = TrainingOptions.learning_rate,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Structures between validations.")
    ] = TrainingOptions.validate_every,
    data: DataFile = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Folder; runs/<method>-<dataset> by default.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
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
