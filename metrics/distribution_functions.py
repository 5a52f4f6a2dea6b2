"""Radial and angular distribution functions, g(r) and P(theta), of many structures (paper, appendix B.5).

g(r) equals that of ASE. The angles are those between all pairs of neighbours of an atom. Both curves of 256 atoms
take 0.2 ms together with the native library, 1 ms without it, and half a second with ``Analysis`` of ASE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from ..errors import AmsbenchError
from .neighbours import neighbour_list
from .neighbours.packed import PackedStructures, StructureInput, SupportsPacking, each_structure, pack
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
    The result does not depend on the executor. Packed structures that are split carry no species.
    """
    count = len(structures) if isinstance(structures, Sequence) else len(structures.counts)
    if executor is None or count <= chunk:
        return function(structures)
    parts = list(executor.map(function, _chunks(structures, chunk)))
    return Curves(grid=parts[0].grid, values=np.concatenate([part.values for part in parts]))


def _chunks(structures: StructureInput, size: int) -> Iterator[StructureInput]:
    if isinstance(structures, Sequence):
        for first in range(0, len(structures), size):
            yield structures[first : first + size]
        return
    offsets = np.concatenate([[0], np.cumsum(structures.counts)])
    for first in range(0, len(structures.counts), size):
        last = min(first + size, len(structures.counts))
        yield PackedStructures(
            positions=structures.positions[offsets[first] : offsets[last]],
            cells=structures.cells[first:last],
            counts=structures.counts[first:last],
        )


def bin_centres(stop: float, bins: int) -> np.ndarray:
    """Centres [bins] of equal bins from 0 to ``stop``."""
    return (np.arange(bins) + 0.5) * (stop / bins)


def radial_and_angular(
    packed: SupportsPacking, r_max: float, rdf_bins: int, r_cut: float, adf_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """g(r) [s, rdf_bins] up to ``r_max`` (A) and P(theta) [s, adf_bins] of neighbours within ``r_cut`` (A).

    A curve with zero bins is not computed.
    """
    if neighbour_list.active():
        shells, angles = neighbour_list.distribution_counts(
            packed, r_max=r_max, shells=rdf_bins, r_cut=r_cut, bins=adf_bins
        )
    else:
        shells = np.zeros((len(packed.counts), rdf_bins), dtype=np.int64)
        angles = np.zeros((len(packed.counts), adf_bins), dtype=np.int64)
        for index, (positions, cell) in enumerate(each_structure(packed)):
            pairs = _pairs(positions, cell, max(r_max, r_cut))
            if rdf_bins:
                shells[index] = _count_shells(pairs, r_max, rdf_bins)
            if adf_bins:
                angles[index] = _count_angles(pairs, len(positions), r_cut, adf_bins)
    return _radial(shells, packed, r_max), angles / np.maximum(angles.sum(axis=1, keepdims=True), 1)


def _radial(shells: np.ndarray, packed: SupportsPacking, r_max: float) -> np.ndarray:
    """g(r) [s, bins]: numbers of neighbours in shells, divided by those of an ideal gas of the same density."""
    edges = np.linspace(0.0, r_max, shells.shape[1] + 1)
    shell_volumes = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    atoms = np.asarray(packed.counts, dtype=np.float64)
    volumes = np.abs(np.linalg.det(np.asarray(packed.cells, dtype=np.float64)))
    ideal_counts = (atoms * (atoms / volumes))[:, None] * shell_volumes
    return shells / np.where(atoms > 0, ideal_counts.T, 1.0).T


_Pairs = list[np.ndarray]
"""i, j [pairs], distance [pairs] and vector from i to j [pairs, 3] in A; each pair occurs once."""


def _pairs(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> _Pairs:
    return neighbour_pairs(positions, cell, True, cutoff, full_list=False, quantities="ijdD")


def _count_shells(pairs: _Pairs, r_max: float, bins: int) -> np.ndarray:
    """Numbers of neighbours [bins] of all atoms of one structure, by distance."""
    # Shell k holds distances in ((k - 1) width, k width]; shell 0 holds r = 0.
    shells = np.ceil(pairs[2] / (r_max / bins)).astype(np.int64)
    # Each pair counts for both of its atoms.
    return 2 * np.bincount(shells, minlength=bins + 1)[1 : bins + 1]


_ANGLES_AT_ONCE = 2_000_000
"""Most angles computed at once (about 200 MB); bounds the memory for collapsed structures."""


def _count_angles(pairs: _Pairs, n_atoms: int, r_cut: float, bins: int) -> np.ndarray:
    """Numbers of angles [bins] between neighbours of each atom of one structure."""
    i, j, distance, vector = pairs
    near = (distance < r_cut) & (distance > 0.0)  # an angle with a leg of zero length is not defined
    i, j, legs = i[near], j[near], vector[near] / distance[near, None]
    apex = np.concatenate([i, j])
    order = np.argsort(apex, kind="stable")
    legs = np.concatenate([legs, -legs])[order]
    legs_per_atom = np.bincount(apex, minlength=n_atoms)

    # A leg makes an angle with each later leg of the same apex: partners [legs] is the number of these.
    partners = np.repeat(np.cumsum(legs_per_atom), legs_per_atom) - np.arange(len(legs)) - 1
    counts = np.zeros(bins, dtype=np.int64)
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
        counts += np.bincount(bin_indices, minlength=bins)
        start = stop
    return counts
