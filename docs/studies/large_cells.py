"""Time per atom and memory of generation and measurement as a silica cell grows. The table of docs/speed.md.

    python docs/studies/large_cells.py run
    python docs/studies/large_cells.py table

``run`` makes a structure of ``amshortcut`` in STEPS steps in cubes of growing volume, and measures a glass of the data
repeated in all three directions, up to LARGEST atoms; each size in a process of its own on one core. The ring size of
the repeated glass has to be that of the glass. Moduli need hundreds of energies and are measured up to MOST_WITH_MODULI
atoms. The numbers are kept in large_cells.json beside this file; ``table`` writes the table.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stored_table import StoredTable, run_study
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
STORED = StoredTable("large_cells", "speed.md", "large cells")
MEASURED = ("rdf and adf", "sq", "rings", "energy", "shear modulus")


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of a computation, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def gigabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def of_size(repeats: int) -> dict[str, Any]:
    """Seconds and memory of a structure in a cube of the volume of a glass that is repeated ``repeats`` times in each
    direction, and of measurements of that glass."""
    torch.set_num_threads(1)
    data = load_dataset("asio2")
    glass = data.atoms(int(data.indices("test")[0]))
    atoms = glass.repeat(repeats)
    method = amsbench.load_method("amshortcut", dataset="asio2")
    cells, counts = start_cells(method, 1, float(np.cbrt(atoms.get_volume())))
    generated = generate_structures(method, cells=cells, counts=counts, steps=STEPS)
    return {
        "sites": int(counts[0]),  # atoms and places without one
        "generation": generated.cpu_seconds,
        "gigabytes of generation": gigabytes(),
        "atoms": len(atoms),
        **measured(atoms, guttman_rings(glass).mean_size),
        "gigabytes": gigabytes(),
    }


def measured(atoms: Any, ring_size: float | None) -> dict[str, float]:
    """Seconds of each measurement in MEASURED that is made of a glass."""
    definition = load_dataset("asio2").definition
    curves = [load_metric(name, CurveMetric) for name in ("rdf", "adf", "sq")]
    found, rings = seconds(lambda: guttman_rings(atoms))
    assert rings.mean_size is not None
    assert abs(rings.mean_size - (ring_size or 0)) < 1e-9, (rings, ring_size)
    taken = {
        "rdf and adf": seconds(lambda: [metric.curves([atoms]) for metric in curves[:2]])[0],
        "sq": seconds(lambda: curves[2].curves([atoms]))[0],
        "rings": found,
        "energy": seconds(lambda: definition.energy(atoms))[0],
    }
    if len(atoms) <= MOST_WITH_MODULI:
        taken["shear modulus"] = seconds(lambda: definition.measure(atoms, ("shear_modulus",)))[0]
    return taken


def stored() -> list[dict[str, Any]]:
    """A row per size."""
    return STORED.numbers() or []


def run() -> None:
    rows: list[dict[str, Any]] = []
    repeats, atoms = 1, int(load_dataset("asio2").counts[0])
    while atoms * repeats**3 <= LARGEST:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(of_size, (repeats,)))
        print(rows[-1], file=sys.stderr, flush=True)
        repeats *= 2
    STORED.store(rows)


def table(rows: list[dict[str, Any]]) -> str:
    """Microseconds per atom and gigabytes of each size."""
    heads = [
        "atoms",
        f"generation, one of {STEPS} steps",
        "its memory, GB",
        "g(r), P(theta)",
        "S(q)",
        *MEASURED[2:],
    ]
    heads.append("memory of all, GB")
    lines = [
        [
            f"{row['atoms']:,}",
            f"{1e6 * row['generation'] / STEPS / row['sites']:.0f}",
            f"{row['gigabytes of generation']:.2f}",
            *(f"{1e6 * row[name] / row['atoms']:,.0f}" if name in row else "-" for name in MEASURED),
            f"{row['gigabytes']:.2f}",
        ]
        for row in rows
    ]
    return str(tabulate(lines, heads, "github", disable_numparse=True))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run"]:
            run()
        case ["table"]:
            STORED.write(table(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
