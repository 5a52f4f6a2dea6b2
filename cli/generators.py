"""Choice of the generator of a run: a released or trained checkpoint, a new training, or a non-learned baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AmsbenchError
from .formatting import duration
from .options import names_in, use_cores
from .progress import progress_bars, say

if TYPE_CHECKING:
    from ..benchmark.datasets.dataset import Dataset
    from ..benchmark.interface.method import Method
    from ..benchmark.runs.generator import Generator
    from ..benchmark.runs.runner import Run
    from ..benchmark.training.checkpoints import Checkpoint
    from ..benchmark.training.options import TrainingOptions, TrainingProgress


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
    from ..benchmark.runs.generator import TrainedModel, samplers_named
    from ..benchmark.system.devices import pick_devices

    if registry.kind_of(name, ("methods", "non_learned")) == "methods":
        check_samplers(registry.load("methods", name), samplers)
        pick_devices(device)
        trained = checkpoint_or_training(name, dataset, checkpoint, device, cores)
        names = None if samplers is None else names_in(samplers)
        return TrainedModel(trained), samplers_named(trained.method, names)
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


def training_folder(method: str, dataset: str) -> Path:
    """Folder of a training if no other is given: ``runs/<method>-<dataset>``."""
    return Path("runs") / f"{method}-{dataset}"


def checkpoint_or_training(
    method: str, dataset: Dataset, path: Path | None, device: str, cores: int
) -> Checkpoint:
    """Checkpoint at ``path``, the released one, that of ``amsbench train``, or that of a new quick training.

    Raises AmsbenchError if the training in ``runs/<method>-<dataset>`` is not finished or was made with other data.
    """
    from ..benchmark.interface.method import method_class
    from ..benchmark.system.devices import pick_devices
    from ..benchmark.training.checkpoint_choice import load_checkpoint_for
    from ..benchmark.training.checkpoints import finished_checkpoint, released_checkpoint

    use_cores(cores)
    name = dataset.definition.name
    if path is None and released_checkpoint(method_class(method), name) is None:
        folder = training_folder(method, name)
        path = finished_checkpoint(folder)
        if path is None:
            path = _quick_training(method, dataset, pick_devices(device)[0], cores)
        else:
            say(f"No released checkpoint of '{method}' on '{name}': using the one trained in {folder}.")
        trained = load_checkpoint_for(method, name, path, device=device)
        if trained.method.task.dataset_hash != dataset.content_hash:
            raise AmsbenchError(
                f"{path} was trained on other data of '{name}' than {dataset.path}; give the training's file with "
                f"--data, or take it all the same with --checkpoint {path}"
            )
        return trained
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
    with training_bar(f"training {method} on {dataset.definition.name}", options) as report:
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


@contextmanager
def training_bar(title: str, options: TrainingOptions) -> Iterator[Callable[[TrainingProgress], None]]:
    """Context with a progress bar of a training; it gives the function to call with the progress."""
    timings: list[tuple[float, float]] = []
    with progress_bars() as bars:
        by_clock = options.minutes is not None
        total = round(60 * options.minutes) if options.minutes is not None else options.steps
        bar = bars.add_task(f"{title}{' (seconds)' if by_clock else ''}", total=total)

        def report(progress: TrainingProgress) -> None:
            timings.append((progress.seconds, progress.fraction))
            if len(timings) == 6:
                (start, done_before), (now, done) = timings[0], timings[-1]
                left = (now - start) / (done - done_before) * (1 - done)
                bars.console.print(f"The {title} takes about {duration(left)} from here.", highlight=False)
            bars.update(bar, completed=progress.seconds if by_clock else progress.step)
            if progress.validation is not None:
                bars.console.print(
                    f"{progress.step * options.batch_size:,} structures, {duration(progress.seconds)}: "
                    f"validation loss {progress.validation:.4f}",
                    highlight=False,
                )

        yield report


def announce(run: Run, workers: int) -> None:
    """Print what the run will compute and its estimated duration.

    The time follows from one timed network evaluation and one timed measurement.
    """
    from ..benchmark.interface.evaluation_plan import steps_text
    from ..benchmark.runs.estimate import estimate_seconds
    from ..benchmark.runs.generator import TrainedModel
    from ..benchmark.runs.stored_structures import structures_path

    trials = run.trials()
    missing = [item for item in trials if run.store.find(run.key(item)) is None]
    name = run.dataset.definition.name
    counts = sorted({item.plan.count for item in trials})
    # a sampler whose structures are another's at these step counts has no trials of its own
    samplers = dict.fromkeys(item.sampler for item in trials)
    facts, model = " and ".join(samplers), ""
    if isinstance(run.source, TrainedModel):
        facts += f"; {steps_text(*sorted({item.steps for item in trials}))}"
        model = f", checkpoint {run.source.checkpoint.path.name}"
    say(
        f"{run.source.name} on {name}: {len(trials)} results ({', '.join(plan.name for plan in run.plans)}; {facts}), "
        f"{' or '.join(map(str, counts))} structures each, protocol '{run.plans[0].protocol}'{model}."
    )
    for (computed, left_out), merged_steps in run.merged_samplers().items():
        say(
            f"{', '.join(left_out)} {'take' if len(left_out) > 1 else 'takes'} the same steps as {computed} at "
            f"{steps_text(*merged_steps)}: computed once."
        )
    if len(missing) < len(trials):
        stored = [run.key(item) for item in trials if item not in missing]
        with_structures = sum(structures_path(run.store, key) is not None for key in stored)
        say(
            f"{len(stored)} of them are in {run.store.folder} already, "
            f"{'all' if with_structures == len(stored) else with_structures} with their structures."
        )
    methods, metrics = run.outdated()
    if methods:
        say(
            f"The code of '{run.source.name}' changed since {len(methods)} stored results were computed: they are "
            "computed again, the old ones stay beside the new ones."
        )
    if metrics:
        say(
            f"The code of {', '.join(metrics)} changed: {max(metrics.values())} stored results are measured again."
        )
    if missing and isinstance(run.source, TrainedModel):
        seconds = sum(estimate_seconds(run, run.source.checkpoint.method, missing, workers))
        say(f"Expected time on {workers} cores: about {duration(seconds)}.")
