"""Generation of structures with a trained method: seeds, threads, devices, time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from numbers import Integral
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import AmsbenchError
from ..interface.method import Method
from ..interface.noise import structure_noise, structure_seeds
from ..interface.structures import Structures
from ..interface.task import Task
from ..system.devices import synchronise
from .batches import (
    Rows,
    SamplingClock,
    Times,
    atoms_per_batch,
    batches_of,
    samples_in_threads,
    stored_batches,
)
from .cells import check_cells
from .collecting import FrameConsumer, collected
from .partial_results import FinishedPart, PartialResults
from .returned import check_returned
from .threads import SharedThreads

if TYPE_CHECKING:
    from ase import Atoms

FARTHEST_TARGET = 100.0
"""Largest distance of a target from the training labels, in units of their range. A network gives no numbers for inputs
that are larger by orders of magnitude than any in its training."""

GENERATION_VERSION = 1
"""Version of what all methods share when they generate: cells, seeds, noise, batches, neighbour graphs. Raise it when
the same checkpoint and seed give other structures, so that stored results are computed again."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Generated structures and their cost.

    frames: ASE Atoms without ghosts, with the targets in ``info`` as ``target_<name>``; empty where they were not to be
        kept
    seconds: wall-clock time of the sampling alone, with the device synchronised and without the warm-up: the time in
        which at least one batch was being sampled, summed over all batches
    cpu_seconds: processor time of all threads in that time, which other programs do not lengthen; None on a GPU
    evaluations: network evaluations per structure
    """

    frames: list[Atoms]
    seconds: float
    cpu_seconds: float | None
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
    first: int = 0,
    devices: Sequence[str] = (),
    batch_atoms: int | None = None,
    progress: Callable[[int], None] | None = None,
    sink: FrameConsumer | None = None,
    partial: PartialResults | None = None,
    keep: bool = True,
) -> Generated:
    """Generate one structure per cell.

    A structure depends on its cell, its targets, the seed and its index. The number of cores, or of devices of one
    type, changes no bit of it; the structures beside it in its batch change at most the last bits.

    cells [s, 3, 3]: angstrom
    counts [s]: atoms, ghosts included
    targets: values [s] by property, in the dataset's units; other properties are absent
    sampler: by default the preferred one of the method
    first: index of the first structure, of those that follow from the seed
    devices: torch names of the devices that share the batches, by default the one of the method
    batch_atoms: most atoms of a batch of several structures, by default ``atoms_per_batch``
    progress: called with the number of finished structures
    sink: called with the structures of every batch when it is finished
    partial: where every batch is stored with its time when it is finished; those that are there are not generated again
    keep: whether the structures are returned, too; otherwise the memory does not grow with their number
    Raises AmsbenchError for steps below 1, unknown samplers or properties, cells thinner than the cutoff, and a
    structure that is too large for the memory of a GPU.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise AmsbenchError(f"{steps} sampling steps were requested; give a whole number, 1 or more")
    chosen = method.sampler_named(sampler or method.preferred_sampler())
    replicas = _replicas(method, devices)
    device = next(replicas[0].parameters()).device
    properties = property_table(method.task, targets or {}, len(cells))
    cells_t = torch.as_tensor(np.asarray(cells), dtype=torch.float32)
    check_cells(cells_t, method.cutoff)
    counts_t = torch.as_tensor(np.asarray(counts), dtype=torch.long)
    seeds = structure_seeds(seed, first, len(cells))

    def sample(replica: Method, rows: Rows, steps: int) -> list[Structures]:
        """Structures of a batch, in parts where the memory of the GPU is too small for all of it."""
        device = next(replica.parameters()).device
        batch = slice(*rows)
        try:
            with torch.no_grad(), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
                start = Structures.empty_cells(cells_t[batch], counts_t[batch], properties[batch]).to(device)
                noise = structure_noise(counts_t[batch].tolist(), seeds[batch], device)
                structures = replica.sample(start, steps, chosen.name, noise)
                synchronise(device)
                return [check_returned(structures, start, replica, chosen.name)]
        except torch.cuda.OutOfMemoryError as error:
            if rows.stop - rows.start == 1:
                raise AmsbenchError(
                    f"a structure of {int(counts_t[rows.start]):,} atoms and ghosts does not fit into the memory of "
                    f"{device}; give a smaller --cell, or --device cpu"
                ) from error
        torch.cuda.empty_cache()
        middle = (rows.start + rows.stop) // 2
        return [
            *sample(replica, Rows(rows.start, middle), steps),
            *sample(replica, Rows(middle, rows.stop), steps),
        ]

    idle: SimpleQueue[Method] = SimpleQueue()

    def timed(rows: Rows) -> tuple[list[Structures], Times, Times]:
        """Structures of a batch, and the times at which their sampling started and ended, on a device that is free."""
        replica = idle.get()
        try:
            started = Times.now()
            return sample(replica, rows, steps), started, Times.now()
        finally:
            idle.put(replica)

    limit = batch_atoms or atoms_per_batch(method, device.type, int(counts_t.sum()))
    stored = stored_batches(partial, len(cells))
    batches = batches_of(counts_t.tolist(), limit, stored)
    for replica in replicas:
        replica.eval()
        if batches:
            # warm-up: the first call compiles kernels, packs weights and fills caches
            sample(replica, batches[0], 1)
        for _ in range(threads_for(replica)):
            idle.put(replica)
    wall, processor = SamplingClock(), SamplingClock()

    def finished(sampled: tuple[list[Structures], Times, Times]) -> FinishedPart:
        parts, started, ended = sampled
        return FinishedPart(
            frames=[atoms for part in parts for atoms in part.to_atoms(method.task.elements)],
            seconds=wall.add(started.wall, ended.wall),
            cpu_seconds=processor.add(started.processor, ended.processor),
        )

    with SharedThreads(min(idle.qsize(), len(cells))) as threads:
        found = collected(
            batches,
            map(finished, threads.map(timed, batches)),
            stored,
            targets=targets,
            partial=partial,
            progress=progress,
            sink=sink,
            keep=keep,
        )
    return Generated(
        frames=found.frames,
        seconds=found.seconds,
        cpu_seconds=found.cpu_seconds if device.type == "cpu" else None,
        evaluations=chosen.evaluations(method, steps),
    )


def _replicas(method: Method, devices: Sequence[str]) -> list[Method]:
    """The method on each of the devices, or where it is; the one that is there already is not copied."""
    own = next(method.parameters()).device
    if len(devices) < 2:
        return [method]
    return [method if torch.device(device) == own else deepcopy(method).to(device) for device in devices]


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
        k = task.properties.index(name)
        low, high = task.property_min[k], task.property_max[k]
        away = torch.maximum(low - column, column - high).max() / max(high - low, 1e-6)
        if away > FARTHEST_TARGET:
            raise AmsbenchError(
                f"a target of '{name}' is {away:.3g} times the training range away from it ({low:.4g} to {high:.4g}), "
                f"where no method gives structures; give one at most {FARTHEST_TARGET:g} times away"
            )
        table[:, k] = column
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


def threads_for(method: Method) -> int:
    """Number of threads that sample side by side: one on a GPU and for methods that are not ``concurrent``."""
    device = next(method.parameters()).device
    return torch.get_num_threads() if samples_in_threads(method, device.type) else 1
