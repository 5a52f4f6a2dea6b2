"""Neighbour pairs of one structure."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...errors import AmsbenchError


@functools.lru_cache(maxsize=16)
def _vesin_search(cutoff: float, full_list: bool) -> Any:
    from vesin import NeighborList

    # One thread: callers spread structures over processes, and a few hundred atoms are too few to share.
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
    """All pairs closer than ``cutoff``, every periodic image its own pair, also in cells below the cutoff.

    positions [n, 3]: angstrom, wrapped or not
    cell [3, 3]: angstrom, rows are lattice vectors
    quantities: letters of ``vesin``: i, j (indices), S (shift between the wrapped atoms), d (distance),
        D (vector from i to j)
    full_list: both i-j and j-i, sorted by i; otherwise each pair once

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
        # Wrapped, so that an atom that drifted over many cells costs neither precision nor a huge shift.
        fractional = points @ np.linalg.inv(box)
        points = points - np.where(periodic, np.floor(fractional), 0.0) @ box
    found = _vesin_search(float(cutoff), full_list).compute(
        points=points, box=box, periodic=periodic, quantities=quantities
    )
    # Unsigned indices make poor arithmetic.
    return [q.astype(np.int64) if letter in "ijS" else q for letter, q in zip(quantities, found, strict=True)]
