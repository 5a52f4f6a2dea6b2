"""The contract of metrics: the built-in metrics satisfy it, and each fault is found."""

import numpy as np
import pytest

from amsbench.benchmark import registry
from amsbench.metrics.curve_metrics import RadialDistribution
from amsbench.metrics.metric import Quantity, StructureMetric
from amsbench.testing import CheckFailed, check_metric


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_every_registered_metric(name):
    metric = registry.load("metrics", name)
    assert metric.name == name
    check_metric(metric)


class Example(StructureMetric):
    name = "example"
    title = "atoms per volume"
    unit = "1/A^3"
    rationale = "for this test"
    evidence = "counted"

    def quantities(self, material):
        return (Quantity(name="example", head="example"),)

    def measure(self, atoms, material):
        return {"example": len(atoms) / atoms.get_volume()}


def changed(measure):
    return type("Changed", (Example,), {"measure": measure})


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (changed(lambda self, atoms, material: {"other": 1.0}), r"declares the quantities \['example'\]"),
        (changed(lambda self, atoms, material: {"example": np.nan}), "not finite"),
        (changed(lambda self, atoms, material: {"example": atoms.positions.sum()}), "moved together"),
        (
            changed(lambda self, atoms, material: {"example": atoms.get_distance(0, 1, mic=True)}),
            "another order",
        ),
        (
            changed(lambda self, atoms, material: {"example": np.ptp(atoms.positions, 0).sum()}),
            "lattice vectors",
        ),
        (
            changed(lambda self, atoms, material: {"example": 1 / len(atoms)}),
            "without atoms raises ZeroDivision",
        ),
        (type("Silent", (Example,), {"rationale": None}), "does not declare 'rationale'"),
        (int, "derives from none of CurveMetric, StructureMetric, PropertyMetric"),
    ],
    ids=["name", "nan", "translation", "order", "images", "empty", "undeclared", "no metric"],
)
def test_each_fault_is_found(metric, words):
    with pytest.raises(CheckFailed, match=words):
        check_metric(metric)


def test_a_metric_that_keeps_to_it():
    check_metric(Example)


def test_a_curve_that_takes_no_dataset_is_found():
    class ListsOnly(RadialDistribution):
        def curves(self, structures):
            return super().curves([structures[k] for k in range(len(structures))])

    with pytest.raises(CheckFailed, match="of a Dataset raises TypeError"):
        check_metric(ListsOnly)
