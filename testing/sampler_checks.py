"""Checks of the samplers of a method against each other and against the training data."""

from __future__ import annotations

from itertools import combinations

import torch

from ..benchmark.interface.structures import Structures
from .checks import Check, require
from .method_probe import Probe

LABEL_STEPS = (1, 2, 3, 10)
"""Step counts at which samplers with equal labels are compared."""


def equal_labels_equal_structures(probe: Probe) -> None:
    """Samplers with one step label make bitwise equal structures in 1, 2, 3 and 10 steps; a run computes only one."""
    method, start = probe.method(), probe.start()
    for steps in LABEL_STEPS:
        labels = {sampler.name: sampler.label(method, steps) for sampler in method.samplers}
        shared = [pair for pair in combinations(labels, 2) if labels[pair[0]] == labels[pair[1]]]
        samples: dict[str, Structures] = {}
        for name in dict.fromkeys(name for pair in shared for name in pair):
            samples[name] = probe.sample(method, start, steps, name, probe.noise(start))
        for first, second in shared:
            require(
                torch.equal(samples[first].positions, samples[second].positions)
                and torch.equal(samples[first].species, samples[second].species),
                f"samplers '{first}' and '{second}' make different structures with {steps} steps under the one label "
                f"'{labels[first]}'; a run would compute only '{first}', so give them different labels",
            )


SAMPLER_CHECKS: tuple[Check[Probe], ...] = (Check(equal_labels_equal_structures),)
