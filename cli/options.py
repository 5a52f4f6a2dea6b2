"""Shared options of the commands, their conversion to Python values, and the choice of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AmsbenchError
from .progress import say

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..benchmark.datasets.dataset import Dataset
    from ..benchmark.execution.dask_pool import DaskPool

INCOMPLETE = 3
"""Exit code of a command that did a part of what was asked: fewer glasses, or not all runs."""

MethodName = Annotated[
    str,
    typer.Option(
        "--method", "-m", help="A name from 'amsbench methods', or a file: ./mine.py or ./mine.py:MyMethod."
    ),
]

DatasetName = Annotated[str, typer.Option("--dataset", "-d", help="A name from 'amsbench datasets'.")]

MetricNames = Annotated[
    str | None, typer.Option("--metrics", help="Metrics in addition to the standard ones, comma separated.")
]

DataFile = Annotated[
    Path | None, typer.Option("--data", help="A dataset file of your own build instead of the bundled one.")
]

CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", help="A checkpoint file instead of the released one.")
]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or one of several GPUs: cuda:1.")]

Devices = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, or GPUs that share the work: cuda:0,cuda:1.")
]

StructureFile = Annotated[
    Path,
    typer.Argument(
        help="Structures in any format that ASE reads: a file, a folder of files, or an archive (.zip, .tar, .gz)."
    ),
]

AtomTypes = Annotated[
    str | None, typer.Option("--types", help="Si,O,...: elements of LAMMPS' atom types 1, 2, ...")
]

StructureFormat = Annotated[
    str | None,
    typer.Option(
        "--format", help="ASE's name of the files' format, where it is not recognised: lammps-data, vasp, ..."
    ),
]

ResultsFolders = Annotated[
    list[Path] | None,
    typer.Option("--results", "-r", help="Results folder, 'results' by default; may be repeated."),
]

Published = Annotated[bool, typer.Option("--published", help="Add the results that come with amsbench.")]

OnlyThese = Annotated[str | None, typer.Option(help="Only these, comma separated.")]

Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]

Cores = Annotated[int | None, typer.Option("--cores", min=1, help="Processor cores to use; all by default.")]

ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor", help="What runs simulations and measurements: local (processes here) or dask."
    ),
]

Scheduler = Annotated[
    str | None, typer.Option(help="With --executor dask: address of a scheduler, tcp://host:8786.")
]

Workers = Annotated[
    int | None, typer.Option(min=1, help="With --executor dask: start a cluster of so many processes here.")
]

EXECUTORS = ["local", "dask"]


def names_in(text: str | None) -> tuple[str, ...]:
    """Names in a comma-separated list; none for None."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def method_name(text: str) -> str:
    """The registered name of a method; the method of a file is registered for this process."""
    from ..benchmark.plugin_file import is_method_file, register_method_file

    return register_method_file(text) if is_method_file(text) else text


def metric_names(text: str | None) -> tuple[str, ...]:
    """Names of registered metrics; AmsbenchError for one that is unknown, before any work."""
    from ..benchmark import registry
    from ..metrics.metric import PropertyMetric

    names = names_in(text)
    for name in names:
        if issubclass(registry.load("metrics", name), PropertyMetric):
            raise AmsbenchError(
                f"'{name}' is a property with targets; give it with --properties or as a target"
            )
    return names


def parsed_numbers(text: str | None) -> list[float] | None:
    """Numbers in a comma-separated list; AmsbenchError if one is no number."""
    if text is None:
        return None
    try:
        return [float(part) for part in names_in(text)]
    except ValueError as error:
        raise AmsbenchError(f"'{text}' is not a list of numbers; write 18 or 18,18,20") from error


def parsed_targets(items: list[str], count: int) -> dict[str, Any]:
    """Target values [count] by property, from ``name=value`` or (evenly spaced) ``name=first:last``."""
    import numpy as np

    targets: dict[str, Any] = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            ends = [float(part) for part in text.split(":")]
            if len(ends) not in (1, 2) or not np.isfinite(ends).all():
                raise ValueError
        except ValueError as error:
            raise AmsbenchError(f"'{item}' is not a target; write name=value or name=first:last") from error
        targets[name] = np.linspace(ends[0], ends[-1], count)
    return targets


def parsed_steps(text: str | None) -> tuple[int, ...] | None:
    """Step counts in a comma-separated list, None for None; AmsbenchError for what are no whole numbers from 1 on."""
    if text is None:
        return None
    try:
        counts = tuple(int(part) for part in names_in(text))
    except ValueError as error:
        raise AmsbenchError(f"'{text}' is not a list of step counts; write 1,5,25") from error
    if not counts or min(counts) < 1:
        raise AmsbenchError(f"step counts are 1 or more, not '{text}'")
    return counts


def property_names(text: str, dataset: Dataset) -> tuple[str, ...]:
    """Properties to condition on: the design properties for ``all``, nothing for ``none``, else a list of names."""
    if text == "all":
        return dataset.definition.design_properties
    return () if text == "none" else names_in(text)


def changed_settings(items: list[str]) -> dict[str, Any]:
    """Settings by name from ``name=value`` with JSON values; AmsbenchError if a value is no JSON."""
    import json

    settings: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            settings[name] = json.loads(value)
        except ValueError as error:
            raise AmsbenchError(f"'{item}' is not a setting; write name=value with a JSON value") from error
    return settings


def chosen_pool(
    executor: str, scheduler: str | None, workers: int | None, cores: int
) -> AbstractContextManager[Executor]:
    """The pool of the options ``--executor``, ``--scheduler`` and ``--workers``; AmsbenchError if they do not agree.

    cores: processes of the local pool
    """
    from ..benchmark.execution.dask_pool import dask_pool
    from ..benchmark.execution.local_pool import local_pool
    from ..benchmark.registry import near_matches

    if executor not in EXECUTORS:
        raise AmsbenchError(f"unknown executor '{executor}'; {near_matches(executor, EXECUTORS)}")
    given = [
        f"--{name}" for name, value in (("scheduler", scheduler), ("workers", workers)) if value is not None
    ]
    if executor == "local":
        if given:
            raise AmsbenchError(f"{given[0]} belongs to --executor dask; add it or leave {given[0]} out")
        return local_pool(cores)
    if len(given) != 1:
        raise AmsbenchError(
            "--executor dask needs either --scheduler tcp://host:8786 or, for a cluster on this machine, --workers 4"
        )
    return _counted(dask_pool(scheduler, workers), scheduler)


@contextmanager
def _counted(pool: AbstractContextManager[DaskPool], scheduler: str | None) -> Iterator[Executor]:
    """The pool of a cluster, with a message on its workers where they are not of this program."""
    with pool as opened:
        if scheduler is not None:
            threads = opened.threads()
            say(
                f"{threads} workers at {scheduler}."
                if threads
                else f"No workers at {scheduler} yet; waiting for the first one."
            )
        yield opened


def use_cores(cores: int | None) -> None:
    """Set the number of processor cores that torch uses; None keeps all."""
    if cores is not None:
        import torch

        torch.set_num_threads(cores)
