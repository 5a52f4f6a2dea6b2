"""Worker processes: a local pool, and a map that tells crashes of a task from kills by the system.

A worker process that ends within a task was either killed from outside, mostly because memory was full, or crashed by
what it computed. The first says nothing about the task, which is repeated; if kills go on, ``WorkersKilled`` ends the
work, and what is finished stays. The second is a property of the task, if it happens whenever the task runs alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from typing import Any

from ...errors import AmsbenchError
from .environment import environment_variables
from .time_limits import STALLED, TaskLost, guarded, limited, too_long

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the thread counts of numerical libraries, which read them when they are loaded.

With one worker per core, further threads compete for the cores even in products of 3 x 3 matrices, and a relaxation
takes minutes instead of seconds.
"""

WAITS = (1.0, 5.0, 20.0)
"""Seconds to wait before a task whose process was killed runs again, alone; one more kill is one too many."""
CRASHES = 2
"""Crashes of a task alone after which it is lost."""

_FROM_OUTSIDE = tuple(
    -getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
"""Exit codes of processes that others have ended; the kernel sends SIGKILL when memory is full."""
_TIME_LIMIT = -signal.SIGVTALRM if hasattr(signal, "SIGVTALRM") else None


class WorkersKilled(AmsbenchError):
    """Raised if worker processes are killed again and again, which is no property of what they compute."""

    def __init__(self, task: str, how: str, times: int) -> None:
        super().__init__(
            f"{task} was stopped {times} times ({how}), the last times with nothing beside it; the usual cause is too "
            "little memory: give fewer --cores or close other programs, and run the command again, which goes on where "
            "it stopped, since all finished work is kept"
        )


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
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
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
        """As ``map_with_timeout``, without a limit; AmsbenchError for a task that crashes its process."""
        for result in map_with_timeout(fn, zip(*iterables, strict=False), self, limit=None):
            if isinstance(result, TaskLost):
                raise AmsbenchError(f"a worker process had no result: {result.reason}")
            yield result

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


def map_with_timeout(
    function: Callable[..., Any],
    jobs: Iterable[tuple[Any, ...]],
    executor: Executor | None,
    *,
    limit: float | None,
    task: str = "a task",
) -> Iterator[Any]:
    """Apply ``function`` to every job and yield the results in order; TaskLost for a job that is too long or crashes.

    jobs: argument tuples, consumed lazily, so the iterator may still be producing them
    executor: None runs the jobs one after the other in this process
    limit: seconds of processor time per job, as ``time_limits.guarded`` keeps them; None for no limit
    task: what a job does, for messages
    Exceptions of the function are raised. Raises WorkersKilled if the processes of a job are killed from outside again
    and again, run out of memory or stall.
    """
    if executor is None:
        for args in jobs:
            yield limited(limit, function, *args)
        return
    # no more jobs at a time than keep the workers busy: when a process dies, all running jobs must be repeated
    workers = getattr(executor, "workers", available_cores())
    window = 2 * workers
    results: dict[int, Any] = {}
    running: dict[Future[Any], tuple[int, tuple[Any, ...]]] = {}
    numbered = enumerate(jobs)
    for k in count():
        while k not in results:
            while len(running) < window and (job := next(numbered, None)) is not None:
                running[executor.submit(guarded, limit, function, *job[1])] = job
            if not running:
                return
            interrupted = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    results[job[0]] = future.result()
                except (BrokenExecutor, MemoryError):
                    interrupted.append(job)
            if interrupted:
                # those that other processes were running are finished or have lost their process, too
                for future in wait(running).done:
                    job = running.pop(future)
                    try:
                        results[job[0]] = future.result()
                    except (BrokenExecutor, MemoryError):
                        interrupted.append(job)
                for n, args in sorted(interrupted, key=lambda job: job[0]):
                    result, killed = _alone(executor, limit, function, args, f"{task} (number {n})")
                    results[n] = result
                    if killed:  # as many at a time as then fill the memory no more
                        window = max(1, min(window, workers) // 2)
        yield results.pop(k)


def _alone(
    executor: Executor, limit: float | None, function: Callable[..., Any], args: tuple[Any, ...], task: str
) -> tuple[Any, int]:
    """Result of one job run alone in the pool, so that a crash can be attributed to it, and how often it was killed."""
    crashes = kills = 0
    while True:
        try:
            return executor.submit(guarded, limit, function, *args).result(), kills
        except MemoryError:
            how = "it could allocate no memory"
        except BrokenExecutor:
            codes = executor.exit_codes() if isinstance(executor, LocalPool) else []
            if _TIME_LIMIT in codes and limit is not None:
                return too_long(limit), kills
            crash = _crash(codes)
            if crash is not None:
                crashes += 1
                if crashes == CRASHES:
                    return TaskLost(f"its process crashed ({crash})", crashed=True), kills
                continue
            how = _kill(codes)
        kills += 1
        if kills > len(WAITS):
            raise WorkersKilled(task, how, kills)
        time.sleep(WAITS[kills - 1])


def _crash(codes: list[int]) -> str | None:
    """Name of the signal, or exit code, by which a process ended itself; None if all were ended from outside."""
    own = [code for code in codes if code not in (*_FROM_OUTSIDE, STALLED, 0)]
    if not own or -getattr(signal, "SIGKILL", 9) in codes:
        return None
    return _signal_name(own[0]) if own[0] < 0 else f"exit code {own[0]}"


def _kill(codes: list[int]) -> str:
    if STALLED in codes:
        return "it got no processor time"
    # the other processes of a broken pool are ended by SIGTERM
    ended = sorted(code for code in codes if code in _FROM_OUTSIDE)
    return f"killed from outside by {_signal_name(ended[-1])}" if ended else "its process ended"


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


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
