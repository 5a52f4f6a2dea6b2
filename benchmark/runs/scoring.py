"""The metrics of a run: which ones a result has, and how structures are measured with them, anew or in addition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...metrics.metric import CurveMetric
from .. import registry
from ..datasets.dataset import Dataset
from ..evaluation.descriptor_means import STANDARD_DESCRIPTORS
from ..evaluation.evaluate import (
    STANDARD_CURVES,
    Evaluation,
    applicable_curves,
    evaluate_structures,
    metrics_by_kind,
)
from ..evaluation.reference import Reference
from ..interface.evaluation_plan import EvaluationPlan, reference_split
from ..system.compact_structures import CompactFrames
from .current_code import metric_codes
from .results import Result

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

ScoredResult = tuple[Result, "pd.DataFrame"]
"""A result and its table, one row per structure."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Standard and further metrics with which the results of a dataset are scored.

    metrics: names of metrics in addition to the standard ones
    seed: of the bootstrap intervals
    """

    dataset: Dataset
    metrics: tuple[str, ...] = ()
    seed: int = 0
    _references: dict[str, Reference] = field(default_factory=dict)

    def reference(self, plan: EvaluationPlan) -> Reference:
        return self._references.setdefault(
            plan.protocol, Reference(self.dataset, split=reference_split(plan.protocol))
        )

    def curves(self, plan: EvaluationPlan) -> tuple[str, ...]:
        """Names of the metrics of mean curves: requested ones, and in structural plans the standard ones."""
        standard = STANDARD_CURVES if plan.kind == "structural" else ()
        names = [*standard, *metrics_by_kind(self.metrics)[0]]
        return tuple(metric.name for metric in applicable_curves(names, self.dataset.definition))

    def descriptors(self) -> tuple[str, ...]:
        """Names of the metrics of single structures: the standard and the requested ones."""
        return tuple(dict.fromkeys([*STANDARD_DESCRIPTORS, *metrics_by_kind(self.metrics)[1]]))

    def codes(self, plan: EvaluationPlan) -> dict[str, str]:
        """Hash of the code of every metric and property of a plan's results, by name."""
        metrics = (*self.curves(plan), *self.descriptors())
        return metric_codes(self.dataset.definition, metrics, tuple(plan.targets))

    def changed(self, result: Result, plan: EvaluationPlan) -> tuple[str, ...]:
        """Metrics and properties of this run of which a stored result has numbers of other code or another version."""
        codes = self.codes(plan)
        scores = result.structural.curves if result.structural else {}
        return tuple(
            name
            for name, code in codes.items()
            if result.metric_code.get(name, code) != code
            or (name in scores and scores[name].version != registry.load_metric(name, CurveMetric).version)
        )

    def absent(self, result: Result, plan: EvaluationPlan) -> tuple[str, ...]:
        """Metrics of this run that a stored result lacks."""
        return tuple(name for name in self.codes(plan) if name not in result.metric_code)

    def installed_metrics(
        self, result: Result, plan: EvaluationPlan
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the metrics of mean curves and of single structures: of this run, and further ones of a result."""
        installed = registry.names("metrics")
        further = metrics_by_kind(
            [name for name in result.metric_code if name in installed and name not in plan.targets]
        )
        return (
            tuple(dict.fromkeys([*self.curves(plan), *further[0]])),
            tuple(dict.fromkeys([*self.descriptors(), *further[1]])),
        )

    def evaluation(
        self,
        frames: Iterable[Atoms],
        plan: EvaluationPlan,
        executor: Executor | None,
        progress: Callable[[int], None],
        kept: CompactFrames,
    ) -> Evaluation:
        """Measurements and scores of the structures of a plan with all metrics of this run.

        kept: where those of an iterator are kept
        """
        return self._evaluation(
            frames, plan, self.curves(plan), self.descriptors(), executor, progress, targets=True, kept=kept
        )

    def measured_again(
        self,
        result: Result,
        plan: EvaluationPlan,
        frames: Iterable[Atoms],
        executor: Executor | None,
        progress: Callable[[int], None],
    ) -> ScoredResult:
        """A result whose numbers are all measured again, also those of further metrics that are installed here."""
        # a metric that is not installed here could not be measured again, and its numbers would be those of a table
        # that no longer exists
        curves, descriptors = self.installed_metrics(result, plan)
        evaluation = self._evaluation(frames, plan, curves, descriptors, executor, progress, targets=True)
        codes = metric_codes(self.dataset.definition, (*curves, *descriptors), tuple(plan.targets))
        changes: dict[str, Any] = {
            "structural": evaluation.structural,
            "inverse_design": evaluation.inverse_design,
            "descriptors": evaluation.descriptors,
            "training_descriptors": self.reference(plan).descriptors(descriptors),
            "failures": evaluation.failures,
            "hits": evaluation.hits,
            "metric_code": codes,
        }
        return result.model_copy(update=changes), evaluation.table

    def completed(
        self,
        result: Result,
        plan: EvaluationPlan,
        frames: Iterable[Atoms],
        table: pd.DataFrame,
        executor: Executor | None,
        progress: Callable[[int], None],
    ) -> ScoredResult:
        """A result and its table with the metrics that it lacks; none of its other numbers changes."""
        absent = self.absent(result, plan)
        curves = tuple(name for name in self.curves(plan) if name in absent)
        descriptors = tuple(name for name in self.descriptors() if name in absent)
        evaluation = self._evaluation(frames, plan, curves, descriptors, executor, progress, targets=False)
        structural = result.structural
        if evaluation.structural is not None:
            own = evaluation.structural
            curves_of, means_of = (structural.curves, structural.means) if structural else ({}, {})
            structural = own.model_copy(
                update={"curves": {**curves_of, **own.curves}, "means": {**means_of, **own.means}}
            )
        changes: dict[str, Any] = {
            "structural": structural,
            "descriptors": evaluation.descriptors | result.descriptors,
            "training_descriptors": self.reference(plan).descriptors(self.descriptors())
            | result.training_descriptors,
            "failures": evaluation.failures | result.failures,
            "metric_code": self.codes(plan) | result.metric_code,
        }
        added = evaluation.table[[name for name in evaluation.table if name not in table]]
        return result.model_copy(update=changes), table.join(added)

    def _evaluation(
        self,
        frames: Iterable[Atoms],
        plan: EvaluationPlan,
        curves: tuple[str, ...],
        descriptors: tuple[str, ...],
        executor: Executor | None,
        progress: Callable[[int], None],
        *,
        targets: bool,
        kept: CompactFrames | None = None,
    ) -> Evaluation:
        return evaluate_structures(
            frames,
            self.reference(plan),
            targets=plan.target_values() if targets else None,
            curves=curves,
            descriptors=descriptors,
            executor=executor,
            progress=progress,
            seed=self.seed,
            judged=targets,
            kept=kept,
        )
