"""Atom types of CDVAE: the composition of a structure, and noisy types drawn from it.

Types are not diffused. A noisy type is one of the classes, drawn with probabilities in proportion to

    one-hot of the true type + sigma composition          (arXiv 2110.06197, Section 4)

so that it is wrong with probability sigma (1 - p) / (1 + sigma) for a species of which the composition has p: at
sigma = 5 nearly all of it is the composition, at 0.01 next to none. Ghosts are one of the classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures, means_of_structures


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A network with one hidden layer, like the heads on z in the original."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def fractions_of(structures: Structures, species: int) -> Tensor:
    """Share of each of ``species`` classes, ghosts included, in each structure: [s, species]."""
    one_hot = nn.functional.one_hot(structures.species, species).to(structures.positions.dtype)
    return means_of_structures(one_hot, structures)


def composition_loss(logits: Tensor, fractions: Tensor) -> Tensor:
    """Mean over structures of the cross entropy of all their atoms: logits and fractions [s, K] -> scalar."""
    return -(fractions * torch.log_softmax(logits, dim=-1)).sum(-1).mean()


def noisy_type_weights(one_hot: Tensor, composition: Tensor, sigma: Tensor) -> Tensor:
    """Weights [n, K], not normalised, with which noisy types are drawn.

    one_hot [n, K], composition [n, K] of the structure of each atom, sigma [n, 1]
    """
    return one_hot + sigma * composition


def species_of_composition(composition: Tensor, structures: Structures, noise: NoiseSource) -> Tensor:
    """Initial species [n] of a sample: numbers of atoms from the composition [s, K], in random order.

    By systematic sampling: the atoms of a structure, in random order, have evenly spaced positions on the interval
    [0, 1), which the composition divides, all shifted by one random number. Every number of atoms is the expected one
    rounded up or down, and has the right mean.
    """
    owner, counts = structures.batch, structures.counts
    # in float64, so that the fractional part still orders the atoms of a late structure
    order = torch.argsort(owner.double() + noise.uniform_atoms(1)[:, 0].double())
    number = torch.empty_like(order)
    number[order] = torch.arange(len(order), device=order.device)
    number = number - structures.offsets[:-1][owner]
    shift = noise.uniform_structures(1).double()[owner, 0]
    place = (number + shift) / counts[owner]
    bounds = composition.double().cumsum(-1)
    bounds = bounds / bounds[:, -1:]
    return (bounds[owner, :-1] <= place[:, None]).sum(-1)
