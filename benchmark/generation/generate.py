"""Generation of structures with a trained method: batches, seeds, threads, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...errors import AmsbenchError
from ..interface.method import Method
from ..interface.noise import structure_noise, structure_seeds
from ..interface.structures import Structures
from ..interface.task import Task
from ..system.devices import synchronise
from .cells import check_cells
from .partial_results import FinishedPart, PartialResults
from .threads import SharedThreads

if TYPE_CHECKING:
    from ase import Atoms

FARTHEST_TARGET = 100.0
"""Largest distance of a target from the training labels, in units of their range. A network gives no numbers for inputs
that are larger by orders of magnitude than any in its training."""

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
    progress: Callable[[int], None] | None = None,
    sink: FrameConsumer | None = None,
    partial: PartialResults | None = None,
) -> Generated:
    """Generate one structure per cell.

    A structure depends on its cell, its targets, the seed and its index, not on the batch in which it is generated.

    cells [s, 3, 3]: angstrom
    counts [s]: atoms, ghosts included
    targets: values [s] by property, in the dataset's units; other properties are absent
    sampler: by default the preferred one of the method
    first: index of the first structure, of those that follow from the seed
    progress: called with the number of finished structures
    sink: called with the structures of every batch when it is finished
    partial: where every batch is stored with its time when it is finished; those that are there are not generated again
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
    seeds = structure_seeds(seed, first, len(cells))

    method.eval()

    def sample(batch: Rows, steps: int) -> tuple[Structures, _Times, _Times]:
        """Structures of a batch, and the times at which their sampling started and ended."""
        rows = slice(*batch)
        with torch.no_grad():
            start = Structures.empty_cells(cells_t[rows], counts_t[rows], properties[rows]).to(device)
            started = _Times.now()
            noise = structure_noise(counts_t[rows].tolist(), seeds[rows], device)
            structures = method.sample(start, steps, chosen.name, noise)
            synchronise(device)
        return structures, started, _Times.now()

    workers = min(threads_for(method, device), len(cells))
    limit = min(ATOMS_PER_BATCH[device.type], -(-int(counts_t.sum()) // max(1, workers)))
    stored = _stored_batches(partial, len(cells))
    batches = _batches(counts_t.tolist(), limit, stored)
    if batches:
        sample(batches[0], 1)  # warm-up: the first call compiles kernels, packs weights and fills caches
    frames: list[Atoms] = []
    wall, processor = _SamplingClock(), _SamplingClock()
    seconds, cpu_seconds = 0.0, 0.0
    with SharedThreads(workers) as threads:
        sampled = threads.map(lambda rows: sample(rows, steps), batches)
        for rows in sorted([*stored, *batches], key=lambda rows: rows.start):
            if rows in stored:
                part = stored[rows]
            else:
                structures, started, ended = next(sampled)
                part = FinishedPart(
                    frames=structures.to_atoms(method.task.elements),
                    seconds=wall.add(started.wall, ended.wall),
                    cpu_seconds=processor.add(started.processor, ended.processor),
                )
                if partial:
                    partial.write(f"{rows.start:08d}-{rows.stop:08d}", part)
            new = part.frames
            seconds += part.seconds
            cpu_seconds += part.cpu_seconds
            for k, frame in enumerate(new, start=rows.start):
                frame.info.update(
                    {f"target_{name}": float(values[k]) for name, values in (targets or {}).items()}
                )
            frames += new
            if sink:
                sink(new)
            if progress:
                progress(len(frames))
    return Generated(
        frames=frames,
        seconds=seconds,
        cpu_seconds=cpu_seconds if device.type == "cpu" else None,
        evaluations=chosen.evaluations(method, steps),
    )


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


_OVERLAPPING = 1_000
"""Most intervals that a batch may still overlap with."""


class Rows(NamedTuple):
    """Consecutive structures of a batch."""

    start: int
    stop: int


class _Times(NamedTuple):
    """Readings of the clock on the wall and of the processor time of this process, s."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> _Times:
        return cls(time.perf_counter(), time.process_time())


class _SamplingClock:
    """Measures the time in which at least one batch was being sampled; batches may overlap."""

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []

    def add(self, started: float, ended: float) -> float:
        """Seconds that this batch adds to those of the batches before it."""
        before = sum(end - start for start, end in self._intervals)
        merged: list[tuple[float, float]] = []
        for start, end in sorted([*self._intervals, (started, ended)]):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(merged[-1][1], end)
            else:
                merged.append((start, end))
        # all but the last ones lie before any batch to come
        self._intervals = merged[-_OVERLAPPING:]
        return sum(end - start for start, end in merged) - before


def _stored_batches(partial: PartialResults | None, count: int) -> dict[Rows, FinishedPart]:
    """Batches of ``count`` structures that a stopped run has stored, with their times."""
    stored: dict[Rows, FinishedPart] = {}
    end = 0
    for name in partial.names() if partial else []:
        rows = Rows(*map(int, name.split("-")))
        part = partial.read(name) if partial and end <= rows.start < rows.stop <= count else None
        if part is not None and len(part.frames) == rows.stop - rows.start:
            stored[rows] = part
            end = rows.stop
    return stored


def _batches(counts: list[int], limit: int, stored: Iterable[Rows] = ()) -> list[Rows]:
    """Consecutive structures of at most ``limit`` atoms together, or one larger structure, without stored ones."""
    batches: list[Rows] = []
    first = 0
    for gap_end, next_first in [*stored, (len(counts), len(counts))]:
        atoms = 0
        for k in range(first, gap_end):
            if k > first and atoms + counts[k] > limit:
                batches.append(Rows(first, k))
                first, atoms = k, 0
            atoms += counts[k]
        if first < gap_end:
            batches.append(Rows(first, gap_end))
        first = next_first
    return batches


def threads_for(method: Method, device: torch.device) -> int:
    """Number of threads that sample side by side: one on a GPU and for methods that are not ``concurrent``."""
    return torch.get_num_threads() if device.type == "cpu" and method.concurrent else 1
