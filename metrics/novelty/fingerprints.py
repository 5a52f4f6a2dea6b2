"""Fingerprints of local environments: the sorted distances of an atom to its nearest neighbours."""

from __future__ import annotations

import numpy as np

from ..neighbours.neighbour_list import neighbour_list

NEIGHBOURS = 16
"""Number of distances of a fingerprint."""
FINGERPRINT_CUTOFF = 7.0
"""Distance in Å that stands for neighbours beyond it; the sixteenth neighbour in the data is at 5 Å."""


def environment_fingerprints(
    positions: np.ndarray, cell: np.ndarray, classes: np.ndarray, atoms: np.ndarray
) -> np.ndarray:
    """Distances [m, NEIGHBOURS] in Å of atoms to their nearest neighbours, sorted, periodic images included.

    positions [n, 3]: Å
    cell [3, 3]: Å, rows are lattice vectors
    atoms [m]: indices of the atoms, in ascending order
    classes [n]: class of each atom, 0 or 1, such as cations and anions; if both classes occur in ``classes``, the first
        half of the distances are those to class 0, the others those to class 1

    Fingerprints do not change if a structure is shifted, rotated or reflected or if its atoms are reordered. Two
    fingerprints are compared by the root mean square of their difference, in Å.
    """
    neighbours = neighbour_list(positions, cell[None], np.array([len(positions)]), FINGERPRINT_CUTOFF)
    place = np.full(len(positions), -1)
    place[atoms] = np.arange(len(atoms))
    chosen = place[neighbours.receivers] >= 0
    receivers, senders = neighbours.receivers[chosen], neighbours.senders[chosen]
    vectors = positions[receivers] - positions[senders] - neighbours.shifts[chosen]
    distances = np.sqrt(np.einsum("ei,ei->e", vectors, vectors))
    receivers = place[receivers]
    kinds = 2 if np.any(classes) else 1
    width = NEIGHBOURS // kinds
    fingerprints = np.full((len(atoms), NEIGHBOURS), FINGERPRINT_CUTOFF, dtype=np.float32)
    for kind in range(kinds):
        of_kind = classes[senders] == kind
        rows, lengths = receivers[of_kind], distances[of_kind]
        order = np.lexsort((lengths, rows))
        rows, lengths = rows[order], lengths[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        near = rank < width
        fingerprints[rows[near], kind * width + rank[near]] = lengths[near]
    return fingerprints
