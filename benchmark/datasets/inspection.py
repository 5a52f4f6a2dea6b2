"""Dataset files: checks, summaries, and comparison of a reduced recipe with the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.descriptors import GRAMS_PER_CM3
from ...metrics.distribution_functions import rdf
from ...metrics.structural_errors import FrozenCurve, curve_rmsd
from .dataset import Dataset
from .definition import SPLITS
from .storage import load_dataset_file, splits_of_groups

DESCRIPTOR_UNITS = {"mass_density": "g/cm^3", "energy_per_atom": "eV"}
"""Units of the quantities that ``compare`` computes in addition to the labels."""


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
    """Summary of a dataset as plain JSON data: sizes, splits, density (g/cm^3), labels, provenance."""
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
    """Settings in which a dataset's simulations differ from the paper's recipe, {name: (dataset's, paper's)}.

    Empty if the file does not say how it was made.
    """
    if "protocol" not in dataset.provenance:
        return {}
    used, paper = flat(dataset.provenance["protocol"]), flat(dataset.definition.simulation_recipe("paper"))
    return {
        name: (used.get(name), paper.get(name)) for name in used | paper if used.get(name) != paper.get(name)
    }


def flat(protocol: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one table, the names of the levels joined by points."""
    settings: dict[str, Any] = {}
    for name, value in protocol.items():
        settings |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return settings


def compare(reduced: Dataset, paper: Dataset, *, energies: int = 64) -> dict[str, Any]:
    """Comparison of samples of a reduced recipe with samples of the paper's, as plain JSON data.

    Each quantity has ``reduced`` and ``paper`` (mean, std, samples), the ``difference`` of their means and its
    ``standard_error``, which tells it from the scatter of a few samples. ``rdf_rmsd`` is the RMSD of the two mean RDFs,
    r < 5 A; ``rdf_floor`` is the expected RMSD of as many reduced samples as there are of the paper's recipe.

    energies: largest number of samples, evenly spread, whose energy is computed for each recipe; 0 for none
    Raises AmsbenchError if the two are not of the same dataset.
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
        measured = [values[np.isfinite(values)] for values in labels]
        if all(len(values) for values in measured):
            quantities[name] = _difference(*measured)
    ours, theirs = rdf(reduced), rdf(paper)
    return {
        "dataset": reduced.definition.name,
        "recipes": [item.provenance["recipe"] for item in both],
        "rdf_rmsd": curve_rmsd(ours.mean, theirs.mean),
        "rdf_floor": FrozenCurve.from_curves(ours, reduced.groups).floor(len(paper)),
        "quantities": quantities,
    }


def mass_density(dataset: Dataset) -> np.ndarray:
    """Mass density of each sample [s], g/cm^3."""
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
    labels = values[np.isfinite(values)]
    facts: dict[str, Any] = {
        "unit": dataset.definition.properties[column].unit,
        "labelled": len(labels),
        "coverage": len(labels) / len(values),
    }
    if len(labels):
        facts |= {
            "mean": float(labels.mean()),
            "std": float(labels.std()),
            "min": float(labels.min()),
            "max": float(labels.max()),
        }
    return facts


def _energies(dataset: Dataset, at_most: int) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(at_most, len(dataset))).round().astype(int))
    return np.array([dataset.definition.energy(dataset.atoms(int(index)))[0] for index in chosen])


def _difference(reduced: np.ndarray, paper: np.ndarray) -> dict[str, Any]:
    """Means, standard deviations (None for a single sample), difference of the means and its standard error."""
    both = {
        recipe: {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            "samples": len(values),
        }
        for recipe, values in (("reduced", reduced), ("paper", paper))
    }
    # the standard deviation of the larger set is used for both, because that of a few samples is too uncertain
    scatter = both["reduced"]["std"]
    error = None if scatter is None else float(scatter * np.sqrt(1 / len(reduced) + 1 / len(paper)))
    return {**both, "difference": float(paper.mean() - reduced.mean()), "standard_error": error}
