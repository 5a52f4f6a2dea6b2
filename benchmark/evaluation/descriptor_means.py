"""What structures are made of: the facts of each one, and their means over a set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.composition import fraction_distance, net_charge
from ...metrics.descriptors import structure_facts
from ...metrics.potentials.potential import EvaluationFailed
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition

if TYPE_CHECKING:
    from ase import Atoms

_MEANS = ("atoms", "density", "minimum_distance", "energy_per_atom", "largest_force")
_MEDIANS = ("energy_per_atom", "largest_force")
"""Medians of what overlaps can blow up."""


def composition_facts(atoms: Atoms, definition: DatasetDefinition) -> dict[str, Any]:
    """Composition, formal charge (e), density (g/cm^3) and shortest distance (A) of one structure."""
    (facts,) = structure_facts([atoms])
    row: dict[str, Any] = {
        "atoms": len(atoms),
        "density": facts.mass_density,
        "minimum_distance": facts.minimum_distance,
    }
    if len(definition.elements) > 1:
        row |= {f"fraction_{e}": facts.element_fractions.get(e, 0.0) for e in definition.elements}
    if definition.formal_charges:
        row["charge"] = net_charge(atoms, definition.formal_charges)
    return row


def structure_row(atoms: Atoms, definition: DatasetDefinition) -> dict[str, Any]:
    """The composition, and energy per atom (eV) and largest force (eV/A) under the generating potential."""
    row = composition_facts(atoms, definition)
    row |= {"energy_per_atom": math.nan, "largest_force": math.nan, "energy_failure": None}
    if len(atoms) == 0:
        row["energy_failure"] = "no atoms"
        return row
    try:
        row["energy_per_atom"], row["largest_force"] = definition.energy(atoms)
    except EvaluationFailed as failure:
        row["energy_failure"] = str(failure)
    return row


def element_fractions(dataset: Dataset) -> np.ndarray:
    """Share of each element in each sample, [s, e]."""
    kinds = len(dataset.definition.elements)
    sample = np.repeat(np.arange(len(dataset)), dataset.counts)
    counted = np.bincount(sample * kinds + dataset.species, minlength=len(dataset) * kinds)
    return counted.reshape(len(dataset), kinds) / dataset.counts[:, None]


def substance(
    rows: Sequence[Mapping[str, Any]], definition: DatasetDefinition, training: np.ndarray
) -> dict[str, float | None]:
    """Means (medians of what overlaps can blow up) over structures; the spread of the density beside it.

    training [s, e]: element fractions of the training set
    Where the elements have formal charges also ``neutral``, the share of structures with as many positive as negative
    ones, ``imbalance``, the mean of their net charge over their atoms (e, without sign), and ``composition_distance``
    from the training set (``fraction_distance``).
    """
    names = [name for name in rows[0] if name in _MEANS or name.startswith("fraction_")]
    values: dict[str, float | None] = {}
    for name in names:
        column = np.array([math.nan if row[name] is None else row[name] for row in rows], dtype=float)
        column = column[np.isfinite(column)]
        middle = np.median if name in _MEDIANS else np.mean
        values[name] = float(middle(column)) if len(column) else None
        if name == "density":
            values["density_std"] = float(column.std()) if len(column) else None
    made = [row for row in rows if row["atoms"]]
    if definition.formal_charges and made:
        fractions = np.array([[row[f"fraction_{e}"] for e in definition.elements] for row in made])
        values |= {
            "neutral": float(np.mean([row["charge"] == 0 for row in made])),
            "imbalance": float(np.mean([abs(row["charge"]) / row["atoms"] for row in made])),
            "composition_distance": fraction_distance(fractions, training),
        }
    return values
