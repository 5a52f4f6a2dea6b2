"""Histograms of a network's connectivity: coordination numbers, bridging anions per former, ring sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..distribution_functions import Curves, normalised
from ..metric import CurveMetric
from ..neighbours.packed import each_atoms, in_chunks, pack
from ..rings import guttman_rings
from .bonds import BOND_STRETCH, ELEMENTAL_STRETCH, Bonds, bonds_between
from .element_classes import ElementClass, classes_in, symbols_of
from .partial_distributions import STRUCTURES_AT_ONCE

if TYPE_CHECKING:
    from ..metric import Material
    from ..neighbours.packed import StructureInput

LARGEST_COORDINATION = 12
"""Last value of the histograms of bonds, which counts all larger numbers, too."""

LARGEST_RING = 16
"""Largest ring, in Si atoms, as of the property ``ring_size``."""


def coordination_numbers(bonds: Bonds) -> np.ndarray:
    """Number of bonds of each centre, [centres]."""
    return np.bincount(bonds.centre, minlength=len(bonds.structure))[bonds.is_centre]


def bridging_numbers(bonds: Bonds) -> np.ndarray:
    """Number of bridging ends of each centre, [centres]: ends with bonds to two or more centres, n of Q^n."""
    bridging = np.bincount(bonds.end, minlength=len(bonds.structure)) >= 2
    kept = bonds.centre[bridging[bonds.end]]
    return np.bincount(kept, minlength=len(bonds.structure))[bonds.is_centre]


def bond_histogram(
    structures: StructureInput,
    centres: ElementClass,
    ends: ElementClass,
    numbers_of: Callable[[Bonds], np.ndarray],
    *,
    stretch: float = BOND_STRETCH,
) -> Curves:
    """Share of the centres of each structure with 0, 1, ... LARGEST_COORDINATION (or more) of the counted bonds.

    numbers_of: ``coordination_numbers`` or ``bridging_numbers``
    stretch: longest bond as a multiple of the sum of the covalent radii of its elements

    A curve sums to 1, or is zero in a structure without centres.
    """
    size = LARGEST_COORDINATION + 1
    parts = [np.zeros((0, size), dtype=np.int64)]
    for part in in_chunks(pack(structures), STRUCTURES_AT_ONCE):
        bonds = bonds_between(pack(part), symbols_of(centres), symbols_of(ends), stretch=stretch)
        numbers = np.minimum(numbers_of(bonds), LARGEST_COORDINATION)
        place = bonds.structure[bonds.is_centre] * size + numbers
        parts.append(np.bincount(place, minlength=bonds.structures * size).reshape(-1, size))
    return Curves(grid=np.arange(size, dtype=np.float64), values=normalised(np.concatenate(parts)))


class BondHistogram(CurveMetric):
    """Base class of the histograms of bonds: share of centres by their number of bonds."""

    unit = ""
    decimals = 4
    distance_unit = "bonds"
    distance_decimals = 3
    evidence = (
        "Cristobalite and quartz have 4 and 2 bonds per atom and all silicon as Q4, diamond has 4; a double and a "
        "single chain of tetrahedra are Q3 and Q2; glasses have the counts of a loop over ASE's neighbour list "
        "(tests/metrics/network/test_connectivity.py). Cost: below 0.6 ms per structure of 250 atoms."
    )
    centre: ClassVar[ElementClass]
    end: ClassVar[ElementClass]
    stretch: ClassVar[float] = BOND_STRETCH

    def numbers_of(self, bonds: Bonds) -> np.ndarray:
        """Counted bonds of each centre, [centres]."""
        return coordination_numbers(bonds)

    def applies_to(self, material: Material) -> bool:
        return classes_in(material.elements) >= {self.centre, self.end}

    def curves(self, structures: StructureInput) -> Curves:
        return bond_histogram(structures, self.centre, self.end, self.numbers_of, stretch=self.stretch)


class FormerCoordination(BondHistogram):
    """Share of network formers by their number of anions."""

    name = "coordination_former_anion"
    title = "coordination numbers of network formers by anions (Si by O in silica)"
    head = "coordination former by anion"
    axis = "anions of a former"
    centre = "former"
    end = "anion"
    rationale = (
        "Broken and excess bonds of the network, which change only the area of the first peak of g(r). Nearly all "
        "silicon atoms of silica have four oxygen atoms, and each other one is a defect. In a mean coordination "
        "number defects of three and five cancel."
    )


class AnionCoordination(BondHistogram):
    """Share of anions by their number of network formers."""

    name = "coordination_anion_former"
    title = "coordination numbers of anions by network formers (O by Si in silica)"
    head = "coordination anion by former"
    axis = "formers of an anion"
    centre = "anion"
    end = "former"
    rationale = (
        "Free, non-bridging, bridging and threefold anions: 0, 1, 2 and 3. Modifiers of a glass break bridges, so "
        "that the share of non-bridging anions follows the composition, and a wrong one is a wrong network."
    )


class ElementalCoordination(BondHistogram):
    """Share of network formers by their number of formers, in materials of formers alone."""

    name = "coordination_former_former"
    title = "coordination numbers of network formers by each other (Si by Si in silicon)"
    head = "coordination former by former"
    axis = "formers of a former"
    centre = "former"
    end = "former"
    stretch = ELEMENTAL_STRETCH
    rationale = (
        "Fourfold atoms in amorphous silicon, five neighbours on average in the liquid. The area of the first peak of"
        " g(r) is the mean of these numbers; their spread tells a mixture of environments from a uniform one. Two "
        "silicon atoms are neighbours within 3 Å, as in P(theta)."
    )

    def applies_to(self, material: Material) -> bool:
        return classes_in(material.elements) == {"former"}


class BridgingAnions(BondHistogram):
    """Q^n: share of network formers by their number of bridging anions."""

    name = "qn"
    title = "Q^n: bridging anions per network former"
    head = "Q^n"
    axis = "n"
    distance_unit = "bridges"
    centre = "former"
    end = "anion"
    rationale = (
        "The usual description of how far a glass network is broken up, measured by nuclear magnetic resonance. In "
        "silica all silicon is Q4; modifiers reduce the number. An anion with bonds to two or more formers is "
        "bridging."
    )

    def numbers_of(self, bonds: Bonds) -> np.ndarray:
        return bridging_numbers(bonds)


class RingSizes(CurveMetric):
    """Share of the Guttman rings of a structure by size, up to 16 Si atoms; silica alone."""

    name = "ring_sizes"
    title = "sizes of the shortest-path rings of silica"
    unit = ""
    head = "ring sizes"
    axis = "Si atoms of a ring"
    decimals = 4
    distance_unit = "Si atoms"
    distance_decimals = 3
    rationale = (
        "The distribution of which the property ring_size is the mean: rings of two and three Si atoms are strained "
        "defects, and sets of structures of one mean size may differ in them."
    )
    evidence = (
        "The search is that of ring_size (tests/metrics/test_rings.py); all rings of cristobalite and quartz have six"
        " Si atoms, and the means are the labels of the dataset (tests/metrics/network/test_connectivity.py). Cost: 9"
        " to 15 ms per structure of 170 atoms."
    )

    def applies_to(self, material: Material) -> bool:
        return set(material.elements) == {"Si", "O"}

    def curves(self, structures: StructureInput) -> Curves:
        counts = [
            np.bincount(guttman_rings(atoms, max_size=LARGEST_RING).sizes, minlength=LARGEST_RING + 1)[1:]
            for atoms in each_atoms(structures)
        ]
        grid = np.arange(1.0, LARGEST_RING + 1)
        values = normalised(np.array(counts, dtype=np.int64).reshape(-1, LARGEST_RING))
        return Curves(grid=grid, values=values)
