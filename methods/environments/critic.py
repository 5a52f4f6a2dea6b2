"""A critic: a small network that tells atoms of generated structures from those of data by their environments.

A generator that is trained against it (arXiv 1406.2661) loses in proportion to the share of wrong environments. In the
maximum mean discrepancy the square of this share counts, so that a few atoms in a hundred with a bond too many or too
few have hardly a part in it. The critic sees the distances of an environment and, by its bonds, those of the
environments beside it and beside those.

Losses are those of arXiv 2501.05441: an atom of the data against a generated one of its element, with penalties on the
gradient of the critic. Both sets are displaced by the same Gaussian noise before (arXiv 1610.04490). Otherwise the
critic knows generated atoms by the widths of their bond lengths, which a relaxation mends, and not by wrong bonds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import one_hot, pad, softplus

from ...benchmark.interface.noise import NoiseSource, uniform_numbers
from ...benchmark.interface.structures import Structures
from ...metrics.network.element_classes import ElementClass, classes_in, element_class
from .distances import EnvironmentShape, environments

NOISE = (0.05, 0.1, 0.2)
"""Standard deviations of the displacements, A; each batch has one of them."""

PENALTY = 1.0
"""Weight of half the squared gradient of the critic by standardised distances."""

HIDDEN = 64
LEAST_DEVIATION = 0.05
"""Least standard deviation of a distance for its unit, A."""

MOMENTUM = 0.02
"""Weight of a batch in the running mean and variance of the distances of data."""

_CATIONS: frozenset[ElementClass] = frozenset({"former", "modifier"})
_ANIONS: frozenset[ElementClass] = frozenset({"anion"})


def critic_shape(symbol: str, elements: Sequence[str]) -> EnvironmentShape:
    """The distances by which the critic knows an atom: more neighbours than in matching, all with a weight of 1."""
    present = classes_in(elements)
    if "anion" not in present or present == {"anion"}:
        return EnvironmentShape(shells=((_CATIONS | _ANIONS, 18, 1.0),), bonded=5)
    if element_class(symbol) == "anion":
        return EnvironmentShape(shells=((_CATIONS, 4, 1.0), (_ANIONS, 12, 1.0)), bonded=2)
    return EnvironmentShape(shells=((_ANIONS, 8, 1.0), (_CATIONS, 8, 1.0)), bonded=4)


def _columns(shape: EnvironmentShape) -> int:
    return sum(count for _, count, _ in shape.shells) + shape.bonded * (shape.bonded - 1) // 2


@dataclass(frozen=True, kw_only=True)
class AtomEnvironments:
    """Environments of all ``n`` atoms (without ghosts) of a batch.

    distances [n, c]: A, padded with 0
    bonded [n, b]: indices of the nearest neighbours of the first shell, -1 where there is none
    species [n], structures [n]: element and structure of each atom
    """

    distances: Tensor
    bonded: Tensor
    species: Tensor
    structures: Tensor


class EnvironmentCritic(nn.Module):
    """A number for each atom, large for an atom of data; ``properties`` is the number of targets of a structure."""

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, elements: Sequence[str], properties: int) -> None:
        super().__init__()
        self.elements = tuple(elements)
        shapes = [critic_shape(symbol, elements) for symbol in elements]
        self.width = max(map(_columns, shapes))
        self.bonds = max(shape.bonded for shape in shapes)
        # the running moments of data are part of the state, so that a training resumes as it was
        self.register_buffer("mean", torch.zeros(len(shapes), self.width))
        self.register_buffer("variance", torch.ones(len(shapes), self.width))
        self.register_buffer("batches", torch.zeros(()))
        inputs = self.width + len(shapes) + 2 + 2 * properties
        self.atoms = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU())
        self.bonds_of_atoms = nn.Sequential(
            nn.Linear(2 * HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU()
        )
        self.last = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1))

    def environments(self, structures: Structures) -> AtomEnvironments:
        """Environments of all atoms, differentiable with respect to the positions."""
        parts = list(environments(structures, self.elements, shape_of=critic_shape).values())
        order = torch.argsort(torch.cat([part.centres for part in parts]))
        columns = [pad(part.distances, (0, self.width - part.distances.shape[1])) for part in parts]
        bonded = [pad(part.bonded, (0, self.bonds - part.bonded.shape[1]), value=-1) for part in parts]
        species = [torch.full_like(part.centres, k) for k, part in enumerate(parts)]
        return AtomEnvironments(
            distances=torch.cat(columns)[order],
            bonded=torch.cat(bonded)[order],
            species=torch.cat(species)[order],
            structures=torch.cat([part.structures for part in parts])[order],
        )

    @torch.no_grad()
    def learn_moments(self, data: AtomEnvironments) -> None:
        """Update the running mean and variance of the distances of data; the first batches count equally."""
        self.batches += 1
        weight = (1 / self.batches).clamp(min=MOMENTUM)
        for k in range(len(self.elements)):
            rows = data.distances[data.species == k]
            if len(rows) > 1:
                self.mean[k].lerp_(rows.mean(0), weight)
                self.variance[k].lerp_(((rows - self.mean[k]) ** 2).mean(0), weight)

    def deviation(self, species: Tensor) -> Tensor:
        """The unit of each distance of each atom [n, c], A."""
        return self.variance.sqrt().clamp(min=LEAST_DEVIATION)[species]

    def forward(self, atoms: AtomEnvironments, condition: Tensor, distances: Tensor | None = None) -> Tensor:
        """Outputs [n]; condition [s, 2 + 2 p]: what the critic knows of the structures, by ``critic_losses``."""
        values = atoms.distances if distances is None else distances
        scaled = (values - self.mean[atoms.species]) / self.deviation(atoms.species)
        kinds = one_hot(atoms.species, len(self.elements)).to(scaled)
        hidden = self.atoms(torch.cat([scaled, kinds, condition[atoms.structures]], 1))
        hidden = hidden + self.bonds_of_atoms(torch.cat([hidden, self._bonded(hidden, atoms)], 1))
        return self.last(torch.cat([hidden, self._bonded(hidden, atoms)], 1))[:, 0]

    def _bonded(self, hidden: Tensor, atoms: AtomEnvironments) -> Tensor:
        """Sum over the bonded neighbours, in units of the largest number of them."""
        # index -1, a missing neighbour, is the row of zeros
        return torch.cat([hidden, hidden.new_zeros(1, HIDDEN)])[atoms.bonded].sum(1) / self.bonds


def critic_losses(
    critic: EnvironmentCritic,
    generated: Structures,
    data: Structures,
    noise: NoiseSource,
    *,
    t: float,
    targets: Tensor,
) -> dict[str, Tensor]:
    """``critic``, the loss of the critic, without a gradient of the positions, and ``adversary``, the generator's,
    without one of the critic.

    generated, data: structure k of both has the same targets and cell
    t: time at which the shortcut to the generated structures began
    targets [s, 2 p]: targets in standard deviations, 0 where hidden, and 1 where one is present
    Also updates the moments of the critic by those of the data.
    """
    sigma = NOISE[int(uniform_numbers(noise, 1)[0] * len(NOISE))]
    sets = [x.with_positions(x.positions + sigma * noise.normal_atoms(3)) for x in (generated, data)]
    shared = targets.new_tensor([t, sigma / max(NOISE)]).expand(len(targets), 2)
    condition = torch.cat([shared, targets], 1)
    made, real = (critic.environments(each) for each in sets)
    critic.learn_moments(real)
    pairs = _pairs(made, real, noise.uniform_atoms(2), len(critic.elements))
    leaves = [x.distances.detach().requires_grad_() for x in (made, real)]
    outputs = [critic(x, condition, leaf) for x, leaf in zip((made, real), leaves, strict=True)]
    loss = _mean(softplus(outputs[0][pairs[0]] - outputs[1][pairs[1]]))
    for x, leaf, output in zip((made, real), leaves, outputs, strict=True):
        (slope,) = torch.autograd.grad(output.sum(), leaf, create_graph=True)
        loss = loss + PENALTY / 2 * _mean(((slope * critic.deviation(x.species)) ** 2).sum(-1))
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    judged = functional_call(critic, frozen, (made, condition))
    adversary = _mean(softplus(outputs[1].detach()[pairs[1]] - judged[pairs[0]]))
    return {"critic": loss, "adversary": adversary}


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 without values: an untrained generator may have ghosts alone."""
    return values.sum() / max(1, len(values))


def _pairs(
    made: AtomEnvironments, real: AtomEnvironments, numbers: Tensor, elements: int
) -> tuple[Tensor, Tensor]:
    """Rows of random pairs of a generated atom and one of data, of the same element, each at most once."""
    first: list[Tensor] = []
    second: list[Tensor] = []
    for k in range(elements):
        rows = [torch.nonzero(x.species == k)[:, 0] for x in (made, real)]
        count = min(map(len, rows))
        for chosen, own, column in zip((first, second), rows, numbers.T, strict=True):
            chosen.append(own[torch.argsort(column[: len(own)])][:count])
    return torch.cat(first), torch.cat(second)
