"""Guttman rings of a silica network, searched on the graph of atoms and their periodic images.

A ring of a bond is a shortest path between the two ends of the bond that does not use the bond, closed by it
(L. Guttman, J. Non-Cryst. Solids 116, 145 (1990); paper, appendix B.6). The size of a ring is its number of Si atoms.

The paper leaves three points open. They are decided here as follows:

* Only Si-O pairs are bonds, because the paper speaks of "the Si-O network". If Si-Si pairs were bonds too, any two Si
  atoms closer than 1.3 (1.11 + 1.11) = 2.89 A (edge-sharing tetrahedra) would form a triangle Si-O-Si.
* If a bond has several shortest paths, all of their rings count. A choice of one would depend on the order of atoms.
* A node of the graph is an atom with a lattice translation. A path from an atom to another image of the same atom
  crosses the cell; it is a chain of the infinite solid and not a ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .neighbours.pairs import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

COVALENT_RADII = {"Si": 1.11, "O": 0.66}
"""A (paper, appendix B.6)."""

BOND_TOLERANCE = 1.3
"""Two atoms are bonded below this multiple of the sum of their radii (paper, appendix B.6): 2.301 A for Si-O."""

# A lattice translation (x, y, z) is stored as one integer, (x B + y) B + z, so that a step along a bond is one
# addition. A path of 128 bonds could overflow it only if every bond crossed four cells.
_SHIFT_BASE = 1024

Parents = dict[int, list[int]]
"""Nodes reached by a search, each with its neighbours that are one bond closer to the start."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RingStatistics:
    """Unique rings of one structure.

    sizes [n_rings]: number of Si atoms of each unique ring, ascending; two rings are the same if they hold the same
        atoms and images, up to a common lattice translation
    failure: reason why there is no mean ring size; None if there is one
    """

    sizes: np.ndarray
    failure: str | None = None

    @property
    def mean_size(self) -> float | None:
        """Mean number of Si atoms over unique rings, the property ``ring_size``; None if there are no rings."""
        return float(self.sizes.mean()) if len(self.sizes) else None


def guttman_rings(
    atoms: Atoms, *, max_size: int = 16, max_coordination: int = 12, max_paths: int = 2000
) -> RingStatistics:
    """Guttman rings of all Si-O bonds of ``atoms``; elements other than Si and O are ignored.

    max_size: largest ring looked for, in Si atoms (silica glasses end near 10)
    max_coordination: the result is a failure if an atom has more Si-O bonds (2 and 4 in silica, rarely 6)
    max_paths: the result is a failure if a bond has more shortest paths of equal length

    The result does not depend on the order of the atoms, on their translation or on wrapping, and the mean size does
    not depend on the supercell. Raises AmsbenchError for positions that are not finite and for a periodic cell
    without volume.
    """
    # Both limits keep collapsed structures, whose number of rings grows without bound, from taking for ever.
    steps = _bonds(atoms)
    n_atoms = len(atoms)
    silicon = np.array([symbol == "Si" for symbol in atoms.get_chemical_symbols()], dtype=bool)

    coordination = max((len(atom_steps) for atom_steps in steps), default=0)
    if coordination == 0:
        return _failed("no Si-O bonds")
    if coordination > max_coordination:
        return _failed(
            f"an atom has {coordination} Si-O bonds, more than the {max_coordination} allowed to a network"
        )

    unique: dict[tuple[int, ...], int] = {}
    for oxygen in np.flatnonzero(~silicon):
        # The two bonds of a bridging oxygen have the same rings: a ring through one bond passes the other, too.
        bridging = len(steps[oxygen]) == 2
        for step in steps[oxygen][:1] if bridging else steps[oxygen]:
            rings = _shortest_rings(int(oxygen), step, steps, 2 * max_size, max_paths)
            if rings is None:
                return _failed(f"a bond has more than {max_paths} equal shortest rings")
            unique.update((_modulo_translation(ring, n_atoms), len(ring) // 2) for ring in rings)
    return RingStatistics(
        sizes=np.sort(np.fromiter(unique.values(), dtype=np.int64, count=len(unique))),
        failure=None if unique else f"no rings of at most {max_size} Si atoms",
    )


def _failed(reason: str) -> RingStatistics:
    return RingStatistics(sizes=np.zeros(0, dtype=np.int64), failure=reason)


def _bonds(atoms: Atoms) -> list[list[int]]:
    """For every atom the differences of node numbers to its bonded atoms.

    The number of a node is ``translation * n_atoms + atom``, with the translation as one integer.
    """
    n_atoms = len(atoms)
    symbols = np.asarray(atoms.get_chemical_symbols())
    cutoff = BOND_TOLERANCE * (COVALENT_RADII["Si"] + COVALENT_RADII["O"])
    i, j, shifts, distances = neighbour_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, cutoff, full_list=True, quantities="ijSd"
    )
    unlike = ((symbols[i] == "Si") & (symbols[j] == "O")) | ((symbols[i] == "O") & (symbols[j] == "Si"))
    keep = unlike & (distances < cutoff)
    i, j, shifts = i[keep], j[keep], shifts[keep]
    translation = (shifts[:, 0] * _SHIFT_BASE + shifts[:, 1]) * _SHIFT_BASE + shifts[:, 2]
    steps: list[list[int]] = [[] for _ in range(n_atoms)]
    for atom, step in zip(i.tolist(), (translation * n_atoms + j - i).tolist(), strict=True):
        steps[atom].append(step)
    return steps


def _shortest_rings(
    start: int, bond: int, steps: list[list[int]], max_bonds: int, max_paths: int
) -> list[list[int]] | None:
    """All shortest rings through the bond from node ``start`` to ``start + bond``, as lists of nodes.

    Empty if there is no ring of at most ``max_bonds`` bonds; None if there are more than ``max_paths`` rings.
    """
    # Two breadth-first searches, one from each end of the bond, grow by one level at a time, the smaller one first.
    # Every shortest path passes through exactly one of the nodes that their outermost levels first have in common.
    n_atoms = len(steps)
    ends = (start, start + bond)
    reached: tuple[Parents, Parents] = ({ends[0]: []}, {ends[1]: []})
    levels = [[ends[0]], [ends[1]]]
    for _ in range(max_bonds - 1):
        side = 0 if len(levels[0]) <= len(levels[1]) else 1
        parents, level = reached[side], levels[side]
        next_level: Parents = {}
        for node in level:
            for step in steps[node % n_atoms]:
                neighbour = node + step
                if neighbour in parents:
                    continue
                if neighbour in next_level:
                    next_level[neighbour].append(node)
                # The bond itself is not part of the graph; only a step from one of its ends could use it.
                elif not (node == ends[side] and neighbour == ends[1 - side]):
                    next_level[neighbour] = [node]
        if not next_level:
            return []
        parents.update(next_level)
        levels[side] = list(next_level)
        meeting = [node for node in levels[1 - side] if node in next_level]
        if meeting:
            return _join(meeting, reached, max_paths)
    return []


def _join(meeting: list[int], reached: tuple[Parents, Parents], max_paths: int) -> list[list[int]] | None:
    """Rings through the common nodes: each path to one end of the bond with each path to the other end."""
    rings: list[list[int]] = []
    for node in meeting:
        to_first, to_second = (_paths_to_start(node, parents, max_paths) for parents in reached)
        if to_first is None or to_second is None:
            return None
        if len(rings) + len(to_first) * len(to_second) > max_paths:
            return None
        rings.extend(first[::-1] + second[1:] for first in to_first for second in to_second)
    return rings


def _paths_to_start(node: int, parents: Parents, max_paths: int) -> list[list[int]] | None:
    """All shortest paths from ``node`` to the start of a search; None if there are more than ``max_paths``."""
    paths = [[node]]
    while parents[paths[0][-1]]:
        paths = [[*path, parent] for path in paths for parent in parents[path[-1]]]
        if len(paths) > max_paths:
            return None
    return paths


def _modulo_translation(ring: list[int], n_atoms: int) -> tuple[int, ...]:
    """Sorted nodes of a ring, translated so that its first atom (by index, then image) lies in the home cell."""
    nodes = sorted(ring, key=lambda node: (node % n_atoms, node))
    home = nodes[0] - nodes[0] % n_atoms
    return tuple(node - home for node in nodes)
