"""The scores of a set of structures against reference structures: errors of their mean curves."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A frozen record that refuses unknown fields and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


MEAN_DIGITS = 5
"""Significant digits of stored mean curves: their errors are then those of the scores to a thousandth."""


class CurveScores(StrictModel):
    """The error of one mean curve, such as that of g(r).

    version: of the metric (``Metric.version``)
    rmsd: root mean square deviation from the reference's mean curve (paper, Eq. 18)
    low, high: its 95 % bootstrap interval over structures; None for a single structure
    floor: RMSD of as many structures of a perfect generator from the same reference (noise floor)
    corrected: the part of the RMSD that the noise floor does not explain, sqrt(max(rmsd^2 - floor^2, 0))
    ceiling: RMSD of random positions in the same cells (of at most ``LARGEST_GAS``)
    wasserstein: Wasserstein-1 distance between the mean curves in the unit of the abscissa; None where the curve is
        not a distribution
    """

    version: int = 1
    rmsd: float
    low: float | None
    high: float | None
    floor: float
    corrected: float
    ceiling: float
    wasserstein: float | None


class StructuralScores(StrictModel):
    """Errors of all curves, by name of the metric, against one reference.

    reference: the split of the dataset that the mean curves are compared with
    means: the mean curves themselves, to ``MEAN_DIGITS`` significant digits; without those that were not stored
    """

    reference: Literal["train", "test"]
    curves: dict[str, CurveScores]
    means: dict[str, list[float]]
