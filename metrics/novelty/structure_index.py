"""Index of given structures, such as a training set, for the resemblance of other structures to them.

A copy of a training structure scores better than any model in most metrics of a benchmark. The index shows copies:
whole ones and parts of them, shifted, rotated, reflected, reordered, in another cell, or with displaced atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ..neighbours.neighbour_list import neighbour_list
from .fingerprints import NEIGHBOURS, environment_fingerprints
from .rigid_overlap import NEIGHBOURHOOD, Neighbourhood, rigid_overlap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scipy.spatial import cKDTree

CANDIDATES = 3
"""Nearest environments of each atom that may be compared."""
COMPARED_ATOMS = 256
"""Largest number of atoms of a structure, chosen evenly, whose environments are compared with those of the index."""
COMPARED = 60
"""Pairs of environments of the most similar fingerprints that are compared for each structure."""
ENVIRONMENTS = 100_000
"""Largest number of environments of an index; of large sets, some atoms of each structure are chosen."""
LEAST_ENVIRONMENTS = 16
"""Environments of each structure that are in the index in any case; a copy shares all of them."""
_REMEMBERED = 256
"""Structures whose neighbourhoods are kept in memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TypedStructure:
    """One periodic structure.

    positions [n, 3]: Å
    cell [3, 3]: Å, rows are lattice vectors
    species [n]: number of the element of each atom
    """

    positions: np.ndarray
    cell: np.ndarray
    species: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Resemblance:
    """How much a structure resembles the most similar ones of an index.

    environment_distance: median over atoms of the distance of their fingerprints to the nearest one in the index, Å;
        None for a structure without atoms of the index's elements
    largest_overlap: largest share of the atoms around an atom (``NEIGHBOURHOOD``) that coincide with those around an
        atom of the index after a rotation or reflection, 0 to 1
    most_similar: index of the structure with the largest overlap; None if no environments could be compared
    """

    environment_distance: float | None
    largest_overlap: float
    most_similar: int | None


class StructureIndex:
    """Environments of given structures.

    structures: their positions, cells and species
    classes: class, 0 or 1, of each species (``environment_fingerprints``)
    """

    def __init__(self, structures: Sequence[TypedStructure], classes: Sequence[int]) -> None:
        from scipy.spatial import cKDTree

        if not structures:
            raise AmsbenchError("an index of structures needs at least one structure")
        self._structures = list(structures)
        self._classes = np.asarray(classes)
        counts = np.array([len(structure.species) for structure in structures], dtype=np.int64)
        each = max(LEAST_ENVIRONMENTS, ENVIRONMENTS // len(structures))
        chosen = [_evenly(count, each) for count in counts]
        self._owners = np.repeat(np.arange(len(structures)), [len(atoms) for atoms in chosen])
        self._atoms = np.concatenate(chosen)
        species = np.concatenate([structures[k].species[atoms] for k, atoms in enumerate(chosen)])
        fingerprints = np.concatenate(
            [self._fingerprints(structures[k], atoms) for k, atoms in enumerate(chosen)]
        )
        self._rows = {int(kind): np.flatnonzero(species == kind) for kind in np.unique(species)}
        self._trees: dict[int, cKDTree] = {
            kind: cKDTree(fingerprints[rows]) for kind, rows in self._rows.items()
        }
        self._neighbourhoods_of = lru_cache(maxsize=_REMEMBERED)(
            lambda index: neighbourhoods(self._structures[index])
        )

    def _fingerprints(self, structure: TypedStructure, atoms: np.ndarray) -> np.ndarray:
        return environment_fingerprints(
            structure.positions, structure.cell, self._classes[structure.species], atoms
        )

    def resemblance(self, structure: TypedStructure) -> Resemblance:
        """Resemblance of a structure to those of the index."""
        pairs = self._similar_environments(structure)
        if not len(pairs.distances):
            return Resemblance(environment_distance=None, largest_overlap=0.0, most_similar=None)
        nearest = np.full(len(structure.species), np.inf)
        np.minimum.at(nearest, pairs.atoms, pairs.distances)
        finite = nearest[np.isfinite(nearest)]
        own = neighbourhoods(structure)
        largest, most_similar = 0.0, None
        for k in np.argsort(pairs.distances, kind="stable")[:COMPARED]:
            row = pairs.rows[k]
            owner, atom = int(self._owners[row]), int(self._atoms[row])
            overlap = rigid_overlap(own[pairs.atoms[k]], self._neighbourhoods_of(owner)[atom])
            if overlap > largest:
                largest, most_similar = overlap, owner
        return Resemblance(
            environment_distance=float(np.median(finite)) if len(finite) else None,
            largest_overlap=largest,
            most_similar=most_similar,
        )

    def _similar_environments(self, structure: TypedStructure) -> _Pairs:
        """The nearest environments of each atom in the index."""
        chosen = _evenly(len(structure.species), COMPARED_ATOMS)
        fingerprints, species = self._fingerprints(structure, chosen), structure.species[chosen]
        atoms = [np.zeros(0, dtype=np.int64)]
        rows = [np.zeros(0, dtype=np.int64)]
        distances = [np.zeros(0)]
        for kind, tree in self._trees.items():
            own = np.flatnonzero(species == kind)
            if not len(own):
                continue
            count = min(CANDIDATES, tree.n)
            apart, neighbours = tree.query(fingerprints[own], k=count)
            atoms.append(np.repeat(chosen[own], count))
            rows.append(self._rows[kind][neighbours].ravel())
            distances.append(np.ravel(apart) / np.sqrt(NEIGHBOURS))
        return _Pairs(
            atoms=np.concatenate(atoms), rows=np.concatenate(rows), distances=np.concatenate(distances)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Atoms of a structure, rows of similar environments in the index, and the distances of their fingerprints, Å."""

    atoms: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


def neighbourhoods(structure: TypedStructure) -> list[Neighbourhood]:
    """The neighbourhood of each atom of a structure, periodic images included."""
    count = len(structure.species)
    edges = neighbour_list(structure.positions, structure.cell[None], np.array([count]), NEIGHBOURHOOD)
    vectors = structure.positions[edges.senders] + edges.shifts - structure.positions[edges.receivers]
    order = np.lexsort((np.linalg.norm(vectors, axis=1), edges.receivers))
    vectors, senders = vectors[order], edges.senders[order]
    ends = np.searchsorted(edges.receivers, np.arange(count + 1))
    species = structure.species[senders]
    return [
        Neighbourhood(vectors=vectors[start:stop], species=species[start:stop])
        for start, stop in pairwise(ends)
    ]


def _evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` of the indices below ``count``, evenly spaced."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def duplicate_groups(structures: Iterable[TypedStructure], classes: Sequence[int], limit: float) -> list[int]:
    """For each structure the first of the set that it is a copy of (overlap of at least ``limit``), else itself."""
    firsts: list[int] = []
    # indices of 2^k different structures each, so that a new one does not rebuild the index of all others
    blocks: list[_Block] = []
    for k, structure in enumerate(structures):
        first = next(
            (number for block in blocks if (number := block.copied(structure, limit)) is not None), k
        )
        firsts.append(first)
        if first != k:
            continue
        members = [(k, structure)]
        while blocks and len(blocks[-1].members) <= len(members):
            members = [*blocks.pop().members, *members]
        blocks.append(_Block(members, classes))
    return firsts


class _Block:
    """Index of numbered structures."""

    def __init__(self, members: list[tuple[int, TypedStructure]], classes: Sequence[int]) -> None:
        self.members = members
        self._index = StructureIndex([structure for _, structure in members], classes)

    def copied(self, structure: TypedStructure, limit: float) -> int | None:
        """Number of the member that a structure is a copy of, or None."""
        result = self._index.resemblance(structure)
        if result.most_similar is None or result.largest_overlap < limit:
            return None
        return self.members[result.most_similar][0]
