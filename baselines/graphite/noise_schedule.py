"""Scale of the position noise, and the noise times of a training."""

from __future__ import annotations

import statistics

from ...benchmark.interface.task import Task

NOISE_SHARE = 0.56
"""k of sigma = k t over the bond length; the original has 0.8 A for carbon, 0.56 of its bond."""

OXIDE_BOND = 1.61
"""Bond of silicon to oxygen in silica, angstrom; those of other network formers to oxygen are about as long."""

NOISE_DIGITS = 20
"""The scale is rounded to 1 / NOISE_DIGITS angstrom."""

LEAST_TIME = 1e-3
"""Smallest training time, as in the original."""

EARLY_TIMES = (0.1, 0.2)
"""Smallest and largest time at the beginning of a training with ghosts."""
EARLY_SHARE = 0.25
"""With ghosts, share of a training with times within EARLY_TIMES; over 1.5 times this share the range then widens to
(LEAST_TIME, 1). A network that sees all times from the beginning does not learn the noise of the positions: at most
times it cannot be predicted (docs/studies/graphite_and_ghosts.py)."""
MOST_EARLY_SHARE = 0.4
"""Largest EARLY_SHARE: the training then reaches the whole range in its last step."""


def noise_scale(task: Task) -> float:
    """k of sigma = k t in angstrom: NOISE_SHARE of the bond length, rounded to 0.05 A.

    The bond length is OXIDE_BOND for data with oxygen and other elements, otherwise twice the median covalent radius of
    the elements. The rule gives 1.25 A for silicon and 0.9 A for silica and multi-element oxide glasses, whose nearest
    neighbours are at 2.38, 1.63 and 1.65 A on average. The noisy data then differ from uniform atoms by an rms of 0.09,
    0.02 and 0.04 in the pair distribution function from 0.5 to 6 A (the latter two with ghosts).
    """
    return round(NOISE_SHARE * _bond_length(task.elements) * NOISE_DIGITS) / NOISE_DIGITS


def _bond_length(elements: tuple[str, ...]) -> float:
    from ase.data import atomic_numbers, covalent_radii

    if "O" in elements and len(elements) > 1:
        return OXIDE_BOND
    return 2 * statistics.median(float(covalent_radii[atomic_numbers[symbol]]) for symbol in elements)


def training_times(progress: float, early: float) -> tuple[float, float]:
    """Smallest and largest training time at the finished share ``progress`` of a training.

    early: share of the training with times within EARLY_TIMES; 0 for all times from the beginning
    """
    widened = min(1.0, max(0.0, progress - early) / (1.5 * early)) if early else 1.0
    least, most = EARLY_TIMES
    return least + widened * (LEAST_TIME - least), most + widened * (1 - most)
