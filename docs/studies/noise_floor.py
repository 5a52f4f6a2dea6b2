"""RMSD of structures of some melts of liquid silicon from others, beside the noise floor: ``noise_floor.py [choices]``.

For each choice nine melts are the reference, and structures of the other 47 stand for a perfect generator: they are
evenly drawn from these melts, which never run out for few structures and are all used for many. Prints the root of the
mean squared RMSD over the choices, the mean RMSD, and the noise floor that follows from the nine melts alone.
"""

import sys

import numpy as np

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.metrics.distribution_functions import Curves, adf, rdf
from amsbench.metrics.structural_errors import FrozenCurve, curve_rmsd

REFERENCE_MELTS = 9


def main(choices: int) -> None:
    dataset = load_dataset("asi")
    melts = np.unique(dataset.groups)
    rows = {melt: np.flatnonzero(dataset.groups == melt) for melt in melts}
    others = len(melts) - REFERENCE_MELTS
    print("curve  structures  root mean square RMSD  mean RMSD  noise floor")
    for name, function in (("RDF", rdf), ("ADF", adf)):
        curves = function(dataset)
        for count in (16, others, 10 * others, 40 * others):
            random = np.random.default_rng(0)
            errors, floors = np.zeros(choices), np.zeros(choices)
            for choice in range(choices):
                order = random.permutation(melts)
                reference = np.concatenate([rows[melt] for melt in order[:REFERENCE_MELTS]])
                generated = np.concatenate(
                    [
                        random.choice(rows[melt], size=max(1, count // others), replace=False)
                        for melt in order[REFERENCE_MELTS:][:count]
                    ]
                )
                frozen = FrozenCurve.from_curves(
                    Curves(grid=curves.grid, values=curves.values[reference]), dataset.groups[reference]
                )
                errors[choice] = curve_rmsd(curves.values[generated].mean(axis=0), frozen.mean)
                floors[choice] = frozen.floor(len(generated))
            measured, floor = np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(floors**2))
            print(f"{name:5}  {count:10d}  {measured:21.6f}  {errors.mean():9.6f}  {floor:11.6f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
