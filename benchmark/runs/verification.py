"""Verification of results: every number is measured again from the structures and compared with the stored one.

Only data are read. Neither the method of a result is imported nor its checkpoint.

On one type of processor, all numbers are equal. Between processors, sums are rounded differently. That alone changes no
number by ``RELATIVE``, but a relaxation can take another path and end in another minimum, with other moduli, energy and
density. Values of relaxed structures are therefore compared per structure, and ``OTHER_MINIMA`` of the structures may
differ. A headline may then differ by what these explain, which is tested by computing it from the stored table: the
stored headline has to follow from the stored values of the single structures, and these from the structures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.design.hits import HitScores
from ...metrics.design.inverse_design import InverseDesignErrors
from .. import registry
from ..datasets.dataset import Dataset
from ..evaluation.evaluate import applicable_curves, evaluate_structures, score_curves
from ..evaluation.structural_scores import MEAN_DIGITS, StructuralScores
from ..evaluation.table_scores import scores_of_table
from ..evaluation.unmeasurable import unmeasurable
from ..interface.evaluation_plan import EvaluationPlan
from .plan_checks import check_structures, checked_table, plan_of
from .results import Result, ResultFiles
from .scoring import Scoring
from .stored_structures import stored_structures, structures_path

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""Differences of a number, relative to its size and absolute, up to which two values of it are equal."""
OTHER_MINIMA = 0.05
"""Share of the structures of a result, rounded up, whose relaxed values may differ."""
FIELDS = ("structural", "inverse_design", "hits", "descriptors", "training_descriptors", "failures")
"""Fields of a result that are measured; times, training and environment cannot be."""
_OF_THE_SET = ("duplicate_of", "novel", "hit", "environment_distance", "largest_overlap")
"""Columns of the table that depend on which structures are judged together."""
_RELAXED = ("right_substance", "largest_overlap", "duplicate_of", "novel", "within_tolerance", "hit")
"""Columns that depend on relaxed structures, beside properties and quantities of relaxed structures."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A number that is not what it should be.

    place: such as ``structural.curves.rdf.rmsd`` or ``structure 3: shear_modulus``
    reason: what it was computed from
    """

    place: str
    stored: Any
    recomputed: Any
    reason: str = "from the structures"

    def __str__(self) -> str:
        text = f"{self.place}: stored {self.stored}, recomputed {self.recomputed} {self.reason}"
        if _is_number(self.stored) and _is_number(self.recomputed):
            return f"{text}, difference {self.recomputed - self.stored:.6g}"
        return text


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the verification of a result gave.

    structures: number of structures that were measured
    numbers: number of values that were compared
    differences: those that differ by more than rounding and other minima
    explained: headlines that differ by what ``other_minima`` explain
    other_minima: structures whose relaxed values differ
    notes: what was not verified, and what a reviewer should see
    """

    result: Result
    structures: int
    numbers: int
    differences: tuple[Difference, ...]
    explained: tuple[Difference, ...] = ()
    other_minima: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """Measures results of a dataset again and compares.

    quick: number of structures per result that are measured; None measures all
    seed: of the choice of these structures
    """

    dataset: Dataset
    executor: Executor | None = None
    quick: int | None = None
    seed: int = 0
    _scorings: dict[int, Scoring] = field(default_factory=dict)

    def verify(
        self, files: ResultFiles, result: Result, progress: Callable[[int], None] = lambda done: None
    ) -> Verified:
        """Compare all numbers of a result with those of its structures and of its table.

        Without structures the numbers are compared with those that follow from the table. AmsbenchError for a result
        that belongs to no plan, and for files that are not those of the result or of its plan.
        """
        path = files.path(result.key)
        plan = plan_of(result, self.dataset, path)
        scoring = self._scorings.setdefault(
            result.key.seed, Scoring(dataset=self.dataset, seed=result.key.seed)
        )
        curves, descriptors = scoring.installed_metrics(result, plan)
        place = structures_path(files, result.key)
        if place is None and not result.files:
            note = "without structures and table: nothing is measured"
            return Verified(result=result, structures=0, numbers=0, differences=(), notes=(note,))
        table = checked_table(files, result, plan)
        frames = stored_structures(files, result)
        try:
            of_table = scores_of_table(
                table, scoring.reference(plan), plan.target_values(), descriptors, result.key.seed
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AmsbenchError(
                f"the table of {path} lacks columns of this version ({error}); run again"
            ) from error
        compared = _Compared(result, plan, table)
        compared.with_table(of_table)
        if frames is None or place is None:
            return compared.verified(0, ("without structures: compared with its table alone",))
        check_structures(frames, result, plan, self.dataset, place)
        if self.quick is None or self.quick >= plan.count:
            again, measured = scoring.measured_again(result, plan, frames, self.executor, progress)
            compared.with_rows(measured, np.arange(plan.count))
            compared.with_headlines({name: getattr(again, name) for name in FIELDS}, of_table)
            return compared.verified(plan.count)
        digest = int(result.key.digest[:8], 16)
        chosen = np.sort(
            np.random.default_rng([self.seed, digest]).choice(plan.count, self.quick, replace=False)
        )
        self._compare_some(compared, frames, chosen, scoring, curves, descriptors, progress)
        return compared.verified(len(chosen))

    def _compare_some(
        self,
        compared: _Compared,
        frames: Sequence[Atoms],
        chosen: np.ndarray,
        scoring: Scoring,
        curves: Sequence[str],
        descriptors: Sequence[str],
        progress: Callable[[int], None],
    ) -> None:
        """Compare the values of some structures, and the errors of the mean curves, which are those of all."""
        plan, definition = compared.plan, self.dataset.definition
        evaluation = evaluate_structures(
            [frames[k] for k in chosen],
            scoring.reference(plan),
            targets={name: values[chosen] for name, values in plan.target_values().items()},
            curves=(),
            descriptors=descriptors,
            executor=self.executor,
            progress=progress,
        )
        compared.with_rows(evaluation.table, chosen)
        metrics = applicable_curves(curves, definition)
        if not metrics:
            return
        measured = np.array([unmeasurable(atoms, definition) is None for atoms in frames])
        scores, columns = score_curves(
            frames, measured, metrics, scoring.reference(plan), self.executor, scoring.seed
        )
        compared.with_columns(columns)
        compared.with_headlines({"structural": scores}, {})


class _Compared:
    """Collects the differences of one result."""

    def __init__(self, result: Result, plan: EvaluationPlan, table: pd.DataFrame) -> None:
        self.result, self.plan, self.table = result, plan, table
        self.numbers = 0
        self.differences: list[Difference] = []
        self.explained: list[Difference] = []
        self.other_minima: list[int] = []
        names = registry.names("metrics")
        self.foreign = [name for name in result.metric_code if name not in names and name not in plan.targets]

    def verified(self, structures: int, notes: tuple[str, ...] = ()) -> Verified:
        if self.foreign:
            notes += (f"metrics that are not installed here are not verified: {', '.join(self.foreign)}",)
        if "custom" in self.result.key.protocol:
            notes += (f"custom: {self.plan.count} structures, which no protocol has",)
        return Verified(
            result=self.result,
            structures=structures,
            numbers=self.numbers,
            differences=tuple(self.differences),
            explained=tuple(self.explained),
            other_minima=tuple(self.other_minima),
            notes=notes,
        )

    def with_table(self, of_table: Mapping[str, Any]) -> None:
        """Compare headlines with those that follow from the stored table."""
        stored = dict(_numbers({name: getattr(self.result, name) for name in of_table}))
        by_table = _without_means_that_are_not_stored(stored, dict(_numbers(of_table)))
        for place in dict.fromkeys([*stored, *by_table]):
            if place not in by_table and self.foreign:
                continue
            self.numbers += 1
            one, other = stored.get(place), by_table.get(place)
            if not _equal(one, other):
                self.differences.append(
                    Difference(place=place, stored=one, recomputed=other, reason="from its table")
                )

    def with_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Compare whole columns of the table."""
        for name, values in columns.items():
            self._compare_column(name, values, np.arange(len(values)))

    def with_rows(self, measured: pd.DataFrame, chosen: np.ndarray) -> None:
        """Compare the rows ``chosen`` of the stored table with those that were measured again."""
        whole = len(chosen) == self.plan.count
        left_out = () if whole else _OF_THE_SET
        relaxed: dict[int, list[Difference]] = {}
        for name in measured:
            if name in left_out:
                continue
            differences = self._compare_column(str(name), measured[name].to_numpy(), chosen, record=False)
            if self._is_relaxed(str(name)):
                for k, difference in differences.items():
                    relaxed.setdefault(k, []).append(difference)
            else:
                self.differences += differences.values()
        extra = [name for name in self.table if whole and name not in measured and not self.foreign]
        for name in extra:
            self.differences.append(Difference(place=f"column {name}", stored="a column", recomputed="none"))
        if len(relaxed) > math.ceil(OTHER_MINIMA * len(chosen)):
            self.differences += [item for k in sorted(relaxed) for item in relaxed[k]]
        else:
            self.other_minima = sorted(relaxed)

    def with_headlines(self, recomputed: Mapping[str, Any], of_table: Mapping[str, Any]) -> None:
        """Compare headlines with those of the structures; other minima explain what follows from the table."""
        stored = dict(_numbers({name: getattr(self.result, name) for name in recomputed}))
        again = _without_means_that_are_not_stored(stored, dict(_numbers(recomputed)))
        by_table = dict(_numbers(of_table))
        for place in dict.fromkeys([*stored, *again]):
            if place not in again and self.foreign:
                continue
            self.numbers += 1
            if _equal(stored.get(place), again.get(place)):
                continue
            difference = Difference(place=place, stored=stored.get(place), recomputed=again.get(place))
            follows = place in by_table and _equal(stored.get(place), by_table[place])
            (self.explained if self.other_minima and follows else self.differences).append(difference)

    def _is_relaxed(self, name: str) -> bool:
        """Whether a column depends on how structures relax; none does where nothing is relaxed."""
        properties = [*self.plan.targets, *(f"{name}_failure" for name in self.plan.targets)]
        return bool(self.plan.targets) and (name in (*properties, *_RELAXED) or name.startswith("relaxed_"))

    def _compare_column(
        self, name: str, values: np.ndarray, chosen: np.ndarray, *, record: bool = True
    ) -> dict[int, Difference]:
        """The differences of a column by number of the structure."""
        if name not in self.table:
            # a reason of failures is a column only where a structure has one
            absent = not name.endswith("_failure") or any(_plain(value) is not None for value in values)
            differences = {-1: Difference(place=f"column {name}", stored="none", recomputed="a column")}
            differences = differences if absent else {}
        else:
            stored = self.table[name].to_numpy()[chosen]
            self.numbers += len(chosen)
            differences = {
                int(k): Difference(place=f"structure {k}: {name}", stored=_plain(old), recomputed=_plain(new))
                for k, old, new in zip(chosen, stored, values, strict=True)
                if not _equal(_plain(old), _plain(new))
            }
        if record:
            self.differences += differences.values()
        return differences


def _numbers(fields: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of every number in nested fields, such as ``hits.share``."""
    if isinstance(fields, StructuralScores):
        fields = fields.model_dump()
    elif isinstance(fields, HitScores | InverseDesignErrors):
        fields = _dictionary(fields)
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            yield from _numbers(value, f"{place}.{name}" if place else str(name))
    elif fields is not None:
        yield place, _plain(fields)


def _without_means_that_are_not_stored(
    stored: Mapping[str, Any], recomputed: Mapping[str, Any]
) -> dict[str, Any]:
    """The recomputed numbers without mean curves that the result does not hold."""
    return {
        place: value
        for place, value in recomputed.items()
        if place in stored or not place.startswith("structural.means.")
    }


def _dictionary(record: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(record)


def _plain(value: Any) -> Any:
    """A value of Python; None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):  # mean curves, which are stored with few digits
        return len(one) == len(other) and np.allclose(
            one, other, rtol=10.0 ** (1 - MEAN_DIGITS), atol=ABSOLUTE
        )
    if not (_is_number(one) and _is_number(other)):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
