"""Checks of the samplers of a method against each other and against the training data."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import combinations

import torch

from ..benchmark.datasets.dataset import Dataset
from ..benchmark.interface.method import Method
from ..benchmark.interface.structures import Structures, minimum_image
from .checks import Check, require
from .method_probe import Probe, unit_hint
from .synthetic import PAIR_BOND, pair_dataset

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


PAIRS, PAIRS_PER_BATCH = 128, 32
"""Number of structures of two bonded atoms, in all and in a training step."""
PAIR_CELL = 8.0
"""Edge of the cubic cells of the pairs, angstrom; larger if the cutoff requires it."""
PAIR_UPDATES, PAIR_LEARNING_RATE = 250, 1e-2
"""Steps and learning rate of Adam: one to four seconds on one core for small networks."""
MANY_STEPS = 25
BOND_TOLERANCE = 0.2
"""Largest deviation of a bonded pair from PAIR_BOND, angstrom."""
LEAST_BONDS = 5.0
"""Smallest fraction of bonded pairs, in units of that of random positions (0.025 in a cell of 8 A). Methods with
small networks reach 0.23 to 0.88; steps of the wrong sign, at reversed times or with a tenth of the noise scale stay
below 0.07."""


class PairProbe(Probe):
    """Probe of a method class on structures of two bonded atoms, a distribution that networks learn quickly."""

    @cached_property
    def dataset(self) -> Dataset:
        pairs = pair_dataset(1, cell=PAIR_CELL)
        cutoff = self.with_dataset(pairs).cutoff
        return pair_dataset(PAIRS, cell=max(PAIR_CELL, 1.15 * cutoff))

    def trained(self) -> tuple[Method, float, float]:
        """The method after a short training, with its mean loss at the beginning and at the end."""
        method = self.method(stirred=False).train()
        optimizer = torch.optim.Adam(method.parameters(), lr=PAIR_LEARNING_RATE)
        losses = []
        for step in range(PAIR_UPDATES):
            first = step * PAIRS_PER_BATCH % PAIRS
            batch = self.batch(range(first, first + PAIRS_PER_BATCH))
            loss = self.losses(method, batch, step, teacher=method, progress=step / PAIR_UPDATES)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        tenth = PAIR_UPDATES // 10
        return method, sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth

    @property
    def random_bonds(self) -> float:
        """Fraction of pairs at random positions that count as bonded."""
        outer, inner = PAIR_BOND + BOND_TOLERANCE, PAIR_BOND - BOND_TOLERANCE
        volume = abs(float(torch.linalg.det(torch.as_tensor(self.dataset.cells[0]))))
        return 4 / 3 * math.pi * (outer**3 - inner**3) / volume


def many_steps_approach_the_data(probe: Probe) -> None:
    """After a short training on bonded pairs of atoms, 25 steps bond more pairs than random positions."""
    pairs = PairProbe(probe.method_class, probe.settings, probe.name)
    method, first_loss, last_loss = pairs.trained()
    rows = tuple(range(PAIRS))
    start, least = pairs.start(rows), LEAST_BONDS * pairs.random_bonds
    # one sampler per label: equal labels require equal structures (equal_labels_equal_structures)
    by_label = {sampler.label(method, MANY_STEPS): sampler.name for sampler in reversed(method.samplers)}
    for name in by_label.values():
        sample = pairs.sample(method, start, MANY_STEPS, name, pairs.noise(start, rows))
        bonds = _bonded_fraction(sample)
        require(
            bonds >= least,
            unit_hint(sample)
            or f"sampler '{name}' does not approach the data: {MANY_STEPS} steps bond {bonds:.1%} of the pairs of a "
            f"data set of bonded pairs, random positions {pairs.random_bonds:.1%}, expected: {least:.1%} or more; the "
            f"training took the loss from {first_loss:.3g} to {last_loss:.3g}. If the loss fell, check the sign of the "
            "steps, the direction of time and the scale of the noise, which must be those of the training",
        )


def _bonded_fraction(pairs: Structures) -> float:
    """Fraction of the structures, of two atoms each, whose atoms are PAIR_BOND apart to BOND_TOLERANCE."""
    vectors = pairs.positions - pairs.positions.roll(1, 0)
    distances = torch.linalg.vector_norm(minimum_image(vectors, pairs), dim=1)[1::2]
    return float(((distances - PAIR_BOND).abs() <= BOND_TOLERANCE).float().mean())


def _single_element(probe: Probe) -> bool:
    return probe.task.species_count == 1


SAMPLER_CHECKS: tuple[Check[Probe], ...] = (
    Check(equal_labels_equal_structures),
    Check(many_steps_approach_the_data, _single_element),
)
