"""Time per atom and memory of generation and measurement as a silica cell grows, as a table.

    python docs/studies/large_cells.py [LARGEST]

A structure of ``amshortcut`` in five steps in cubes of 14 A and more, and a glass of the data repeated in all three
directions, up to LARGEST (100,000) atoms; each size in a process of its own on one core. The ring size of the repeated
glass has to be that of the glass. Moduli need hundreds of energies of a relaxation and are measured up to
MOST_WITH_MODULI atoms.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

import amsbench
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.generation.cells import start_cells
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.registry import load_metric
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.rings import guttman_rings

STEPS = 5
LARGEST = 100_000
MOST_WITH_MODULI = 2_000


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of a computation, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def of_size(repeats: int) -> list[str]:
    """The row of a glass repeated ``repeats`` times in each direction, and of a structure in a cube of its volume."""
    torch.set_num_threads(1)
    data = load_dataset("asio2")
    glass = data.atoms(int(data.indices("test")[0]))
    expected = guttman_rings(glass).mean_size
    atoms = glass.repeat(repeats)
    method = amsbench.load_method("amshortcut", dataset="asio2")
    cells, counts = start_cells(method, 1, float(np.cbrt(atoms.get_volume())))
    generated = generate_structures(method, cells=cells, counts=counts, steps=STEPS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    row = [
        f"{len(atoms):,}",
        f"{1e6 * (generated.cpu_seconds or 0) / STEPS / int(counts[0]):.0f}",
        f"{memory:.2f}",
    ]
    for time_taken in measured(atoms, expected):
        row.append("-" if time_taken is None else f"{1e6 * time_taken / len(atoms):,.0f}")
    return [*row, f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}"]


def measured(atoms: Any, ring_size: float | None) -> Iterator[float | None]:
    """Seconds of g(r) and P(theta), S(q), ring size, energy and shear modulus; None where it is not measured."""
    definition = load_dataset("asio2").definition
    curves = [load_metric(name, CurveMetric) for name in ("rdf", "adf", "sq")]
    yield seconds(lambda: [metric.curves([atoms]) for metric in curves[:2]])[0]
    yield seconds(lambda: curves[2].curves([atoms]))[0]
    taken, rings = seconds(lambda: guttman_rings(atoms))
    assert rings.mean_size is not None
    assert abs(rings.mean_size - (ring_size or 0)) < 1e-9, (rings, ring_size)
    yield taken
    yield seconds(lambda: definition.energy(atoms))[0]
    if len(atoms) > MOST_WITH_MODULI:
        yield None
    else:
        yield seconds(lambda: definition.measure(atoms, ("shear_modulus",)))[0]


def main(largest: int) -> None:
    rows, repeats = [], 1
    atoms = int(load_dataset("asio2").counts[0])
    while atoms * repeats**3 <= largest:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(of_size, (repeats,)))
        print(*rows[-1], file=sys.stderr, flush=True)
        repeats *= 2
    heads = ["atoms", f"a step of generation, µs/atom ({STEPS} steps)", "memory, GB", "g(r), P(θ), µs/atom"]
    heads += ["S(q)", "rings", "energy", "shear modulus", "memory, GB"]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else LARGEST)
