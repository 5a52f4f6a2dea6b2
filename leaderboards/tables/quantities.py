"""How descriptors are named and shown in tables: from the declarations of the registered metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...benchmark import registry
from ...metrics.metric import CurveMetric, Quantity, StructureMetric

if TYPE_CHECKING:
    from ase import Atoms

    from ...metrics.metric import Material
    from ...metrics.potentials.potential import Potential

FRACTION = "fraction_"
ENERGY_DEVIATION = "energy_per_atom_deviation"
"""Median deviation of the energy per atom from the data of the composition, in standard deviations of the data."""
SPREAD = "_std"

_OF_SETS = (
    Quantity(name=ENERGY_DEVIATION, head="energy (σ)", decimals=1, summary="median"),
    Quantity(name="density_deviation", head="density (σ)", decimals=1, summary="median"),
    Quantity(
        name="relaxed_energy_per_atom_deviation", head="relaxed energy (σ)", decimals=1, summary="median"
    ),
    Quantity(name="relaxed_density_deviation", head="relaxed density (σ)", decimals=1, summary="median"),
    Quantity(name="right_substance", head="right substance (%)", factor=100, decimals=0),
    Quantity(name="copies", head="copies (%)", factor=100, decimals=0),
    Quantity(name="duplicates", head="duplicates (%)", factor=100, decimals=0),
    Quantity(name="environment_distance", head="distance of environments (Å)", decimals=3, summary="median"),
    Quantity(name="neutral", head="neutral (%)", factor=100, decimals=0),
    Quantity(name="imbalance", head="charge per atom (e)", decimals=4),
    Quantity(name="composition_distance", head="distance of compositions (%)", factor=100, decimals=2),
)
"""Numbers that only a set of structures has, which no metric declares as a quantity of single structures."""


@dataclass(frozen=True, kw_only=True)
class _UnknownMaterial:
    """The material of a dataset that is not installed: its elements, without charges and potential."""

    elements: tuple[str, ...]
    formal_charges: Mapping[str, int] | None = None
    potential: Potential | None = None

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        raise NotImplementedError("no potential is known for the material of a dataset that is not installed")


@cache
def curve_metric(name: str) -> CurveMetric:
    """The registered metric of a curve; AmsbenchError where it is not installed."""
    return registry.load_metric(name, CurveMetric)


@cache
def quantities(dataset: str, elements: tuple[str, ...]) -> Mapping[str, Quantity]:
    """Declared quantities by name, for the material of a dataset.

    elements: of the material, used where the dataset is not installed
    """
    installed = dataset in registry.names("datasets")
    material: Material = (
        registry.load("datasets", dataset)() if installed else _UnknownMaterial(elements=elements)  # type: ignore[assignment]
    )
    declared = {
        quantity.name: quantity for metric in _structure_metrics() for quantity in metric.quantities(material)
    }
    return MappingProxyType(declared | {quantity.name: quantity for quantity in _OF_SETS})


@cache
def _structure_metrics() -> tuple[StructureMetric, ...]:
    return tuple(
        registry.load_metric(name, StructureMetric)
        for name, metric in registry.usable("metrics").items()
        if issubclass(metric, StructureMetric)
    )


def statistic_of(name: str, declared: Mapping[str, Quantity]) -> tuple[str, str]:
    """Quantity and statistic of a stored descriptor: ``density_std`` is (``density``, ``standard_deviation``)."""
    if name.endswith(SPREAD):
        return name.removesuffix(SPREAD), "standard_deviation"
    return name, declared[name].summary if name in declared else "mean"


def elements_in(descriptors: Mapping[str, float | None]) -> tuple[str, ...]:
    """The elements whose fractions are among stored descriptors."""
    return tuple(name.removeprefix(FRACTION) for name in descriptors if name.startswith(FRACTION))
