"""Generating structures with a trained method: batches, seeds, time."""

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
from ..system.devices import current_device, synchronise
from .cells import check_cells
from .threads import SharedThreads

if TYPE_CHECKING:
    from ase import Atoms

FrameConsumer = Callable[[list["Atoms"]], None]

ATOMS_PER_BATCH = {"cpu": 1_024, "cuda": 65_536}
"""Atoms in one network call: enough to fill the processor, little enough for 4 GB of memory."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Generated structures and what they cost.

    frames: ASE Atoms without ghosts, the properties asked for in ``info`` as ``target_<name>``
    seconds: the sampling alone, device synchronised, warm-up excluded; where several threads sample, from the
        beginning of the first to the end of the last
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

    cells [s, 3, 3] in angstrom, counts [s] atoms (ghosts included), targets: values [s] per property in dataset
    units; properties that are not named are absent. ``sampler`` defaults to the one that the method prefers.
    ``progress`` is called with the number of structures done, ``sink`` with the structures of every batch as soon
    as they are there. A structure depends on its own cell, targets, the
    seed and its place in the list, not on the batch it is generated in.
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

    def sampled(rows: slice, steps: int) -> tuple[Structures, float, float]:
        with torch.no_grad(), current_device(device):
            start = Structures.empty_cells(cells_t[rows], counts_t[rows], properties[rows]).to(device)
            began = time.perf_counter()
            noise = structure_noise(counts_t[rows].tolist(), seeds[rows], device)
            made = method.sample(start, steps, chosen.name, noise)
            synchronise(device)
        return made, began, time.perf_counter()

    workers = min(threads_for(method, device), len(cells))
    limit = min(ATOMS_PER_BATCH[device.type], -(-int(counts_t.sum()) // max(1, workers)))
    batches = _batches(counts_t.tolist(), limit)
    if batches:
        sampled(batches[0], 1)  # the first call compiles, packs weights and fills caches
    frames: list[Atoms] = []
    times: list[tuple[float, float]] = []
    with SharedThreads(workers) as threads:
        made_in_order = threads.map(lambda rows: sampled(rows, steps), batches)
        for rows, (made, *span) in zip(batches, made_in_order, strict=True):
            new = made.to_atoms(method.task.elements)
            for k, frame in enumerate(new, start=rows.start):
                frame.info.update(
                    {f"target_{name}": float(values[k]) for name, values in (targets or {}).items()}
                )
            frames += new
            times.append((span[0], span[1]))
            if sink:
                sink(new)
            if progress:
                progress(len(frames))
    alone = workers < 2
    seconds = sum(b - a for a, b in times) if alone else max(b for _, b in times) - min(a for a, _ in times)
    return Generated(frames=frames, seconds=seconds, evaluations=chosen.evaluations(method, steps))


def property_table(
    task: Task, targets: Mapping[str, Sequence[float] | np.ndarray], count: int
) -> torch.Tensor:
    """Targets as the table [count, p] that the method reads, NaN where absent."""
    table = torch.full((count, len(task.properties)), torch.nan)
    for name, values in targets.items():
        if name not in task.properties:
            known = ", ".join(task.properties) or "none"
            raise AmsbenchError(f"this checkpoint was not trained on property '{name}'; it knows: {known}")
        # a copy: torch warns of arrays that it cannot write to, such as one value broadcast to all structures
        column = torch.as_tensor(np.array(values, dtype=np.float64), dtype=torch.float32)
        if column.shape != (count,) or not bool(torch.isfinite(column).all()):
            raise AmsbenchError(f"property '{name}' needs {count} finite target values, one per structure")
        table[:, task.properties.index(name)] = column
    return table


def outside_training_range(task: Task, targets: Mapping[str, Sequence[float] | np.ndarray]) -> list[str]:
    """One sentence per property with targets beyond the training labels, where the method extrapolates."""
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
    """Consecutive structures in batches of at most ``limit`` atoms, at least one structure each."""
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
    """How many threads may work on a method's structures at once: on a GPU, which is one for all, only one."""
    return torch.get_num_threads() if device.type == "cpu" and method.concurrent else 1
