"""When a design ends: with enough glasses, with its budget spent, or because its targets cannot be reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .bias import robust_deviation
from .records import DesignCosts, JudgedRound, hit_count, obtained_values, tried
from .request import DesignRequest, DesignTarget

DOUBT = 0.05
"""Probability to underestimate the share of hits, with which a design without a hit is judged."""
FARTHEST = 5.0
"""Standard deviations of the obtained values from which on a target counts as out of reach; one of 3.5 million normal
values is farther."""
COMPARED_ROUNDS, FEWEST_VALUES = 2, 12
"""Latest rounds whose values are compared with the targets, at least, and how many values they have at least."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a design has ended.

    kind: ``complete``, ``spent`` (its budget) or ``unreachable``
    sentence: the same for people, with numbers
    """

    kind: Literal["complete", "spent", "unreachable"]
    sentence: str


def ending_of(request: DesignRequest, rounds: Sequence[JudgedRound], costs: DesignCosts) -> Ending | None:
    """The ending of a design after its judged rounds; None if it goes on.

    costs: of all rounds
    """
    count, hits = tried(rounds), hit_count(rounds)
    if hits >= request.count:
        return Ending(kind="complete", sentence=f"{request.count} glasses after {count} structures")
    if not rounds:
        return None
    minutes = costs.wall_seconds / 60
    left = float(request.most - count)
    if request.minutes is not None:
        left = min(left, count * (request.minutes / minutes - 1) if minutes > 0 else math.inf)
    if left <= 0:
        spent = f"{minutes:.1f} of {request.minutes:g} min" if count < request.most else f"{count} structures"
        return Ending(
            kind="spent", sentence=f"the budget is spent ({spent}): {hits} of {request.count} glasses"
        )
    if hits > 0:  # what has been reached can be reached again
        return None
    for target in request.targets:
        sentence = out_of_reach(request, target, rounds)
        if sentence is not None:
            return Ending(kind="unreachable", sentence=sentence)
    likely = largest_share(count)
    if request.count / likely > left:
        glasses = "one glass" if request.count == 1 else f"{request.count} glasses"
        return Ending(
            kind="unreachable",
            sentence=f"none of {count} structures is a hit ({_funnel(rounds)}): with 95 % confidence fewer than "
            f"{100 * likely:.2g} % are, so that {glasses} would take more than {request.count / likely:.0f} further "
            f"structures, and the budget has {left:.0f} left",
        )
    return None


def largest_share(trials: int) -> float:
    """Upper bound of the share of hits after trials without one, which is exceeded with the probability ``DOUBT``.

    The exact (Clopper-Pearson) bound, about 3 / trials.
    """
    return float(1.0 - DOUBT ** (1 / trials))


def out_of_reach(request: DesignRequest, target: DesignTarget, rounds: Sequence[JudgedRound]) -> str | None:
    """A sentence if the obtained values lie many standard deviations from a target, else None.

    The distance is that to the edge of the tolerance, less the room that the asked value has left: it is taken for
    granted that the obtained values rise with the asked one as fast as it does.
    """
    values, compared = np.zeros(0), COMPARED_ROUNDS
    while len(values) < FEWEST_VALUES:
        if compared > len(rounds):
            return None
        values = obtained_values(rounds[-compared:], target.name)
        compared += 1
    centre = float(np.median(values))
    deviation = robust_deviation(values)
    short = target.value - centre
    low, high = target.asked_range
    asked = rounds[-1].asked[target.name]
    room = max(0.0, high - asked if short > 0 else asked - low) if request.corrects else 0.0
    distance = abs(short) - target.tolerance - room
    if distance <= FARTHEST * deviation or distance <= 0:
        return None
    apart = (
        f"{distance / deviation:.0f} standard deviations"
        if deviation > 0
        else f"{distance:.3g} {target.unit}"
    )
    limit = f", the limit for the model ({low:.4g} to {high:.4g} {target.unit})" if request.corrects else ""
    return (
        f"{target.text} is out of reach: asked for {asked:.4g} {target.unit}{limit}, the last {len(values)} structures "
        f"have {centre:.4g} ± {deviation:.2g} {target.unit} (median, robust standard deviation), which ends {apart} "
        f"{'below' if short > 0 else 'above'} the tolerance"
    )


def _funnel(rounds: Sequence[JudgedRound]) -> str:
    rows = [row for one in rounds for row in one.rows]
    counts = [
        f"{sum(bool(row[name]) for row in rows)} {text}"
        for name, text in (
            ("measured", "measured"),
            ("right_substance", "of the right substance"),
            ("within_tolerance", "within the tolerance"),
        )
    ]
    return ", ".join(counts)
