"""Metrics of the target properties of the bundled datasets: ring size, elastic moduli, lithium concentration."""

from __future__ import annotations

from .metric import PropertyMetric


class RingSize(PropertyMetric):
    """Mean size of the Guttman rings of a silicate network, in Si atoms."""

    name = "ring_size"
    title = "mean size of the shortest-path rings"
    unit = "Si atoms"
    rationale = (
        "Rings describe order at medium range: two silica glasses of one density and one g(r) may differ in them. They "
        "are counted on the structure as generated; a structure with atoms closer than 1 A has none."
    )
    evidence = (
        "Cristobalite and quartz have the rings that the literature gives, and an independent program counts the same "
        "ones on glasses (tests/metrics/test_rings.py)."
    )


class ShearModulus(PropertyMetric):
    """Shear modulus (C44 + C55 + C66) / 3 of the relaxed structure, GPa."""

    name = "shear_modulus"
    title = "shear modulus of the relaxed structure"
    unit = "GPa"
    rationale = (
        "The target property of the paper. It needs a structure that relaxes to a minimum of the potential that made "
        "the data and is stable there, so that the share of structures with a modulus is reported with the error."
    )
    evidence = (
        "Elastic constants of silicon as Cowley published them for the same potential, finite strains against linear "
        "response, invariance under rotation (tests/metrics/elasticity)."
    )


class YoungsModulus(PropertyMetric):
    """Young's modulus (C11 - C12)(C11 + 2 C12) / (C11 + C12) of the relaxed structure, GPa."""

    name = "youngs_modulus"
    title = "Young's modulus of the relaxed structure"
    unit = "GPa"
    rationale = (
        "The second elastic property of the paper. In glasses of many elements composition explains most of it, so "
        "that the distance of the composition from the training set is reported with every result."
    )
    evidence = ShearModulus.evidence


class LithiumConcentration(PropertyMetric):
    """Lithium atoms per hundred atoms."""

    name = "li_concentration"
    title = "lithium content"
    unit = "%"
    rationale = (
        "The simplest target: it can be counted on every structure, relaxed or not, and shows whether a model follows "
        "a target of composition while it is given another of a modulus."
    )
    evidence = "Counted; the labels of the training set are reproduced (tests/benchmark/datasets/test_bundled_meg.py)."
