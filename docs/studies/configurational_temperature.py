"""Are the melts of asi Boltzmann samples at their temperature? Prints the configurational temperature and its error.

    python docs/studies/configurational_temperature.py [DATASET]

Twenty snapshots of every melt of the training split; the error is that of the mean over melts.
Also prints the mean square of a component of F / kT, and by how much the time step raises the temperature of positions
over that of the velocities: (omega dt)^2 / 4 for velocity Verlet, with omega^2 = -<div F> / (3 n m).
"""

from __future__ import annotations

import sys

import numpy as np
from ase import units
from ase.data import atomic_masses

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
    components = 3 * dataset.counts.mean()
    kt = units.kB * temperature
    print(f"mean square of a component of F / kT: {rows[:, 0].mean() / components / kt**2:.1f} A^-2")
    step = dataset.definition.simulation_recipe("reduced")["time_step_ps"] * 1000 * units.fs
    mass = float(np.mean(atomic_masses[dataset.numbers]))
    frequency = rows[:, 1].mean() / components / mass
    print(f"(omega dt)^2 / 4: {100 * frequency * step**2 / 4:.1f} %")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "asi")
