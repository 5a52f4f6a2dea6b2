"""Interfaces of metrics: declarations, measurement of structures, and summary over a set of structures.

A metric is a plug-in of the entry-point group ``amsbench.metrics``. Evaluation, results, tables, figures and
``amsbench metrics`` take everything from the class, so that a new metric is one module and its entry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from .distribution_functions import Curves
    from .neighbours.packed import StructureInput
    from .potentials.potential import Potential

Need = Literal["potential", "formal charges", "reference structures", "dataset property"]
"""Information about the material that a metric requires in addition to the structures."""

Direction = Literal["lower is better", "higher is better", "near the reference", "near the target"]
"""Interpretation of a value: an error, a quality, a descriptor or a property with a target."""


class Material(Protocol):
    """Facts about the material that a metric may use; every dataset definition has this interface.

    elements: chemical symbols
    formal_charges: e, by chemical symbol, or None
    potential: interatomic potential of the dataset, or None
    """

    elements: ClassVar[tuple[str, ...]]
    formal_charges: ClassVar[Mapping[str, int] | None]
    potential: ClassVar[Potential | None]

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        """Energy per atom (eV) and largest force on an atom (eV/A); EvaluationFailed if it cannot be computed."""
        ...


class Metric(ABC):
    """Base class of all metrics, with the attributes that each of them declares.

    A plug-in derives from ``CurveMetric`` (one curve per structure, compared as a mean over the set), from
    ``StructureMetric`` (one or more numbers per structure) or from ``PropertyMetric`` (a property with targets).
    """

    name: ClassVar[str]
    """The registered name, also the prefix of its numbers in tables of records."""
    title: ClassVar[str]
    """Name of the measured quantity, in one line."""
    unit: ClassVar[str]
    """Unit of the values; empty for pure numbers."""
    direction: ClassVar[Direction]
    needs: ClassVar[tuple[Need, ...]] = ()
    version: ClassVar[int] = 1
    """Version; raise it when a change alters the values of the same structures; stored numbers of another version are
    measured again."""
    rationale: ClassVar[str]
    """Purpose and sensitivity of the metric, in one paragraph."""
    evidence: ClassVar[str]
    """Verification of the implementation, in one paragraph."""


class CurveMetric(Metric):
    """Metric with one curve per structure; a set of structures is scored by its mean curve.

    The score is the root mean square deviation (RMSD, paper Eq. 18) of the mean curve from that of the reference
    structures, with a bootstrap interval over structures, the RMSD of as many structures of a perfect generator (noise
    floor) and that of random positions (ceiling).
    """

    direction = "lower is better"
    needs = ("reference structures",)
    head: ClassVar[str]
    """Name of the curve in heads of tables, such as ``RDF``."""
    axis: ClassVar[str]
    """Label of the abscissa with its unit, such as ``r (Å)``."""
    decimals: ClassVar[int]
    """Decimals of the RMSD in tables."""
    distance_unit: ClassVar[str | None] = None
    """Unit of the Wasserstein-1 distance between mean curves; None where the curve is not a distribution."""
    distance_decimals: ClassVar[int] = 3

    def applies_to(self, material: Material) -> bool:
        """Whether structures of this material have such a curve; the metric is left out for all other materials."""
        return True

    @abstractmethod
    def curves(self, structures: StructureInput) -> Curves:
        """The curve of each structure, all on the metric's own grid.

        structures: a list of ASE Atoms, or a Dataset, which has packed arrays and can also be iterated as Atoms
        """


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Declaration of one number per structure: names, unit and format in storage and tables.

    name: column of the per-structure table and key of the stored means
    head: column head with unit
    factor: shown value / stored value (100 for a share in percent)
    decimals: of the shown value
    summary: how values of many structures become one number
    spread: whether the standard deviation over structures is stored (``<name>_std``) and shown
    """

    name: str
    head: str
    factor: float = 1.0
    decimals: int = 3
    summary: Literal["mean", "median"] = "mean"
    spread: bool = False


class StructureMetric(Metric):
    """Metric with one or more numbers per structure.

    The table of descriptors compares their means over a set with those of the training set.
    """

    direction = "near the reference"

    @abstractmethod
    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        """Declarations of the numbers that ``measure`` returns for structures of this material."""

    @abstractmethod
    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        """Numbers of one structure by name; EvaluationFailed, with the reason, if they cannot be computed."""

    def summary(self, values: Mapping[str, np.ndarray], material: Material) -> dict[str, float | None]:
        """Means (or medians) over structures of the values [s] by name; None if no structure has a value."""
        summaries: dict[str, float | None] = {}
        for quantity in self.quantities(material):
            column = values[quantity.name]
            column = column[np.isfinite(column)]
            middle = np.median if quantity.summary == "median" else np.mean
            summaries[quantity.name] = float(middle(column)) if len(column) else None
            if quantity.spread:
                summaries[f"{quantity.name}_std"] = float(column.std()) if len(column) else None
        return summaries


class PropertyMetric(Metric):
    """Metric of a property with targets, measured by each dataset (``DatasetDefinition.measure``).

    The class holds what is the same for every dataset: name, unit, rationale, evidence. Obtained values are compared
    with the targets by the errors of ``metrics.design.inverse_design``.
    """

    direction = "near the target"
    needs = ("dataset property",)
