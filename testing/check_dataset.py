"""``check_dataset``: named checks of the contract of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from ..benchmark.datasets.build import simulation_seed
from ..benchmark.datasets.dataset import Dataset
from ..benchmark.datasets.definition import DatasetDefinition
from ..benchmark.datasets.storage import dataset_in_memory, decode_structures, encode_structures
from .checks import Check, CheckResult, run_checks
from .data_checks import DATASET_CHECKS, SAMPLES_PER_SIMULATION, DatasetProbe


def dataset_checks() -> tuple[Check[DatasetProbe], ...]:
    """All checks of ``check_dataset``, in order; each has a ``name`` and a ``description``."""
    return DATASET_CHECKS


def check_dataset(
    subject: Dataset | DatasetDefinition | type[DatasetDefinition],
    *,
    measured: int = 4,
    simulations: int = 2,
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Check the contract of a dataset, on which training, runs and tables rely, and return one result per check.

    subject: a loaded dataset, or a definition; with a definition ``simulations`` simulations of the recipe ``reduced``
        are run, one of them twice
    measured: number of samples whose properties and energies are measured
    only, expected_failures: as in ``check_method``

    Raises CheckFailed with one sentence per failed check, and AmsbenchError for unknown names.
    """
    if isinstance(subject, Dataset):
        probe = DatasetProbe(subject, measured)
    else:
        definition = subject() if isinstance(subject, type) else subject
        seeds = tuple(simulation_seed(0, number, 0) for number in range(simulations))
        probe = DatasetProbe(_simulated(definition, seeds), measured, seeds)
    return run_checks(DATASET_CHECKS, [probe], f"dataset '{probe.definition.name}'", only, expected_failures)


def _simulated(definition: DatasetDefinition, seeds: tuple[int, ...]) -> Dataset:
    """Dataset of a few simulations with measured labels, as in a build."""
    samples = min(SAMPLES_PER_SIMULATION, definition.samples_per_simulation("reduced"))
    simulated = [
        definition.definition_for(number).simulate("reduced", seed, samples)
        for number, seed in enumerate(seeds)
    ]
    arrays = encode_structures([atoms for frames in simulated for atoms in frames], definition.elements)
    arrays["groups"] = np.repeat(np.arange(len(simulated)), [len(frames) for frames in simulated])
    names = [item.name for item in definition.properties]
    labels = [definition.measure(atoms).values for atoms in decode_structures(arrays, definition.elements)]
    values = [[sample_labels.get(name, math.nan) for name in names] for sample_labels in labels]
    arrays["properties"] = np.array(values, dtype=np.float64).reshape(len(labels), len(names))
    provenance = {
        "dataset": definition.name,
        "recipe": "reduced",
        "protocol": definition.simulation_recipe("reduced"),
    }
    return dataset_in_memory(definition, arrays, provenance, f"simulations of '{definition.name}'")
