"""Fingerprints of local environments: the sorted distances of an atom to its nearest neighbours."""

from __future__ import annotations

import numpy as np

from ..neighbours.neighbour_list import neighbour_list

NEIGHBOURS = 16
"""Number of distances of a fingerprint."""
FINGERPRINT_CUTOFF = 7.0
"""Distance in Å that stands for neighbours beyond it; the sixteenth neighbour in the data is at 5 Å."""


def environment_fingerprints(
    positions: np.ndarray, cells: np.ndarray, counts: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Distances [n, NEIGHBOURS] in Å of each atom to its nearest neighbours, sorted, periodic images included.

    positions [n, 3]: Å, the atoms of all structures one after the other
    cells [s, 3, 3]: Å, rows are lattice vectors
    counts [s]: number of atoms of each structure
    classes [n]: class of each atom, 0 or 1, such as cations and anions; if both classes occur in ``classes``, the first
        half of the distances are those to class 0, the others those to class 1

    Fingerprints do not change if a structure is shifted, rotated or reflected or if its atoms are reordered. Two
    fingerprints are compared by the root mean square of their difference, in Å.
    """
    neighbours = neighbour_list(positions, cells, counts, FINGERPRINT_CUTOFF)
    receivers, senders = neighbours.receivers, neighbours.senders
    distances = np.linalg.norm(positions[receivers] - positions[senders] - neighbours.shifts, axis=1)
    kinds = 2 if np.any(classes) else 1
    width = NEIGHBOURS // kinds
    fingerprints = np.full((len(positions), NEIGHBOURS), FINGERPRINT_CUTOFF, dtype=np.float32)
    for kind in range(kinds):
        of_kind = classes[senders] == kind
        atoms, lengths = receivers[of_kind], distances[of_kind]
        order = np.lexsort((lengths, atoms))
        atoms, lengths = atoms[order], lengths[order]
        rank = np.arange(len(atoms)) - np.searchsorted(atoms, atoms)
        near = rank < width
        fingerprints[atoms[near], kind * width + rank[near]] = lengths[near]
    return fingerprints
