"""Generation of structures with a trained method: batches, seeds, threads, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import AmsbenchError
from ..interface.method import Method
from ..interface.noise import structure_noise, structure_seeds
from ..interface.structures import Structures
from ..interface.task import Task
from ..system.devices import synchronise
from .cells import check_cells
from .threads import SharedThreads

if TYPE_CHECKING:
    from ase import Atoms

FrameConsumer = Callable[[list["Atoms"]], None]

GENERATION_VERSION = 1
"""Version of what all methods share when they generate: cells, seeds, noise, batches, neighbour graphs. Raise it when
the same checkpoint and seed give other structures, so that stored results are computed again."""

ATOMS_PER_BATCH = {"cpu": 1_024, "cuda": 65_536}
"""Atoms per network evaluation: enough to use the whole device, and less than 4 GB of memory."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Generated structures and their cost.

    frames: ASE Atoms without ghosts, with the targets in ``info`` as ``target_<name>``
    seconds: wall-clock time of the sampling alone, with the device synchronised and without the warm-up; with several
        threads from the start of the first batch to the end of the last one
    evaluations: network evaluations per structure
    """

    frames: list[Atoms]
    seconds: float
    evaluations: int


def generate_structures(
    method: Method,
    *,
    cells: np.ndarray,
    counts: np.ndarray,
    targets: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    steps: int,
    sampler: str | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    sink: FrameConsumer | None = None,
) -> Generated:
    """Generate one structure per cell.

    A structure depends on its cell, its targets, the seed and its index, not on the batch in which it is generated.

    cells [s, 3, 3]: angstrom
    counts [s]: atoms, ghosts included
    targets: values [s] by property, in the dataset's units; other properties are absent
    sampler: by default the preferred one of the method
    progress: called with the number of finished structures
    sink: called with the structures of every batch when it is finished
    Raises AmsbenchError for steps below 1, unknown samplers or properties, and cells thinner than the cutoff.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise AmsbenchError(f"{steps} sampling steps were requested; give a whole number, 1 or more")
    chosen = method.sampler_named(sampler or method.preferred_sampler())
    device = next(method.parameters()).device
    properties = property_table(method.task, targets or {}, len(cells))
    cells_t = torch.as_tensor(np.asarray(cells), dtype=torch.float32)
    check_cells(cells_t, method.cutoff)
    counts_t = torch.as_tensor(np.asarray(counts), dtype=torch.long)
    seeds = structure_seeds(seed, 0, len(cells))

    method.eval()

    def sample(rows: slice, steps: int) -> tuple[Structures, float, float]:
        """Structures of a batch, and the times at which their sampling started and ended."""
        with torch.no_grad():
            start = Structures.empty_cells(cells_t[rows], counts_t[rows], properties[rows]).to(device)
            started = time.perf_counter()
            noise = structure_noise(counts_t[rows].tolist(), seeds[rows], device)
            structures = method.sample(start, steps, chosen.name, noise)
            synchronise(device)
        return structures, started, time.perf_counter()

    workers = min(threads_for(method, device), len(cells))
    limit = min(ATOMS_PER_BATCH[device.type], -(-int(counts_t.sum()) // max(1, workers)))
    batches = _batches(counts_t.tolist(), limit)
    if batches:
        sample(batches[0], 1)  # warm-up: the first call compiles kernels, packs weights and fills caches
    frames: list[Atoms] = []
    times: list[tuple[float, float]] = []
    with SharedThreads(workers) as threads:
        sampled = threads.map(lambda rows: sample(rows, steps), batches)
        for rows, (structures, started, ended) in zip(batches, sampled, strict=True):
            new = structures.to_atoms(method.task.elements)
            for k, frame in enumerate(new, start=rows.start):
                frame.info.update(
                    {f"target_{name}": float(values[k]) for name, values in (targets or {}).items()}
                )
            frames += new
            times.append((started, ended))
            if sink:
                sink(new)
            if progress:
                progress(len(frames))
    if workers < 2:
        seconds = sum(ended - started for started, ended in times)
    else:
        seconds = max(ended for _, ended in times) - min(started for started, _ in times)
    return Generated(frames=frames, seconds=seconds, evaluations=chosen.evaluations(method, steps))


def property_table(
    task: Task, targets: Mapping[str, Sequence[float] | np.ndarray], count: int
) -> torch.Tensor:
    """Targets as the table [count, p] that a method reads, in the dataset's units, NaN for absent properties."""
    table = torch.full((count, len(task.properties)), torch.nan)
    for name, values in targets.items():
        if name not in task.properties:
            trained = ", ".join(task.properties) or "none"
            raise AmsbenchError(
                f"this checkpoint was not trained on property '{name}'; its properties are: {trained}"
            )
        # a copy: torch warns of arrays that it cannot write to, such as one value broadcast to all structures
        column = torch.as_tensor(np.array(values, dtype=np.float64), dtype=torch.float32)
        if column.shape != (count,) or not bool(torch.isfinite(column).all()):
            raise AmsbenchError(f"property '{name}' needs {count} finite target values, one per structure")
        table[:, task.properties.index(name)] = column
    return table


def outside_training_range(task: Task, targets: Mapping[str, Sequence[float] | np.ndarray]) -> list[str]:
    """One sentence for each property that has targets outside the range of the training labels."""
    sentences = []
    for name, values in targets.items():
        k = task.properties.index(name)
        low, high = task.property_min[k], task.property_max[k]
        outside = [value for value in values if not low <= value <= high]
        if outside:
            sentences.append(
                f"{len(outside)} of {len(values)} targets of {name} lie outside the training range "
                f"{low:.4g} to {high:.4g}; the method extrapolates there"
            )
    return sentences


def _batches(counts: list[int], limit: int) -> list[slice]:
    """Slices of consecutive structures of at most ``limit`` atoms together, or of one larger structure."""
    batches, first, atoms = [], 0, 0
    for k, count in enumerate(counts):
        if k > first and atoms + count > limit:
            batches.append(slice(first, k))
            first, atoms = k, 0
        atoms += count
    if counts:
        batches.append(slice(first, len(counts)))
    return batches


def threads_for(method: Method, device: torch.device) -> int:
    """Number of threads that sample side by side: one on a GPU and for methods that are not ``concurrent``."""
    return torch.get_num_threads() if device.type == "cpu" and method.concurrent else 1
