"""Decay of the moving average of the weights from one step to the next.

Two profiles: exponential with a fixed decay per step, as in the released checkpoints, and the power function of EDM2
(arXiv 2312.02696, 3.1), in which weights at n of N structures seen count as n^gamma. The power function has no length
of its own: its width is a share of the training at every N, so that a training without a planned end needs no choice.
"""

from __future__ import annotations

from functools import cache

import numpy as np

WIDEST = 12**-0.5
"""Relative width of the plain mean of all weights, the widest power function (gamma = 0)."""


def step_decay(decay: float, step: int) -> float:
    """Weight of the old average in the step with this number, from 0: ``decay`` after a warm-up."""
    return min(decay, (1 + step) / (10 + step))


def power_decay(width: float, before: int, after: int) -> float:
    """Weight of the old average in a step from ``before`` to ``after`` structures seen.

    width: standard deviation of the profile over the structures seen, in units of those seen so far
    The product over the steps of any batch size is (first / last)^(gamma + 1), so that batches of 4 and 64 structures
    give the same average as long as the weights change little within a step. The first step from 0 forgets all before.
    """
    return float((before / after) ** (power_exponent(width) + 1))


@cache
def power_exponent(width: float) -> float:
    """The gamma of n^gamma whose relative standard deviation is ``width``, in (0, WIDEST].

    It solves width^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) (arXiv 2312.02696, Eq. 126).
    """
    inverse = width**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return max(0.0, float(roots.real.max()))
