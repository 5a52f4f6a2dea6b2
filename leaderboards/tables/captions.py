"""Captions: under what conditions the numbers of a table hold."""

from __future__ import annotations

from collections.abc import Iterable

from ...benchmark import registry
from ...benchmark.runs.results import Result
from .. import reported_values
from ..comparisons import Comparison, Entry, targets_text
from .formatting import duration

_REFERENCES = {"train": "the training set", "test": "the test split (held out)"}
UNRECORDED = "model not recorded"
"""The end of a device's name where the model of the processor is unknown."""
UNRECORDED_SENTENCE = "The model of the processor was not recorded, so these times may be of different machines and do not compare."


def conditions(board: Comparison) -> list[str]:
    """Dataset, protocol and what it leaves out of the paper's, training budgets, hardware."""
    key = board.key
    known = key.dataset in registry.names("datasets")
    title = f": {registry.load('datasets', key.dataset).title}" if known else ""
    sentences = [
        f"Dataset {key.dataset}{title}; file {key.dataset_hash[:8]}, protocol {key.protocol} version "
        f"{key.protocol_version}, metrics version {key.metrics_version}; {key.count:,} structures per result."
    ]
    found = board.columns[0].first.structural
    if found is not None:
        sentences.append(f"Reference: {_REFERENCES.get(found.reference, found.reference)}.")
    if key.targets:
        cells = "cells of the training set" if key.cube is None else f"cubes of {key.cube:g} Å"
        sentences.append(f"Asked for: {targets_text(key)}, evenly spaced over the structures, in {cells}.")
    paper = reported_values.COUNTS[key.kind]
    if key.count < paper:
        sentences.append(
            f"Reduced protocol {key.protocol}: {key.count:,} structures per result (the paper: {paper:,})."
        )
    return [*sentences, *_trainings(board), *_hardware(board)]


def ties_note(any_tied: bool, what: str) -> list[str]:
    """What the asterisk means, where there is one."""
    if not any_tied:
        return []
    return [
        f"A trailing * marks the best {what} of a row and all that are tied with it: their 95 % bootstrap "
        "intervals over structures overlap (the spread between trainings is not in them)."
    ]


def steps_note(board: Comparison) -> list[str]:
    """What a step is in each column, such as an ODE step or a learned shortcut, and its price if not one evaluation."""
    texts = []
    for column in board.columns:
        by_mode: dict[str, list[int]] = {}
        for steps, cell in column.cells.items():
            by_mode.setdefault(cell.step_label, []).append(steps)
        said = [
            mode if len(by_mode) == 1 else f"{mode} at {_steps(at)} steps" for mode, at in by_mode.items()
        ]
        texts.append(f"{column.label}: {' and '.join(said)}{_cost_of_a_step(column)}")
    return [f"What a step is in {'; in '.join(texts)}."]


def _cost_of_a_step(column: Entry) -> str:
    """``, 2 network evaluations``; nothing where a step is one evaluation."""
    costs = sorted({round(cell.evaluations / steps, 2) for steps, cell in column.cells.items()})
    if costs == [1]:
        return ""
    return (
        ", "
        + " to ".join(f"{cost:g}" for cost in dict.fromkeys((costs[0], costs[-1])))
        + " network evaluations"
    )


def paper_note(board: Comparison, reference: str, any_reported: bool, with_paper: bool) -> list[str]:
    """What the reported columns are, and how their conditions differ from ours."""
    key = board.key
    if not with_paper:
        return []
    if not any_reported:
        return ["The paper reports nothing to compare this table with."]
    note = (
        f"(reported): values printed in {reported_values.CITATION}, for {reported_values.COUNTS[key.kind]:,} "
        f"structures, on its own data and hardware, against {reference}; - is what was not run here or is "
        "unreadable there."
    )
    asked = {name: reported_values.TARGETS.get((key.dataset, name)) for name in key.targets}
    other = [f"{name} {t[0]:g} to {t[1]:g}" for name, t in asked.items() if t and t != key.targets[name]]
    return [note, *([f"The paper asked for other targets: {', '.join(other)}."] if other else [])]


def _trainings(board: Comparison) -> list[str]:
    """Structures seen in training, per column, where the checkpoint's record says so."""
    texts = []
    for column in board.columns:
        record = column.first.training
        if isinstance(record.get("samples_seen"), int):
            seconds, processor = record.get("seconds"), record.get("cpu_seconds")
            time = f" in {duration(seconds)}" if isinstance(seconds, int | float) else ""
            if isinstance(processor, int | float):  # what other jobs of the machine took is not in it
                time = f" in {duration(processor)} of one core"
            where = f" on {record['device']}" if record.get("device") else ""
            texts.append(f"{column.label}: {record['samples_seen']:,}{time}{where}")
    return [f"Structures seen in training (with repetition) by {'; '.join(texts)}."] if texts else []


def _hardware(board: Comparison) -> list[str]:
    """The machines that generated the structures, by entry where they differ, and whether times compare."""
    environments = [cell.environment for cell in board.cells]
    unrecorded = any(environment.device.endswith(UNRECORDED) for environment in environments)
    warning = [UNRECORDED_SENTENCE] if unrecorded else []
    machines = sorted({_machine(cell) for cell in board.cells})
    if len(machines) == 1:
        return [f"Generated on {machines[0]}.", *warning]
    texts = []
    for machine in machines:
        users = []
        for column in board.columns:
            at = [steps for steps, cell in column.cells.items() if _machine(cell) == machine]
            if at:
                part = "" if len(at) == len(column.cells) else f" at {_steps(at)} steps"
                users.append(column.label + part)
        texts.append(f"{', '.join(users)} on {machine}")
    if len({(environment.device, environment.threads) for environment in environments}) == 1:
        return [f"Generated by different code: {'; '.join(texts)}.", *warning]
    return [f"Generated on different hardware, so times do not compare: {'; '.join(texts)}.", *warning]


def _machine(cell: Result) -> str:
    where = cell.environment
    threads = f"{where.threads} thread{'s' if where.threads > 1 else ''}"
    return f"{where.device}, {threads}, {where.native} kernels, {cell.key.precision}"


def _steps(steps: Iterable[int]) -> str:
    return ", ".join(map(str, steps))
