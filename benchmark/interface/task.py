"""What a method may know of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method may know of the data; stored in its checkpoint.

    elements: chemical symbols in the order of the species index
    ghost_density: atoms plus ghosts per A^3, or None where there are no ghosts
    properties: the properties that the method is conditioned on
    property_mean, property_std, property_min, property_max: over the training split, in dataset units
    formal_charges: of the elements, e, or None where the data's structures need not be neutral
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
        """Species index of a ghost atom, or None."""
        return None if self.ghost_density is None else len(self.elements)

    @property
    def species_count(self) -> int:
        """Width of the element embedding, ghosts included."""
        return len(self.elements) + (self.ghost_density is not None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
