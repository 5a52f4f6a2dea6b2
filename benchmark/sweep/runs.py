"""The runs of a plan: opened all at once, so that mistakes are found before anything is computed, and their cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import AmsbenchError
from .. import registry
from ..datasets.definition import plans_of
from ..datasets.storage import load_dataset
from ..runs.estimate import estimate_seconds
from ..runs.generator import TrainedModel, samplers_named
from ..runs.results import Result, ResultStore
from ..runs.runner import Run
from ..training.checkpoint_choice import load_checkpoint_for
from .plan import PlannedRun

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset
    from ..runs.generator import Generator, Trial
    from ..training.checkpoints import Checkpoint


@dataclass(frozen=True, kw_only=True)
class ExpectedCost:
    """What a run will cost.

    results, stored: results of the run, and those that are there already
    structures: structures of the others
    generation, measurement: seconds; None for a non-learned baseline that has no earlier result
    """

    results: int
    stored: int
    structures: int
    generation: float | None
    measurement: float | None

    @property
    def seconds(self) -> float:
        """Seconds as far as they are known."""
        return (self.generation or 0.0) + (self.measurement or 0.0)


def opened_runs(
    planned: Sequence[PlannedRun], store: ResultStore, *, device: str = "cpu"
) -> list[tuple[PlannedRun, Run]]:
    """The runs of a plan with their data and checkpoints; AmsbenchError, with its run, for one that cannot be opened.

    Without a released checkpoint a plan has to name one: a sweep trains nothing.
    """
    datasets: dict[tuple[str, Path | None], Dataset] = {}
    checkpoints: dict[tuple[str, str, Path | None], Checkpoint] = {}
    opened = []
    for item in planned:
        try:
            place = item.dataset, item.data
            if place not in datasets:
                datasets[place] = load_dataset(*place)
            model = item.method, item.dataset, item.checkpoint
            if model not in checkpoints and _is_trained(item.method):
                checkpoints[model] = load_checkpoint_for(*model, device=device)
            opened.append((item, _opened(item, datasets[place], store, checkpoints.get(model))))
        except AmsbenchError as error:
            raise AmsbenchError(f"{item.title}: {error}") from error
    return opened


def _is_trained(method: str) -> bool:
    return registry.kind_of(method, ("methods", "non_learned")) == "methods"


def _opened(item: PlannedRun, dataset: Dataset, store: ResultStore, checkpoint: Checkpoint | None) -> Run:
    """The run; checkpoint: of a trained method."""
    source: Generator
    samplers: tuple[str, ...]
    if checkpoint is not None:
        source, samplers = TrainedModel(checkpoint), samplers_named(checkpoint.method, item.samplers)
    else:
        for name in ("checkpoint", "steps", "samplers"):
            if getattr(item, name) is not None:
                raise AmsbenchError(f"it is not trained and has no {name}; leave '{name}' out")
        baseline = registry.load("non_learned", item.method)
        source, samplers = baseline(dataset), (baseline.sampler,)
    return Run(
        source=source,
        dataset=dataset,
        plans=plans_of(
            dataset.definition, item.protocol, names=item.plans, steps=item.steps, count=item.count
        ),
        samplers=samplers,
        metrics=item.metrics,
        store=store,
        seed=item.seed,
    )


def expected_cost(run: Run, known: Iterable[Result], *, workers: int) -> ExpectedCost:
    """What a run will cost here: of a trained model, from one timed evaluation and measurement of each plan.

    known: results whose costs are taken for non-learned baselines, which are expensive to time
    workers: structures that are measured, or simulated, at a time
    """
    trials = run.trials()
    missing = [trial for trial in trials if run.store.find(run.key(trial)) is None]
    generation: float | None
    measurement: float | None
    if isinstance(run.source, TrainedModel):
        generation, measurement = estimate_seconds(run, run.source.checkpoint.method, missing, workers)
    else:
        generation, measurement = _as_before(run, missing, known, workers)
    return ExpectedCost(
        results=len(trials),
        stored=len(trials) - len(missing),
        structures=sum(trial.plan.count for trial in missing),
        generation=generation,
        measurement=measurement,
    )


def _as_before(
    run: Run, trials: Sequence[Trial], known: Iterable[Result], workers: int
) -> tuple[float | None, float | None]:
    """Seconds of generation and measurement as in earlier results of the baseline on plans of the same name."""
    totals: list[float | None] = [0.0, 0.0]
    earlier = {
        result.key.plan: result
        for result in known
        if (result.key.method, result.key.dataset) == (run.source.name, run.dataset.definition.name)
    }
    for trial in trials:
        result = earlier.get(trial.plan.name)
        costs = (result.cpu_seconds, result.measuring_cpu_seconds) if result else (None, None)
        for k, seconds in enumerate(costs):
            before = totals[k]
            if result is None or seconds is None or before is None:
                totals[k] = None
            else:
                totals[k] = before + seconds / result.key.count * trial.plan.count / workers
    return totals[0], totals[1]
