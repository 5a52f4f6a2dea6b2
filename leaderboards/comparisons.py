"""Results grouped for tables: comparisons of equal conditions, and within them entries, one per model and sampler.

A comparison holds the results that share dataset, protocol, number of structures, targets, cells and metrics. Within
it an entry is one trained model with one sampler. Two checkpoints, seeds, precisions or states of the code of a method
are two entries; another protocol, dataset file, number of structures or code of the standard metrics is another
comparison. No result is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..benchmark import registry
from ..benchmark.evaluation.descriptor_means import STANDARD_DESCRIPTORS
from ..benchmark.evaluation.evaluate import STANDARD_CURVES
from ..benchmark.runs.results import NO_STEPS, Result, ResultFiles, ResultKey, content_hash
from ..benchmark.training.budgets import BUDGETS
from ..errors import AmsbenchError
from . import reported_values


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One trained model with one sampler, or one non-learned baseline.

    results: by step count, fewest first
    """

    label: str
    results: dict[int, Result]

    @property
    def first(self) -> Result:
        return next(iter(self.results.values()))

    @property
    def method(self) -> str:
        return self.first.key.method

    def step_label(self, steps: int) -> str:
        """The label of a step where it differs from the usual one of the entry, that of the most steps, else an empty
        string."""
        label = self.results[steps].step_label
        return "" if label == self.results[max(self.results)].step_label else label


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Results that may be compared with each other.

    entries: trained models
    non_learned: baselines without steps
    budget: ``budget_label`` of every model
    files: where the files beside the results lie; None where only the results are at hand
    """

    label: str
    budget: str = ""
    entries: tuple[Entry, ...]
    non_learned: tuple[Entry, ...] = ()
    files: ResultFiles | None = None

    @property
    def key(self) -> ResultKey:
        """The key of one of the results; the conditions of the comparison are the same in all of them."""
        return (self.entries or self.non_learned)[0].first.key

    @property
    def results(self) -> list[Result]:
        """The results of trained models."""
        return [result for entry in self.entries for result in entry.results.values()]

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(sorted({steps for entry in self.entries for steps in entry.results}))


def comparisons_of(
    results: Iterable[Result], kind: str, files: ResultFiles | None = None
) -> list[Comparison]:
    """The results of one kind (``structural`` or ``inverse-design``) in comparisons and entries.

    files: where the files beside the results lie
    AmsbenchError where there are none.
    """
    every = list(results)
    chosen = [result for result in every if result.key.kind == kind]
    if not chosen:
        raise AmsbenchError(
            f"no {kind} results among the {len(every)} results here; "
            f"run 'amsbench run' on a dataset with a {kind} comparison, or give another folder with --results"
        )
    models: dict[tuple[str, str], list[Result]] = {}
    non_learned: dict[str, list[Result]] = {}
    for result in _without_copies(chosen):
        conditions = _conditions(result)
        if result.key.steps == NO_STEPS:
            non_learned.setdefault(conditions, []).append(result)
        else:
            models.setdefault((conditions, budget_label(result)), []).append(result)
    for conditions in non_learned.keys() - {conditions for conditions, _ in models}:
        models[conditions, ""] = []  # a comparison of non-learned baselines alone
    # a non-learned baseline has no training: it stands beside models of every budget
    groups = sorted(
        ((group, non_learned.get(conditions, []), budget) for (conditions, budget), group in models.items()),
        key=lambda group: _comparison_order((group[0] or group[1])[0].key, group[2]),
    )
    firsts = [(group or others)[0] for group, others, _ in groups]
    labels = disambiguate_labels(
        [
            _comparison_label(first.key) + (f", {budget}" if budget else "")
            for first, (*_, budget) in zip(firsts, groups, strict=True)
        ],
        [_conditions_in_words(first) for first in firsts],
    )
    return [
        Comparison(
            label=label,
            budget=budget,
            entries=_entries(group),
            non_learned=_entries(others),
            files=files,
        )
        for label, (group, others, budget) in zip(labels, groups, strict=True)
    ]


def budget_label(result: Result) -> str:
    """The training budget of a model of the fixed budget; empty for models trained without that limit."""
    options = result.training.get("options") or {}
    if options.get("samples_seen") == BUDGETS["fixed"] and result.training.get("init_from") is None:
        return f"fixed budget of {BUDGETS['fixed']:,} structures seen in training"
    return ""


def disambiguate_labels(labels: Sequence[str], facts: Sequence[dict[str, str]]) -> list[str]:
    """Labels made unique by appending the facts in which equal labels differ."""
    counts = Counter(labels)
    unique = []
    for label, own_facts in zip(labels, facts, strict=True):
        if counts[label] > 1:
            rivals = [other for name, other in zip(labels, facts, strict=True) if name == label]
            differing = [name for name in own_facts if len({other[name] for other in rivals}) > 1]
            label = ", ".join([label, *(f"{name} {own_facts[name]}" for name in differing)])
        unique.append(label)
    return unique


def targets_text(key: ResultKey) -> str:
    """``shear_modulus 10 to 50 GPa, li_concentration 15 %``."""
    texts = []
    for name, (first, last) in key.targets.items():
        values = f"{first:g}" if first == last else f"{first:g} to {last:g}"
        texts.append(" ".join(filter(None, [name, values, unit_of(key.dataset, name)])))
    return ", ".join(texts)


def unit_of(dataset: str, name: str) -> str:
    """Unit of a property: from the dataset plug-in, or from the paper where that is not installed."""
    if dataset in registry.names("datasets"):
        return registry.load("datasets", dataset)().property_named(name).unit
    return next((reported.unit for reported in reported_values.reported_errors(dataset, name)), "")


def with_unit(dataset: str, name: str) -> str:
    """``shear_modulus (GPa)``."""
    unit = unit_of(dataset, name)
    return f"{name} ({unit})" if unit else name


def training_label(result: Result) -> str:
    """``All``: trained on all design properties; ``Target``: trained on the conditioning properties alone.

    Any other set of properties is spelled out; a model trained on none has no label.
    """
    trained = set(result.trained_on)
    if not trained:
        return ""
    if result.key.dataset in registry.names("datasets"):
        design = registry.load("datasets", result.key.dataset).design_properties
        if trained == set(design):
            return "All"
    if trained == set(result.conditioned_on):
        return "Target"
    return "trained on " + ", ".join(sorted(trained))


def _without_copies(results: Sequence[Result]) -> list[Result]:
    unique: dict[str, Result] = {}
    for result in results:
        if unique.setdefault(result.key.digest, result) != result:
            raise AmsbenchError(
                f"two different results are called {result.key.stem}; "
                "keep one of the two files in the results folder"
            )
    return list(unique.values())


_OF_AN_ENTRY = {
    "method",
    "checkpoint_hash",
    "code",
    "sampler",
    "sampler_version",
    "steps",
    "precision",
    "seed",
}
"""Parts of a key that may differ within a comparison; all others are the same."""


def _conditions(result: Result) -> str:
    return repr((result.key.model_dump(exclude=_OF_AN_ENTRY), _reference(result), _metric_code(result)))


def _reference(result: Result) -> str | None:
    """The reference of a structural result; curves of inverse design are further numbers, which some results lack."""
    return result.structural.reference if result.structural and result.key.kind == "structural" else None


def _metric_code(result: Result) -> str:
    """The code of the metrics that all results of a plan have, as one hash."""
    names = sorted({*STANDARD_CURVES, *STANDARD_DESCRIPTORS, *result.key.targets} & set(result.metric_code))
    return content_hash({name: result.metric_code[name] for name in names})


def _conditions_in_words(result: Result) -> dict[str, str]:
    key = result.key
    return {
        "dataset file": key.dataset_hash[:8],
        "metrics": key.metrics_version,
        "code of the metrics": _metric_code(result)[:8],
        "targets": targets_text(key),
        "cube": "none" if key.cube is None else f"{key.cube:g} Å",
        "reference": _reference(result) or "none",
    }


def _comparison_label(key: ResultKey) -> str:
    protocol = f"protocol {key.protocol} version {key.protocol_version}"
    return f"{key.dataset}, {key.plan}, {protocol}, {key.count:,} structures"


def _comparison_order(key: ResultKey, budget: str) -> tuple:
    conditions = key.protocol, key.dataset_hash, key.metrics_version
    return key.dataset, key.plan, -key.count, *conditions, budget, key.digest


def _entries(results: Sequence[Result]) -> tuple[Entry, ...]:
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        key = result.key
        sampler = key.sampler, key.sampler_version
        identity = (
            key.method,
            *sampler,
            result.trained_on,
            key.checkpoint_hash,
            key.code,
            key.precision,
            key.seed,
        )
        groups.setdefault(identity, []).append(result)
    samplers = {(result.key.method, result.key.sampler) for result in results}
    several = {method for method, number in Counter(m for m, _ in samplers).items() if number > 1}
    ordered = sorted(groups.values(), key=lambda group: _entry_order(group[0]))
    labels = disambiguate_labels(
        [_entry_label(group[0], group[0].key.method in several) for group in ordered],
        [
            {
                "checkpoint": group[0].key.checkpoint_hash[:8],
                "code": group[0].key.code[:8],
                "precision": group[0].key.precision,
                "seed": str(group[0].key.seed),
                "sampler version": str(group[0].key.sampler_version),
            }
            for group in ordered
        ],
    )
    return tuple(
        Entry(
            label=label,
            results={result.key.steps: result for result in sorted(group, key=lambda r: r.key.steps)},
        )
        for label, group in zip(labels, ordered, strict=True)
    )


def _entry_label(result: Result, several_samplers: bool) -> str:
    """``material-sde ancestral (All)``; the paper's own sampler of a method is not named."""
    key = result.key
    usual = reported_values.SAMPLERS.get(key.method)
    named = several_samplers if usual is None else key.sampler != usual
    training = training_label(result)
    return key.method + (f" {key.sampler}" if named else "") + (f" ({training})" if training else "")


def _entry_order(result: Result) -> tuple:
    key = result.key
    methods = reported_values.METHODS
    rank = methods.index(key.method) if key.method in methods else len(methods)
    unusual = key.sampler != reported_values.SAMPLERS.get(key.method, key.sampler)
    model = rank, key.method, training_label(result)
    return (
        *model,
        unusual,
        key.sampler,
        -key.sampler_version,
        key.checkpoint_hash,
        key.code,
        key.seed,
        key.precision,
    )
