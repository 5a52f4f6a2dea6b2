"""What a dataset file holds: checks, summaries, and how a reduced recipe compares with the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.descriptors import GRAMS_PER_CM3
from ...metrics.distribution_functions import rdf
from ...metrics.structural_errors import curve_rmsd, noise_floor
from .dataset import Dataset
from .definition import SPLITS
from .storage import load_dataset_file, splits_of_groups

DESCRIPTOR_UNITS = {"mass_density": "g/cm^3", "energy_per_atom": "eV"}
"""Units of what ``compare`` computes beside the labels."""


def verify(path: str | Path) -> dict[str, Any]:
    """Read a packed file with all checks and return its sizes, splits and hash as plain JSON data.

    Raises AmsbenchError if the file is missing, damaged or edited, if its arrays do not fit together, or if its splits
    do not follow from its groups.
    """
    dataset = load_dataset_file(path)
    if not np.array_equal(
        dataset.splits, splits_of_groups(dataset.groups, dataset.definition.split_fractions)
    ):
        raise AmsbenchError(f"{path} has splits that do not follow from its groups; build it again")
    return {
        "path": str(path),
        "dataset": dataset.definition.name,
        "recipe": dataset.provenance["recipe"],
        "samples": len(dataset),
        "atoms": int(dataset.counts.sum()),
        "splits": _split_counts(dataset),
        "content_hash": dataset.content_hash,
    }


def info(dataset: Dataset) -> dict[str, Any]:
    """A summary of a dataset as plain JSON data: sizes, splits, density (g/cm^3), labels, provenance."""
    counts = dataset.counts
    density = mass_density(dataset)
    return {
        "dataset": dataset.definition.name,
        "title": dataset.definition.title,
        "path": dataset.path,
        "content_hash": dataset.content_hash,
        "samples": len(dataset),
        "simulations": len(np.unique(dataset.groups)),
        "splits": _split_counts(dataset),
        "atoms_per_sample": {
            "min": int(counts.min()),
            "max": int(counts.max()),
            "mean": float(counts.mean()),
        },
        "element_fractions": {
            symbol: float(np.mean(dataset.species == kind))
            for kind, symbol in enumerate(dataset.definition.elements)
        },
        "mass_density": {"mean": float(density.mean()), "std": float(density.std())},
        "properties": {name: _label_facts(dataset, column) for column, name in _columns(dataset)},
        "provenance": dataset.provenance,
        "deviations": deviations(dataset),
    }


def deviations(dataset: Dataset) -> dict[str, tuple[Any, Any]]:
    """What the protocol of a dataset's simulations and the paper's have different, {name: (this, paper's)}; nothing
    where the file does not say how it was made."""
    if "protocol" not in dataset.provenance:
        return {}
    here, paper = flat(dataset.provenance["protocol"]), flat(dataset.definition.simulation_recipe("paper"))
    return {
        name: (here.get(name), paper.get(name)) for name in here | paper if here.get(name) != paper.get(name)
    }


def flat(protocol: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings with their names joined by points."""
    found: dict[str, Any] = {}
    for name, value in protocol.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return found


def compare(reduced: Dataset, paper: Dataset, *, energies: int = 64) -> dict[str, Any]:
    """How samples of a shorter recipe differ from those of the paper's, as plain JSON data.

    energies: of at most so many samples of each, spread evenly, the energy is computed; 0 for none
    Each quantity has ``reduced`` and ``paper`` (mean, std, samples), their ``difference`` of means and its
    ``standard_error``, so that a difference within the scatter of a few paper-length samples shows as such.
    ``rdf_rmsd`` is between the two mean curves, r < 5 A; ``rdf_floor`` is what as many reduced samples as there are
    of the paper's score on average.
    AmsbenchError when they are not of the same dataset.
    """
    if reduced.definition.name != paper.definition.name:
        raise AmsbenchError(
            f"{reduced.path} holds '{reduced.definition.name}' and {paper.path} '{paper.definition.name}'; "
            "compare two files of one dataset"
        )
    both = (reduced, paper)
    quantities = {"mass_density": _difference(*(mass_density(item) for item in both))}
    if energies:
        quantities["energy_per_atom"] = _difference(*(_energies(item, energies) for item in both))
    for column, name in _columns(reduced):
        labels = [item.properties[:, column].astype(np.float64) for item in both]
        known = [values[np.isfinite(values)] for values in labels]
        if all(len(values) for values in known):
            quantities[name] = _difference(*known)
    ours, theirs = rdf(reduced), rdf(paper)
    return {
        "dataset": reduced.definition.name,
        "recipes": [item.provenance["recipe"] for item in both],
        "rdf_rmsd": curve_rmsd(ours.mean, theirs.mean),
        "rdf_floor": noise_floor(ours, ours, min(len(reduced), len(paper))).value,
        "quantities": quantities,
    }


def mass_density(dataset: Dataset) -> np.ndarray:
    """Density of each sample, g/cm^3, [s]."""
    from ase.data import atomic_masses, atomic_numbers

    masses = np.array([atomic_masses[atomic_numbers[symbol]] for symbol in dataset.definition.elements])
    sample = np.repeat(np.arange(len(dataset)), dataset.counts)
    total = np.bincount(sample, weights=masses[dataset.species], minlength=len(dataset))
    return GRAMS_PER_CM3 * total / np.abs(np.linalg.det(dataset.cells.astype(np.float64)))


def _columns(dataset: Dataset) -> list[tuple[int, str]]:
    return list(enumerate(dataset.property_names))


def _split_counts(dataset: Dataset) -> dict[str, int]:
    return {name: len(dataset.indices(name)) for name in SPLITS}


def _label_facts(dataset: Dataset, column: int) -> dict[str, Any]:
    values = dataset.properties[:, column].astype(np.float64)
    known = values[np.isfinite(values)]
    facts: dict[str, Any] = {
        "unit": dataset.definition.properties[column].unit,
        "labelled": len(known),
        "coverage": len(known) / len(values),
    }
    if len(known):
        facts |= {
            "mean": float(known.mean()),
            "std": float(known.std()),
            "min": float(known.min()),
            "max": float(known.max()),
        }
    return facts


def _energies(dataset: Dataset, at_most: int) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(at_most, len(dataset))).round().astype(int))
    return np.array([dataset.definition.energy(dataset.atoms(int(index)))[0] for index in chosen])


def _difference(reduced: np.ndarray, paper: np.ndarray) -> dict[str, Any]:
    """Means, standard deviations and the difference; one sample has no scatter of its own, so it has no std."""
    both = {
        recipe: {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            "samples": len(values),
        }
        for recipe, values in (("reduced", reduced), ("paper", paper))
    }
    # The scatter of the larger set stands for both: a few samples do not measure their own.
    scatter = both["reduced"]["std"]
    error = None if scatter is None else float(scatter * np.sqrt(1 / len(reduced) + 1 / len(paper)))
    return {**both, "difference": float(paper.mean() - reduced.mean()), "standard_error": error}
