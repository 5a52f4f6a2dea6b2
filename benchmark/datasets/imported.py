"""Definition of imported datasets, which is stored in the file with the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import AmsbenchError
from ..interface.evaluation_plan import EvaluationPlan, structural_plan
from .definition import DatasetDefinition, Measurement, Property, Recipe, SimulationFailed

if TYPE_CHECKING:
    from ase import Atoms

NO_CALCULATOR = "imported property: no calculator"
"""Failure message of imported properties, which cannot be measured on generated structures."""

IMPORTED_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "quick": (32, (1, 2, 5, 10, 25)),
    "standard": (256, (1, 2, 3, 4, 5, 10, 25)),
    "paper": (10_000, (1, 2, 3, 4, 5, 10, 25, 50, 100, 250)),
}
"""Structures and step counts of each protocol: as of ``asi``, with fewer structures for ``quick``."""


class ImportedStructures(DatasetDefinition):
    """Imported structures, for which there is no simulation, no calculator and no potential."""

    def __init__(
        self, *, name: str, elements: Sequence[str], ghost_density: float | None, properties: Sequence[str]
    ) -> None:
        labels = [
            Property(name=item, unit="as imported", description=f"'{item}' of the imported structures")
            for item in properties
        ]
        # class variables of other definitions are attributes of the instance here
        vars(self).update(
            name=name,
            title=f"imported structures of {', '.join(elements)}",
            elements=tuple(elements),
            ghost_density=ghost_density,
            properties=tuple(labels),
            design_properties=tuple(properties),
        )

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> ImportedStructures:
        """Definition of what ``to_json`` returned; AmsbenchError for other data."""
        try:
            return cls(name=name, **data)
        except TypeError as error:
            raise AmsbenchError(
                f"the dataset '{name}' was imported by another version; import it again"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The definition without its name, as JSON data for the dataset file."""
        return {
            "elements": list(self.elements),
            "ghost_density": self.ghost_density,
            "properties": [item.name for item in self.properties],
        }

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        return {}

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return 1

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        raise SimulationFailed(f"'{self.name}' was imported; there is no simulation for it")

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """One structural plan in the cells of the training set; targets could not be measured."""
        return (structural_plan(protocol, 1, *IMPORTED_PLAN_SIZES[protocol]),)

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """A failure for every property, since there is no calculator."""
        names = [item.name for item in self.properties] if names is None else names
        return Measurement(failures={self.property_named(name).name: NO_CALCULATOR for name in names})
