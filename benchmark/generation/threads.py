"""Threads that each generate structures of their own, so that many cores have enough to do."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

SWITCH = 1e-4
"""Seconds after which a thread gives Python up to one that waits for it. At the 5 ms that are usual, a thread back
from a kernel of 5 ms waits as long again."""

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class SharedThreads:
    """``workers`` threads, torch's own shared out among them; with one the caller does everything itself.

    Threads within one network evaluation meet at every layer, and what is small in it only one of them does.
    """

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)
        self._before = torch.get_num_threads(), sys.getswitchinterval()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> Iterator[_Result]:
        """``function`` of every job, in order; at most twice as many at work or waiting as there are threads."""
        if self.workers < 2:
            yield from map(function, jobs)
            return
        if self._pool is None:
            # torch's setting is the thread's own, and that of threads which begin later
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
        """Wait for what has begun, drop what has not."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            torch.set_num_threads(self._before[0])
            sys.setswitchinterval(self._before[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
