"""Shared options of the commands, their conversion to Python values, and the choice of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AmsbenchError
from .formatting import duration
from .progress import progress_bars, say

if TYPE_CHECKING:
    from ..benchmark.datasets.dataset import Dataset
    from ..benchmark.interface.evaluation_plan import EvaluationPlan
    from ..benchmark.interface.method import Method
    from ..benchmark.runs.generator import Generator
    from ..benchmark.runs.runner import Run
    from ..benchmark.training.checkpoints import Checkpoint
    from ..benchmark.training.options import TrainingOptions, TrainingProgress

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

StructureFile = Annotated[
    Path, typer.Argument(help="Structures in any format that ASE reads: a file, or a folder of files.")
]

AtomTypes = Annotated[
    str | None, typer.Option("--types", help="Si,O,...: elements of LAMMPS' atom types 1, 2, ...")
]

Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]

Cores = Annotated[int | None, typer.Option("--cores", min=1, help="Processor cores to use; all by default.")]


def names_in(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def method_name(text: str) -> str:
    """The registered name of a method; the method of a file is registered for this process."""
    from ..benchmark.plugin_file import is_method_file, register_method_file

    return register_method_file(text) if is_method_file(text) else text


def metric_names(text: str | None) -> tuple[str, ...]:
    """Names of registered metrics; AmsbenchError for one that is unknown, before any work."""
    from ..benchmark import registry

    names = names_in(text)
    for name in names:
        registry.target("metrics", name)
    return names


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
    from ..benchmark.registry import near_matches

    known = [plan.name for plan in plans]
    for name in names_in(names):
        if name not in known:
            raise AmsbenchError(f"unknown plan '{name}'; {near_matches(name, known)}")
    counts = None
    if steps is not None:
        try:
            counts = tuple(int(part) for part in names_in(steps))
        except ValueError as error:
            raise AmsbenchError(f"'{steps}' is not a list of step counts; write 1,5,25") from error
        if not counts or min(counts) < 1:
            raise AmsbenchError(f"step counts are 1 or more, not '{steps}'")
    return tuple(
        plan.changed(steps=counts, count=count)
        for plan in plans
        if names is None or plan.name in names_in(names)
    )


def chosen_source(
    name: str,
    dataset: Dataset,
    *,
    checkpoint: Path | None,
    steps: str | None,
    samplers: str | None,
    device: str,
    cores: int,
) -> tuple[Generator, tuple[str, ...]]:
    """Generator of a run and its samplers: a non-learned baseline, or the model of ``checkpoint_or_training``."""
    from ..benchmark import registry
    from ..benchmark.runs.generator import TrainedModel
    from ..benchmark.system.devices import pick_device

    if registry.kind_of(name, ("methods", "non_learned")) == "methods":
        check_samplers(registry.load("methods", name), samplers)
        pick_device(device)
        trained = checkpoint_or_training(name, dataset, checkpoint, device, cores)
        return TrainedModel(trained), chosen_samplers(trained, samplers)
    for option, value in {"--checkpoint": checkpoint, "--steps": steps, "--samplers": samplers}.items():
        if value is not None:
            raise AmsbenchError(
                f"'{name}' is not trained: it has no checkpoint, no steps and no samplers; leave out {option} {value}"
            )
    baseline = registry.load("non_learned", name)
    return baseline(dataset), (baseline.sampler,)


def check_samplers(method: type[Method], text: str | None) -> None:
    """Raise AmsbenchError for a name in ``text`` that is no sampler of the method, before anything is trained."""
    for name in names_in(text):
        if text != "all":
            method.sampler_named(name)


def chosen_samplers(checkpoint: Checkpoint, text: str | None) -> tuple[str, ...]:
    """The named samplers of a method, ``all``, or by default the publication's and the preferred one."""
    method = checkpoint.method
    names = [sampler.name for sampler in method.samplers]
    if text is None:
        return tuple(dict.fromkeys((names[0], method.preferred_sampler())))
    if text == "all":
        return tuple(names)
    return tuple(dict.fromkeys(method.sampler_named(name).name for name in names_in(text)))


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


def use_cores(cores: int | None) -> None:
    """Let torch compute on that many processor cores; None: on all."""
    if cores is not None:
        import torch

        torch.set_num_threads(cores)


def training_folder(method: str, dataset: str) -> Path:
    """Folder of a training if no other is given: ``runs/<method>-<dataset>``."""
    return Path("runs") / f"{method}-{dataset}"


def checkpoint_or_training(
    method: str, dataset: Dataset, path: Path | None, device: str, cores: int
) -> Checkpoint:
    """The checkpoint at ``path``, the released one, that of ``amsbench train``, or that of a quick training done now.

    Raises AmsbenchError if the training in ``runs/<method>-<dataset>`` is not finished.
    """
    from ..benchmark.api import load_checkpoint_for
    from ..benchmark.interface.method import method_class
    from ..benchmark.training.checkpoints import finished_checkpoint, released_checkpoint

    use_cores(cores)
    name = dataset.definition.name
    if path is None and released_checkpoint(method_class(method), name) is None:
        folder = training_folder(method, name)
        path = finished_checkpoint(folder)
        if path is None:
            path = _quick_training(method, dataset, device, cores)
        else:
            say(f"No released checkpoint of '{method}' on '{name}': using the one trained in {folder}.")
    return load_checkpoint_for(method, name, path, device=device)


def _quick_training(method: str, dataset: Dataset, device: str, cores: int) -> Path:
    from ..benchmark.training.budgets import BUDGETS
    from ..benchmark.training.options import TrainingOptions

    name = dataset.definition.name
    say(
        f"No checkpoint of '{method}' on '{name}', neither released nor in {training_folder(method, name)}: training "
        f"one first with the quick budget ({BUDGETS['quick']:,} structures seen, far too few for good structures; see "
        "'amsbench train')."
    )
    return train_with_bars(
        method,
        dataset,
        output=training_folder(method, f"{name}-quick"),
        options=TrainingOptions(samples_seen=BUDGETS["quick"]),
        properties=dataset.definition.design_properties,
        device=device,
        cores=cores,
    )


def train_with_bars(
    method: str,
    dataset: Dataset,
    *,
    output: Path,
    options: TrainingOptions,
    properties: tuple[str, ...],
    network: str | None = None,
    config: dict[str, Any] | None = None,
    init_from: Path | None = None,
    device: str,
    cores: int | None,
) -> Path:
    """Train a method with a progress bar and return the path of its best checkpoint."""
    from ..benchmark.training.train import train_method

    use_cores(cores)
    timings: list[tuple[float, float]] = []
    with progress_bars() as bars:
        by_clock = options.minutes is not None
        total = round(60 * options.minutes) if options.minutes is not None else options.steps
        unit = " (seconds)" if by_clock else ""
        bar = bars.add_task(f"training {method} on {dataset.definition.name}{unit}", total=total)

        def report(progress: TrainingProgress) -> None:
            timings.append((progress.seconds, progress.fraction))
            if len(timings) == 6:
                (start, done_before), (now, done) = timings[0], timings[-1]
                left = (now - start) / (done - done_before) * (1 - done)
                bars.console.print(
                    f"Training {method} takes about {duration(left)} from here.", highlight=False
                )
            bars.update(bar, completed=progress.seconds if by_clock else progress.step)
            if progress.validation is not None:
                bars.console.print(
                    f"{progress.step * options.batch_size:,} structures, {duration(progress.seconds)}: "
                    f"validation loss {progress.validation:.4f}",
                    highlight=False,
                )

        return train_method(
            method,
            dataset,
            output=output,
            options=options,
            properties=properties,
            network=network,
            config=config,
            init_from=init_from,
            device=device,
            report=report,
        )


def announce(run: Run, workers: int) -> None:
    """What the run will do and how long that should take, from one timed network call and one measurement."""
    from ..benchmark.runs.estimate import estimate_seconds
    from ..benchmark.runs.generator import TrainedModel

    trials = run.trials()
    missing = [item for item in trials if run.store.find(run.key(item)) is None]
    name = run.dataset.definition.name
    counts = sorted({item.plan.count for item in trials})
    samplers = dict.fromkeys(item.sampler for item in trials)  # those that share the cells of others left out
    facts, model = " and ".join(samplers), ""
    if isinstance(run.source, TrainedModel):
        facts += f"; {', '.join(str(k) for k in sorted({item.steps for item in trials}))} steps"
        model = f", checkpoint {run.source.checkpoint.path.name}"
    say(
        f"{run.source.name} on {name}: {len(trials)} cells ({', '.join(plan.name for plan in run.plans)}; {facts}), "
        f"{' or '.join(map(str, counts))} structures each, protocol '{run.plans[0].protocol}'{model}."
    )
    for (computed, left_out), step_counts in run.merged_samplers().items():
        say(
            f"{', '.join(left_out)} {'take' if len(left_out) > 1 else 'takes'} the same steps as {computed} at "
            f"{', '.join(map(str, step_counts))} steps: computed once."
        )
    if len(missing) < len(trials):
        say(f"{len(trials) - len(missing)} of them are in {run.store.folder} already.")
    if missing and isinstance(run.source, TrainedModel):
        seconds = estimate_seconds(run, run.source.checkpoint.method, missing, workers)
        say(f"Expected time on {workers} cores: about {duration(seconds)}.")
