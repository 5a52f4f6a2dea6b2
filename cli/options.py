"""What the commands share: options as Python values, checkpoints or trainings, announcements."""

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
    from ..benchmark.runs.generator import Generator
    from ..benchmark.runs.runner import Run
    from ..benchmark.training.checkpoints import Checkpoint

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

Cores = Annotated[int | None, typer.Option("--cores", min=1, help="Processor cores to use; all by default.")]


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
    from ..benchmark.registry import near_matches

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
    **where: Any,
) -> tuple[Generator, tuple[str, ...]]:
    """The generator of a run and its samplers: a trained model of a method, or a non-learned baseline."""
    from ..benchmark import registry
    from ..benchmark.runs.generator import TrainedModel

    if registry.kind_of(name, ("methods", "non_learned")) == "methods":
        trained = checkpoint_or_training(name, dataset, checkpoint, **where)
        return TrainedModel(trained), chosen_samplers(trained, samplers)
    for option, value in {"--checkpoint": checkpoint, "--steps": steps, "--samplers": samplers}.items():
        if value is not None:
            raise AmsbenchError(
                f"'{name}' is no model: it has no checkpoint, no steps and no samplers; leave out {option} {value}"
            )
    baseline = registry.load("non_learned", name)
    return baseline(dataset), (baseline.sampler,)


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


def checkpoint_or_training(
    method: str, dataset: Dataset, path: Path | None, device: str, cores: int
) -> Checkpoint:
    """The checkpoint asked for, the released one, or one trained now with the quick budget."""
    from ..benchmark.api import load_checkpoint_for
    from ..benchmark.system.devices import pick_device
    from ..benchmark.training.budgets import BUDGETS
    from ..benchmark.training.checkpoints import released_path
    from ..benchmark.training.options import TrainingOptions

    use_cores(cores)
    name = dataset.definition.name
    if path is None and not released_path(method, name).is_file():
        say(
            f"No released checkpoint of '{method}' on '{name}': training one first with the quick budget "
            f"({BUDGETS['quick']:,} structures seen, far too few for good structures; see 'amsbench train')."
        )
        path = train_with_bars(
            method,
            dataset,
            output=Path("runs") / f"{method}-{name}-quick",
            options=TrainingOptions(samples_seen=BUDGETS["quick"]),
            properties=dataset.definition.design_properties,
            network=None,
            config={},
            init_from=None,
            device=device,
            cores=cores,
        )
    return load_checkpoint_for(method, name, path, device=pick_device(device))


def train_with_bars(
    method: str, dataset: Dataset, *, output: Path, device: str, cores: int | None, **settings: Any
) -> Path:
    from ..benchmark.system.devices import pick_device
    from ..benchmark.training.train import train_method

    use_cores(cores)
    begun: list[float] = []
    with progress_bars() as bars:
        options = settings["options"]
        bar = bars.add_task(f"training {method} on {dataset.definition.name}", total=options.steps)

        def report(progress: Any) -> None:
            begun.append(progress.seconds)
            if len(begun) == 6:
                left = (begun[-1] - begun[0]) / 5 * (options.steps - progress.step)
                bars.console.print(
                    f"Training {method} takes about {duration(left)} from here.", highlight=False
                )
            bars.update(bar, completed=progress.step)
            if progress.validation is not None:
                bars.console.print(
                    f"{progress.step * options.batch_size:,} structures, {duration(progress.seconds)}: "
                    f"validation loss {progress.validation:.4f}",
                    highlight=False,
                )

        return train_method(
            method, dataset, output=output, device=pick_device(device), report=report, **settings
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
    for (computed, left_out), merged_steps in run.merged_samplers().items():
        say(
            f"{', '.join(left_out)} {'take' if len(left_out) > 1 else 'takes'} the same steps as {computed} at "
            f"{', '.join(map(str, merged_steps))} steps: computed once."
        )
    if len(missing) < len(trials):
        say(f"{len(trials) - len(missing)} of them are in {run.store.folder} already.")
    if missing and isinstance(run.source, TrainedModel):
        seconds = estimate_seconds(run, run.source.checkpoint.method, missing, workers)
        say(f"Expected time on {workers} cores: about {duration(seconds)}.")
