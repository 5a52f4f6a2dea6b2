"""Worker processes: a local pool that cleans up after itself; any concurrent.futures executor may stand in."""

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
"""What a worker's libraries read when they are loaded. Every core has a worker: with threads of their own these would
wait for each other in every product of two 3 x 3 matrices, and a relaxation takes minutes instead of seconds."""


@contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """A pool of processes of one thread each; on an error or an interrupt its workers are ended at once."""
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
    """Processes of this machine; after a crash of one it goes on with new ones, where the standard pool is lost.

    workers: how many
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._inner = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        # spawn: LAMMPS and MPI do not survive a fork.
        return ProcessPoolExecutor(
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
        )

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return self._inner.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._inner.shutdown()
            self._inner = self._fresh()
            return self._inner.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """End the workers in the midst of what they do."""
        processes = list((self._inner._processes or {}).values())  # shutdown forgets them
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


@dataclass(frozen=True)
class TaskLost:
    """Stands for the result of a job that did not come; the reason is for people."""

    reason: str


def map_with_timeout(
    function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], executor: Executor | None, *, limit: float
) -> Iterator[Any]:
    """``function(*job)`` for every job, in their order; ``TaskLost`` where it took too long or took its process down.

    jobs: taken from their iterator when there is room for them, so that they may still be in the making

    limit: seconds for one job. One that does not even hear of it, in a library's loop, is ended with its process
        after twice the time; without an executor there is no process to end, and such a job goes on.
    An exception of the function itself is raised.
    """
    if executor is None:
        for job in jobs:
            yield _limited(limit, function, *job)
        return
    # never more under way than keeps the workers busy, since those are the suspects when one of them dies
    window = 2 * getattr(executor, "workers", available_cores())
    results: dict[int, Any] = {}
    running: dict[Future[Any], tuple[int, tuple[Any, ...]]] = {}
    waiting = enumerate(jobs)
    for k in count():
        while k not in results:
            while len(running) < window and (new := next(waiting, None)) is not None:
                running[executor.submit(_guarded, limit, function, *new[1])] = new
            if not running:
                return
            suspects = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    results[job[0]] = future.result()
                except BrokenExecutor:
                    suspects.append(job)
            if suspects:
                suspects += running.values()
                running.clear()
                results |= {number: _alone(executor, limit, function, job) for number, job in suspects}
        yield results.pop(k)


def _alone(executor: Executor, limit: float, function: Callable[..., Any], job: tuple[Any, ...]) -> Any:
    """A job with nobody beside it, so that a crash is its own."""
    try:
        return executor.submit(_guarded, limit, function, *job).result()
    except BrokenExecutor:
        return TaskLost("its process died")


def _guarded(limit: float, function: Callable[..., Any], *args: Any) -> Any:
    """In a worker: a thread that ends the process where the signal of ``_limited`` is not heard."""
    last = threading.Timer(2 * limit, os._exit, (1,))
    last.daemon = True
    last.start()
    try:
        return _limited(limit, function, *args)
    finally:
        last.cancel()


class _TimeLimitReached(BaseException):
    """Not an Exception, so that nobody on the way takes it for a failure of his own."""


def _limited(limit: float, function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``, or ``TaskLost`` after ``limit`` seconds; unlimited where there are no timer signals."""
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
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
