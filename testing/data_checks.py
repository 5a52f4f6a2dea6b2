"""Checks of a dataset: its definition, arrays, units, labels, provenance and evaluation plans."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..benchmark.datasets.dataset import Dataset
from ..benchmark.datasets.definition import SPLITS, DatasetDefinition, Measurement, plans_of
from ..benchmark.datasets.storage import splits_of_groups
from ..benchmark.generation.cells import cells_of
from ..benchmark.interface.evaluation_plan import PROTOCOLS
from .checks import Check, require

SAMPLES_PER_SIMULATION = 2
"""Samples of each simulation in the checks of a definition."""
OUTSIDE = 1e-3
"""Largest distance of an atom outside its cell due to rounding, angstrom."""
LEAST_DISTANCE = 0.5
"""Smallest median distance of nearest neighbours, angstrom; a smaller one is reported as a wrong unit of length."""
LABEL_ERROR = 0.1
"""Largest difference between a label and the value measured on the stored structure, in units of the labels' std."""


@dataclass(frozen=True)
class DatasetProbe:
    """Subject of the checks: a dataset, the number of samples to measure, and its seeds if simulated for the checks."""

    dataset: Dataset
    measured: int
    seeds: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ""

    @property
    def definition(self) -> DatasetDefinition:
        return self.dataset.definition

    @cached_property
    def rows(self) -> np.ndarray:
        """Indices of the measured samples, evenly spaced."""
        count = min(self.measured, len(self.dataset))
        return np.unique(np.linspace(0, len(self.dataset) - 1, count).round().astype(int))

    @cached_property
    def measurements(self) -> list[Measurement]:
        """Measurements of all properties of the samples ``rows``."""
        return [self.definition.measure(self.dataset.atoms(int(row))) for row in self.rows]


def definition_attributes(probe: DatasetProbe) -> None:
    """Name, title, elements, properties and splits of the definition are valid, and it can be pickled."""
    from ase.data import atomic_numbers

    definition = probe.definition
    require(definition.title.strip() and "\n" not in definition.title, "the title is not one line of text")
    unknown = [symbol for symbol in definition.elements if not atomic_numbers.get(symbol)]
    require(
        definition.elements and not unknown,
        f"elements is empty or has entries that are no chemical symbols: {unknown}",
    )
    require(
        len(set(definition.elements)) == len(definition.elements),
        f"an element occurs twice in {definition.elements}",
    )
    names = [item.name for item in definition.properties]
    require(len(set(names)) == len(names), f"two properties have the same name: {names}")
    foreign = sorted(set(definition.design_properties) - set(names))
    require(not foreign, f"design_properties has {foreign}, which are not in properties")
    density = definition.ghost_density
    require(
        density is None or 0 < density < 1,
        f"the ghost density is {density} per A^3; expected: between 0 and 1, or None",
    )
    charges = definition.formal_charges
    require(
        charges is None or set(charges) == set(definition.elements),
        "formal_charges has other keys than elements",
    )
    shares = definition.split_fractions
    require(
        min(shares) > 0 and math.isclose(sum(shares), 1),
        f"the split fractions {shares} are not positive or do not sum to 1",
    )
    again = pickle.loads(pickle.dumps(definition))  # as a worker process gets it
    require(
        (again.name, again.elements) == (definition.name, definition.elements),
        "the definition differs after pickling, as for a worker process",
    )


def arrays_fit(probe: DatasetProbe) -> None:
    """Arrays have the shapes that the counts require, and every atom is of a known element."""
    data = probe.dataset
    samples, atoms = len(data), int(data.counts.sum())
    shapes = {
        "positions": (atoms, 3),
        "cells": (samples, 3, 3),
        "species": (atoms,),
        "properties": (samples, len(data.property_names)),
        "groups": (samples,),
        "splits": (samples,),
    }
    for name, shape in shapes.items():
        actual = getattr(data, name).shape
        require(actual == shape, f"{name} has the shape {actual}; the counts require {shape}")
    require(samples > 0 and data.counts.min() > 0, "the dataset has no samples, or a sample has no atoms")
    element_count = len(probe.definition.elements)
    require(
        data.species.min() >= 0 and data.species.max() < element_count,
        f"a species index is not among 0 to {element_count - 1}",
    )


def positions_inside(probe: DatasetProbe) -> None:
    """Positions are finite and inside their cells, and cells have a volume."""
    data = probe.dataset
    require(
        np.isfinite(data.cells).all() and np.isfinite(data.positions).all(),
        "a position or a cell is not finite",
    )
    volumes = np.abs(np.linalg.det(data.cells.astype(np.float64)))
    require(
        (volumes > 1.0).all(),
        f"sample {int(volumes.argmin())} has a cell of {volumes.min():.3g} A^3; is it in nanometres?",
    )
    _require_angstrom(probe)
    cells = np.repeat(data.cells.astype(np.float64), data.counts, axis=0)
    fractions = np.einsum("ni,nij->nj", data.positions, np.linalg.inv(cells))
    outside = np.abs(fractions - np.clip(fractions, 0, 1)) * np.linalg.norm(cells, axis=2)
    worst = int(outside.max(axis=1).argmax())
    require(
        outside.max() <= OUTSIDE,
        f"atom {worst} is {outside.max():.3g} A outside its cell; wrap positions into the cell",
    )


def _require_angstrom(probe: DatasetProbe) -> None:
    """Raise CheckFailed if distances between neighbours are too short for angstrom."""
    for row in probe.rows:
        distances = probe.dataset.atoms(int(row)).get_all_distances(mic=True)
        if len(distances) < 2:
            continue
        np.fill_diagonal(distances, np.inf)
        nearest = float(np.median(distances.min(axis=1)))
        require(
            nearest >= LEAST_DISTANCE,
            f"the nearest neighbours of sample {row} are {nearest:.2g} A apart: its positions or cells seem to be "
            "fractional coordinates or nanometres; store angstrom",
        )


def splits_follow_groups(probe: DatasetProbe) -> None:
    """The split of a sample follows from its group alone, so that a growing dataset moves none of them."""
    data, fractions = probe.dataset, probe.definition.split_fractions
    require(
        np.array_equal(data.splits, splits_of_groups(data.groups, fractions)),
        "the splits are not those of the groups; compute them by splits_of_groups",
    )
    if not probe.seeds:
        empty = [split for split in SPLITS if len(data.indices(split)) == 0]
        require(not empty, f"the split '{', '.join(empty)}' has no samples")


def density_below_ghosts(probe: DatasetProbe) -> None:
    """No sample is denser than the atoms and ghosts that fill a cell."""
    data, density = probe.dataset, probe.definition.ghost_density
    assert density is not None
    room = np.floor(density * np.abs(np.linalg.det(data.cells.astype(np.float64))))
    worst = int((room - data.counts).argmin())
    require(
        (data.counts <= room).all(),
        f"sample {worst} has {data.counts[worst]} atoms where {room[worst]:.0f} atoms and ghosts fill its cell",
    )


def labels_finite_or_absent(probe: DatasetProbe) -> None:
    """Labels are finite, or NaN where there is none."""
    infinite = np.argwhere(np.isinf(probe.dataset.properties))
    require(
        len(infinite) == 0,
        f"a label of sample {infinite[:1, 0].tolist()} is infinite; use NaN for an absent label",
    )


def measure_answers(probe: DatasetProbe) -> None:
    """``measure`` gives a finite value or a reason for every requested property, and for no other."""
    names = [item.name for item in probe.definition.properties]
    for row, measurement in zip(probe.rows, probe.measurements, strict=True):
        _answered(measurement, names, f"sample {row}")
    atoms = probe.dataset.atoms(int(probe.rows[0]))
    for name in names:
        _answered(probe.definition.measure(atoms, (name,)), [name], f"measure(atoms, ['{name}'])")


def _answered(measurement: Measurement, names: list[str], what: str) -> None:
    for name in names:
        value, reason = measurement.values.get(name), measurement.failures.get(name)
        require(
            value is not None or reason,
            f"{what} has neither a value of '{name}' nor a reason for its absence",
        )
        require(
            value is None or math.isfinite(value), f"{what} has a '{name}' of {value}; give a reason instead"
        )
    foreign = sorted((set(measurement.values) | set(measurement.failures)) - set(names))
    require(not foreign, f"{what} returns {foreign}, which was not requested")


def labels_are_measured(probe: DatasetProbe) -> None:
    """Where ``measure`` gives a value, it is the label, to a tenth of the labels' standard deviation."""
    for column, item in enumerate(probe.definition.properties):
        labels = probe.dataset.properties[:, column].astype(float)
        allowed = LABEL_ERROR * float(np.nanstd(labels)) + 1e-4 * float(np.nanmax(np.abs(labels)))
        for row, measurement in zip(probe.rows, probe.measurements, strict=True):
            value = measurement.values.get(item.name)
            if value is not None:
                require(
                    abs(value - labels[row]) <= allowed,
                    f"sample {row} has the label '{item.name}' {labels[row]:.6g}, but measure gives {value:.6g}; "
                    "labels and generated structures have to be measured alike",
                )


def energies_finite(probe: DatasetProbe) -> None:
    """Where a potential made the data, every sample has a finite energy per atom and a largest force."""
    for row in probe.rows:
        energy, force = probe.definition.energy(probe.dataset.atoms(int(row)))
        require(
            math.isfinite(energy) and math.isfinite(force) and force >= 0,
            f"sample {row} has an energy of {energy} eV per atom and a largest force of {force} eV/A",
        )


def provenance_is_recorded(probe: DatasetProbe) -> None:
    """Provenance is JSON data and names the recipe."""
    provenance = probe.dataset.provenance
    json.dumps(provenance)
    require(provenance.get("recipe"), "the provenance has no entry 'recipe'")


def plans_valid(probe: DatasetProbe) -> None:
    """Every protocol has evaluation plans that can be carried out."""
    for protocol in PROTOCOLS:
        plans = plans_of(probe.definition, protocol)
        names = [plan.name for plan in plans]
        require(
            names and len(set(names)) == len(names),
            f"protocol '{protocol}' has no plans, or two plans of the same name",
        )
        for plan in plans:
            what = f"plan '{plan.name}' of protocol '{protocol}'"
            require(plan.protocol == protocol, f"{what} names the protocol '{plan.protocol}'")
            require(plan.count > 0, f"{what} has a count of {plan.count} structures")
            require(plan.steps and min(plan.steps) > 0, f"{what} has the step counts {plan.steps}")
            require(
                plan.targets or plan.kind == "structural",
                f"{what} is a plan for inverse design without targets",
            )
            for name, ends in plan.targets.items():
                probe.definition.property_named(name)
                require(
                    all(map(math.isfinite, ends)),
                    f"{what} has targets of '{name}' that are not finite: {ends}",
                )
            cells, counts = cells_of(plan.changed(count=2), probe.dataset)
            require(len(cells) == len(counts) == 2 and counts.min() > 0, f"{what} has cells without atoms")


def simulations_repeat(probe: DatasetProbe) -> None:
    """The same seed simulates the same structures, another seed others."""
    samples = min(SAMPLES_PER_SIMULATION, probe.definition.samples_per_simulation("reduced"))
    simulated = [
        np.concatenate(
            [
                atoms.positions
                for atoms in probe.definition.definition_for(0).simulate("reduced", seed, samples)
            ]
        )
        for seed in (probe.seeds[0], probe.seeds[0], probe.seeds[1])
    ]
    require(np.array_equal(simulated[0], simulated[1]), "the same seed simulates other structures")
    require(
        simulated[0].shape != simulated[2].shape or not np.allclose(simulated[0], simulated[2]),
        "two seeds simulate the same structures",
    )


def _own_energy(probe: DatasetProbe) -> bool:
    return type(probe.definition).energy is not DatasetDefinition.energy


def _labelled(probe: DatasetProbe) -> bool:
    return len(probe.definition.properties) > 0


DATASET_CHECKS: tuple[Check[DatasetProbe], ...] = (
    Check(definition_attributes),
    Check(arrays_fit),
    Check(positions_inside),
    Check(splits_follow_groups),
    Check(density_below_ghosts, lambda probe: probe.definition.ghost_density is not None),
    Check(labels_finite_or_absent, _labelled),
    Check(measure_answers, _labelled),
    Check(labels_are_measured, _labelled),
    Check(energies_finite, _own_energy),
    Check(provenance_is_recorded),
    Check(plans_valid),
    Check(simulations_repeat, lambda probe: len(probe.seeds) > 1),
)
