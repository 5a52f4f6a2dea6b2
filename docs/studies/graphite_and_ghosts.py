"""What keeps Graphite's network from learning where the atoms of silica belong.

    python docs/studies/graphite_and_ghosts.py [STEPS]

Trains the denoiser alone on ``asio2`` (Adam 1e-3, two structures per step): with longer and shorter edges, with ghosts
counting in the sums over edges like any atom and only as far as they are likely to be atoms, at one time, at all times,
and at times that are early at first, without properties, and told properties (half of them hidden) by an encoder whose
last layer is random or 0 at first. Prints, every so often, the mean squared error per component
of the noise that the network finds on eight other structures at t = 0.15, ghosts left out: 1 is that of a network that
says nothing. Deterministic on one machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch import Tensor
from torch_geometric.data import Batch

import amsbench
from amsbench.baselines.graphite import mesh_graph_net
from amsbench.baselines.graphite.method import Graphite
from amsbench.baselines.graphite.noise_schedule import EARLY_SHARE, training_times
from amsbench.baselines.graphite.rotations import random_rotations, rotated
from amsbench.benchmark.datasets.dataset import Dataset, samples_of, task_of
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.methods.conditioning import with_hidden_labels

TIME, RATE, BATCH = 0.15, 1e-3, 2
OTHERS, SHOWN = 8, 200
EARLY: dict[str, Callable[[float], tuple[float, float]]] = {
    "t = 0.15": lambda progress: (TIME, TIME),
    "all t": lambda progress: training_times(progress, 0.0),
    "early t first": lambda progress: training_times(progress, EARLY_SHARE),
}
CASES = [
    (4.5, True, "t = 0.15", ""),
    (4.5, False, "t = 0.15", ""),
    (3.3, True, "t = 0.15", ""),
    (3.3, False, "t = 0.15", ""),
    (3.3, False, "all t", ""),
    (4.5, False, "early t first", ""),
    (3.3, True, "early t first", ""),
    (3.3, False, "early t first", ""),
    (3.3, False, "early t first", "random"),
    (3.3, False, "early t first", "0"),
]
"""Longest edge in angstrom, whether ghosts count, times, last layer of the encoder of properties."""


def errors(data: Dataset, cutoff: float, counting: bool, times: str, told: str, steps: int) -> list[float]:
    """Mean squared error at TIME after every SHOWN steps."""
    torch.manual_seed(0)
    task = task_of(data, data.property_names if told else ())
    samples, others = (samples_of(data.split(name), task) for name in ("train", "validation"))
    config = Graphite.default_config("standard", task)
    config["network"]["cutoff"] = cutoff
    method = Graphite(task, config)
    if told == "random":
        encoder = method.denoiser.network.encode_conditioning
        assert encoder is not None
        last = encoder[-1]
        assert isinstance(last, torch.nn.Linear)
        last.reset_parameters()
    before: Callable = mesh_graph_net.presence_of
    if counting:
        mesh_graph_net.presence_of = lambda likely, ghost: None
    optimizer = torch.optim.Adam(method.denoiser.parameters(), lr=RATE)
    found = []
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (k + 1) / 100)
        generator = torch.Generator().manual_seed(k)
        rows = torch.randint(len(samples), (BATCH,), generator=generator).tolist()
        least, most = EARLY[times](k / steps)
        t = least + (most - least) * torch.rand(BATCH, 1, generator=generator)
        error, _ = noise_error(method, [samples[row] for row in rows], t, generator)
        optimizer.zero_grad()
        error.sum(-1).mean().backward()
        torch.nn.utils.clip_grad_norm_(method.denoiser.parameters(), 1.0)
        optimizer.step()
        if (k + 1) % SHOWN == 0:
            with torch.no_grad():
                t = torch.full((OTHERS, 1), TIME)
                error, atoms = noise_error(method, others[:OTHERS], t, torch.Generator().manual_seed(0))
            found.append(float(error.sum() / (3 * atoms.sum())))
    mesh_graph_net.presence_of = before
    return found


def noise_error(
    method: Graphite, samples: list, t: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Squared errors of eps [n, 3], 0 for ghosts, at times t [s, 1], and what is none [n, 1]."""
    task = method.task
    batch = Structures.from_data(Batch.from_data_list(samples))
    assert task.ghost_density is not None
    assert task.ghost is not None
    batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
    noise = BatchNoise(len(batch.positions), len(batch), generator, torch.device("cpu"))
    batch = with_hidden_labels(rotated(batch, random_rotations(noise)), 0.5, noise)
    state, eps = method.corrupt(batch, t, noise)
    said = method.predict(state, method.denoiser.null_properties(noise), t[:, 0]).positions
    atoms = (batch.species != task.ghost)[:, None]
    return (said - eps.positions) ** 2 * atoms, atoms


def main(steps: int) -> None:
    torch.set_num_threads(1)
    data = amsbench.load_dataset("asio2")
    rows = []
    for cutoff, counting, times, told in CASES:
        found = errors(data, cutoff, counting, times, told, steps)
        said = f"{cutoff} A, ghosts {'count' if counting else 'do not count'}, {times}"
        said += f", properties ({told} at first)" if told else ""
        rows.append([said, *(f"{value:.3f}" for value in found)])
        print(*rows[-1], file=sys.stderr, flush=True)
    heads = ["edges, ghosts, times", *(f"step {k}" for k in range(SHOWN, steps + 1, SHOWN))]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
