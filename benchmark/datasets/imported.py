"""Datasets of one's own structures: their definition lies in the file with the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import AmsbenchError
from ..interface.evaluation_plan import EvaluationPlan, structural_plan
from .definition import DatasetDefinition, Measurement, Property, Recipe, SimulationFailed

if TYPE_CHECKING:
    from ase import Atoms

NO_CALCULATOR = "imported property: no calculator"
"""Why an imported property is not measured on generated structures."""

IMPORTED_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "quick": (32, (1, 2, 5, 10, 25)),
    "standard": (256, (1, 2, 3, 4, 5, 10, 25)),
    "paper": (10_000, (1, 2, 3, 4, 5, 10, 25, 50, 100, 250)),
}
"""Structures and step counts of each protocol: those of ``asi``, the quick one with fewer structures."""


class ImportedStructures(DatasetDefinition):
    """Structures that somebody else made. There is no simulation, no calculator and no potential for them."""

    def __init__(
        self, *, name: str, elements: Sequence[str], ghost_density: float | None, properties: Sequence[str]
    ) -> None:
        labels = [
            Property(name=item, unit="as imported", description=f"'{item}' of the imported structures")
            for item in properties
        ]
        # what other definitions have as class variables is this one's own
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
        """AmsbenchError where that is not what ``to_json`` gave."""
        try:
            return cls(name=name, **data)
        except TypeError as error:
            raise AmsbenchError(
                f"the dataset '{name}' was imported by another version; import it again"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """What the file has to hold beside the name."""
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
        raise SimulationFailed(f"'{self.name}' was imported; nobody here knows how to simulate it")

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """Structure only, in the cells of the training set: targets could not be measured."""
        return (structural_plan(protocol, 1, *IMPORTED_PLAN_SIZES[protocol]),)

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """No value, and the reason."""
        asked = [item.name for item in self.properties] if names is None else names
        return Measurement(failures={self.property_named(name).name: NO_CALCULATOR for name in asked})
