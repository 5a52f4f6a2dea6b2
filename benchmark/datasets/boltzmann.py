"""Scores of Boltzmann samples: the gradient of the log-density of their positions, the force over kT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import AmsbenchError
from ...metrics.potentials.potential import EvaluationFailed
from ..system.files import write_bytes
from .dataset import Dataset

SCORES_FILE = "scores.safetensors"


def check_boltzmann(dataset: Dataset) -> None:
    """Raise AmsbenchError unless the definition declares the samples to be Boltzmann samples of its potential."""
    definition = dataset.definition
    if definition.sample_temperature is None or definition.potential is None:
        raise AmsbenchError(
            f"the target score needs samples at equilibrium under a potential, and dataset '{definition.name}' "
            "declares no temperature of equilibrium (quenched glasses have none); leave out the setting 'target_score'"
        )


def boltzmann_scores(dataset: Dataset, cache: Path) -> np.ndarray:
    """Force over kT of every atom, [n, 3] in 1/A, under the potential and at the temperature of the dataset.

    cache: folder in which the scores are kept; with its file, no potential is evaluated. Raises AmsbenchError for data
        that are not at equilibrium, and for a sample without forces.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save

    check_boltzmann(dataset)
    path = cache / SCORES_FILE
    if path.is_file():
        try:
            with safe_open(path, framework="numpy") as file:
                stored_hash = (file.metadata() or {}).get("dataset")
                scores = np.asarray(file.get_tensor("scores"))
        except (SafetensorError, OSError) as error:
            raise AmsbenchError(f"{path} is damaged ({error}); delete it to compute it again") from error
        if stored_hash == dataset.content_hash and scores.shape == dataset.positions.shape:
            return scores
    scores = _computed(dataset)
    header = {"dataset": dataset.content_hash}
    write_bytes(path, save({"scores": scores}, metadata=header))
    return scores


def _computed(dataset: Dataset) -> np.ndarray:
    from ase import units

    from ...metrics.potentials.lammps_calculator import LammpsCalculator

    potential, temperature = dataset.definition.potential, dataset.definition.sample_temperature
    assert potential is not None
    assert temperature is not None
    forces = []
    with LammpsCalculator(potential) as calculator:
        for number, atoms in enumerate(dataset):
            try:
                calculator.calculate(atoms)
            except EvaluationFailed as error:
                raise AmsbenchError(
                    f"sample {number} of the training split of {dataset.path} has no forces: {error}; leave it out"
                ) from error
            forces.append(calculator.results["forces"])
    return (np.concatenate(forces) / (units.kB * temperature)).astype(np.float32)


def add_scores(samples: Sequence[Any], scores: np.ndarray) -> None:
    """Give torch-geometric ``samples`` their ``scores`` [n, 3] and ``score_variance`` [1], the mean square component.

    The variance is that of all samples: one of a batch would depend on its atoms and bias what is weighted with it.
    """
    variance = torch.tensor([float(np.mean(scores.astype(np.float64) ** 2))])
    counts = [sample.num_nodes for sample in samples]
    for sample, part in zip(samples, torch.as_tensor(scores).split(counts), strict=True):
        sample.scores, sample.score_variance = part, variance
