"""Worker processes: a local pool, and a map with time limits over any ``concurrent.futures`` executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import FrameType
from typing import Any

from .environment import environment_variables

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the thread counts of numerical libraries, which read them when they are loaded.

With one worker per core, further threads compete for the cores even in products of 3 x 3 matrices, and a relaxation
takes minutes instead of seconds.
"""


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
    """Executor of ``workers`` local processes that replaces its processes after one of them has crashed.

    Python's own pool cannot be used any more after a crash.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._inner = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # spawn, because LAMMPS and MPI do not survive a fork
        return ProcessPoolExecutor(
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
        )

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return self._inner.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._inner.shutdown()
            self._inner = self._new_pool()
            return self._inner.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Terminate the workers, also within a task."""
        processes = list((self._inner._processes or {}).values())  # shutdown drops the references
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


@dataclass(frozen=True)
class TaskLost:
    """Result of a task that timed out or whose worker process died; ``reason`` is a message for the log."""

    reason: str


def map_with_timeout(
    function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], executor: Executor | None, *, limit: float
) -> Iterator[Any]:
    """Apply ``function`` to every job and yield the results in order; TaskLost for a job that timed out or crashed.

    jobs: argument tuples, consumed lazily, so the iterator may still be producing them
    executor: None runs the jobs one after the other in this process
    limit: seconds per job. A signal interrupts the job; if it is stuck in a library's loop, its process is killed
        after twice the time. Without an executor such a job cannot be stopped.
    Exceptions of the function are raised.
    """
    if executor is None:
        for args in jobs:
            yield _limited(limit, function, *args)
        return
    # no more jobs at a time than keep the workers busy: when a process dies, all running jobs must be repeated
    window = 2 * getattr(executor, "workers", available_cores())
    results: dict[int, Any] = {}
    running: dict[Future[Any], tuple[int, tuple[Any, ...]]] = {}
    numbered = enumerate(jobs)
    for k in count():
        while k not in results:
            while len(running) < window and (job := next(numbered, None)) is not None:
                running[executor.submit(_guarded, limit, function, *job[1])] = job
            if not running:
                return
            interrupted = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    results[job[0]] = future.result()
                except BrokenExecutor:
                    interrupted.append(job)
            if interrupted:
                interrupted += running.values()
                running.clear()
                results |= {n: _alone(executor, limit, function, args) for n, args in interrupted}
        yield results.pop(k)


def _alone(executor: Executor, limit: float, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Result of one job run alone in the pool, so that a crash can be attributed to it."""
    try:
        return executor.submit(_guarded, limit, function, *args).result()
    except BrokenExecutor:
        return TaskLost("its process died")


def _guarded(limit: float, function: Callable[..., Any], *args: Any) -> Any:
    """Result of a job in a worker, whose process is killed after twice the limit.

    Compiled loops do not return to Python, so the signal of ``_limited`` does not interrupt them.
    """
    killer = threading.Timer(2 * limit, os._exit, (1,))
    killer.daemon = True
    killer.start()
    try:
        return _limited(limit, function, *args)
    finally:
        killer.cancel()


class _TimeLimitReached(BaseException):
    """BaseException, so that ``except Exception`` in the called code does not catch the timeout."""


def _limited(limit: float, function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``, or TaskLost after ``limit`` seconds; no limit on systems without timer signals."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return function(*args)

    def end(number: int, frame: FrameType | None) -> None:
        raise _TimeLimitReached

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return function(*args)
    except _TimeLimitReached:
        return TaskLost(f"it took longer than {limit:g} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with_parent() -> None:
    """Make a worker exit when its parent process has died, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
