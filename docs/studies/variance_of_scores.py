"""How much less noisy is the target with scores? Prints the mean squared error of a trained network by time.

    python docs/studies/variance_of_scores.py

The released material-sde-asi, whose training had no scores, on twelve held-out samples of asi: errors per component
of the predicted noise against the noise and against its mixture with the scores, which have the same mean. Their
difference is variance that a training need not average over.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch_geometric.data import Batch

import amsbench
from amsbench.benchmark.datasets.boltzmann import add_scores, boltzmann_scores
from amsbench.benchmark.datasets.dataset import samples_of
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import ScoredStructures
from amsbench.methods.losses import noise_with_scores
from amsbench.methods.material_sde import MaterialSDE

TIMES = (0.03, 0.08, 0.15, 0.25, 0.35, 0.5)
SAMPLES = 12


def main() -> None:
    method = amsbench.load_method("material-sde", dataset="asi")
    assert isinstance(method, MaterialSDE)
    held_out = amsbench.load_dataset("asi").split("validation")
    held_out = held_out.subset(np.linspace(0, len(held_out) - 1, SAMPLES).astype(int))
    samples = samples_of(held_out, method.task)
    with tempfile.TemporaryDirectory() as folder:
        add_scores(samples, boltzmann_scores(held_out, Path(folder)))
    batch = ScoredStructures.from_data(Batch.from_data_list(samples))
    generator = torch.Generator().manual_seed(0)
    rows = []
    for time in TIMES:
        noise = BatchNoise(len(batch.positions), len(batch), generator)
        t = torch.full((len(batch), 1), time)
        state, eps = method.corrupt(batch, t, noise)
        with torch.no_grad():
            null = method.denoiser.null_properties(noise)
            predicted = method.predict(state, null, t[:, 0], torch.zeros(len(batch))).positions
        mixture = noise_with_scores(eps.positions, batch, method.positions.scale * t[batch.batch], 1.0)
        errors = [float(((predicted - target) ** 2).mean()) for target in (eps.positions, mixture)]
        rows.append([time, *(f"{error:.3f}" for error in errors)])
    print(
        tabulate(
            rows, ["t", "error against the noise", "against the mixture"], "github", disable_numparse=True
        )
    )


if __name__ == "__main__":
    main()
