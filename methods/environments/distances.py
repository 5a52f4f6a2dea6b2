"""Local environments of atoms: distances to the nearest neighbours of each class of element, with gradients.

The environment of an atom is a vector of distances: those to its nearest neighbours of each class of element, sorted,
and those among the nearest of them, which are its bond angles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ...benchmark.interface.structures import Structures
from ...metrics.network.element_classes import ElementClass, classes_in, element_class

REACH = 5.0
"""Radius of an environment, A. A neighbour that is missing within it counts as one at this distance."""

FARTHER_WEIGHT = 0.5
"""Weight of the distances beside those to the nearest shell."""

MOST_ATOMS = 4096
"""Most atoms of an element whose environments are compared: all of 16 structures of 256 atoms. Time and memory of the
kernels grow with the square of it."""

_CLASSES: tuple[ElementClass, ...] = ("former", "modifier", "anion")


@dataclass(frozen=True, kw_only=True)
class EnvironmentShape:
    """The distances that describe an environment.

    shells: classes of the neighbours, number of the nearest, weight; the first shell holds the bonds
    bonded: number of the nearest neighbours of the first shell whose mutual distances are the angles
    """

    shells: tuple[tuple[frozenset[ElementClass], int, float], ...]
    bonded: int


ONE_CLASS = EnvironmentShape(shells=((frozenset(_CLASSES), 14, 1.0),), bonded=5)
"""Environments of materials without anions or without cations, where all atoms are neighbours of one kind."""

_CATION = {"anion": (6, 1.0), "former": (4, FARTHER_WEIGHT), "modifier": (3, FARTHER_WEIGHT)}
_ANION = {"former": (3, 1.0), "modifier": (3, FARTHER_WEIGHT), "anion": (6, FARTHER_WEIGHT)}


def environment_shape(symbol: str, elements: Sequence[str]) -> EnvironmentShape:
    """The distances that describe an atom of the element ``symbol`` in a material of these elements.

    A cation has six anions, four formers and three modifiers and the tetrahedron of its nearest anions; an anion three
    formers, three modifiers and six anions and the distance of its two nearest cations of the first shell.
    """
    present = classes_in(elements)
    if "anion" not in present or present == {"anion"}:
        return ONE_CLASS
    is_anion = element_class(symbol) == "anion"
    shells = tuple(
        (frozenset({name}), count, weight)
        for name, (count, weight) in (_ANION if is_anion else _CATION).items()
        if name in present
    )
    return EnvironmentShape(shells=shells, bonded=2 if is_anion else 4)


@dataclass(frozen=True, kw_only=True)
class Environments:
    """Environments of ``m`` atoms.

    distances [m, c]: weighted distances, A
    bonded [m, b]: indices of the nearest neighbours of the first shell among all atoms without ghosts; -1: missing
    centres [m]: indices of these atoms among all without ghosts
    structures [m]: index of the structure of each atom
    atoms: number of atoms of the element, of which these are a part
    """

    distances: Tensor
    bonded: Tensor
    centres: Tensor
    structures: Tensor
    atoms: int

    def __len__(self) -> int:
        return len(self.distances)


def environments(
    structures: Structures,
    elements: Sequence[str],
    order: Tensor | None = None,
    shape_of: Callable[[str, Sequence[str]], EnvironmentShape] = environment_shape,
) -> dict[str, Environments]:
    """Environments of the atoms of each element; those of elements without atoms are empty.

    order [n]: random numbers; of an element with more than MOST_ATOMS atoms, those with the lowest are taken
    shape_of: the distances for an element of a material
    Differentiable with respect to the positions. Ghosts, whose species is not below ``len(elements)``, have no part.
    """
    atoms = _without_ghosts(structures, len(elements))
    graph = neighbour_graph(atoms, REACH)
    vectors = graph.vectors(atoms.positions)
    # the square root of 0 has no derivative, and two atoms may lie at the same point
    lengths = torch.sqrt((vectors**2).sum(-1) + 1e-12)
    classes = torch.tensor([_CLASSES.index(element_class(symbol)) for symbol in elements])
    sender_classes = classes.to(atoms.species.device)[atoms.species][graph.senders]
    result = {}
    for k, symbol in enumerate(elements):
        shape = shape_of(symbol, elements)
        centres = torch.nonzero(atoms.species == k)[:, 0]
        count_in_all = len(centres)
        if order is not None and count_in_all > MOST_ATOMS:
            numbers = order[structures.species < len(elements)][centres]
            centres = centres[torch.topk(numbers, MOST_ATOMS, largest=False).indices]
        parts, bonded = [], centres.new_zeros(len(centres), 0)
        for number, (of_classes, count, weight) in enumerate(shape.shells):
            chosen = torch.stack([sender_classes == _CLASSES.index(name) for name in of_classes]).any(0)
            shell = _nearest(graph, lengths, chosen, centres, count, len(atoms.positions))
            parts.append(weight * shell.lengths)
            if number == 0:
                parts.append(FARTHER_WEIGHT * _mutual_distances(shell, vectors, shape.bonded))
                edges = shell.edges[:, : shape.bonded]
                senders = torch.cat([graph.senders, graph.senders.new_full((1,), -1)])
                bonded = senders[edges]
        result[symbol] = Environments(
            distances=torch.cat(parts, 1),
            bonded=bonded,
            centres=centres,
            structures=atoms.batch[centres],
            atoms=count_in_all,
        )
    return result


@dataclass(frozen=True, kw_only=True)
class _Shell:
    """The nearest neighbours of m atoms: lengths [m, c] in A, ascending; edges [m, c], -1 for missing ones."""

    lengths: Tensor
    edges: Tensor


def _nearest(
    graph: Graph, lengths: Tensor, chosen: Tensor, centres: Tensor, count: int, atoms: int
) -> _Shell:
    """The ``count`` shortest of the ``chosen`` [e] edges of each of the ``centres`` [m]."""
    edges = torch.nonzero(chosen)[:, 0]
    edges = edges[torch.argsort(lengths.detach()[edges])]
    edges = edges[torch.argsort(graph.receivers[edges], stable=True)]
    receivers = graph.receivers[edges]
    numbers = torch.bincount(receivers, minlength=atoms)
    rank = torch.arange(len(edges), device=edges.device) - (numbers.cumsum(0) - numbers)[receivers]
    near = rank < count
    table = edges.new_full((atoms, count), -1)
    table[receivers[near], rank[near]] = edges[near]
    table = table[centres]
    # index -1 of the extended lengths is the reach
    extended = torch.cat([lengths, lengths.new_full((1,), REACH)])
    return _Shell(lengths=extended[table], edges=table)


def _mutual_distances(shell: _Shell, vectors: Tensor, bonded: int) -> Tensor:
    """Sorted distances [m, bonded (bonded - 1) / 2] among the nearest neighbours in a shell, A.

    They go over to REACH where one of the two neighbours leaves the environment, so that they are continuous.
    """
    extended = torch.cat([vectors, vectors.new_zeros(1, 3)])
    ends = extended[shell.edges[:, :bonded]]
    first, second = torch.triu_indices(bonded, bonded, 1, device=vectors.device)
    apart = torch.sqrt(((ends[:, first] - ends[:, second]) ** 2).sum(-1) + 1e-12)
    inside = 1 - (shell.lengths[:, :bonded] / REACH).clamp(max=1) ** 6
    both = inside[:, first] * inside[:, second]
    return torch.sort(both * apart + (1 - both) * REACH, dim=1).values


def _without_ghosts(structures: Structures, elements: int) -> Structures:
    real = structures.species < elements
    batch = structures.batch[real]
    return replace(
        structures,
        positions=structures.positions[real],
        species=structures.species[real],
        batch=batch,
        counts=torch.bincount(batch, minlength=len(structures)),
    )
