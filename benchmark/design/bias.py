"""The values that the model is asked for: the targets, shifted by the bias of what it has made so far.

A conditional model has a bias: what it makes differs from what it is asked for on average, by an amount that depends on
the target, the sampler and the number of steps. The median difference over the judged structures estimates it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .records import JudgedRound
from .request import DesignRequest

FEWEST = 4
"""Fewest structures of the right substance whose median difference shifts a target."""
MEDIAN_ERROR = float(np.sqrt(np.pi / 2))
"""Standard error of a median over that of a mean, for normal values."""


def asked_values(request: DesignRequest, number: int, rounds: Sequence[JudgedRound]) -> dict[str, float]:
    """What round ``number`` asks for, by property.

    Round 0 asks for the targets. Round 1 waits for its judgement; later ones are generated while the round before is
    measured, so that they know all rounds but that one. The values follow from the judged rounds alone, whatever the
    number of processes.

    The shift is the median of obtained minus asked, shrunk by the factor 1 - (standard error / bias)² so that chance
    does not move the target. The values stay in the range of the training labels, or where the target itself is.
    """
    asked = {target.name: target.value for target in request.targets}
    if not request.corrects or number == 0:
        return asked
    judged = rounds[: max(1, number - 1)]
    for target in request.targets:
        differences = np.concatenate([r.differences(target.name) for r in judged])
        low, high = target.asked_range
        asked[target.name] = float(np.clip(target.value - shrunk_bias(differences), low, high))
    return asked


def shrunk_bias(differences: np.ndarray) -> float:
    """Median of differences [s], shrunk towards 0 by its standard error (positive-part James-Stein); 0 for too few."""
    if len(differences) < FEWEST:
        return 0.0
    bias = float(np.median(differences))
    error = MEDIAN_ERROR * robust_deviation(differences) / np.sqrt(len(differences))
    return 0.0 if abs(bias) <= error else bias * (1.0 - float(error / bias) ** 2)


def robust_deviation(values: np.ndarray) -> float:
    """Standard deviation of normal values [s] from their median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
