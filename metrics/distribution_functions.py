"""Radial and angular distribution functions of many structures, and distances between them.

The protocol follows appendix B.5 of the paper: g(r) as ASE computes it, bond angles of all pairs of
neighbours, curves averaged over structures, root mean square deviation over bins. Both curves of 256 atoms
take a fifth of a millisecond together, one where no C compiler was at hand and half a second by ASE's
``Analysis``, so that 10,000 structures are compared in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .neighbours import neighbour_list
from .neighbours.packed import Packed, PackedStructures, Structures, each_structure, neighbor_pairs, pack


@dataclass(frozen=True, kw_only=True)
class StructuralProtocol:
    """Everything that a structural error depends on; stored with each result by name and version.

    reference: the split whose averaged curves generated structures are compared with
    """

    name: str
    version: int
    reference: Literal["train", "test"]
    rdf_r_max: float = 5.0
    rdf_bins: int = 100
    adf_r_cut: float = 3.0
    adf_bins: int = 180


STANDARD_PROTOCOL = StructuralProtocol(name="standard", version=1, reference="test")
"""Compared with held-out melts."""

PAPER_PROTOCOL = StructuralProtocol(name="paper", version=1, reference="train")
"""Compared with the training set itself, as the paper does (section 5.4)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """A distribution of each structure.

    grid [bins]: centres of the bins, angstrom or degrees
    values [s, bins]: one curve per structure
    """

    grid: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> np.ndarray:
        """The average over structures, [bins]; AmsbenchError when there are none."""
        if not len(self.values):
            raise AmsbenchError("there are no structures to average a distribution over; pass at least one")
        return self.values.mean(axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class StructuralCurves:
    """Radial and angular distribution functions of the same structures, and the protocol that made them."""

    rdf: Curves
    adf: Curves
    protocol: StructuralProtocol

    def __len__(self) -> int:
        return len(self.rdf)


@dataclass(frozen=True, kw_only=True)
class StructuralErrors:
    """Distances between averaged curves: RMSD over bins (paper, Eq. 18) and Wasserstein-1 (A, degrees)."""

    rdf_rmsd: float
    adf_rmsd: float
    rdf_wasserstein: float
    adf_wasserstein: float


def rdf(structures: Structures, *, r_max: float = 5.0, bins: int = 100) -> Curves:
    """Radial distribution function g(r) of each structure (paper, Eq. 16), equal to ASE's to rounding.

    Every periodic image within ``r_max`` counts, also an atom's own, so cells may be smaller than ``2
    r_max``, where ASE refuses. As in ASE a bin holds distances in (lower, upper]; atoms at exactly the same
    point are in none. A structure without atoms has g = 0.
    """
    values, _ = _both(pack(structures), r_max, bins, 0.0, 0)
    return Curves(grid=_centres(r_max, bins), values=values)


def adf(structures: Structures, *, r_cut: float = 3.0, bins: int = 180) -> Curves:
    """Angular distribution function P(theta) of each structure, probability per bin (paper, Eq. 17).

    Each atom is the apex of one angle for every unordered pair of its neighbours closer than ``r_cut``,
    periodic images being neighbours in their own right. A curve sums to 1; that of a structure in which no
    atom has two neighbours is zero everywhere. Structures weigh the same in ``Curves.mean``, however many
    angles they have: the paper averages "the distributions across all structures".
    """
    _, values = _both(pack(structures), 0.0, 0, r_cut, bins)
    return Curves(grid=_centres(180.0, bins), values=values)


def structural_curves(
    structures: Structures,
    *,
    protocol: StructuralProtocol = STANDARD_PROTOCOL,
    executor: Executor | None = None,
    chunk: int = 500,
) -> StructuralCurves:
    """Both distribution functions from one neighbour list per structure, faster than one by one.

    executor: where given, blocks of ``chunk`` structures are shared out to it; the result is the same
    """
    blocks = list(_blocks(pack(structures), chunk))
    run = map if executor is None else executor.map
    results = list(run(_protocol_curves, blocks, [protocol] * len(blocks)))
    radial = [np.zeros((0, protocol.rdf_bins)), *(block[0] for block in results)]
    angular = [np.zeros((0, protocol.adf_bins)), *(block[1] for block in results)]
    return StructuralCurves(
        rdf=Curves(grid=_centres(protocol.rdf_r_max, protocol.rdf_bins), values=np.concatenate(radial)),
        adf=Curves(grid=_centres(180.0, protocol.adf_bins), values=np.concatenate(angular)),
        protocol=protocol,
    )


def structural_errors(generated: StructuralCurves, reference: StructuralCurves) -> StructuralErrors:
    """The averaged curves of ``generated`` structures against those of the ``reference``."""
    return StructuralErrors(
        rdf_rmsd=curve_rmsd(generated.rdf.mean, reference.rdf.mean),
        adf_rmsd=curve_rmsd(generated.adf.mean, reference.adf.mean),
        rdf_wasserstein=wasserstein(generated.rdf.mean, reference.rdf.mean, reference.rdf.grid),
        adf_wasserstein=wasserstein(generated.adf.mean, reference.adf.mean, reference.adf.grid),
    )


def curve_rmsd(a: ArrayLike, b: ArrayLike) -> float:
    """Root mean square deviation over bins between two curves [bins] (paper, Eq. 18)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise AmsbenchError(f"curves of shapes {a.shape} and {b.shape} cannot be compared; use the same bins")
    return float(np.sqrt(np.mean((a - b) ** 2)))


def wasserstein(a: ArrayLike, b: ArrayLike, grid: ArrayLike) -> float:
    """Wasserstein-1 distance in the unit of ``grid`` between two curves [bins], each scaled to unit sum.

    Unlike the RMSD it grows with how far a peak is misplaced. Of a g(r) it sees the shape alone.
    AmsbenchError for a curve that is zero everywhere (no angles, no pairs), which no scaling makes a
    distribution.
    """
    from scipy.stats import wasserstein_distance

    a, b, grid = (np.asarray(curve, dtype=np.float64) for curve in (a, b, grid))
    if not (a.shape == b.shape == grid.shape and a.ndim == 1):
        raise AmsbenchError(
            f"curves of shapes {a.shape} and {b.shape} need one grid, got one of {grid.shape}"
        )
    for curve in (a, b):
        if not curve.sum() > 0 or (curve < 0).any():
            raise AmsbenchError(
                "a Wasserstein distance needs curves that are nowhere negative and not all zero"
            )
    return float(wasserstein_distance(grid, grid, a, b))


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """RMSD that as many training structures as a run has samples have against the reference.

    value: mean over the resamples
    spread: their standard deviation; None when ``samples`` is the whole training set, which can be drawn
        only once
    """

    value: float
    spread: float | None
    samples: int
    resamples: int


def noise_floor(
    reference: Curves, train: Curves, samples: int, *, resamples: int = 200, seed: int = 0
) -> NoiseFloor:
    """What a perfect generator would score: training structures, drawn without replacement, as the samples.

    It holds the finite-sample noise of both sides and the difference between melts. With the training set
    itself as the reference (protocol ``paper``) only the noise of the smaller draw is left. AmsbenchError
    when there are fewer than ``samples`` training structures.
    """
    if not 1 <= samples <= len(train):
        raise AmsbenchError(
            f"a noise floor for {samples} samples needs that many training structures, but there are "
            f"{len(train)}; compare fewer samples or use a larger dataset"
        )
    if samples == len(train):
        return NoiseFloor(
            value=curve_rmsd(train.mean, reference.mean), spread=None, samples=samples, resamples=1
        )
    rng = np.random.default_rng(seed)
    target = reference.mean
    errors = [
        curve_rmsd(train.values[rng.choice(len(train), size=samples, replace=False)].mean(axis=0), target)
        for _ in range(resamples)
    ]
    return NoiseFloor(
        value=float(np.mean(errors)),
        spread=float(np.std(errors, ddof=1)) if resamples > 1 else None,
        samples=samples,
        resamples=resamples,
    )


def noise_corrected(rmsd: float, floor: float) -> float:
    """The part of an RMSD that finite sampling does not explain: sqrt(max(rmsd^2 - floor^2, 0)).

    Independent noise of zero mean adds to the squared deviation. Zero means "not told apart from training
    structures at this sample count", not "perfect".
    """
    return float(np.sqrt(max(rmsd**2 - floor**2, 0.0)))


def ideal_gas(cells: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> PackedStructures:
    """Atoms at independent uniform positions in cells [s, 3, 3]: what a generator without skill makes."""
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts, dtype=np.int64)
    cells = np.asarray(cells, dtype=np.float64)
    fractional = rng.random((int(counts.sum()), 3))
    positions = np.einsum("ni,nij->nj", fractional, np.repeat(cells, counts, axis=0))
    return PackedStructures(positions=positions, cells=cells, counts=counts)


def ideal_gas_ceiling(
    reference: StructuralCurves, cells: np.ndarray, counts: np.ndarray, *, seed: int = 0
) -> StructuralErrors:
    """The errors of an ideal gas in the cells [s, 3, 3] of a run: the other end of the scale."""
    gas = structural_curves(ideal_gas(cells, counts, seed=seed), protocol=reference.protocol)
    return structural_errors(gas, reference)


def _centres(stop: float, bins: int) -> np.ndarray:
    return (np.arange(bins) + 0.5) * (stop / bins)


def _blocks(packed: Packed, size: int) -> Iterator[PackedStructures]:
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for first in range(0, len(packed.counts), size):
        last = min(first + size, len(packed.counts))
        yield PackedStructures(
            positions=packed.positions[offsets[first] : offsets[last]],
            cells=packed.cells[first:last],
            counts=packed.counts[first:last],
        )


def _protocol_curves(packed: Packed, protocol: StructuralProtocol) -> tuple[np.ndarray, np.ndarray]:
    """``_both`` of a block; a function of the module, so that it pickles."""
    return _both(packed, protocol.rdf_r_max, protocol.rdf_bins, protocol.adf_r_cut, protocol.adf_bins)


def _both(
    packed: Packed, r_max: float, rdf_bins: int, r_cut: float, adf_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Radial [s, rdf_bins] and angular [s, adf_bins] curves; one without bins is not computed."""
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


def _radial(shells: np.ndarray, packed: Packed, r_max: float) -> np.ndarray:
    """g(r) [s, bins]: neighbours counted in shells, over those of an ideal gas as dense."""
    edges = np.linspace(0.0, r_max, shells.shape[1] + 1)
    shell_volumes = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    atoms = np.asarray(packed.counts, dtype=np.float64)
    volumes = np.abs(np.linalg.det(np.asarray(packed.cells, dtype=np.float64)))
    ideal = (atoms * (atoms / volumes))[:, None] * shell_volumes
    return shells / np.where(atoms > 0, ideal.T, 1.0).T


_Pairs = list[np.ndarray]
"""i, j [pairs], distance [pairs] and vector [pairs, 3] from i to j, every pair once."""


def _pairs(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> _Pairs:
    return neighbor_pairs(positions, cell, True, cutoff, full_list=False, quantities="ijdD")


def _count_shells(pairs: _Pairs, r_max: float, bins: int) -> np.ndarray:
    """Neighbours of all atoms of one structure, [bins]."""
    # shell k holds ((k - 1) width, k width]; shell 0 is r = 0
    shells = np.ceil(pairs[2] / (r_max / bins)).astype(np.int64)
    # every pair is a neighbour both ways
    return 2 * np.bincount(shells, minlength=bins + 1)[1 : bins + 1]


_ANGLES_AT_ONCE = 2_000_000
"""Bounds the memory for structures whose atoms sit on top of each other (about 200 MB)."""


def _count_angles(pairs: _Pairs, n_atoms: int, r_cut: float, bins: int) -> np.ndarray:
    """Angles between neighbours of each atom of one structure, [bins]."""
    i, j, distance, vector = pairs
    near = (distance < r_cut) & (distance > 0.0)  # an angle with a leg of no length is not defined
    i, j, legs = i[near], j[near], vector[near] / distance[near, None]
    apex = np.concatenate([i, j])
    order = np.argsort(apex, kind="stable")
    legs = np.concatenate([legs, -legs])[order]
    legs_per_atom = np.bincount(apex, minlength=n_atoms)

    # Leg e makes an angle with each later leg of its own apex: partners[e] of them.
    partners = np.repeat(np.cumsum(legs_per_atom), legs_per_atom) - np.arange(len(legs)) - 1
    counted = np.zeros(bins, dtype=np.int64)
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
        counted += np.bincount(
            np.minimum((theta * (bins / 180.0)).astype(np.int64), bins - 1), minlength=bins
        )
        start = stop
    return counted
