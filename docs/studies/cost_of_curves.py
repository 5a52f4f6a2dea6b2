"""Time per structure of every metric of mean curves, with its noise floor and ceiling: ``cost_of_curves.py``.

On the held-out structures of each bundled dataset, in one process. The noise floor is that of 64 structures, the
ceiling that of random positions in the same cells.
"""

import time

import numpy as np
from tabulate import tabulate

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.evaluate import applicable_curves
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.neighbours.packed import each_structure
from amsbench.metrics.structural_errors import FrozenCurve, curve_rmsd, ideal_gas

STRUCTURES = 64


def main() -> None:
    names = [
        name for name in registry.names("metrics") if issubclass(registry.load("metrics", name), CurveMetric)
    ]
    rows = []
    for dataset in ("asi", "asio2", "meg"):
        held_out = load_dataset(dataset).split("test")
        frames = list(held_out)
        gas = [atoms.copy() for atoms in frames]
        for atoms, (positions, _) in zip(
            gas, each_structure(ideal_gas(held_out.cells, held_out.counts)), strict=True
        ):
            atoms.positions = positions
        for metric in applicable_curves(names, held_out.definition):
            metric.curves(frames[:2])  # what is loaded once is not counted
            began = time.perf_counter()
            curves = metric.curves(frames)
            seconds = time.perf_counter() - began
            frozen = FrozenCurve.from_curves(curves, held_out.groups)
            floor, ceiling = frozen.floor(STRUCTURES), curve_rmsd(metric.curves(gas).mean, frozen.mean)
            atoms_each = float(np.mean(held_out.counts))
            rows.append(
                (
                    dataset,
                    f"{atoms_each:.0f}",
                    metric.name,
                    f"{1e3 * seconds / len(frames):.2f}",
                    *(f"{value:.{metric.decimals}f}" for value in (floor, ceiling)),
                )
            )
    print(
        tabulate(
            rows,
            headers=["dataset", "atoms", "metric", "ms per structure", "noise floor", "random"],
            disable_numparse=True,
        )
    )


if __name__ == "__main__":
    main()
