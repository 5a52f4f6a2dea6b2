"""Partial distribution functions: g(r) between two kinds of atoms, and angles of bonds between two kinds."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ..distribution_functions import (
    Curves,
    bin_centres,
    count_angles,
    normalised,
    relative_to_ideal_gas,
    shell_counts,
)
from ..neighbours.packed import in_chunks, pack, selected_atoms, structure_of_atoms
from .bonds import BOND_STRETCH, bonds_between
from .element_classes import atoms_of

if TYPE_CHECKING:
    from ..neighbours.packed import StructureInput, SupportsPacking

STRUCTURES_AT_ONCE = 100
"""Structures whose bonds are held in memory at once (some 10 MB)."""


def partial_rdf(
    structures: StructureInput,
    first: Collection[str],
    second: Collection[str],
    *,
    r_max: float = 5.0,
    bins: int = 100,
) -> Curves:
    """Partial g_ab(r) of each structure: density of atoms of b at distance r of an atom of a, over their mean density.

    first, second: elements of a and of b, equal or without a common element
    r_max: largest distance, A; bins as in ``rdf``

    With shares c of the atoms, sum_ab c_a c_b g_ab(r) is the total g(r). A structure without atoms of a or of b has
    g_ab = 0. AmsbenchError for kinds that overlap, and for packed structures without species.
    """
    a, b = frozenset(first), frozenset(second)
    if a != b and a & b:
        raise AmsbenchError(
            f"the elements {', '.join(sorted(a))} and {', '.join(sorted(b))} overlap; a partial g(r) is that of one "
            "kind of atoms, or of two kinds without a common element"
        )
    packed = pack(structures)
    of_a, of_b = atoms_of(packed, a), atoms_of(packed, b)
    number_a, number_b = (_per_structure(packed, chosen) for chosen in (of_a, of_b))
    shells = shell_counts(selected_atoms(packed, of_a), r_max, bins)
    if a != b:
        # Neighbours among all atoms of both kinds are those of a by a, of b by b, and of a by b twice: seen from a and
        # from b.
        both = shell_counts(selected_atoms(packed, of_a | of_b), r_max, bins)
        shells = (both - shells - shell_counts(selected_atoms(packed, of_b), r_max, bins)) // 2
    values = relative_to_ideal_gas(shells, number_a, number_b, packed, r_max)
    return Curves(grid=bin_centres(r_max, bins), values=values)


def partial_adf(
    structures: StructureInput,
    centres: Collection[str],
    ends: Collection[str],
    *,
    stretch: float = BOND_STRETCH,
    bins: int = 180,
) -> Curves:
    """Distribution of the bond angles end-centre-end of each structure, probability per bin.

    centres, ends: elements of the apex and of the two legs of an angle
    stretch: longest bond as a multiple of the sum of the covalent radii of its elements

    As in ``adf`` an apex has one angle for each unordered pair of its bonds, and a curve is zero without angles.
    """
    parts = [np.zeros((0, bins), dtype=np.int64)]
    for part in in_chunks(pack(structures), STRUCTURES_AT_ONCE):
        bonds = bonds_between(pack(part), centres, ends, stretch=stretch)
        length = np.linalg.norm(bonds.vector, axis=1)
        directed = length > 0.0  # an angle with a leg of zero length is not defined
        legs = bonds.vector[directed] / length[directed, None]
        parts.append(count_angles(bonds.centre[directed], legs, bonds.structure, bonds.structures, bins))
    return Curves(grid=bin_centres(180.0, bins), values=normalised(np.concatenate(parts)))


def _per_structure(packed: SupportsPacking, chosen: np.ndarray) -> np.ndarray:
    """Number of the chosen atoms (bool [n]) in each structure, [s]."""
    return np.bincount(structure_of_atoms(packed)[chosen], minlength=len(packed.counts))
