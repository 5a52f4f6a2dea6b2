"""Sample structures of a result for the view in three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...benchmark.display.structure_data import is_drawable, structure_data
from ...benchmark.runs.results import Result, ResultFiles
from ...benchmark.runs.stored_structures import stored_structures
from ..structure_values import structure_values

SAMPLES = 3
"""Most structures of a result on the page: those of the first, the middle and the last target."""


def samples_of(files: ResultFiles, result: Result) -> list[dict[str, Any]]:
    """A few structures of a result with their targets and obtained values; none without a file of structures.

    AmsbenchError for a file that is damaged or not the one that was stored with the result.
    """
    structures = stored_structures(files, result)
    if structures is None:
        return []
    usable = [k for k, atoms in enumerate(structures) if is_drawable(atoms)]
    places = np.unique(np.linspace(0, len(usable) - 1, min(SAMPLES, len(usable))).round().astype(int))
    values = {name: structure_values(files, result, name) for name in result.key.targets}
    return [
        {
            "number": usable[place] + 1,
            "targets": _values_at(values, usable[place]),
            **structure_data(structures[usable[place]]),
        }
        for place in places
    ]


def _values_at(
    values: Mapping[str, tuple[np.ndarray, np.ndarray]], k: int
) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            "target": float(target[k]),
            "obtained": float(obtained[k]) if np.isfinite(obtained[k]) else None,
        }
        for name, (target, obtained) in values.items()
    }
