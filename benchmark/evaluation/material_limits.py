"""Limits of a dataset's material: which structures are of its substance, and which are copies of training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.descriptors import GRAMS_PER_CM3
from ...metrics.design.substance import (
    LARGEST_DEVIATION,
    LEAST_COMPOSITION_DISTANCE,
    CompositionModel,
    composition_distances,
    composition_model,
    has_model,
)
from ...metrics.novelty.structure_index import StructureIndex, TypedStructure
from ...metrics.potentials.potential import EvaluationFailed
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from ..execution.task_map import map_with_timeout
from .descriptor_means import element_fractions

if TYPE_CHECKING:
    from ase import Atoms

STRUCTURES = 400
"""Largest number of training structures whose energies and densities are measured."""
HELD_OUT = 64
"""Largest number of held-out structures that are compared with the training structures."""
TIME_LIMIT = 600.0
"""Seconds for the measurement of one structure."""
QUANTITIES = ("energy_per_atom", "density", "relaxed_energy_per_atom", "relaxed_density")
"""Quantities with limits: energy (eV/atom) and mass density (g/cm3), of the structure as it is and relaxed."""


@dataclass(frozen=True, kw_only=True)
class MaterialLimits:
    """Limits of a material, measured on a dataset.

    elements: chemical symbols
    compositions: different compositions of the training set, the share of each element
    composition_distance: largest distance of a composition from the nearest of the training set
    formal_charges: charge of each element, e, if structures have to be neutral; else None
    models: predictions of ``QUANTITIES`` from the composition, where the data have them
    overlap: smallest overlap (``StructureIndex``) of a copy, half-way between the largest of the held-out structures
        and 1
    held_out_overlap: largest overlap of held-out with training structures
    held_out_environment_distance: mean over held-out structures of ``Resemblance.environment_distance``, Å
    """

    elements: tuple[str, ...]
    compositions: tuple[tuple[float, ...], ...]
    composition_distance: float
    formal_charges: tuple[int, ...] | None
    models: Mapping[str, CompositionModel]
    overlap: float
    held_out_overlap: float
    held_out_environment_distance: float

    def to_json(self) -> dict[str, Any]:
        """The limits as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MaterialLimits:
        """The limits of ``to_json``."""
        charges = data["formal_charges"]
        return cls(
            **{
                **data,
                "elements": tuple(data["elements"]),
                "compositions": tuple(map(tuple, data["compositions"])),
                "formal_charges": None if charges is None else tuple(charges),
                "models": {
                    name: CompositionModel(
                        coefficients=tuple(model["coefficients"]),
                        deviation=model["deviation"],
                        residuals=tuple(model["residuals"]),
                    )
                    for name, model in data["models"].items()
                },
            }
        )

    def deviations(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Deviations [s] of quantities from the data of the composition, in standard deviations; NaN without a value.

        rows: columns [s] ``fraction_<element>`` (all 1 for materials of one element) and of ``QUANTITIES``
        """
        fractions = self._fractions(rows)
        return {
            f"{name}_deviation": model.deviations(fractions, rows[name])
            for name, model in self.models.items()
            if name in rows
        }

    def right_substance(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Whether composition, density and energy of each structure [s] are within the limits.

        A structure with a relaxed energy and density is judged by these, since its moduli are those of the relaxed
        structure and relaxation removes displacements that a simulation would remove, too. A structure without a value
        of a quantity is outside of its limits.
        """
        fractions = self._fractions(rows)
        within = composition_distances(fractions, np.asarray(self.compositions)) <= self.composition_distance
        if self.formal_charges is not None:
            within &= np.abs(fractions @ np.asarray(self.formal_charges)) < 1e-9
        relaxed = "relaxed_energy_per_atom" in rows and "relaxed_energy_per_atom" in self.models
        judged = QUANTITIES[2:] if relaxed else QUANTITIES[:2]
        deviations = self.deviations(rows)
        for name in judged:
            if name in self.models:
                within &= np.abs(deviations[f"{name}_deviation"]) <= LARGEST_DEVIATION
        return within

    def _fractions(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        if len(self.elements) == 1:
            return np.ones((len(next(iter(rows.values()))), 1))
        return np.stack(
            [np.asarray(rows[f"fraction_{symbol}"], dtype=float) for symbol in self.elements], axis=1
        )


@dataclass(frozen=True, kw_only=True)
class MaterialReference:
    """Limits of a material and the training structures that others are compared with."""

    limits: MaterialLimits
    structures: tuple[TypedStructure, ...]

    @cached_property
    def index(self) -> StructureIndex:
        return StructureIndex(self.structures, environment_classes(self.limits.elements, self.charges))

    @property
    def charges(self) -> Mapping[str, int] | None:
        charges = self.limits.formal_charges
        return None if charges is None else dict(zip(self.limits.elements, charges, strict=True))


def environment_classes(elements: Sequence[str], charges: Mapping[str, int] | None) -> tuple[int, ...]:
    """Class of each element in fingerprints of environments: 1 for anions (by charge, else oxygen), 0 for others."""
    if charges is None:
        return tuple(int(symbol == "O") for symbol in elements)
    return tuple(int(charges[symbol] < 0) for symbol in elements)


def typed_structure(atoms: Atoms, elements: Sequence[str]) -> TypedStructure:
    """Positions, cell and element numbers of ASE Atoms; AmsbenchError for an element that is not among ``elements``."""
    numbers = {symbol: k for k, symbol in enumerate(elements)}
    try:
        species = np.array([numbers[symbol] for symbol in atoms.symbols], dtype=np.int64)
    except KeyError as error:
        raise AmsbenchError(
            f"a structure has {error.args[0]}, which is not among the elements {', '.join(elements)}"
        ) from error
    return TypedStructure(positions=atoms.positions, cell=atoms.cell.array, species=species)


def relaxed_quantities(definition: DatasetDefinition, atoms: Atoms) -> dict[str, float]:
    """Energy per atom (eV) and density (g/cm3) of the relaxed structure, NaN if the relaxation fails."""
    try:
        relaxed = definition.relax(atoms)
    except EvaluationFailed:
        return dict.fromkeys(QUANTITIES[2:], float("nan"))
    return {
        "relaxed_energy_per_atom": relaxed.energy_per_atom,
        "relaxed_density": mass_density(relaxed.atoms),
    }


def mass_density(atoms: Atoms) -> float:
    """Mass density in g/cm3."""
    return GRAMS_PER_CM3 * float(atoms.get_masses().sum()) / float(atoms.get_volume())


def measure_material(
    dataset: Dataset, executor: Executor | None = None, *, relaxed: bool = True
) -> MaterialReference:
    """Limits of a dataset's material, measured on its training and held-out structures.

    executor: runs the relaxations and energies, one task per structure

    relaxed: whether structures are relaxed, too, where the dataset has a potential and properties for design

    Raises AmsbenchError for a dataset without training structures.
    """
    definition = dataset.definition
    train = _evenly(dataset.indices("train"), STRUCTURES)
    held_out = _evenly(dataset.indices("test"), HELD_OUT)
    frames = [dataset.atoms(int(k)) for k in train]
    fractions = element_fractions(dataset.subset(train))
    relaxes = relaxed and definition.potential is not None and bool(definition.design_properties)
    tasks = ((definition, atoms, relaxes) for atoms in frames)
    rows = list(map_with_timeout(_quantities, tasks, executor, limit=TIME_LIMIT))
    measured = [row for row in rows if isinstance(row, dict)]
    kept = fractions[[isinstance(row, dict) for row in rows]]
    models = {}
    for name in QUANTITIES:
        values = np.array([row.get(name, np.nan) for row in measured])
        # a dataset that is too small, or whose structures are all alike, sets no limit
        if has_model(kept, values):
            models[name] = composition_model(kept, values)
    elements, charges = definition.elements, definition.formal_charges
    structures = training_structures(dataset)
    index = StructureIndex(structures, environment_classes(elements, charges))
    others = [index.resemblance(typed_structure(dataset.atoms(int(k)), elements)) for k in held_out]
    largest = max((item.largest_overlap for item in others), default=0.0)
    distances = [item.environment_distance for item in others if item.environment_distance is not None]
    training = element_fractions(dataset.split("train"))
    apart = composition_distances(element_fractions(dataset.split("test")), training)
    limits = MaterialLimits(
        elements=tuple(elements),
        compositions=tuple(tuple(map(float, row)) for row in np.unique(training, axis=0)),
        composition_distance=max(LEAST_COMPOSITION_DISTANCE, float(apart.max(initial=0.0))),
        formal_charges=None if charges is None else tuple(charges[symbol] for symbol in elements),
        models=models,
        overlap=(1.0 + largest) / 2,
        held_out_overlap=largest,
        held_out_environment_distance=float(np.mean(distances)) if distances else 0.0,
    )
    return MaterialReference(limits=limits, structures=structures)


def training_structures(dataset: Dataset) -> tuple[TypedStructure, ...]:
    """All training structures of a dataset."""
    train = dataset.split("train")
    ends = np.cumsum(train.counts)[:-1]
    return tuple(
        TypedStructure(positions=positions.astype(np.float64), cell=cell.astype(np.float64), species=species)
        for positions, cell, species in zip(
            np.split(train.positions, ends), train.cells, np.split(train.species, ends), strict=True
        )
    )


def _evenly(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the indices, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]


def _quantities(definition: DatasetDefinition, atoms: Atoms, relaxes: bool) -> dict[str, float]:
    """The quantities of one structure; at module level, so that worker processes can import it."""
    row = {"density": mass_density(atoms)}
    if definition.potential is not None:
        try:
            row["energy_per_atom"] = definition.energy(atoms)[0]
        except EvaluationFailed:
            row["energy_per_atom"] = float("nan")
    if relaxes:
        row |= relaxed_quantities(definition, atoms)
    return row
