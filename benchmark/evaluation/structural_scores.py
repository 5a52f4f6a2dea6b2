"""The scores of a set of structures against a reference: errors of their distribution functions."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StructuralScores(_Strict):
    """RMSD of the averaged curves from the reference (paper, Eq. 18), with 95 % bootstrap intervals.

    *_floor: what as many training structures score; *_ceiling: what random positions score
    *_corrected: the part of the RMSD that the floor does not explain
    """

    reference: str
    rdf_rmsd: float
    rdf_low: float
    rdf_high: float
    rdf_floor: float
    rdf_corrected: float
    rdf_ceiling: float
    rdf_wasserstein: float | None
    adf_rmsd: float
    adf_low: float
    adf_high: float
    adf_floor: float
    adf_corrected: float
    adf_ceiling: float
    adf_wasserstein: float | None
