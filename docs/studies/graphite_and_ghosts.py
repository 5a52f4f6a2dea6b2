"""What keeps Graphite's network from learning where the atoms of silica belong.

    python docs/studies/graphite_and_ghosts.py [STEPS]

Trains the denoiser alone on ``asio2`` (Adam 1e-3, two structures per step, no properties) to find the noise of
positions at one time, with longer and shorter edges, with ghosts counting in the sums over edges like any atom and only
as far as they are likely to be atoms. Prints the mean squared error per component of atoms that are no ghosts, of the
last 100 of every 200 steps: 1 is that of a network that says nothing. Deterministic on one machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch import Tensor
from torch_geometric.data import Batch

import amsbench
from amsbench.baselines import mesh_graph_net
from amsbench.baselines.graphite import Graphite, random_rotations, rotated
from amsbench.benchmark.method import Task
from amsbench.benchmark.noise import BatchNoise
from amsbench.benchmark.structures import Structures, add_ghosts
from amsbench.benchmark.trainer import _samples

TIME, RATE, BATCH = 0.15, 1e-3, 2
CASES = [(cutoff, counting) for cutoff in (4.5, 3.3) for counting in (True, False)]


def errors(task: Task, samples: list, cutoff: float, counting: bool, steps: int) -> list[float]:
    """Mean squared error of every step."""
    torch.manual_seed(0)
    config = Graphite.default_config("standard", task)
    config["network"]["cutoff"] = cutoff
    method = Graphite(task, config)
    before: Callable = mesh_graph_net.presence_of
    if counting:
        mesh_graph_net.presence_of = lambda likely, ghost: None
    optimizer = torch.optim.Adam(method.denoiser.parameters(), lr=RATE)
    found = []
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (k + 1) / 100)
        error = noise_error(method, samples, torch.Generator().manual_seed(k))
        optimizer.zero_grad()
        error.sum(-1).mean().backward()
        torch.nn.utils.clip_grad_norm_(method.denoiser.parameters(), 1.0)
        optimizer.step()
        found.append(float(error[error.abs().sum(-1) > 0].mean().detach()))
    mesh_graph_net.presence_of = before
    return found


def noise_error(method: Graphite, samples: list, generator: torch.Generator) -> Tensor:
    """Squared errors of eps [n, 3], 0 for ghosts, of structures drawn at random."""
    rows = torch.randint(len(samples), (BATCH,), generator=generator)
    batch = Structures.from_data(Batch.from_data_list([samples[int(row)] for row in rows]))
    task = method.task
    assert task.ghost_density is not None
    batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
    noise = BatchNoise(len(batch.positions), len(batch), generator, torch.device("cpu"))
    batch = rotated(batch, random_rotations(noise))
    t = torch.full((len(batch), 1), TIME)
    state, eps = method.corrupt(batch, t, noise)
    said = method.predict(state, method.denoiser.null_properties(noise), t[:, 0]).positions
    atoms = (batch.species != task.ghost)[:, None]
    return (said - eps.positions) ** 2 * atoms


def main(steps: int) -> None:
    torch.set_num_threads(1)
    data = amsbench.load_dataset("asio2")
    task = Task.of(data, ())
    samples = _samples(data.split("train"), task)
    rows = []
    for cutoff, counting in CASES:
        found = errors(task, samples, cutoff, counting, steps)
        shown = [f"{sum(found[k - 100 : k]) / 100:.3f}" for k in range(200, steps + 1, 200)]
        rows.append([f"{cutoff} A, ghosts {'count' if counting else 'do not count'}", *shown])
        print(*rows[-1], file=sys.stderr, flush=True)
    heads = ["edges", *(f"step {k}" for k in range(200, steps + 1, 200))]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 800)
