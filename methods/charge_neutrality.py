"""Charge neutrality of what is generated, where every structure of the data is neutral."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..benchmark.interface.structures import Structures

ITERATIONS = 12
"""Newton steps for the multiplier; half of them are enough from any start that occurs."""

LARGEST_MULTIPLIER = 2.0
"""Where all species are certain no tilt makes them neutral: a species of charge 1 is made exp(2) likelier at most."""


def neutral_probabilities(probabilities: Tensor, charges: Tensor, structures: Structures) -> Tensor:
    """The nearest probabilities [n, K] for which the expected charge of each structure is zero.

    probabilities [n, K]: of the species of each atom, not necessarily normalised; below 0 counts as 0
    charges [K]: formal charges, 0 for ghosts
    If all data are neutral, so is their expectation given anything that is known, which the network's need not be.
    Nearest in relative entropy: p exp(-lambda q) with one multiplier per structure, as far as LARGEST_MULTIPLIER.
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
    """Species [n] of the largest total of their scores [n, K] among those for which each structure is neutral."""
    species = scores.argmax(dim=-1)
    net = torch.zeros(len(structures), dtype=charges.dtype, device=charges.device)
    net.index_add_(0, structures.batch, charges[species])
    for index in net.nonzero().flatten().tolist():
        rows = structures.batch == index
        found = _best_neutral(
            scores[rows].detach().double().cpu().numpy(), charges.cpu().numpy().round().astype(int)
        )
        species[rows] = torch.as_tensor(found, device=species.device)
    return species


def _best_neutral(scores: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """As ``neutral_species`` of one structure [n, K], by dynamic programming over its net charge.

    Of the changes from the best species of each atom, none that sum to nothing can be in the cheapest set. The others
    can be put in an order in which the net charge stays within the largest change of the way from Q to 0 and never
    comes back, so that there are at most |Q| + 2 max |change| of them: no atom beyond so many cheapest ones of any
    change is needed, and no net charge outside that range.
    """
    species = scores.argmax(axis=1)
    net = int(charges[species].sum())
    largest = int(charges.max() - charges.min())
    reach = abs(net) + 2 * largest
    changes = np.arange(-largest, largest + 1)
    # of each atom and change of charge the cheapest species
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
    # least cost of every net charge from -reach to reach, padded by what one change may come from
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
