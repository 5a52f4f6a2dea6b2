"""Tasks: the properties of a dataset that a method may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """Facts about a dataset that a method may use; stored in its checkpoint.

    elements: chemical symbols in the order of the species index
    ghost_density: atoms plus ghosts per A^3, or None without ghosts
    properties: properties that the method is conditioned on
    property_mean, property_std, property_min, property_max: over the training split, in the dataset's units
    formal_charges: charges (e) of the elements, or None if structures need not be neutral
    """

    dataset: str
    dataset_hash: str
    elements: tuple[str, ...]
    ghost_density: float | None
    properties: tuple[str, ...] = ()
    property_mean: tuple[float, ...] = ()
    property_std: tuple[float, ...] = ()
    property_min: tuple[float, ...] = ()
    property_max: tuple[float, ...] = ()
    formal_charges: tuple[int, ...] | None = None

    @property
    def ghost(self) -> int | None:
        """Species index of ghosts; None without ghosts."""
        return None if self.ghost_density is None else len(self.elements)

    @property
    def species_count(self) -> int:
        """Width of the element embedding, ghosts included."""
        return len(self.elements) + (self.ghost_density is not None)

    def to_json(self) -> dict[str, Any]:
        """The task as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Task from the JSON data that ``to_json`` returned."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
