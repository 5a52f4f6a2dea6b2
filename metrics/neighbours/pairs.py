"""Neighbour pairs of one structure, found by vesin."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...errors import AmsbenchError


@functools.lru_cache(maxsize=16)
def _vesin_search(cutoff: float, full_list: bool) -> Any:
    from vesin import NeighborList

    # One thread: callers distribute structures over processes, and a few hundred atoms are too few to share.
    return NeighborList(cutoff=cutoff, full_list=full_list, sorted=full_list, n_threads=1)


def neighbour_pairs(
    positions: np.ndarray,
    cell: np.ndarray,
    periodic: Any,
    cutoff: float,
    *,
    full_list: bool,
    quantities: str,
) -> list[np.ndarray]:
    """All pairs of atoms closer than ``cutoff`` (A), one array for each letter of ``quantities``.

    positions [n, 3]: A, wrapped into the cell or not
    cell [3, 3]: A, rows are lattice vectors; may be smaller than the cutoff
    periodic: one flag, or one for each lattice vector
    full_list: both i-j and j-i, sorted by i; otherwise each pair once
    quantities: letters of ``vesin``: i, j (indices), S (lattice translation between the wrapped atoms, integers),
        d (distance, A), D (vector from i to j, A)

    Periodic images of one atom are separate neighbours, also of the atom itself.

    Raises AmsbenchError for positions or cells that are not finite and for a periodic cell without volume.
    """
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise AmsbenchError(
            "a structure has positions or a cell that are not finite numbers; drop it and count it as failed"
        )
    if np.any(periodic) and abs(np.linalg.det(cell)) < 1e-6:
        raise AmsbenchError(
            f"a periodic structure has a cell without volume, {np.asarray(cell).tolist()}; set its cell"
        )
    if len(positions) == 0:
        empty = {"i": (0,), "j": (0,), "d": (0,), "S": (0, 3), "D": (0, 3)}
        return [np.zeros(empty[q], dtype=np.int64 if q in "ijS" else np.float64) for q in quantities]
    points = np.ascontiguousarray(positions, dtype=np.float64)
    box = np.ascontiguousarray(cell, dtype=np.float64)
    if np.any(periodic):
        # Wrapping keeps precision, and integers small, for atoms that have drifted over many cells.
        fractional = points @ np.linalg.inv(box)
        points = points - np.where(periodic, np.floor(fractional), 0.0) @ box
    arrays = _vesin_search(float(cutoff), full_list).compute(
        points=points, box=box, periodic=periodic, quantities=quantities
    )
    # vesin returns unsigned indices, whose differences would wrap around.
    return [
        array.astype(np.int64) if letter in "ijS" else array
        for letter, array in zip(quantities, arrays, strict=True)
    ]
