"""Threads that evaluate batches side by side, for processors with many cores."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

SWITCH = 1e-4
"""Seconds after which a thread releases Python's interpreter lock for a waiting thread. With the default of 5 ms a
thread that returns from a kernel of 5 ms waits as long again."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class SharedThreads:
    """Pool of ``workers`` threads that share torch's intra-op threads; one worker runs in the calling thread.

    Torch's intra-op threads synchronise at every layer and small operations run on one thread, so independent batches
    scale better.
    """

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)
        self._before = torch.get_num_threads(), sys.getswitchinterval()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> Iterator[_Result]:
        """Apply ``function`` to every job and yield the results in order; jobs are consumed lazily."""
        if self.workers < 2:
            yield from map(function, jobs)
            return
        if self._pool is None:
            # torch's thread count is a setting of each thread, inherited by threads that start later
            share = max(1, self._before[0] // self.workers)
            sys.setswitchinterval(SWITCH)
            self._pool = ThreadPoolExecutor(
                self.workers, initializer=torch.set_num_threads, initargs=(share,)
            )
        running: deque[Future[_Result]] = deque()
        for job in jobs:
            running.append(self._pool.submit(function, job))
            if len(running) > 2 * self.workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

    def close(self) -> None:
        """Wait for running jobs, cancel the others, and restore the settings of torch and Python."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            torch.set_num_threads(self._before[0])
            sys.setswitchinterval(self._before[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
