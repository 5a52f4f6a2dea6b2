"""Guttman rings of a silica network on the periodic, image-resolved graph.

A ring belongs to a bond: it is a shortest closed path through the bond when the bond itself is taken away
(L. Guttman, J. Non-Cryst. Solids 116, 145 (1990); appendix B.6 of the paper). Its size is its number of
Si atoms.

Three decisions that the paper leaves open:

* Only Si-O pairs are bonds. The paper speaks of "the Si-O network"; with like pairs too, any two Si closer
  than 1.3 (1.11 + 1.11) = 2.89 A (edge-sharing tetrahedra) would close a triangle Si-O-Si, which is no ring
  of the network.
* A bond whose shortest path is not unique has several rings, and all are counted: any rule that picks one
  depends on the order of the atoms.
* A node of the graph is an atom together with its lattice translation. A path that returns to another image
  of its start has gone round the cell; it is a chain of the infinite solid, not a ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .neighbours.pairs import neighbour_pairs

if TYPE_CHECKING:
    from ase import Atoms

COVALENT_RADII = {"Si": 1.11, "O": 0.66}
"""Angstrom (paper, B.6)."""

BOND_TOLERANCE = 1.3
"""Bonded below this multiple of the sum of the covalent radii (paper, B.6): 2.301 A for Si-O."""

# Lattice translations are packed into one integer, (s_x B + s_y) B + s_z, so that walking along a bond is one
# addition. A path of 2 * 64 bonds would have to cross four cells with every bond to overflow it.
_SHIFT_BASE = 1024

Parents = dict[int, list[int]]
"""Nodes reached by a search, each with its neighbours one step nearer to the start."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RingStatistics:
    """Unique rings of one structure.

    sizes [n_rings]: Si atoms in each unique ring, ascending; a ring is unique as a set of atoms with their
        images, modulo lattice translations
    failure: why there is no mean ring size, in words; None when there is one
    """

    sizes: np.ndarray
    failure: str | None = None

    @property
    def mean_size(self) -> float | None:
        """Mean number of Si atoms over unique rings, the dataset's property; None when there are no rings."""
        return float(self.sizes.mean()) if len(self.sizes) else None


def guttman_rings(
    atoms: Atoms, *, max_size: int = 16, max_coordination: int = 12, max_paths: int = 2000
) -> RingStatistics:
    """Shortest rings through every Si-O bond of ``atoms``; elements other than Si and O are left out.

    max_size: largest ring looked for, in Si atoms (silica glasses end near 10)
    max_coordination: a structure in which an atom has more Si-O bonds than this has collapsed; the number of
        rings of such a network explodes, so it fails instead (silica has 2 and 4, rarely 6)
    max_paths: a structure with a bond that has more equal shortest paths than this fails likewise

    The result does not depend on the order of the atoms, on their translation or wrapping, nor (in its means)
    on the supercell. Isolated atoms and chains simply have no rings; what keeps a mean from existing is in
    ``failure``.
    Raises AmsbenchError for positions that are not finite and for a periodic cell without volume.
    """
    steps = _bonds(atoms)
    n_atoms = len(atoms)
    silicon = np.array([symbol == "Si" for symbol in atoms.get_chemical_symbols()], dtype=bool)

    coordination = max((len(out) for out in steps), default=0)
    if coordination == 0:
        return _failed("no Si-O bonds")
    if coordination > max_coordination:
        return _failed(
            f"an atom has {coordination} Si-O bonds, more than the {max_coordination} allowed to a network"
        )

    unique: dict[tuple[int, ...], int] = {}
    for oxygen in np.flatnonzero(~silicon):
        # The two bonds of a bridging oxygen have the same rings: every ring through one leaves by the other.
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
    """For every atom, the steps to its bonded partners.

    A node is ``translation * n_atoms + atom``; a step is what to add to a node to get the bonded one.
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
    """Every shortest ring through the bond from node ``start`` to ``start + bond``, as lists of nodes.

    Two breadth-first searches, one from either end of the bond, grow level by level, the smaller one first.
    Where their outermost levels first share nodes, every shortest path passes through exactly one of these.
    Empty when there is no ring of ``max_bonds`` bonds; None when there are more than ``max_paths``.
    """
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
                # The bond itself is taken away; it can only be met while leaving one of its ends.
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
    """Rings through the meeting nodes: every way back to one end of the bond with every way to the other."""
    rings: list[list[int]] = []
    for node in meeting:
        there, back = (_ways_back(node, parents, max_paths) for parents in reached)
        if there is None or back is None or len(rings) + len(there) * len(back) > max_paths:
            return None
        rings.extend(one[::-1] + other[1:] for one in there for other in back)
    return rings


def _ways_back(node: int, parents: Parents, max_paths: int) -> list[list[int]] | None:
    """All shortest paths from ``node`` to where the search started; None when more than ``max_paths``."""
    paths = [[node]]
    while parents[paths[0][-1]]:
        paths = [[*path, parent] for path in paths for parent in parents[path[-1]]]
        if len(paths) > max_paths:
            return None
    return paths


def _modulo_translation(ring: list[int], n_atoms: int) -> tuple[int, ...]:
    """The ring as a set of nodes, moved so that its first atom (by index, then image) is in the home cell."""
    nodes = sorted(ring, key=lambda node: (node % n_atoms, node))
    home = nodes[0] - nodes[0] % n_atoms
    return tuple(node - home for node in nodes)
