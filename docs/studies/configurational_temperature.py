"""Are the melts of asi Boltzmann samples at their temperature? Prints the configurational temperature and its error.

    python docs/studies/configurational_temperature.py [DATASET]

Twenty snapshots of every melt of the training split; the error is that of the mean over melts, which are independent.
"""

from __future__ import annotations

import sys

import numpy as np

import amsbench
from amsbench.metrics.potentials.configurational_temperature import (
    configurational_temperature,
    squared_forces_and_divergences,
)

SNAPSHOTS, PROBES, RESAMPLES = 20, 2, 2_000


def main(name: str) -> None:
    dataset = amsbench.load_dataset(name).split("train")
    potential, temperature = dataset.definition.potential, dataset.definition.sample_temperature
    if potential is None or temperature is None:
        sys.exit(f"the definition of {name} declares no potential or no temperature")
    melts = np.unique(dataset.groups)
    means = []
    for melt in melts:
        members = np.flatnonzero(dataset.groups == melt)
        chosen = members[np.linspace(0, len(members) - 1, min(SNAPSHOTS, len(members))).astype(int)]
        frames = map(dataset.atoms, chosen.tolist())
        means.append(squared_forces_and_divergences(potential, frames, probes=PROBES, seed=int(melt)).mean(0))
    rows, random = np.array(means), np.random.default_rng(0)
    resampled = [
        configurational_temperature(rows[random.integers(len(rows), size=len(rows))])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    print(
        f"{name}: {len(melts)} melts, configurational temperature {configurational_temperature(rows):.0f} K "
        f"[{low:.0f}, {high:.0f}], declared {temperature:.0f} K"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "asi")
