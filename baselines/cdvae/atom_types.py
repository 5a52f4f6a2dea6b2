"""What CDVAE does with atom types: the composition of a structure, and types that were drawn from it as noise.

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
    """One hidden layer, as the original's heads on z."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def fractions_of(structures: Structures, species: int) -> Tensor:
    """Share of each of ``species`` classes, ghosts included, in each structure: [s, species]."""
    one_hot = nn.functional.one_hot(structures.species, species).to(structures.positions.dtype)
    return means_of_structures(one_hot, structures)


def composition_loss(logits: Tensor, fractions: Tensor) -> Tensor:
    """Mean over structures of the cross entropy of all their atoms: logits and fractions [s, K] -> scalar."""
    return -(fractions * torch.log_softmax(logits, dim=-1)).sum(-1).mean()


def noisy_type_weights(one_hot: Tensor, composition: Tensor, sigma: Tensor) -> Tensor:
    """Weights [n, K], not normalised, that noisy types are drawn with.

    one_hot [n, K], composition [n, K] of the structure of each atom, sigma [n, 1]
    """
    return one_hot + sigma * composition


def species_of_composition(composition: Tensor, structures: Structures, noise: NoiseSource) -> Tensor:
    """Species [n] with which a sample begins: of each as many as the composition [s, K] says, in random order.

    By systematic sampling: the atoms of a structure, in random order, take evenly spaced places on the line from 0 to 1
    that the composition cuts into pieces, all shifted by one random number. So every number of atoms is the expected
    one rounded up or down, and is right on average.
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
