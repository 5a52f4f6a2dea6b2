"""The numbers behind the tables as flat rows, one per result cell and property, for csv and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import reported_values
from ..comparisons import Comparison, Entry, training_label
from .step_table import scaled_seconds

Record = dict[str, Any]


def measured_record(column: Entry, steps: int, numbers: Mapping[str, Any], name: str | None = None) -> Record:
    """One of our cells: where it stands, what it cost, and ``numbers``; ``name`` is the property."""
    cell = column.cells[steps]
    key = cell.key
    return {
        "source": "measured",
        **_place(key.dataset, key.kind, name, key.method, training_label(cell), steps),
        "column": column.label,
        "sampler": key.sampler,
        "step_label": cell.step_label,
        **key.model_dump(include={"plan", "protocol", "protocol_version", "metrics_version"}),
        **key.model_dump(include={"count", "cube"}),
        "target_first": key.targets[name][0] if name else None,
        "target_last": key.targets[name][1] if name else None,
        **key.model_dump(include={"dataset_hash", "checkpoint_hash", "sampler_version", "precision", "seed"}),
        "seconds": cell.seconds,
        "seconds_scaled": scaled_seconds(cell),
        "evaluations": cell.evaluations,
        "device": cell.environment.device,
        "threads": cell.environment.threads,
        **numbers,
        **{f"descriptor_{fact}": value for fact, value in cell.descriptors.items()},
        **{f"training_descriptor_{fact}": value for fact, value in cell.training_descriptors.items()},
    }


def reported_record(
    board: Comparison, *, method: str, steps: int, name: str | None = None, training: str = "", **numbers: Any
) -> Record:
    """One cell of the paper's tables; what the paper does not say is left out."""
    key = board.key
    asked = reported_values.TARGETS[key.dataset, name] if name else (None, None)
    return {
        "source": "reported",
        **_place(key.dataset, key.kind, name, method, training, steps),
        "step_label": reported_values.reported_mode(method, steps),
        "protocol": "paper",
        "count": reported_values.COUNTS[key.kind],
        "target_first": asked[0],
        "target_last": asked[1],
        **numbers,
    }


def _place(dataset: str, kind: str, name: str | None, method: str, training: str, steps: int) -> Record:
    return {
        "dataset": dataset,
        "kind": kind,
        "property": name,
        "method": method,
        "training": training or None,
        "steps": steps,
    }
