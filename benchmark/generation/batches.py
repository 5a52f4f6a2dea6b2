"""Batches of structures that are generated together: which ones, and the time that they take."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .partial_results import PartialResults

if TYPE_CHECKING:
    from ..interface.method import Method

ATOMS_PER_BATCH = {"cpu": 1_024, "cuda": 65_536}
"""Most atoms per network evaluation: enough to use the whole device, and less than 4 GB of memory."""

FEWEST_ATOMS = 256
"""Atoms in the smallest batches of several structures on a CPU; in smaller ones an atom takes more time."""

SHARES = 16
"""Batches on a CPU into which few structures are divided, so that as many cores have work."""

_OVERLAPPING = 1_000
"""Most intervals that a batch may still overlap with."""


class Rows(NamedTuple):
    """Consecutive structures of a batch."""

    start: int
    stop: int


class Times(NamedTuple):
    """Readings of the clock on the wall and of the processor time of this process, s."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Times:
        return cls(time.perf_counter(), time.process_time())


class SamplingClock:
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


def atoms_per_batch(method: Method, device: str, atoms: int) -> int:
    """Most atoms of a batch of ``atoms`` in all, on a type of device.

    It depends on what is generated alone and not on the number of cores or devices, so that these do not change a bit
    of the structures: the last bits of a matrix product may depend on its size.
    """
    most = ATOMS_PER_BATCH[device]
    return min(most, max(FEWEST_ATOMS, -(-atoms // SHARES))) if samples_in_threads(method, device) else most


def samples_in_threads(method: Method, device: str) -> bool:
    """Whether batches are sampled side by side in threads: on a CPU, if the method is ``concurrent``."""
    return device == "cpu" and method.concurrent


def stored_batches(partial: PartialResults | None, count: int) -> dict[Rows, str]:
    """Names of the batches of ``count`` structures that a stopped run has stored in full."""
    stored: dict[Rows, str] = {}
    end = 0
    for name in partial.names() if partial else []:
        rows = Rows(*map(int, name.split("-")))
        part = partial.read(name) if partial and end <= rows.start < rows.stop <= count else None
        if part is not None and len(part.frames) == rows.stop - rows.start:
            stored[rows] = name
            end = rows.stop
    return stored


def batches_of(counts: list[int], limit: int, stored: Iterable[Rows] = ()) -> list[Rows]:
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
