"""Reference values for generated structures: mean curves of a dataset, noise floors, means of descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import AmsbenchError
from ...metrics.bootstrap import bootstrap_interval, rmsd_to
from ...metrics.composition import fraction_distance
from ...metrics.design.inverse_design import TrainingLabels
from ...metrics.neighbours.packed import each_structure
from ...metrics.structural_errors import (
    FrozenCurve,
    curve_rmsd,
    ideal_gas,
    noise_corrected,
    wasserstein,
)
from ..datasets.dataset import Dataset
from .descriptor_means import STANDARD_DESCRIPTORS, descriptor_means, element_fractions, structure_row
from .frozen_material import material_of
from .material_limits import MaterialReference
from .structural_scores import CurveScores, StructuralScores

if TYPE_CHECKING:
    from ase import Atoms

    from ...metrics.distribution_functions import Curves
    from ...metrics.metric import CurveMetric

DESCRIPTOR_SAMPLES = 200
"""Approximate number of training structures over which the descriptors of a dataset are averaged."""


class Reference:
    """The reference values of a dataset, each computed once when it is first needed.

    split: ``test`` (held-out simulations) or ``train`` (protocol ``paper``: the training set itself, section 5.4)
    """

    def __init__(self, dataset: Dataset, *, split: Literal["train", "test"] = "test") -> None:
        self.dataset, self.split = dataset, split
        self._materials: dict[bool, MaterialReference] = {}
        self._curves: dict[str, FrozenCurve] = {}
        self._descriptors: dict[tuple[str, ...], dict[str, float | None]] = {}

    def curve(self, metric: CurveMetric) -> FrozenCurve:
        """Mean curve of the reference structures, and the variances for the noise floor."""
        if metric.name not in self._curves:
            part = self.dataset.split(self.split)
            population = None
            if len(np.unique(part.groups)) == 1:
                population = metric.curves(self.dataset), self.dataset.groups
            self._curves[metric.name] = FrozenCurve.from_curves(
                metric.curves(part), part.groups, population=population
            )
        return self._curves[metric.name]

    def labels(self, name: str) -> TrainingLabels:
        """Statistics of a property over the labelled structures of the training split, in the property's unit."""
        column = self.dataset.split("train").properties[:, self.dataset.property_names.index(name)]
        return TrainingLabels.of(column)

    def material(self, *, relaxed: bool) -> MaterialReference:
        """Limits of the material and the training structures that others are compared with.

        relaxed: whether limits of relaxed structures are needed, which take long if they have to be measured
        """
        if relaxed not in self._materials:
            self._materials[relaxed] = material_of(self.dataset, relaxed=relaxed)
        return self._materials[relaxed]

    @cached_property
    def fractions(self) -> np.ndarray:
        """Share of each element in each training structure, [s, e]."""
        return element_fractions(self.dataset.split("train"))

    def descriptors(self, names: Sequence[str] = STANDARD_DESCRIPTORS) -> dict[str, float | None]:
        """Means of the descriptors over evenly chosen training structures (at most DESCRIPTOR_SAMPLES or so).

        ``composition_distance`` is that of the held-out structures, since generated ones are compared with it.
        """
        if tuple(names) not in self._descriptors:
            train = self.dataset.indices("train")
            chosen = train[:: max(1, len(train) // DESCRIPTOR_SAMPLES)]
            definition = self.dataset.definition
            rows = [structure_row(self.dataset.atoms(int(k)), definition, names) for k in chosen]
            means = descriptor_means(rows, definition, self.fractions, names)
            if "composition_distance" in means:
                held_out = element_fractions(self.dataset.split("test"))
                means["composition_distance"] = fraction_distance(held_out, self.fractions)
            self._descriptors[tuple(names)] = means
        return self._descriptors[tuple(names)]

    def scores(
        self, frames: Sequence[Atoms], curves: Mapping[CurveMetric, Curves], seed: int = 0
    ) -> StructuralScores:
        """Errors of the mean curves with intervals, noise floors and ceilings at this number of structures."""
        gas = _random_positions(frames, seed)
        return StructuralScores(
            reference=self.split,
            curves={
                metric.name: self._score(metric, measured, metric.curves(gas), seed)
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
