"""Rigid overlap of two neighbourhoods: the share of atoms that coincide after the best rotation or reflection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURHOOD = 5.5
"""Radius of a neighbourhood in Å; it holds 45 to 60 atoms of the bundled materials."""
COINCIDENCE = 0.6
"""Largest distance in Å of two atoms that coincide; five times the displacement of an atom at 300 K."""
FIRST_ATOMS = 20
"""Nearest atoms with which rotations are tried before all atoms of a neighbourhood are compared."""
PROMISING = 0.5
"""Least share of coinciding first atoms with which the whole neighbourhood is compared."""
_LENGTH_TOLERANCE = 0.45
_REFINEMENTS = 2
_LEAST_SINE = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbourhood:
    """The atoms around an atom, nearest first.

    vectors [m, 3]: from the central atom, Å
    species [m]: number of the element of each atom
    """

    vectors: np.ndarray
    species: np.ndarray


def rigid_overlap(first: Neighbourhood, second: Neighbourhood) -> float:
    """Share of the atoms of ``first`` that coincide with an atom of one element in ``second``, 0 to 1.

    The central atoms coincide, and ``second`` is turned or reflected such that the share is largest. Candidate
    rotations map two neighbours of ``first`` on pairs of neighbours of ``second``; the best one is refined by least
    squares (Kabsch) over the coinciding atoms. If fewer than ``PROMISING`` of the nearest atoms coincide, only these
    are counted, and the share is a lower bound.
    """
    rotations = _candidate_rotations(first, second)
    if not len(rotations):
        return 0.0
    few_first, few_second = _nearest(first, FIRST_ATOMS), _nearest(second, 2 * FIRST_ATOMS)
    shares, _ = _coincidences(few_first, few_second, rotations)
    best = int(shares.argmax())
    rotation, share = rotations[best], float(shares[best])
    if share < PROMISING:
        return share * len(few_first.vectors) / len(first.vectors)
    shares, partners = _coincidences(first, second, rotation[None])
    share = float(shares[0])
    for _ in range(_REFINEMENTS):
        paired = partners[0] >= 0
        if paired.sum() < 3:
            break
        refined = _kabsch(first.vectors[paired], second.vectors[partners[0][paired]])
        shares, partners = _coincidences(first, second, refined[None])
        if shares[0] <= share:
            break
        share = float(shares[0])
    return share


def _nearest(neighbourhood: Neighbourhood, count: int) -> Neighbourhood:
    return Neighbourhood(vectors=neighbourhood.vectors[:count], species=neighbourhood.species[:count])


def _candidate_rotations(first: Neighbourhood, second: Neighbourhood) -> np.ndarray:
    """Rotations and reflections [k, 3, 3] that map pairs of neighbours in ``second`` on one pair in ``first``."""
    pair = _pair_of_directions(first.vectors)
    if pair is None:
        return np.zeros((0, 3, 3))
    a, b = pair
    lengths = np.linalg.norm(second.vectors, axis=1)
    like_a, like_b = (
        np.flatnonzero(
            (second.species == first.species[k])
            & (np.abs(lengths - np.linalg.norm(first.vectors[k])) < _LENGTH_TOLERANCE)
        )
        for k in (a, b)
    )
    i, j = (grid.ravel() for grid in np.meshgrid(like_a, like_b, indexing="ij"))
    distance = np.linalg.norm(first.vectors[a] - first.vectors[b])
    apart = np.linalg.norm(second.vectors[i] - second.vectors[j], axis=1)
    fitting = (i != j) & (np.abs(apart - distance) < COINCIDENCE)
    # two directions define a rotation only if they are not parallel
    fitting &= np.linalg.norm(np.cross(second.vectors[i], second.vectors[j]), axis=1) > 1e-3
    i, j = i[fitting], j[fitting]
    axes_first = _axes(first.vectors[a], first.vectors[b])
    axes_second = _axes(second.vectors[i], second.vectors[j])
    mirrored = axes_first * np.array([1.0, 1.0, -1.0])[:, None]
    return np.concatenate([np.einsum("ki,nkj->nij", axes, axes_second) for axes in (axes_first, mirrored)])


def _pair_of_directions(vectors: np.ndarray) -> tuple[int, int] | None:
    """The nearest atom and the nearest one that is not in line with it; None if all atoms are on one line."""
    if len(vectors) < 2 or np.linalg.norm(vectors[0]) < 1e-3:
        return None
    sines = np.linalg.norm(np.cross(vectors[0], vectors), axis=1) / (
        np.linalg.norm(vectors[0]) * np.linalg.norm(vectors, axis=1) + 1e-12
    )
    off_line = np.flatnonzero(sines > _LEAST_SINE)
    return (0, int(off_line[0])) if len(off_line) else None


def _axes(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal axes [..., 3, 3], as rows, of directions u and v [..., 3]: along u, in their plane,
    and perpendicular to it."""
    along = u / np.linalg.norm(u, axis=-1, keepdims=True)
    normal = np.cross(u, v)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.stack([along, np.cross(normal, along), normal], axis=-2)


def _coincidences(
    first: Neighbourhood, second: Neighbourhood, rotations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of coinciding atoms [k] for each rotation, and the partner of each atom of ``first`` [k, m], or -1."""
    turned = np.einsum("kij,bj->kbi", rotations, second.vectors)
    squared = (
        (first.vectors**2).sum(1)[None, :, None]
        + (turned**2).sum(2)[:, None, :]
        - 2 * np.einsum("ai,kbi->kab", first.vectors, turned)
    )
    squared = np.where(first.species[:, None] == second.species[None, :], squared, np.inf)
    partners = squared.argmin(axis=2)
    nearest = np.take_along_axis(squared, partners[..., None], axis=2)[..., 0]
    coincide = nearest < COINCIDENCE**2
    return coincide.mean(axis=1), np.where(coincide, partners, -1)


def _kabsch(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthogonal matrix R [3, 3] that minimises the squared distances of first [m, 3] and second R^T [m, 3]."""
    u, _, vt = np.linalg.svd(first.T @ second)
    return u @ vt
