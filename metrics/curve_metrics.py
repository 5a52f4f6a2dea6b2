"""The two distribution functions of the paper as metrics: radial and angular."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .distribution_functions import adf, rdf
from .metric import CurveMetric

if TYPE_CHECKING:
    from .distribution_functions import Curves
    from .neighbours.packed import StructureInput


class RadialDistribution(CurveMetric):
    """g(r) up to 5 Å in 100 bins (paper, Eq. 16 and section B.5)."""

    name = "rdf"
    title = "radial distribution function g(r), r < 5 Å"
    unit = ""
    head = "RDF"
    axis = "r (Å)"
    decimals = 4
    distance_unit = "Å"
    distance_decimals = 4
    rationale = (
        "How many neighbours an atom has at each distance, relative to an ideal gas of the same density, whatever the "
        "species. It sees bond lengths, coordination shells, overlapping atoms and clustering; it does not see angles "
        "or which species are bonded."
    )
    evidence = (
        "Equal to ASE's g(r) to rounding; counted shells of diamond and face-centred cubic crystals; an ideal gas "
        "gives 1 within its noise (tests/metrics/test_distribution_functions.py)."
    )

    def curves(self, structures: StructureInput) -> Curves:
        return rdf(structures, r_max=5.0, bins=100)


class AngularDistribution(CurveMetric):
    """P(theta) of bonds shorter than 3 Å in 180 bins (paper, Eq. 17 and section B.5)."""

    name = "adf"
    title = "angular distribution function P(theta) of neighbours within 3 Å"
    unit = ""
    head = "ADF"
    axis = "theta (degrees)"
    decimals = 5
    distance_unit = "degrees"
    distance_decimals = 3
    rationale = (
        "The angles between the bonds of an atom. Two structures of equal g(r) may differ in it: a network of "
        "tetrahedra has its maximum at 109.5 degrees, a random packing has none."
    )
    evidence = (
        "Equal to a loop over all pairs of neighbours with ASE's neighbour list; the angles of diamond and "
        "face-centred cubic crystals (tests/metrics/test_distribution_functions.py)."
    )

    def curves(self, structures: StructureInput) -> Curves:
        return adf(structures, r_cut=3.0, bins=180)
