"""Bonds between two kinds of atoms: pairs closer than a multiple of the sum of their covalent radii."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..neighbours.neighbour_list import neighbour_list
from ..neighbours.packed import selected_atoms, structure_of_atoms
from .element_classes import atoms_of

if TYPE_CHECKING:
    from ..neighbours.packed import SupportsPacking

BOND_STRETCH = 1.3
"""Atoms are bonded below this multiple of the sum of their covalent radii, as in rings (paper, appendix B.6)."""

ELEMENTAL_STRETCH = 3.0 / (2 * 1.11)
"""The same for bonds of network formers with each other: two Si are neighbours within 3 A, as in P(theta)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bonds:
    """Bonds from atoms of one kind, the centres, to atoms of another or the same kind, the ends.

    centre [b], end [b]: atoms of each bond as indices into ``structure``; every periodic image is a bond of its own
    vector [b, 3]: A, from the centre to the end
    is_centre [n], is_end [n]: kind of the selected atoms
    structure [n]: number of the structure of the selected atoms
    structures: number of structures
    """

    centre: np.ndarray
    end: np.ndarray
    vector: np.ndarray
    is_centre: np.ndarray
    is_end: np.ndarray
    structure: np.ndarray
    structures: int


def bonds_between(
    packed: SupportsPacking, centres: Collection[str], ends: Collection[str], *, stretch: float = BOND_STRETCH
) -> Bonds:
    """All bonds from atoms of the elements ``centres`` to atoms of the elements ``ends``.

    stretch: longest bond as a multiple of the sum of the covalent radii of its elements
    """
    from ase.data import covalent_radii

    chosen = selected_atoms(packed, atoms_of(packed, centres) | atoms_of(packed, ends))
    is_centre, is_end = atoms_of(chosen, centres), atoms_of(chosen, ends)
    radii = covalent_radii[chosen.numbers]
    receivers, senders = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    vectors = np.zeros((0, 3))
    if is_centre.any() and is_end.any():
        longest = stretch * (radii[is_centre].max() + radii[is_end].max())
        edges = neighbour_list(chosen.positions, chosen.cells, chosen.counts, longest)
        receivers, senders = edges.receivers, edges.senders
        paired = is_centre[receivers] & is_end[senders]
        receivers, senders, shifts = receivers[paired], senders[paired], edges.shifts[paired]
        positions = np.asarray(chosen.positions, dtype=np.float64)
        vectors = positions[senders] + shifts - positions[receivers]
        bonded = (
            np.einsum("bi,bi->b", vectors, vectors) < (stretch * (radii[receivers] + radii[senders])) ** 2
        )
        receivers, senders, vectors = receivers[bonded], senders[bonded], vectors[bonded]
    return Bonds(
        centre=receivers,
        end=senders,
        vector=vectors,
        is_centre=is_centre,
        is_end=is_end,
        structure=structure_of_atoms(chosen),
        structures=len(packed.counts),
    )
