"""Charge neutrality of generated structures, for data whose structures are all neutral."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..benchmark.interface.structures import Structures

ITERATIONS = 12
"""Newton steps for the multiplier; half of them suffice in practice."""

LARGEST_MULTIPLIER = 2.0
"""Bound of the multiplier, since certain species cannot be made neutral: probabilities change by at most exp(2)
per unit of charge."""


def neutral_probabilities(probabilities: Tensor, charges: Tensor, structures: Structures) -> Tensor:
    """The nearest probabilities [n, K] for which the expected charge of each structure is zero.

    probabilities [n, K]: of the species of each atom, not necessarily normalised; below 0 counts as 0
    charges [K]: formal charges, 0 for ghosts
    For neutral data the exact conditional expectation is neutral too; the network's prediction need not be.
    Nearest in relative entropy: p exp(-lambda q) with one multiplier per structure, up to LARGEST_MULTIPLIER.
    """
    p = probabilities.clamp(min=0)
    multipliers = p.new_zeros(len(structures))
    for _ in range(ITERATIONS):
        tilted = _tilted(p, charges, multipliers[structures.batch])
        means = tilted @ charges
        variances = tilted @ charges**2 - means**2
        sums = p.new_zeros(2, len(structures))
        sums.index_add_(1, structures.batch, torch.stack([means, variances]))
        step = (sums[0] / sums[1].clamp(min=1e-6)).clamp(-0.5, 0.5)
        multipliers = (multipliers + step).clamp(-LARGEST_MULTIPLIER, LARGEST_MULTIPLIER)
    return _tilted(p, charges, multipliers[structures.batch])


def _tilted(p: Tensor, charges: Tensor, multipliers: Tensor) -> Tensor:
    weights = p * torch.exp(-multipliers[:, None] * charges)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)


def neutral_species(scores: Tensor, charges: Tensor, structures: Structures) -> Tensor:
    """Species [n] with the largest sum of scores [n, K] among the assignments that make every structure neutral."""
    species = scores.argmax(dim=-1)
    net = torch.zeros(len(structures), dtype=charges.dtype, device=charges.device)
    net.index_add_(0, structures.batch, charges[species])
    for index in net.nonzero().flatten().tolist():
        rows = structures.batch == index
        neutral = _best_neutral(
            scores[rows].detach().double().cpu().numpy(), charges.cpu().numpy().round().astype(int)
        )
        species[rows] = torch.as_tensor(neutral, device=species.device)
    return species


def _best_neutral(scores: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """As ``neutral_species`` of one structure [n, K], by dynamic programming over its net charge.

    Start from the best species of each atom, with net charge Q. A cheapest set of changes has no subset that sums to
    zero charge, since leaving it out would be cheaper. Its changes can therefore be ordered so that the net charge goes
    from Q to 0 without repeating a value and overshoots by at most the largest change. So it has at most
    |Q| + 2 max |change| members: only so many of the cheapest atoms of each change matter, and only net charges in
    that range.
    """
    species = scores.argmax(axis=1)
    net = int(charges[species].sum())
    largest = int(charges.max() - charges.min())
    reach = abs(net) + 2 * largest
    changes = np.arange(-largest, largest + 1)
    # cheapest species of each atom for each change of charge
    costs = np.full((len(scores), len(changes)), np.inf)
    made_by = np.zeros(costs.shape, dtype=int)
    rows = np.arange(len(scores))
    for kind, charge in enumerate(charges):
        column = (charge - charges[species]).astype(int) + largest
        cost = scores[rows, species] - scores[:, kind]
        better = cost < costs[rows, column]
        costs[rows[better], column[better]] = cost[better]
        made_by[rows[better], column[better]] = kind
    costs[:, largest], made_by[:, largest] = 0.0, species
    order = np.argsort(costs, axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, rows[:, None], axis=0)
    candidates = np.flatnonzero(((rank < reach) & np.isfinite(costs))[:, changes != 0].any(axis=1))
    # lowest cost of every net charge from -reach to reach, padded by the largest change on both sides
    size = 2 * reach + 1
    total = np.full(size + 2 * largest, np.inf)
    total[largest + reach + net] = 0.0
    before = np.arange(size)[:, None] + largest - changes
    choices = np.empty((len(candidates), size), dtype=int)
    for k, atom in enumerate(candidates):
        ways = total[before] + costs[atom]
        choices[k] = ways.argmin(axis=1)
        total[largest:-largest] = np.take_along_axis(ways, choices[k][:, None], axis=1)[:, 0]
    place = reach
    for k in range(len(candidates) - 1, -1, -1):
        change = choices[k, place]
        species[candidates[k]] = made_by[candidates[k], change]
        place -= changes[change]
    return species
