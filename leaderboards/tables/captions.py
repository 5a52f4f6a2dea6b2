"""Captions: what the numbers of a table are, and under which conditions they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...benchmark import registry
from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import Result
from ...benchmark.training.stages import stages_of, training_total
from .. import reported_values
from ..comparisons import Comparison, Entry, targets_text
from .formatting import duration
from .records import ComparisonRecords

_REFERENCES = {"train": "the training set", "test": "the test split (held out)"}
WORST = "a failed structure has the error of the worst answer in the training set, and no error counts more"
"""How the error over all requests charges failures."""
UNRECORDED = "model not recorded"
"""The end of a device's name where the model of the processor is unknown."""


def conditions(comparison: Comparison) -> list[str]:
    """Dataset, protocol and its difference from the paper's, training of every model, hardware."""
    key = comparison.key
    installed = key.dataset in registry.names("datasets")
    title = f": {registry.load('datasets', key.dataset).title}" if installed else ""
    sentences = [
        f"Dataset {key.dataset}{title}; file {key.dataset_hash[:8]}, protocol {key.protocol} version "
        f"{key.protocol_version}, metrics version {key.metrics_version}; {key.count:,} structures per result."
    ]
    scores = comparison.entries[0].first.structural
    if scores is not None:
        sentences.append(f"Reference: {_REFERENCES.get(scores.reference, scores.reference)}.")
    if key.targets:
        cells = "cells of the training set" if key.cube is None else f"cubes of {key.cube:g} Å"
        sentences.append(f"Targets: {targets_text(key)}, evenly spaced over the structures, in {cells}.")
    paper = reported_values.COUNTS[key.kind]
    if key.count < paper:
        sentences.append(
            f"Reduced protocol {key.protocol}: {key.count:,} structures per result (the paper: {paper:,})."
        )
    return [*sentences, *_trainings(comparison), *_hardware(comparison)]


def short_conditions(comparison: Comparison) -> str:
    """One sentence: number of structures, protocol, and where all conditions are."""
    key = comparison.key
    targets = f" with targets of {targets_text(key)}" if key.targets else ""
    return (
        f"{key.count:,} structures per result{targets}, protocol {key.protocol}; --detail adds intervals, descriptors, "
        "cost, training, hardware and the kind of each step."
    )


def ties_note(records: ComparisonRecords, quantities: Sequence[str], what: str, *, detail: bool) -> list[str]:
    """The meaning of the asterisk, where there is one."""
    ties = [records.ties[name] for name in quantities if name in records.ties]
    if not any(item.tied for item in ties):
        return []
    tests = sum(len(item.p_values) for item in ties)
    by_intervals = sorted({steps for item in ties for steps in item.interval_steps})
    if not tests and by_intervals:
        if not detail:
            return [f"* marks the best {what} of a row and all tied with it (overlapping 95 % intervals)."]
        return [
            f"A trailing * marks the best {what} of a row and all that are tied with it: their 95 % bootstrap "
            "intervals over structures overlap, as no values of single structures are at hand for a paired test (the "
            "spread between trainings is not in them)."
        ]
    rest = ""
    if by_intervals:
        rest = f"; in {steps_text(*by_intervals)}, without values of single structures, overlapping 95 % intervals"
    if not detail:
        return [
            f"* marks the best {what} of a row and all not distinguishable from it (paired bootstrap, "
            f"Holm-corrected{rest})."
        ]
    return [
        f"A trailing * marks the best {what} of a row and all that cannot be distinguished from it at the 5 % level: "
        f"paired bootstrap of the difference over structures, Holm-corrected over the {tests} comparisons of the "
        f"table{rest} (the spread between trainings is not in it)."
    ]


def left_out_note(comparison: Comparison) -> list[str]:
    """The structures that no metric could measure and that the errors therefore leave out; nothing without any."""
    texts = []
    for entry in [*comparison.entries, *comparison.non_learned]:
        for steps, result in entry.results.items():
            number = sum(result.failures.get("structure", {}).values())
            if number:
                at = f" at {steps_text(steps)}" if steps else ""
                texts.append(f"{number:,} of {result.key.count:,} by {entry.label}{at}")
    return [f"Left out, since no metric can measure them: {'; '.join(texts)}."] if texts else []


def steps_note(comparison: Comparison) -> list[str]:
    """The kind of step of each entry, such as an ODE step or a learned shortcut, and its cost if not one evaluation."""
    texts = []
    for entry in comparison.entries:
        by_label: dict[str, list[int]] = {}
        for steps, result in entry.results.items():
            by_label.setdefault(result.step_label, []).append(steps)
        labels = [
            label if len(by_label) == 1 else f"{label} at {steps_text(*at)}" for label, at in by_label.items()
        ]
        texts.append(f"{entry.label}: {' and '.join(labels)}{_cost_of_a_step(entry)}")
    return [f"What a step is in {'; in '.join(texts)}."]


def paper_note(
    records: ComparisonRecords, quantities: Sequence[str], reference: str, with_paper: bool
) -> list[str]:
    """The origin of the reported columns, and how their conditions differ from ours."""
    key = records.comparison.key
    if not with_paper:
        return []
    if not any(records.reported_entries(name) for name in quantities):
        return ["The paper reports nothing to compare this table with."]
    note = (
        f"(reported): values printed in {reported_values.CITATION}, for {reported_values.COUNTS[key.kind]:,} "
        f"structures, on its own data and hardware, against {reference}; - is what was not run here or is "
        "unreadable there."
    )
    of_paper = {name: reported_values.TARGETS.get((key.dataset, name)) for name in key.targets}
    others = [f"{name} {t[0]:g} to {t[1]:g}" for name, t in of_paper.items() if t and t != key.targets[name]]
    return [note, *([f"The paper has other targets: {', '.join(others)}."] if others else [])]


def times_note(comparison: Comparison) -> str:
    """``; on different machines, so times do not compare``; empty where they do."""
    machines = {(result.environment.device, result.environment.threads) for result in comparison.results}
    if any(device.endswith(UNRECORDED) for device, _ in machines):
        return "; processors of unknown model, so times do not compare"
    return "; on different machines, so times do not compare" if len(machines) > 1 else ""


def _cost_of_a_step(entry: Entry) -> str:
    """``, 2 network evaluations``; nothing where a step is one evaluation."""
    costs = sorted({round(result.evaluations / steps, 2) for steps, result in entry.results.items()})
    if costs == [1]:
        return ""
    return (
        ", "
        + " to ".join(f"{cost:g}" for cost in dict.fromkeys((costs[0], costs[-1])))
        + " network evaluations"
    )


def _trainings(comparison: Comparison) -> list[str]:
    """Structures seen in training over all stages, once per checkpoint, where its record has them."""
    labels: dict[str, list[str]] = {}
    for entry in comparison.entries:
        record = entry.first.training
        total = training_total(record)
        if total is not None:
            least = "" if total.is_complete else "at least "
            # the time of a core leaves out other jobs of the machine, but not every record has it
            clock, unit = (
                ("cpu_seconds", " of one core") if total.cpu_seconds is not None else ("seconds", "")
            )
            seconds = total.seconds if total.cpu_seconds is None else total.cpu_seconds
            time = "" if seconds is None else f" in {duration(seconds)}{unit}"
            device = f" on {record['device']}" if record.get("device") else ""
            stages = _stages(record, entry.method, clock)
            text = f"{least}{total.samples_seen:,}{time}{device}{stages}{_additions(record)}"
            labels.setdefault(f"{entry.first.key.checkpoint_hash} {text}", []).append(entry.label)
    if not labels:
        return []
    # the samplers of one checkpoint have one training
    texts = [f"{', '.join(names)}: {text.partition(' ')[2]}" for text, names in labels.items()]
    return [f"Structures seen in training (with repetition) by {'; '.join(texts)}."]


def _additions(record: Mapping[str, Any]) -> str:
    """``, with our addition matching of local environments (weight 1)``; nothing for a training as published."""
    names = dict.fromkeys(name for stage in stages_of(record) for name in stage.get("additions", ()))
    return f", with our addition {' and '.join(names)}" if names else ""


def _stages(record: Mapping[str, Any], method: str, clock: str) -> str:
    """`` (material-sde 40,000 in 29.0 m, then amshortcut 44,000 in 1.2 h)``; nothing for a training of one stage.

    method: of the last stage
    clock: name of the time in the records
    """
    stages = stages_of(record)
    if len(stages) == 1:
        return ""
    texts, before = [], ""
    for stage in stages:
        trained = stage.get("method", method)
        name = "" if trained == before else f"{trained} "
        time = "" if stage.get(clock) is None else f" in {duration(stage[clock])}"
        source = f" by {stage['source']}" if stage.get("source") else ""
        texts.append(f"{name}{stage['samples_seen']:,}{time}{source}")
        before = trained
    return f" ({', then '.join(texts)})"


def _hardware(comparison: Comparison) -> list[str]:
    """The machines that generated the structures, by entry where they differ, and whether times compare."""
    environments = [result.environment for result in comparison.results]
    unrecorded = any(environment.device.endswith(UNRECORDED) for environment in environments)
    warning = []
    if unrecorded:
        warning = [
            "The model of the processor was not recorded, so these times may be of different machines and do not "
            "compare."
        ]
    machines = sorted({_machine(result) for result in comparison.results})
    if len(machines) == 1:
        return [f"Generated on {machines[0]}.", *warning]
    texts = []
    for machine in machines:
        users = []
        for entry in comparison.entries:
            at = [steps for steps, result in entry.results.items() if _machine(result) == machine]
            if at:
                part = "" if len(at) == len(entry.results) else f" at {steps_text(*at)}"
                users.append(entry.label + part)
        texts.append(f"{', '.join(users)} on {machine}")
    if len({(environment.device, environment.threads) for environment in environments}) == 1:
        return [f"Generated by different code: {'; '.join(texts)}.", *warning]
    return [f"Generated on different hardware, so times do not compare: {'; '.join(texts)}.", *warning]


def _machine(result: Result) -> str:
    environment = result.environment
    threads = f"{environment.threads} thread{'s' if environment.threads > 1 else ''}"
    return f"{environment.device}, {threads}, {environment.native} kernels, {result.key.precision}"
