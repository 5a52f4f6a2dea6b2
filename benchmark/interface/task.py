"""Tasks: the properties of a dataset that a method may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

DENSEST = 10.0
"""Highest density of atoms and ghosts, per A^3, of any matter that is simulated here."""


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
        """Task from the JSON data that ``to_json`` returned; ValueError where it is not such a task."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        task = cls(**values)
        if wrong := task._what_is_wrong():
            raise ValueError(f"its task has {wrong}")
        return task

    def _what_is_wrong(self) -> str | None:
        """A field that is not what a task can have, and its value; None where all are."""
        from ase.data import atomic_numbers

        statistics = ("property_mean", "property_std", "property_min", "property_max")
        right = {
            "dataset": isinstance(self.dataset, str),
            "dataset_hash": isinstance(self.dataset_hash, str),
            "elements": _are(self.elements, lambda name: isinstance(name, str) and atomic_numbers.get(name))
            and 0 < len(set(self.elements)) == len(self.elements),
            "ghost_density": self.ghost_density is None
            or (_is_finite(self.ghost_density) and 0 < self.ghost_density < DENSEST),
            "properties": _are(self.properties, lambda name: isinstance(name, str))
            and len(set(self.properties)) == len(self.properties),
            **{
                name: _are(getattr(self, name), _is_finite)
                and len(getattr(self, name)) == len(self.properties)
                for name in statistics
            },
            "formal_charges": self.formal_charges is None
            or (
                _are(self.formal_charges, lambda charge: type(charge) is int)
                and len(self.formal_charges) == len(self.elements)
            ),
        }
        return next(
            (f"{name} {getattr(self, name)!r:.100}" for name, fits in right.items() if not fits), None
        )


def _are(values: Any, fits: Callable[[Any], Any]) -> bool:
    return isinstance(values, tuple) and all(fits(value) for value in values)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
