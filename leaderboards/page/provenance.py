"""Where the numbers of a result come from: command, checkpoint, code, data, machine and training record."""

from __future__ import annotations

import shlex
from functools import cache
from typing import Any

from ...benchmark import registry
from ...benchmark.datasets.definition import plans_of
from ...benchmark.evaluation.evaluate import STANDARD_CURVES
from ...benchmark.interface.evaluation_plan import PROTOCOLS, WIDE, EvaluationPlan
from ...benchmark.runs.current_code import outdated_parts
from ...benchmark.runs.results import NO_STEPS, Result, ResultKey
from ...benchmark.training.checkpoints import load_checkpoint, released_checkpoint
from ...errors import AmsbenchError

CHECKPOINT = "CHECKPOINT"
"""Stands in a command for the file of a checkpoint that does not come with this installation."""


def provenance_of(result: Result) -> dict[str, Any]:
    """What a reader needs to compute the result again and to recognise that it is the same."""
    key = result.key
    released = _released_hash(key.method, key.dataset)
    return {
        "result": f"{key.dataset}/{key.stem}.json",
        "command": command_of(result),
        "released": key.checkpoint_hash == released,
        "checkpoint": key.checkpoint_hash,
        "code": key.code,
        "otherCode": sorted(outdated_parts(result)),
        "dataset": key.dataset_hash,
        "metrics": dict(result.metric_code),
        "files": dict(result.files),
        "protocol": f"{key.protocol} version {key.protocol_version}, metrics version {key.metrics_version}",
        "seed": key.seed,
        "precision": key.precision,
        "evaluations": result.evaluations,
        "wallSeconds": result.seconds,
        "measuringSeconds": result.measuring_seconds,
        "environment": result.environment.model_dump(),
        "trainedOn": list(result.trained_on),
        "conditionedOn": list(result.conditioned_on),
    }


def command_of(result: Result) -> str:
    """The ``amsbench run`` that computes the result again, quoted for a shell.

    A checkpoint that is not the released one stands as CHECKPOINT.
    """
    key = result.key
    protocol, count = _protocol(key)
    words = ["amsbench", "run", "--method", key.method, "--dataset", key.dataset, "--protocol", protocol]
    words += ["--plans", key.plan]
    if count is not None:
        words += ["--count", str(count)]
    if key.steps != NO_STEPS:
        words += ["--samplers", key.sampler, "--steps", str(key.steps)]
        if key.checkpoint_hash != _released_hash(key.method, key.dataset):
            words += ["--checkpoint", CHECKPOINT]
    further = [name for name in _curves(result) if key.kind != "structural" or name not in STANDARD_CURVES]
    if further:
        words += ["--metrics", ",".join(further)]
    return shlex.join([*words, "--seed", str(key.seed)])


def _curves(result: Result) -> list[str]:
    return list(result.structural.curves) if result.structural else []


def _protocol(key: ResultKey) -> tuple[str, int | None]:
    """The protocol to name in a command, and the count where it is not the protocol's own.

    A plan with another count than its protocol's is stored as ``custom``: it is the protocol of the same targets.
    """
    if key.protocol in (*PROTOCOLS, WIDE):
        return key.protocol, None
    for protocol in (*PROTOCOLS, WIDE):
        for plan in _plans(key.dataset, protocol):
            changed = plan.changed(count=key.count)
            same = changed.name, changed.protocol, dict(changed.targets), changed.cube
            if same == (key.plan, key.protocol, key.targets, key.cube):
                return protocol, key.count
    return key.protocol, key.count


@cache
def _plans(dataset: str, protocol: str) -> tuple[EvaluationPlan, ...]:
    """The plans of a protocol; none where the dataset is not installed or has no such protocol."""
    if dataset not in registry.names("datasets"):
        return ()
    try:
        return plans_of(registry.load("datasets", dataset)(), protocol)
    except AmsbenchError:
        return ()


@cache
def _released_hash(method: str, dataset: str) -> str | None:
    """The content hash of the checkpoint that a run takes by default; None where none comes with the method."""
    if method not in registry.names("methods"):
        return None
    path = released_checkpoint(registry.load("methods", method), dataset)
    return None if path is None else load_checkpoint(path).content_hash
