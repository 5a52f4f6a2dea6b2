"""Time and memory of training the baselines on silica with round numbers of rows in their products, and without.

    python docs/studies/rows_of_products.py METHOD [STEPS]

Loss and gradient of two glasses with ghosts, others in every step, one thread. Prints the processor time of a step in
each quarter of STEPS (600) and the memory of the process after it, with rows as they are and rounded up.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time

import torch
from tabulate import tabulate
from torch_geometric.data import Batch

import amsbench
from amsbench.baselines import triplet_network
from amsbench.baselines.graphite import mesh_graph_net
from amsbench.benchmark.datasets.dataset import samples_of, task_of
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.registry import load


def quarters(name: str, rounded: bool, steps: int) -> list[str]:
    """``56.5 ms, 0.81 GB`` for every quarter of the steps."""
    torch.set_num_threads(1)
    if not rounded:
        mesh_graph_net.padded_row_count = triplet_network.padded_row_count = lambda count, multiple, example: (
            count
        )
    data = amsbench.load_dataset("asio2")
    task = task_of(data, ())
    assert task.ghost_density is not None
    made = load("methods", name)
    method = made(task, made.default_config(made.networks[0], task))
    samples, found, started = samples_of(data.split("train"), task), [], time.process_time()
    for k in range(steps):
        generator = torch.Generator().manual_seed(k)
        rows = torch.randint(len(samples), (2,), generator=generator).tolist()
        batch = Structures.from_data(Batch.from_data_list([samples[row] for row in rows]))
        batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
        noise = BatchNoise(len(batch.positions), len(batch), generator, torch.device("cpu"))
        method.training_loss(batch, noise, teacher=method, progress=1.0)["loss"].backward()
        method.zero_grad()
        if (k + 1) % (steps // 4) == 0:
            taken, started = time.process_time() - started, time.process_time()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            found.append(f"{1e3 * taken / (steps // 4):.0f} ms, {memory:.2f} GB")
    return found


def main(name: str, steps: int) -> None:
    rows = []
    for rounded in (False, True):
        # a process of its own, since memory is not given back
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(quarters, (name, rounded, steps))
        rows.append([f"{name}, rows {'rounded up' if rounded else 'as they are'}", *found])
    heads = ["", *(f"to step {(k + 1) * (steps // 4)}" for k in range(4))]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600)
