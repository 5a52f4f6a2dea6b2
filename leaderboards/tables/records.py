"""Results as tidy records: one number per record, with the entry, step count, quantity and statistic that it is of.

Every table and the csv output are made of these records. Quantities and their statistics:

- a curve metric such as ``rdf``: ``rmsd``, ``low``, ``high`` (95 % interval), ``floor``, ``corrected``, ``ceiling``,
  ``wasserstein``, ``tied_for_best`` (1 or 0);
- a property such as ``shear_modulus``: ``requested``, ``measured``, ``coverage``, ``mae``, ``rmse``, ``mape``,
  ``penalised_mae``, ``worst_mae``, ``training_mean_mae``, ``spearman``, ``shuffled_correlation``, ``shuffled_mae``,
  ``shuffled_p_value``, the intervals ``<statistic>_low`` and ``<statistic>_high``, ``tied_for_best``, and
  ``best_p_value`` (of the difference to the best of the step count, corrected);
- ``hits``: ``requested``, ``measured``, ``right_substance``, ``novel``, ``within_tolerance``, ``hits``, ``share``,
  ``share_low``, ``share_high`` (95 % interval), ``seconds_per_hit`` of cores or of the GPU for generation alone, and
  ``seconds_per_hit_measured`` with the measurement;
- a descriptor such as ``density``: ``mean`` or ``median``, and ``standard_deviation`` over structures;
- a property or metric that failed on some structures: ``failed: <reason>``, the number of these structures;
- ``cost``: ``seconds``, ``seconds_per_structure``, ``seconds_scaled`` (to the number of structures of the paper's
  tables), ``evaluations`` (of the network, per structure).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...benchmark.runs.results import NO_STEPS, Result
from .. import reported_values
from ..comparisons import Comparison, Entry, training_label
from ..ties import Ties, ties_of
from .result_numbers import COST, descriptor_numbers, numbers_of

TRAINING_SET = "training set"
TIED = "tied_for_best"
P_VALUE = "best_p_value"
REPORTED = "reported"


@dataclass(frozen=True, kw_only=True)
class Values:
    """The numbers of one entry at one step count.

    step_label: kind of step where it is not the entry's usual one, else empty
    """

    numbers: Mapping[tuple[str, str], float | None]
    step_label: str = ""

    def number(self, quantity: str, statistic: str) -> float | None:
        return self.numbers.get((quantity, statistic))


@dataclass(frozen=True, kw_only=True)
class Block:
    """All numbers of one entry at one step count, and what identifies them in csv.

    source: ``measured``, ``reported`` (in the paper) or ``training set``
    step_label: stored label of the step
    """

    source: str
    entry: str
    steps: int
    step_label: str
    values: Values
    identity: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ComparisonRecords:
    """The numbers of one comparison: of models, baselines, training set and paper.

    ties: the best results by quantity
    """

    comparison: Comparison
    blocks: tuple[Block, ...]
    ties: Mapping[str, Ties]

    @cached_property
    def _by_place(self) -> dict[tuple[str, int], Values]:
        return {
            (block.entry, block.steps): block.values for block in self.blocks if block.source != TRAINING_SET
        }

    def values(self, entry: str, steps: int) -> Values | None:
        """The numbers of an entry at a step count; None where there is no such result."""
        return self._by_place.get((entry, steps))

    @property
    def results(self) -> list[Result]:
        """The results of models and of non-learned baselines."""
        return _all_results(self.comparison)

    def steps_of(self, entry: str) -> list[int]:
        """Step counts with numbers of an entry, in their stored order."""
        return [steps for label, steps in self._by_place if label == entry]

    @property
    def training_sets(self) -> list[Values]:
        """Descriptors of the training set; several where results were compared with different ones."""
        return [block.values for block in self.blocks if block.source == TRAINING_SET]

    def reported_entries(self, quantity: str) -> list[str]:
        """Labels of the paper's entries with values of a quantity, in its order."""
        return list(
            dict.fromkeys(
                block.entry
                for block in self.blocks
                if block.source == REPORTED and any(name == quantity for name, _ in block.values.numbers)
            )
        )

    @cached_property
    def curves(self) -> tuple[str, ...]:
        """Names of the curve metrics that any result has scores of, in their stored order."""
        return tuple(
            dict.fromkeys(name for r in self.results if r.structural for name in r.structural.curves)
        )

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The flat rows of the csv output, a number each."""
        key = self.comparison.key
        return tuple(
            {
                "source": block.source,
                "comparison": self.comparison.label,
                "dataset": key.dataset,
                "kind": key.kind,
                "entry": block.entry,
                "steps": block.steps,
                "step_label": block.step_label or None,
                "quantity": quantity,
                "statistic": statistic,
                "value": value,
                **block.identity,
            }
            for block in self.blocks
            for (quantity, statistic), value in block.values.numbers.items()
        )


def records_of(comparison: Comparison, *, with_paper: bool = False) -> ComparisonRecords:
    """All numbers of a comparison.

    with_paper: the paper's values too, as entries of their own, where it reports the dataset
    AmsbenchError where a result lacks the scores that its key declares.
    """
    ties = ties_of(comparison)
    blocks = [
        _measured(entry, steps, ties)
        for entry in (*comparison.entries, *comparison.non_learned)
        for steps in entry.results
    ]
    sets = {
        str(sorted(result.training_descriptors.items())): result.training_descriptors
        for result in _all_results(comparison)
    }
    training = [_of_training_set(comparison.key.dataset, descriptors) for descriptors in sets.values()]
    reported = _reported(comparison) if with_paper else []
    return ComparisonRecords(comparison=comparison, blocks=(*training, *blocks, *reported), ties=ties)


def _all_results(comparison: Comparison) -> list[Result]:
    entries = (*comparison.entries, *comparison.non_learned)
    return [result for entry in entries for result in entry.results.values()]


def _measured(entry: Entry, steps: int, ties: Mapping[str, Ties]) -> Block:
    result = entry.results[steps]
    numbers = numbers_of(result)
    scored = {quantity for quantity, _ in numbers}
    for quantity, best in ties.items():
        if quantity in scored:
            numbers[quantity, TIED] = float((entry.label, steps) in best.tied)
        if (entry.label, steps) in best.p_values:
            numbers[quantity, P_VALUE] = best.p_values[entry.label, steps]
    return Block(
        source="measured",
        entry=entry.label,
        steps=steps,
        step_label=result.step_label,
        values=Values(numbers=numbers, step_label=entry.step_label(steps)),
        identity=_identity(result),
    )


def _of_training_set(dataset: str, descriptors: Mapping[str, float | None]) -> Block:
    return Block(
        source=TRAINING_SET,
        entry=TRAINING_SET,
        steps=NO_STEPS,
        step_label="",
        values=Values(numbers=descriptor_numbers(dataset, descriptors)),
        identity={},
    )


def _identity(result: Result) -> dict[str, Any]:
    key = result.key
    return {
        "method": key.method,
        "training": training_label(result) or None,
        "sampler": key.sampler,
        **key.model_dump(include={"plan", "protocol", "protocol_version", "metrics_version"}),
        **key.model_dump(include={"count", "cube", "seed", "precision", "sampler_version"}),
        "dataset_hash": key.dataset_hash[:12],
        "checkpoint_hash": key.checkpoint_hash[:12],
        "device": result.environment.device,
        "threads": result.environment.threads,
        "result": key.stem,
    }


def _reported(comparison: Comparison) -> list[Block]:
    """The paper's values, one block per entry and step count with the numbers of all its properties."""
    key = comparison.key
    blocks: dict[tuple[str, int], Block] = {}

    def add(
        label: str,
        reported: reported_values.ReportedStructure | reported_values.ReportedErrors,
        numbers: Mapping[tuple[str, str], float | None],
    ) -> None:
        place = label, reported.steps
        before = blocks[place].values.numbers if place in blocks else {}
        blocks[place] = Block(
            source=REPORTED,
            entry=label,
            steps=reported.steps,
            step_label="",
            values=Values(numbers={**before, **numbers}),
            identity={
                "method": reported.method,
                "training": getattr(reported, "training", None),
                "protocol": "paper",
                "count": reported_values.COUNTS[key.kind],
            },
        )

    for structure in reported_values.reported_structure(key.dataset) if key.kind == "structural" else ():
        rmsd = {(name, "rmsd"): value for name, value in structure.curves.items()}
        add(f"{structure.method} (reported)", structure, rmsd | {(COST, "seconds_scaled"): structure.seconds})
    for name in key.targets:
        for errors in reported_values.reported_errors(key.dataset, name):
            statistics = {(name, part): getattr(errors, part) for part in ("mae", "rmse", "mape")}
            if all(value is None for value in statistics.values()):  # unreadable in print
                continue
            add(f"{errors.method} ({errors.training}) (reported)", errors, statistics)
    return list(blocks.values())


def all_rows(records: Sequence[ComparisonRecords]) -> tuple[dict[str, Any], ...]:
    """The csv rows of several comparisons."""
    return tuple(row for item in records for row in item.rows)
