"""What generated structures are compared with: the reference curves of a dataset, noise floors and means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.bootstrap import bootstrap_interval, rmsd_to
from ...metrics.composition import fraction_distance
from ...metrics.structural_errors import (
    PAPER_PROTOCOL,
    STANDARD_PROTOCOL,
    CurveSettings,
    StructuralCurves,
    ideal_gas_ceiling,
    noise_corrected,
    noise_floor,
    structural_curves,
    structural_errors,
)
from ..datasets.dataset import Dataset
from .descriptor_means import element_fractions, structure_row, substance
from .structural_scores import StructuralScores

if TYPE_CHECKING:
    from ase import Atoms


SUBSTANCE_SAMPLES = 200
"""Training structures that the substance of a dataset is measured on."""


class Reference:
    """What a dataset says about itself, computed once: curves, floors, means."""

    def __init__(self, dataset: Dataset, *, protocol: CurveSettings = STANDARD_PROTOCOL) -> None:
        self.dataset, self.protocol = dataset, protocol

    @cached_property
    def train(self) -> StructuralCurves:
        return structural_curves(self.dataset.split("train"), protocol=self.protocol)

    @cached_property
    def curves(self) -> StructuralCurves:
        """The curves that generated structures are compared with."""
        if self.protocol.reference == "train":
            return self.train
        return structural_curves(self.dataset.split("test"), protocol=self.protocol)

    def training_mean(self, name: str) -> float:
        """Mean label over the training split."""
        column = self.dataset.split("train").properties[:, self.dataset.property_names.index(name)]
        return float(np.nanmean(column))

    @cached_property
    def fractions(self) -> np.ndarray:
        """Share of each element in each training structure, [s, e]."""
        return element_fractions(self.dataset.split("train"))

    @cached_property
    def substance(self) -> dict[str, float | None]:
        """The substance of the training set, on evenly chosen samples of it.

        Only its ``composition_distance`` is that of the held-out structures, which is what generated ones are
        to be compared with.
        """
        train = self.dataset.indices("train")
        rows = train[:: max(1, len(train) // SUBSTANCE_SAMPLES)]
        frames = [self.dataset.atoms(int(k)) for k in rows]
        definition = self.dataset.definition
        found = substance([structure_row(frame, definition) for frame in frames], definition, self.fractions)
        if "composition_distance" in found:
            held_out = element_fractions(self.dataset.split("test"))
            found["composition_distance"] = fraction_distance(held_out, self.fractions)
        return found

    def structural(
        self, curves: StructuralCurves, frames: Sequence[Atoms], seed: int = 0
    ) -> StructuralScores:
        """Errors with intervals, floor and ceiling at this number of structures."""
        count = len(curves)
        errors = structural_errors(curves, self.curves)
        cells = np.array([frame.cell.array for frame in frames])
        counts = np.array([len(frame) for frame in frames])
        ceiling = ideal_gas_ceiling(self.curves, cells, counts, seed=seed)
        values: dict[str, Any] = {"reference": self.protocol.reference}
        for name in ("rdf", "adf"):
            ours, theirs = getattr(curves, name), getattr(self.curves, name)
            training = getattr(self.train, name)
            rmsd = getattr(errors, f"{name}_rmsd")
            floor = noise_floor(theirs, training, min(count, len(training)), seed=seed).value
            interval = bootstrap_interval(ours.values, rmsd_to(theirs.mean), seed=seed) if count > 1 else None
            values |= {
                f"{name}_rmsd": rmsd,
                f"{name}_low": max(0.0, interval.low) if interval else rmsd,
                f"{name}_high": interval.high if interval else rmsd,
                f"{name}_floor": floor,
                f"{name}_corrected": noise_corrected(rmsd, floor),
                f"{name}_ceiling": getattr(ceiling, f"{name}_rmsd"),
                f"{name}_wasserstein": getattr(errors, f"{name}_wasserstein"),
            }
        return StructuralScores(**values)


def curve_settings(protocol: str) -> CurveSettings:
    """Held-out melts as the reference, except under ``paper``, which compares with the training set."""
    return PAPER_PROTOCOL if protocol == "paper" else STANDARD_PROTOCOL
