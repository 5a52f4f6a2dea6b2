"""Partial g(r) and bond angles as metrics, by classes of elements, so that all materials share their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..metric import CurveMetric
from .element_classes import ElementClass, classes_in, symbols_of
from .partial_distributions import partial_adf, partial_rdf

if TYPE_CHECKING:
    from ..distribution_functions import Curves
    from ..metric import Material
    from ..neighbours.packed import StructureInput


class PartialRadialDistribution(CurveMetric):
    """Base class of the g(r) between two classes of atoms up to 5 Å in 100 bins, as the total g(r) has."""

    unit = ""
    axis = "r (Å)"
    decimals = 4
    distance_unit = "Å"
    distance_decimals = 4
    evidence = (
        "Weighted by shares of atoms the partials add up to the total g(r) to rounding, and they equal an enumeration"
        " of images in a cell smaller than the range; the shells of quartz, cristobalite and rock salt; 1 for an "
        "ideal gas (tests/metrics/network/test_partial_distributions.py). Cost: below 0.5 ms per structure of 250 "
        "atoms."
    )
    pair: ClassVar[tuple[ElementClass, ElementClass]]

    def applies_to(self, material: Material) -> bool:
        # of a single element the partial g(r) would be the total once more
        return len(material.elements) > 1 and classes_in(material.elements) >= set(self.pair)

    def curves(self, structures: StructureInput) -> Curves:
        first, second = self.pair
        return partial_rdf(structures, symbols_of(first), symbols_of(second), r_max=5.0, bins=100)


class FormerAnionDistribution(PartialRadialDistribution):
    """g(r) of network formers and anions."""

    name = "rdf_former_anion"
    title = "partial g(r) of network formers and anions (Si-O in silica)"
    head = "RDF former-anion"
    pair = ("former", "anion")
    rationale = (
        "The bonds of the network. Their peak is narrow: a model that places atoms with an error of 0.05 Å widens it "
        "visibly, while the other pairs, which the total g(r) adds to it, hide the error."
    )


class FormerFormerDistribution(PartialRadialDistribution):
    """g(r) of network formers with each other."""

    name = "rdf_former_former"
    title = "partial g(r) of network formers (Si-Si in silica)"
    head = "RDF former-former"
    pair = ("former", "former")
    rationale = (
        "How polyhedra are joined: corners shared put two silicon atoms 3.1 Å apart, shared edges 2.4 to 2.8 Å. "
        "Formers are few, a ninth of the pairs in silica, so that the total g(r) hardly shows them."
    )


class AnionAnionDistribution(PartialRadialDistribution):
    """g(r) of anions with each other."""

    name = "rdf_anion_anion"
    title = "partial g(r) of anions (O-O in silica)"
    head = "RDF anion-anion"
    pair = ("anion", "anion")
    rationale = (
        "The edges of the polyhedra: 1.63 bond lengths in a regular tetrahedron. Much closer anions overlap."
    )


class ModifierAnionDistribution(PartialRadialDistribution):
    """g(r) of modifiers and anions."""

    name = "rdf_modifier_anion"
    title = "partial g(r) of modifiers and anions"
    head = "RDF modifier-anion"
    pair = ("modifier", "anion")
    rationale = (
        "How modifiers are coordinated, in shells that are wide and that the bonds of the network cover in the total "
        "g(r). All modifiers count alike, so that it also follows their proportions."
    )


class ModifierFormerDistribution(PartialRadialDistribution):
    """g(r) of modifiers and network formers."""

    name = "rdf_modifier_former"
    title = "partial g(r) of modifiers and network formers"
    head = "RDF modifier-former"
    pair = ("modifier", "former")
    rationale = "Where modifiers lie with respect to the network: at the polyhedra whose anions they bind."


class ModifierModifierDistribution(PartialRadialDistribution):
    """g(r) of modifiers with each other."""

    name = "rdf_modifier_modifier"
    title = "partial g(r) of modifiers"
    head = "RDF modifier-modifier"
    pair = ("modifier", "modifier")
    rationale = (
        "Whether modifiers are apart or gather in channels of the network: above 1 at short distances they cluster. "
        "They are so few that the total g(r) hardly depends on it."
    )


class PartialAngularDistribution(CurveMetric):
    """Base class of the angles between bonds of network formers and anions, in 180 bins."""

    unit = ""
    axis = "theta (degrees)"
    decimals = 5
    distance_unit = "degrees"
    distance_decimals = 3
    evidence = (
        "Equal to a loop over all pairs of bonds with ASE's neighbour list; the tetrahedral angle and 180 degrees in "
        "cristobalite, the angles of the crystal structure of quartz "
        "(tests/metrics/network/test_partial_distributions.py). Cost: below 0.5 ms per structure of 250 atoms."
    )
    centre: ClassVar[ElementClass]
    end: ClassVar[ElementClass]

    def applies_to(self, material: Material) -> bool:
        return classes_in(material.elements) >= {self.centre, self.end}

    def curves(self, structures: StructureInput) -> Curves:
        return partial_adf(structures, symbols_of(self.centre), symbols_of(self.end), bins=180)


class AnionFormerAnionAngles(PartialAngularDistribution):
    """Angles within the polyhedra of network formers."""

    name = "adf_anion_former_anion"
    title = "angles anion-former-anion (O-Si-O in silica)"
    head = "ADF anion-former-anion"
    centre = "former"
    end = "anion"
    rationale = (
        "The shape of the polyhedra: 109.5 degrees in a regular tetrahedron. The total P(theta) mixes it with the "
        "angles between all other pairs of atoms closer than 3 Å."
    )


class FormerAnionFormerAngles(PartialAngularDistribution):
    """Angles between the polyhedra that share an anion."""

    name = "adf_former_anion_former"
    title = "angles former-anion-former (Si-O-Si in silica)"
    head = "ADF former-anion-former"
    centre = "anion"
    end = "former"
    rationale = (
        "The angle between joined polyhedra, near 145 degrees in silica, by which glasses and crystals of equal "
        "polyhedra differ. Angles near 90 degrees are those of shared edges."
    )
