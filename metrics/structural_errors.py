"""Errors of averaged distribution functions, their noise floor and ceiling."""

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


STANDARD_PROTOCOL = CurveSettings(name="standard", version=1, reference="test")
"""Compared with held-out melts."""


PAPER_PROTOCOL = CurveSettings(name="paper", version=1, reference="train")
"""Compared with the training set itself, as the paper does (section 5.4)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StructuralCurves:
    """Radial and angular distribution functions of the same structures, and the protocol that made them."""

    rdf: Curves
    adf: Curves
    protocol: CurveSettings

    def __len__(self) -> int:
        return len(self.rdf)


@dataclass(frozen=True, kw_only=True)
class StructuralErrors:
    """Distances between averaged curves: RMSD over bins (paper, Eq. 18) and Wasserstein-1 (A, degrees)."""

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
    """Both distribution functions from one neighbour list per structure, faster than one by one.

    executor: where given, blocks of ``chunk`` structures are shared out to it; the result is the same
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
    """

    value: float
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
        # The whole training set can be drawn in one way only.
        return NoiseFloor(value=curve_rmsd(train.mean, reference.mean), samples=samples, resamples=1)
    rng = np.random.default_rng(seed)
    target = reference.mean
    errors = [
        curve_rmsd(train.values[rng.choice(len(train), size=samples, replace=False)].mean(axis=0), target)
        for _ in range(resamples)
    ]
    return NoiseFloor(value=float(np.mean(errors)), samples=samples, resamples=resamples)


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
    positions = cartesian(fractional, np.repeat(cells, counts, axis=0))
    return PackedStructures(positions=positions, cells=cells, counts=counts)


def ideal_gas_ceiling(
    reference: StructuralCurves, cells: np.ndarray, counts: np.ndarray, *, seed: int = 0
) -> StructuralErrors:
    """The errors of an ideal gas in the cells [s, 3, 3] of a run: the other end of the scale."""
    gas = structural_curves(ideal_gas(cells, counts, seed=seed), protocol=reference.protocol)
    return structural_errors(gas, reference)


def _blocks(packed: SupportsPacking, size: int) -> Iterator[PackedStructures]:
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    for first in range(0, len(packed.counts), size):
        last = min(first + size, len(packed.counts))
        yield PackedStructures(
            positions=packed.positions[offsets[first] : offsets[last]],
            cells=packed.cells[first:last],
            counts=packed.counts[first:last],
        )


def _protocol_curves(packed: SupportsPacking, protocol: CurveSettings) -> tuple[np.ndarray, np.ndarray]:
    """``radial_and_angular`` of a block; a function of the module, so that it pickles."""
    return radial_and_angular(
        packed, protocol.rdf_r_max, protocol.rdf_bins, protocol.adf_r_cut, protocol.adf_bins
    )
