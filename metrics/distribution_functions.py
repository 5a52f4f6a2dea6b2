"""Radial and angular distribution functions, g(r) and P(theta), of many structures (paper, appendix B.5).

g(r) equals that of ASE. The angles are those between all pairs of neighbours of an atom. Both curves of 256 atoms
take 0.2 ms together with the native library, 1 ms without it, and half a second with ``Analysis`` of ASE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from ..errors import AmsbenchError
from .neighbours import neighbour_list
from .neighbours.packed import StructureInput, SupportsPacking, each_structure, in_chunks, pack
from .neighbours.pairs import neighbour_pairs


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """One distribution function for each structure.

    grid [bins]: centres of the bins, A or degrees
    values [s, bins]: one curve per structure
    """

    grid: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> np.ndarray:
        """Mean curve over structures [bins]; AmsbenchError if there are no structures."""
        if not len(self.values):
            raise AmsbenchError("there are no structures to average a distribution over; pass at least one")
        return self.values.mean(axis=0)


def rdf(structures: StructureInput, *, r_max: float = 5.0, bins: int = 100) -> Curves:
    """Radial distribution function g(r) of each structure (paper, Eq. 16), equal to ASE's to rounding.

    r_max: largest distance, A

    All periodic images within ``r_max`` count, including images of the atom itself, so that cells may be smaller
    than ``2 r_max`` (ASE refuses these). As in ASE a bin holds distances in (lower, upper], and atoms at exactly the
    same point are in no bin. A structure without atoms has g = 0.
    """
    values, _ = radial_and_angular(pack(structures), r_max, bins, 0.0, 0)
    return Curves(grid=bin_centres(r_max, bins), values=values)


def adf(structures: StructureInput, *, r_cut: float = 3.0, bins: int = 180) -> Curves:
    """Angular distribution function P(theta) of each structure, probability per bin (paper, Eq. 17).

    r_cut: two atoms are neighbours below this distance, A

    Every atom is the apex of one angle for each unordered pair of its neighbours; periodic images of one atom are
    separate neighbours. A curve sums to 1, or is zero everywhere if no atom has two neighbours.
    """
    # Structures have equal weight in ``Curves.mean``, whatever their numbers of angles: the paper averages "the
    # distributions across all structures".
    _, values = radial_and_angular(pack(structures), 0.0, 0, r_cut, bins)
    return Curves(grid=bin_centres(180.0, bins), values=values)


def curves_in_chunks(
    function: Callable[[StructureInput], Curves],
    structures: StructureInput,
    *,
    executor: Executor | None = None,
    chunk: int = 500,
) -> Curves:
    """``function(structures)``, evaluated by an executor in chunks of ``chunk`` structures where there are several.

    function: such as ``rdf`` or ``CurveMetric.curves``; at module level or a bound method, since processes pickle it
    The result does not depend on the executor.
    """
    count = len(structures) if isinstance(structures, Sequence) else len(structures.counts)
    if executor is None or count <= chunk:
        return function(structures)
    parts = list(executor.map(function, in_chunks(structures, chunk)))
    return Curves(grid=parts[0].grid, values=np.concatenate([part.values for part in parts]))


def bin_centres(stop: float, bins: int) -> np.ndarray:
    """Centres [bins] of equal bins from 0 to ``stop``."""
    return (np.arange(bins) + 0.5) * (stop / bins)


def radial_and_angular(
    packed: SupportsPacking, r_max: float, rdf_bins: int, r_cut: float, adf_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """g(r) [s, rdf_bins] up to ``r_max`` (A) and P(theta) [s, adf_bins] of neighbours within ``r_cut`` (A).

    A curve with zero bins is not computed.
    """
    shells, angles = _histograms(packed, r_max, rdf_bins, r_cut, adf_bins)
    return relative_to_ideal_gas(shells, packed.counts, packed.counts, packed, r_max), normalised(angles)


def shell_counts(packed: SupportsPacking, r_max: float, bins: int) -> np.ndarray:
    """Numbers of neighbours [s, bins] of all atoms of each structure in shells up to ``r_max`` (A)."""
    return _histograms(packed, r_max, bins, 0.0, 0)[0]


def relative_to_ideal_gas(
    shells: np.ndarray, centres: np.ndarray, others: np.ndarray, packed: SupportsPacking, r_max: float
) -> np.ndarray:
    """g(r) [s, bins]: neighbours in shells, divided by those of an ideal gas in the same cells; 0 without pairs.

    shells [s, bins]: numbers of neighbours of all centres; centres [s], others [s]: numbers of atoms of the two kinds
    """
    edges = np.linspace(0.0, r_max, shells.shape[1] + 1)
    shell_volumes = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    volumes = np.abs(np.linalg.det(np.asarray(packed.cells, dtype=np.float64)))
    pairs = np.asarray(centres, dtype=np.float64) * (np.asarray(others, dtype=np.float64) / volumes)
    ideal_counts = pairs[:, None] * shell_volumes
    return shells / np.where(pairs > 0, ideal_counts.T, 1.0).T


def normalised(counts: np.ndarray) -> np.ndarray:
    """Counts [s, bins] divided by their sum in each structure; zero where there are none."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _histograms(
    packed: SupportsPacking, r_max: float, rdf_bins: int, r_cut: float, adf_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of neighbours [s, rdf_bins] by distance and of bond angles [s, adf_bins]."""
    if neighbour_list.active():
        return neighbour_list.distribution_counts(
            packed, r_max=r_max, shells=rdf_bins, r_cut=r_cut, bins=adf_bins
        )
    shells = np.zeros((len(packed.counts), rdf_bins), dtype=np.int64)
    angles = np.zeros((len(packed.counts), adf_bins), dtype=np.int64)
    for index, (positions, cell) in enumerate(each_structure(packed)):
        i, j, distance, vector = neighbour_pairs(
            positions, cell, True, max(r_max, r_cut), full_list=False, quantities="ijdD"
        )
        if rdf_bins:
            shells[index] = _count_shells(distance, r_max, rdf_bins)
        if adf_bins:
            near = (distance < r_cut) & (distance > 0.0)  # an angle with a leg of zero length is not defined
            legs = vector[near] / distance[near, None]
            apex = np.concatenate([i[near], j[near]])
            (angles[index],) = count_angles(
                apex, np.concatenate([legs, -legs]), np.zeros(len(positions), dtype=np.int64), 1, adf_bins
            )
    return shells, angles


def _count_shells(distance: np.ndarray, r_max: float, bins: int) -> np.ndarray:
    """Numbers of neighbours [bins] of all atoms of one structure, by the distances of its pairs."""
    # Shell k holds distances in ((k - 1) width, k width]; shell 0 holds r = 0.
    shells = np.ceil(distance / (r_max / bins)).astype(np.int64)
    # Each pair counts for both of its atoms.
    return 2 * np.bincount(shells, minlength=bins + 1)[1 : bins + 1]


_ANGLES_AT_ONCE = 2_000_000
"""Most angles computed at once (about 200 MB); bounds the memory for collapsed structures."""


def count_angles(
    apex: np.ndarray, legs: np.ndarray, structure: np.ndarray, structures: int, bins: int
) -> np.ndarray:
    """Numbers of angles [structures, bins] between 0 and 180 degrees, of each two legs with a common apex.

    apex [legs]: atom from which each leg goes out; legs [legs, 3]: unit vectors
    structure [n]: number of the structure of each atom
    """
    order = np.argsort(apex, kind="stable")
    owner, legs = structure[apex[order]], legs[order]
    legs_per_atom = np.bincount(apex, minlength=len(structure))

    # A leg makes an angle with each later leg of the same apex: partners [legs] is the number of these.
    partners = np.repeat(np.cumsum(legs_per_atom), legs_per_atom) - np.arange(len(legs)) - 1
    counts = np.zeros(structures * bins, dtype=np.int64)
    ends = np.cumsum(partners)
    start = 0
    while start < len(legs):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _ANGLES_AT_ONCE)))
        block = np.arange(start, stop)
        first = np.repeat(block, partners[start:stop])
        before = np.repeat(ends[start:stop] - partners[start:stop] - done, partners[start:stop])
        second = first + 1 + np.arange(len(first)) - before
        cosine = np.einsum("ad,ad->a", legs.take(first, axis=0), legs.take(second, axis=0))
        theta = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        bin_indices = np.minimum((theta * (bins / 180.0)).astype(np.int64), bins - 1)
        counts += np.bincount(owner[first] * bins + bin_indices, minlength=structures * bins)
        start = stop
    return counts.reshape(structures, bins)
