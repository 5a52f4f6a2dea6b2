"""A pool of local worker processes that goes on after one of them has ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from ..system.environment import environment_variables
from .cores import ONE_THREAD
from .task_map import results_of


@contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """Pool of ``workers`` processes with one thread each; an error or interrupt in the block kills them at once."""
    with environment_variables(dict.fromkeys(ONE_THREAD, "1")):
        yield from _pool(workers)


def _pool(workers: int) -> Iterator[Executor]:
    pool = LocalPool(workers)
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    pool.shutdown()


class LocalPool(Executor):
    """Executor of ``workers`` local processes that replaces its processes after one of them has ended.

    Python's own pool cannot be used any more after that.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._start()

    def _start(self) -> None:
        # spawn, because LAMMPS and MPI do not survive a fork; a process starts when there is work for it
        self._inner = ProcessPoolExecutor(
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
        )
        self._processes = self._inner._processes  # the pool drops this reference when it is shut down

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return self._inner.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._inner.shutdown()
            self._start()
            return self._inner.submit(function, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """As ``results_of``; timeout and chunksize are ignored."""
        return results_of(fn, zip(*iterables, strict=False), self)

    def exit_codes(self) -> list[int]:
        """Exit codes of the processes of a broken pool, those that were ended because of the broken one included."""
        self._inner.shutdown()  # waits for them
        return [process.exitcode or 0 for process in self._processes.values()]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Terminate the workers, also within a task."""
        processes = list(self._processes.values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def end_with_parent() -> None:
    """Make this process exit when its parent process has died, instead of working or waiting on."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
