"""Glasses of a design, with everything that they follow from in their ``info``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .judgement import RELAXED
from .records import JudgedRound
from .request import DesignRequest

if TYPE_CHECKING:
    from ase import Atoms

DESCRIPTION = ("relaxed_energy_per_atom", "relaxed_density", "environment_distance", "largest_overlap")
"""Columns of the table that are in the ``info`` of a glass, where they have a value."""


def glass(
    request: DesignRequest, rounds: Sequence[JudgedRound], number: int, place: int, *, relaxed: bool
) -> Atoms:
    """A tried structure with its properties and all that it follows from in its ``info``.

    relaxed: whether the relaxed structure is returned, where there is one, with the properties measured on it if they
        were; else the one that was generated
    """
    one = rounds[number]
    row, minimum = one.rows[place], one.relaxed[place]
    chosen = minimum if relaxed and minimum is not None else one.frames[place]
    atoms = chosen.copy()
    atoms.calc = None
    method = request.checkpoint.method
    atoms.info = {
        **_properties(request, row, relaxed=chosen is minimum),
        **{f"target_{target.name}": target.value for target in request.targets},
        **{f"tolerance_{target.name}": target.tolerance for target in request.targets},
        **{f"asked_{name}": value for name, value in one.asked.items()},
        **{name: float(row[name]) for name in DESCRIPTION if name in row and np.isfinite(row[name])},
        "structure": one.first + place,
        "relaxed": chosen is minimum,
        "dataset": request.dataset.definition.name,
        "method": method.name,
        "checkpoint": request.checkpoint.content_hash,
        "sampler": request.sampler,
        "steps": request.steps,
        "seed": request.seed,
    }
    return atoms


def _properties(request: DesignRequest, row: Mapping[str, Any], *, relaxed: bool) -> dict[str, float]:
    """Properties of a structure; those of the relaxed one, if they were measured on it, where ``relaxed``."""
    values = {}
    for target in request.targets:
        again = row.get(f"{RELAXED}{target.name}", np.nan)
        values[target.name] = float(again if relaxed and np.isfinite(again) else row[target.name])
    return values
