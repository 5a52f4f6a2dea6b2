"""A map over tasks in worker processes that tells crashes of a task from kills by the system.

A worker process that ends within a task was either killed from outside, mostly because memory was full, or crashed by
what it computed. The first says nothing about the task, which is repeated; if kills go on, ``WorkersKilled`` ends the
work, and what is finished stays. The second is a property of the task, if it happens whenever the task runs alone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from ...errors import AmsbenchError
from .cores import available_cores
from .time_limits import STALLED, TaskLost, guarded, limited, too_long

WAITS = (1.0, 5.0, 20.0)
"""Seconds to wait before a task whose process was killed runs again, alone; one more kill is one too many."""
CRASHES = 2
"""Crashes of a task alone after which it is lost."""

TOGETHER_SECONDS = 0.2
"""Work that is handed out at once by an executor that takes several tasks: much more than the 3 ms that it takes to
reach a worker of Dask, and little to wait for at the end."""
MOST_TOGETHER = 64
FORGET = 0.9
"""Factor by which the longest recent time of a task falls with every answer: first tasks start processes and libraries,
and would otherwise keep quick ones apart."""

_FROM_OUTSIDE = tuple(
    -getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
"""Exit codes of processes that others have ended; the kernel sends SIGKILL when memory is full."""
_TIME_LIMIT = -signal.SIGVTALRM if hasattr(signal, "SIGVTALRM") else None


class WorkersKilled(AmsbenchError):
    """Raised if worker processes are killed again and again, which is no property of what they compute."""


class ExecutorLost(AmsbenchError):
    """Raised if an executor runs nothing any more."""


@runtime_checkable
class ReportsExits(Protocol):
    """An executor that knows how its processes ended."""

    def exit_codes(self) -> list[int]:
        """Exit codes of the processes of a broken pool."""


@runtime_checkable
class TakesSeveral(Protocol):
    """An executor that takes several tasks at once, keeps time limits, and repeats and loses tasks, all by itself."""

    def submit_together(
        self, limit: float | None, task: str, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]
    ) -> Future[list[tuple[Any, float]]]:
        """A future of ``function(*job)``, or TaskLost, and the seconds that it took, for each job."""


def map_with_timeout(
    function: Callable[..., Any],
    jobs: Iterable[tuple[Any, ...]],
    executor: Executor | None,
    *,
    limit: float | None,
    task: str = "a task",
) -> Iterator[Any]:
    """Apply ``function`` to every job and yield the results in order; TaskLost for a job that is too long or crashes.

    Arguments and errors are those of ``completed_tasks``.
    """
    results: dict[int, Any] = {}
    wanted = 0
    for number, _, result in completed_tasks(function, jobs, executor, limit=limit, task=task):
        results[number] = result
        while wanted in results:
            yield results.pop(wanted)
            wanted += 1


def results_of(
    function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], executor: Executor
) -> Iterator[Any]:
    """As ``map_with_timeout``, without a limit; AmsbenchError for a job that crashes its process."""
    for result in map_with_timeout(function, jobs, executor, limit=None):
        if isinstance(result, TaskLost):
            raise AmsbenchError(f"a worker process had no result: {result.reason}")
        yield result


def completed_tasks(
    function: Callable[..., Any],
    jobs: Iterable[tuple[Any, ...]],
    executor: Executor | None,
    *,
    limit: float | None,
    task: str = "a task",
    ahead: int = 1,
) -> Iterator[tuple[int, tuple[Any, ...], Any]]:
    """Apply ``function`` to every job and yield number, job and result as they are finished, in any order.

    The result is TaskLost for a job that is too long or crashes its process whenever it runs alone.

    jobs: argument tuples, consumed lazily, so the iterator may still be producing them; one that has come to its end
        may go on while results are yielded
    executor: None runs the jobs one after the other in this process
    limit: seconds of processor time per job, as ``time_limits.guarded`` keeps them; None for no limit
    task: what a job does, for messages
    ahead: jobs per worker that wait for a free one
    Exceptions of the function are raised. Raises WorkersKilled if the processes of a job are killed from outside again
    and again, run out of memory or stall.
    """
    numbered = enumerate(jobs)
    if executor is None:
        for number, args in numbered:
            yield number, args, limited(limit, function, *args)
        return
    if isinstance(executor, TakesSeveral):
        yield from _several_at_once(function, numbered, executor, limit, task, ahead)
        return
    # no more jobs at a time than keep the workers busy: when a process dies, all running jobs must be repeated
    reduced: int | None = None
    running: dict[Future[Any], tuple[int, tuple[Any, ...]]] = {}
    while True:
        workers = getattr(executor, "workers", available_cores())
        window = (1 + ahead) * workers if reduced is None else reduced
        while len(running) < window and (job := next(numbered, None)) is not None:
            running[executor.submit(guarded, limit, function, *job[1])] = job
        if not running:
            return
        interrupted = []
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number, args = running.pop(future)
            try:
                result = future.result()
            except (BrokenExecutor, MemoryError):
                interrupted.append((number, args))
            else:
                yield number, args, result
        if interrupted:
            # those that other processes were running are finished or have lost their process, too
            for future in wait(running).done:
                number, args = running.pop(future)
                try:
                    result = future.result()
                except (BrokenExecutor, MemoryError):
                    interrupted.append((number, args))
                else:
                    yield number, args, result
            for number, args in sorted(interrupted, key=lambda job: job[0]):
                result, killed = _alone(executor, limit, function, args, f"{task} (number {number})")
                if killed:  # as many at a time as then fill the memory no more
                    reduced = max(1, min(window, workers) // 2)
                yield number, args, result


def _several_at_once(
    function: Callable[..., Any],
    numbered: Iterator[tuple[int, tuple[Any, ...]]],
    executor: TakesSeveral,
    limit: float | None,
    task: str,
    ahead: int,
) -> Iterator[tuple[int, tuple[Any, ...], Any]]:
    """``completed_tasks`` by an executor that takes several: so many that the longest of late would take
    TOGETHER_SECONDS as often."""
    together, longest = 1, 0.0
    running: dict[Future[list[tuple[Any, float]]], list[tuple[int, tuple[Any, ...]]]] = {}
    while True:
        window = (1 + ahead) * getattr(executor, "workers", available_cores())
        while len(running) < window and (batch := list(islice(numbered, together))):
            first, last = batch[0][0], batch[-1][0]
            name = f"{task} (number {first})" if first == last else f"{task} (numbers {first} to {last})"
            running[executor.submit_together(limit, name, function, [args for _, args in batch])] = batch
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            batch, answers = running.pop(future), future.result()
            longest = max(FORGET * longest, *(seconds for _, seconds in answers))
            together = max(1, min(2 * together, MOST_TOGETHER, int(TOGETHER_SECONDS / max(longest, 1e-9))))
            for (number, args), (result, _) in zip(batch, answers, strict=True):
                yield number, args, result


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
            codes = executor.exit_codes() if isinstance(executor, ReportsExits) else []
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
            raise WorkersKilled(
                f"{task} was stopped {kills} times ({how}), the last times with nothing beside it; the usual cause is "
                "too little memory: give fewer --cores or close other programs, and run the command again, which goes "
                "on where it stopped, since all finished work is kept"
            )
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
