"""Errors of averaged distribution functions, and the noise floor and ceiling that give them a scale.

The error of a set of structures is the distance of its mean g(r) or P(theta) from that of reference structures:
RMSD over bins (paper, Eq. 18) and Wasserstein-1 distance. The noise floor is the RMSD of training structures
themselves, the ceiling that of random positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .distribution_functions import Curves, bin_centres, radial_and_angular
from .neighbours.packed import PackedStructures, StructureInput, SupportsPacking, cartesian, pack


@dataclass(frozen=True, kw_only=True)
class CurveSettings:
    """Settings of the distribution functions and their reference; results are stored with name and version.

    reference: dataset split whose mean curves are the reference
    rdf_r_max: range of g(r), A
    rdf_bins, adf_bins: numbers of bins of g(r) and P(theta)
    adf_r_cut: two atoms are neighbours in an angle below this distance, A
    """

    name: str
    version: int
    reference: Literal["train", "test"]
    rdf_r_max: float = 5.0
    rdf_bins: int = 100
    adf_r_cut: float = 3.0
    adf_bins: int = 180


STANDARD_PROTOCOL = CurveSettings(name="standard", version=1, reference="test")
"""The reference is the test split: melts that no method was trained on."""

PAPER_PROTOCOL = CurveSettings(name="paper", version=1, reference="train")
"""The reference is the training set, as in the paper (section 5.4)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StructuralCurves:
    """Radial (rdf) and angular (adf) distribution functions of the same structures.

    protocol: the settings that the curves were computed with
    """

    rdf: Curves
    adf: Curves
    protocol: CurveSettings

    def __len__(self) -> int:
        return len(self.rdf)


@dataclass(frozen=True, kw_only=True)
class StructuralErrors:
    """Distances between mean curves of two sets of structures.

    rdf_rmsd, adf_rmsd: RMSD over bins (paper, Eq. 18); of P(theta) in probability per bin
    rdf_wasserstein, adf_wasserstein: Wasserstein-1 distance of the normalised curves, A and degrees
    """

    rdf_rmsd: float
    adf_rmsd: float
    rdf_wasserstein: float
    adf_wasserstein: float


def structural_curves(
    structures: StructureInput,
    *,
    protocol: CurveSettings = STANDARD_PROTOCOL,
    executor: Executor | None = None,
    chunk: int = 500,
) -> StructuralCurves:
    """g(r) and P(theta) of each structure from one neighbour search.

    executor: evaluates blocks of ``chunk`` structures in parallel; the result does not depend on it
    """
    blocks = list(_blocks(pack(structures), chunk))
    run = map if executor is None else executor.map
    results = list(run(_protocol_curves, blocks, [protocol] * len(blocks)))
    radial = [np.zeros((0, protocol.rdf_bins)), *(block[0] for block in results)]
    angular = [np.zeros((0, protocol.adf_bins)), *(block[1] for block in results)]
    return StructuralCurves(
        rdf=Curves(grid=bin_centres(protocol.rdf_r_max, protocol.rdf_bins), values=np.concatenate(radial)),
        adf=Curves(grid=bin_centres(180.0, protocol.adf_bins), values=np.concatenate(angular)),
        protocol=protocol,
    )


def structural_errors(generated: StructuralCurves, reference: StructuralCurves) -> StructuralErrors:
    """Distances of the mean curves of ``generated`` structures from those of the ``reference``."""
    return StructuralErrors(
        rdf_rmsd=curve_rmsd(generated.rdf.mean, reference.rdf.mean),
        adf_rmsd=curve_rmsd(generated.adf.mean, reference.adf.mean),
        rdf_wasserstein=wasserstein(generated.rdf.mean, reference.rdf.mean, reference.rdf.grid),
        adf_wasserstein=wasserstein(generated.adf.mean, reference.adf.mean, reference.adf.grid),
    )


def curve_rmsd(a: ArrayLike, b: ArrayLike) -> float:
    """Root mean square deviation over bins of two curves [bins] (paper, Eq. 18)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise AmsbenchError(f"curves of shapes {a.shape} and {b.shape} cannot be compared; use the same bins")
    return float(np.sqrt(np.mean((a - b) ** 2)))


def wasserstein(a: ArrayLike, b: ArrayLike, grid: ArrayLike) -> float:
    """Wasserstein-1 distance in the unit of ``grid`` between two curves [bins], each normalised to unit sum.

    Unlike the RMSD it grows with the distance by which a peak is displaced, and it does not depend on the height of
    a curve. Raises AmsbenchError for a curve that is zero everywhere (no pairs or no angles) or negative anywhere.
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
    """RMSD of the mean curve of training structures from the reference, at the number of structures of a run.

    value: mean over the draws
    samples: number of training structures in a draw
    resamples: number of draws
    """

    value: float
    samples: int
    resamples: int


def noise_floor(
    reference: Curves, train: Curves, samples: int, *, resamples: int = 200, seed: int = 0
) -> NoiseFloor:
    """RMSD that a perfect generator would have: that of ``samples`` training structures from ``reference``.

    resamples: random draws of training structures without replacement, over which the RMSD is averaged

    The floor holds the finite-sample noise of both sets and the difference between melts. If the reference is the
    training set (protocol ``paper``), it holds the finite-sample noise of the draw alone. Raises AmsbenchError if
    there are fewer than ``samples`` training structures.
    """
    if not 1 <= samples <= len(train):
        raise AmsbenchError(
            f"a noise floor for {samples} samples needs that many training structures, but there are "
            f"{len(train)}; compare fewer samples or use a larger dataset"
        )
    if samples == len(train):
        # The whole training set can be drawn in one way only.
        return NoiseFloor(value=curve_rmsd(train.mean, reference.mean), samples=samples, resamples=1)
    rng = np.random.default_rng(seed)
    reference_curve = reference.mean
    draws = (rng.choice(len(train), size=samples, replace=False) for _ in range(resamples))
    errors = [curve_rmsd(train.values[draw].mean(axis=0), reference_curve) for draw in draws]
    return NoiseFloor(value=float(np.mean(errors)), samples=samples, resamples=resamples)


def noise_corrected(rmsd: float, floor: float) -> float:
    """Part of an RMSD that finite sampling does not explain: sqrt(max(rmsd^2 - floor^2, 0)).

    Independent noise of zero mean adds to the squared deviation. Zero means that the structures cannot be
    distinguished from training structures at this number of structures, not that they are perfect.
    """
    return float(np.sqrt(max(rmsd**2 - floor**2, 0.0)))


def ideal_gas(cells: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> PackedStructures:
    """Structures of atoms at independent, uniformly random positions.

    cells [s, 3, 3]: A, rows are lattice vectors
    counts [s]: number of atoms of each structure
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts, dtype=np.int64)
    cells = np.asarray(cells, dtype=np.float64)
    fractional = rng.random((int(counts.sum()), 3))
    positions = cartesian(fractional, np.repeat(cells, counts, axis=0))
    return PackedStructures(positions=positions, cells=cells, counts=counts)


def ideal_gas_ceiling(
    reference: StructuralCurves, cells: np.ndarray, counts: np.ndarray, *, seed: int = 0
) -> StructuralErrors:
    """Errors of random positions in the same cells: the upper end of the scale, of a generator without skill.

    cells [s, 3, 3], counts [s]: as of ``ideal_gas``
    """
    gas = structural_curves(ideal_gas(cells, counts, seed=seed), protocol=reference.protocol)
    return structural_errors(gas, reference)


def _blocks(packed: SupportsPacking, size: int) -> Iterator[PackedStructures]:
    """The structures in blocks of at most ``size``."""
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for first in range(0, len(packed.counts), size):
        last = min(first + size, len(packed.counts))
        yield PackedStructures(
            positions=packed.positions[offsets[first] : offsets[last]],
            cells=packed.cells[first:last],
            counts=packed.counts[first:last],
        )


def _protocol_curves(packed: SupportsPacking, protocol: CurveSettings) -> tuple[np.ndarray, np.ndarray]:
    """g(r) and P(theta) of a block of structures."""
    # At module level because worker processes receive it by pickling.
    return radial_and_angular(
        packed, protocol.rdf_r_max, protocol.rdf_bins, protocol.adf_r_cut, protocol.adf_bins
    )
