"""Stages of a training: a training that starts from a checkpoint continues the trainings behind it.

A training record describes the last stage, and ``earlier_stages`` in it all before, oldest first: a list of records,
each with the method, the dataset and the content hash of its checkpoint. A stage whose own record is not available has
``source``, which says where its numbers are from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EARLIER_STAGES = "earlier_stages"


@dataclass(frozen=True, kw_only=True)
class TrainingTotal:
    """Sums over all stages of a training.

    samples_seen: structures seen, with repetition
    seconds: wall-clock time; None where the time of a stage is not recorded
    cpu_seconds: processor time; None where that of a stage is not recorded
    is_complete: whether all stages are recorded; if not, the sums are lower bounds
    """

    samples_seen: int
    seconds: float | None
    cpu_seconds: float | None
    is_complete: bool


def stages_with(
    record: Mapping[str, Any], *, method: str, dataset: str, content_hash: str
) -> list[dict[str, Any]]:
    """The stages behind a checkpoint, its own the last: ``earlier_stages`` of a training that starts from it.

    record: training record of the checkpoint
    method, dataset, content_hash: of the checkpoint
    """
    last = {name: value for name, value in record.items() if name != EARLIER_STAGES}
    own = {"method": method, "dataset": dataset, "content_hash": content_hash, **last}
    return [*record.get(EARLIER_STAGES, ()), own]


def stages_of(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The stages of a training record, oldest first; the last is the record itself, without method and dataset."""
    return (*record.get(EARLIER_STAGES, ()), record)


def record_error(record: Mapping[str, Any]) -> str | None:
    """What of a training record is not of the kind that tables and captions read; None if all is.

    A record without a field is one of a model that was not trained here.
    """
    earlier = record.get(EARLIER_STAGES, [])
    if not isinstance(earlier, list | tuple) or not all(isinstance(stage, Mapping) for stage in earlier):
        return f"{EARLIER_STAGES} that are no list of stages"
    for stage in stages_of(record):
        for name, fits in _KINDS.items():
            if stage.get(name) is not None and not fits(stage[name]):
                return f"the {name} {stage[name]!r:.100}"
    return None


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18


_KINDS: dict[str, Callable[[Any], bool]] = {
    "samples_seen": lambda value: isinstance(value, int) and _is_amount(value),
    "seconds": _is_amount,
    "cpu_seconds": _is_amount,
    "device": lambda value: isinstance(value, str),
    "method": lambda value: isinstance(value, str),
    "dataset": lambda value: isinstance(value, str),
    "options": lambda value: isinstance(value, Mapping),
    "additions": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}
"""Whether a value of a record is of the kind that tables and captions read."""


def training_total(record: Mapping[str, Any]) -> TrainingTotal | None:
    """The sums over the stages of a training record; None where the record has no number of structures."""
    stages = stages_of(record)
    if not all(isinstance(stage.get("samples_seen"), int) for stage in stages):
        return None
    return TrainingTotal(
        samples_seen=sum(stage["samples_seen"] for stage in stages),
        seconds=_sum(stages, "seconds"),
        cpu_seconds=_sum(stages, "cpu_seconds"),
        is_complete=stages[0].get("init_from") is None,
    )


def _sum(stages: tuple[Mapping[str, Any], ...], name: str) -> float | None:
    values = [stage.get(name) for stage in stages]
    return None if any(value is None for value in values) else float(sum(values))  # type: ignore[arg-type]
