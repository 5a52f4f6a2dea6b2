"""Hits of inverse design: requests that are answered by a usable structure of the requested property.

An error alone can be made small by other means than design: by copying a structure of the training set, by another
substance whose property is right, or by answering easy requests only. A hit excludes these, and the number of hits is
divided by the number of all requests. Their cost, in seconds of a processor or GPU per hit, compares methods, numbers
of steps, samplers and simulations on one axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import AmsbenchError

CONDITIONS = ("measured", "right_substance", "novel", "within_tolerance")
"""The conditions of a hit, in the order in which they are counted."""
COLUMNS = (
    "relaxed_energy_per_atom",
    "relaxed_density",
    *(
        f"{name}_deviation"
        for name in ("energy_per_atom", "density", "relaxed_energy_per_atom", "relaxed_density")
    ),
    "environment_distance",
    "largest_overlap",
    "duplicate_of",
    "right_substance",
    "novel",
    "within_tolerance",
    "hit",
)
"""Columns of the per-structure table that substance, novelty and hits are judged by."""
_NORMAL_QUANTILE = 1.959963984540054
"""Quantile of the normal distribution that belongs to an interval of 95 %."""


@dataclass(frozen=True, kw_only=True)
class HitScores:
    """Numbers of structures, of all that were requested, that meet each condition of a hit, and all of them.

    requested: structures with targets
    measured: those whose properties with targets could all be measured
    right_substance: those whose composition, density and energy are within the limits of the data
    novel: those that are neither a copy of a training structure nor of another structure of the set
    within_tolerance: those whose properties are all within the tolerance of their targets
    hits: those that meet all four conditions
    share: hits / requested
    share_low, share_high: 95 % interval of the share (Wilson)
    tolerance: largest difference from the target that counts as met, by property in its unit
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    requested: int
    measured: int
    right_substance: int
    novel: int
    within_tolerance: int
    hits: int
    share: float
    share_low: float
    share_high: float
    tolerance: dict[str, float]


def hit_scores(conditions: Mapping[str, np.ndarray], tolerance: Mapping[str, float]) -> HitScores:
    """The scores of a set of structures.

    conditions: for each of ``CONDITIONS`` whether it is met, [s]
    tolerance: by property, in its unit

    Raises AmsbenchError for other conditions, arrays of different lengths and no structures.
    """
    if set(conditions) != set(CONDITIONS):
        raise AmsbenchError(f"hits need the conditions {', '.join(CONDITIONS)}; got {', '.join(conditions)}")
    arrays = {name: np.asarray(values, dtype=bool) for name, values in conditions.items()}
    shapes = {values.shape for values in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not next(iter(shapes))[0]:
        raise AmsbenchError(
            f"hits need one value per structure and condition, got shapes {sorted(map(str, shapes))}"
        )
    is_hit = np.logical_and.reduce([arrays[name] for name in CONDITIONS])
    requested, hits = len(is_hit), int(is_hit.sum())
    low, high = wilson_interval(hits, requested)
    counts = {name: int(arrays[name].sum()) for name in CONDITIONS}
    return HitScores(
        requested=requested,
        **counts,
        hits=hits,
        share=hits / requested,
        share_low=low,
        share_high=high,
        tolerance={name: float(value) for name, value in tolerance.items()},
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a probability from the number of successes (Wilson, J. Am. Stat. Assoc. 22, 209, 1927).

    Unlike the interval of a bootstrap it has a width if none or all of the trials succeed.
    """
    z2 = _NORMAL_QUANTILE**2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = (
        _NORMAL_QUANTILE
        / (1 + z2 / trials)
        * float(np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)))
    )
    # the interval contains the share, which rounding can prevent at its ends
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)
