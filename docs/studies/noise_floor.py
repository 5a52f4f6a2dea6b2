"""RMSD of structures of some simulations from those of others, beside the noise floor: ``noise_floor.py [choices]``.

For each choice as many melts as the dataset holds out are the reference, and structures of the others stand for a
perfect generator, evenly many of each melt. Prints the root of the mean squared RMSD over the choices, the mean RMSD,
and the noise floor that follows from the reference alone.
"""

import sys

import numpy as np
from tabulate import tabulate

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.dataset import Dataset
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.metrics.distribution_functions import Curves
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.structural_errors import FrozenCurve, curve_rmsd

GLASS = ("rdf", "rdf_former_anion", "adf_former_anion_former", "qn", "sq")
CURVES = {"asi": ("rdf", "adf", "coordination_former_former"), "asio2": GLASS, "meg": GLASS}
COUNTS = {"asi": (16, 47, 470, 1880), "asio2": (16, 128), "meg": (16, 128)}
"""Numbers of generated structures: multiples of the other melts of ``asi``, which has 80 snapshots of each."""


def compared(dataset: Dataset, curves: Curves, count: int, choices: int) -> tuple[float, float, float]:
    """Root mean square RMSD, mean RMSD and noise floor over the choices of the reference melts."""
    random = np.random.default_rng(0)
    melts = np.unique(dataset.groups)
    rows = {melt: np.flatnonzero(dataset.groups == melt) for melt in melts}
    held_out = len(np.unique(dataset.split("test").groups))
    errors, floors = np.zeros(choices), np.zeros(choices)
    for choice in range(choices):
        order = random.permutation(melts)
        reference = np.concatenate([rows[melt] for melt in order[:held_out]])
        others = order[held_out:][:count]
        generated = [
            random.choice(rows[melt], size=count // len(others), replace=False).tolist() for melt in others
        ]
        frozen = FrozenCurve.from_curves(
            Curves(grid=curves.grid, values=curves.values[reference]), dataset.groups[reference]
        )
        errors[choice] = curve_rmsd(curves.values[np.concatenate(generated)].mean(axis=0), frozen.mean)
        floors[choice] = frozen.floor(count)
    return float(np.sqrt(np.mean(errors**2))), float(errors.mean()), float(np.sqrt(np.mean(floors**2)))


def main(choices: int) -> None:
    table = []
    for name, metrics in CURVES.items():
        dataset = load_dataset(name)
        for metric in (registry.load_metric(item, CurveMetric) for item in metrics):
            curves = metric.curves(dataset)
            for count in COUNTS[name]:
                numbers = compared(dataset, curves, count, choices)
                texts = (f"{number:.{metric.decimals + 1}f}" for number in numbers)
                table.append((name, metric.name, str(count), *texts))
    heads = ["dataset", "curve", "structures", "root mean square RMSD", "mean RMSD", "noise floor"]
    print(tabulate(table, headers=heads, disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
