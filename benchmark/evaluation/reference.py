"""Errors of structures against reference values: mean curves of a dataset, noise floors, ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import AmsbenchError
from ...metrics.bootstrap import bootstrap_interval, rmsd_to
from ...metrics.neighbours.packed import each_structure
from ...metrics.structural_errors import curve_rmsd, ideal_gas, noise_corrected, wasserstein
from ..datasets.dataset import Dataset
from .descriptor_means import STANDARD_DESCRIPTORS
from .reference_values import DatasetValues, ReferenceValues
from .structural_scores import MEAN_DIGITS, CurveScores, StructuralScores

if TYPE_CHECKING:
    from ase import Atoms

    from ...metrics.design.inverse_design import TrainingLabels
    from ...metrics.distribution_functions import Curves
    from ...metrics.metric import CurveMetric
    from ...metrics.structural_errors import FrozenCurve
    from ..datasets.definition import DatasetDefinition
    from .material_limits import MaterialReference

LARGEST_GAS = 1_000
"""Most structures whose atoms are put at random positions for the ceiling: its sampling error is negligible."""


class Reference:
    """The reference that structures are scored against.

    origin: values of a frozen reference, or a dataset, on which they are computed when they are first needed
    split: ``test`` (held-out simulations) or ``train`` (protocol ``paper``: the training set itself, section 5.4)
    """

    def __init__(
        self, origin: Dataset | ReferenceValues, *, split: Literal["train", "test"] = "test"
    ) -> None:
        self.values = DatasetValues(origin) if isinstance(origin, Dataset) else origin
        self.split = split

    @property
    def definition(self) -> DatasetDefinition:
        """Definition of the dataset."""
        return self.values.definition

    def describe(self) -> str:
        """Origin of the values with its short hash, for reports."""
        return self.values.describe()

    def curve(self, metric: CurveMetric) -> FrozenCurve:
        """Mean curve of the reference structures, and the variances for the noise floor."""
        return self.values.curve(metric, self.split)

    def labels(self, name: str) -> TrainingLabels:
        """Statistics of a property over the labelled structures of the training split, in the property's unit."""
        return self.values.labels(name)

    def material(self, *, relaxed: bool) -> MaterialReference:
        """Limits of the material and the training structures that others are compared with.

        relaxed: whether limits of relaxed structures are needed, which take long if they have to be measured
        """
        return self.values.material(relaxed=relaxed)

    @property
    def fractions(self) -> np.ndarray:
        """Share of each element in each training structure, [s, e]."""
        return self.values.fractions

    def descriptors(self, names: Sequence[str] = STANDARD_DESCRIPTORS) -> dict[str, float | None]:
        """Means of the descriptors over the training set (``ReferenceValues.descriptors``)."""
        return dict(self.values.descriptors(names))

    def scores(
        self, frames: Sequence[Atoms], curves: Mapping[CurveMetric, Curves], seed: int = 0
    ) -> StructuralScores:
        """Errors of the mean curves with intervals, noise floors and ceilings at this number of structures.

        frames: the structures, or the first ``LARGEST_GAS`` of them
        """
        gas = _random_positions(frames[:LARGEST_GAS], seed)
        return StructuralScores(
            reference=self.split,
            curves={
                metric.name: self._score(metric, measured, metric.curves(gas), seed)
                for metric, measured in curves.items()
            },
            means={
                metric.name: [float(f"{value:.{MEAN_DIGITS}g}") for value in measured.mean]
                for metric, measured in curves.items()
            },
        )

    def _score(self, metric: CurveMetric, measured: Curves, gas: Curves, seed: int) -> CurveScores:
        reference = self.curve(metric)
        if measured.values.shape[1:] != reference.mean.shape:
            raise AmsbenchError(
                f"metric '{metric.name}' gives curves of different lengths for different structures"
            )
        rmsd = curve_rmsd(measured.mean, reference.mean)
        floor = reference.floor(len(measured))
        interval = None
        if len(measured) > 1:
            interval = bootstrap_interval(measured.values, rmsd_to(reference.mean), seed=seed)
        distance = None
        # a distribution of nothing, such as the angles of structures without bonds, is at no distance
        if metric.distance_unit is not None and measured.mean.any() and reference.mean.any():
            distance = wasserstein(measured.mean, reference.mean, reference.grid)
        return CurveScores(
            version=metric.version,
            rmsd=rmsd,
            low=max(0.0, interval.low) if interval else None,
            high=interval.high if interval else None,
            floor=floor,
            corrected=noise_corrected(rmsd, floor),
            ceiling=curve_rmsd(gas.mean, reference.mean),
            wasserstein=distance,
        )


def _random_positions(frames: Sequence[Atoms], seed: int) -> list[Atoms]:
    """Copies of the structures with independent uniform positions: the same cells and species, no structure."""
    cells = np.array([frame.cell.array for frame in frames])
    packed = ideal_gas(cells, np.array([len(frame) for frame in frames]), seed=seed)
    copies = [frame.copy() for frame in frames]
    for copy, (positions, _) in zip(copies, each_structure(packed), strict=True):
        copy.positions = positions
    return copies
