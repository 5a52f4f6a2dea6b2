"""Time limits of tasks in processor time, so that they do not depend on what else a machine does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

STALLED = 99
"""Exit code of a worker process that got no processor time for as long as its time limit."""
LEAST_SHARE = 0.01
"""Share of a core below which a task counts as stalled: a machine that swaps or was suspended, or a deadlock."""


@dataclass(frozen=True)
class TaskLost:
    """Result of a task that exceeds its time limit or crashes its process.

    reason: message for the log
    crashed: whether the task crashed its process
    """

    reason: str
    crashed: bool = False


def processor_seconds() -> float:
    """Processor time of this process so far, of all its threads, in seconds.

    While a timer of processor time is set, Linux refreshes the clock of ``time.process_time`` at its ticks only, every
    few milliseconds.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such timers
        return time.process_time()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def too_long(limit: float) -> TaskLost:
    return TaskLost(f"it took longer than {limit:g} s of processor time")


class _TimeLimitReached(BaseException):
    """BaseException, so that ``except Exception`` in the called code does not catch the timeout."""


def limited(limit: float | None, function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``, or TaskLost after ``limit`` seconds of processor time.

    No limit where it is None, outside the main thread, and on systems without timer signals (Windows).
    """
    if not _has_timers() or limit is None:
        return function(*args)

    def end(number: int, frame: FrameType | None) -> None:
        raise _TimeLimitReached

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        return function(*args)
    except _TimeLimitReached:
        return too_long(limit)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def guarded(limit: float | None, function: Callable[..., Any], *args: Any) -> Any:
    """``limited(limit, function, *args)`` in a worker process, which ends if the task cannot be interrupted.

    A compiled loop does not return to Python, so that the signal of ``limited`` does not interrupt it: after twice the
    time the system ends the process with the signal SIGVTALRM. A task that gets no processor time for ``limit`` seconds
    ends it with the exit code ``STALLED``.
    """
    if limit is None:
        return function(*args)
    finished = threading.Event()
    threading.Thread(target=_end_if_stalled, args=(limit, finished), daemon=True).start()
    if _has_timers():
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_VIRTUAL, 2 * limit)
    try:
        return limited(limit, function, *args)
    finally:
        finished.set()
        if _has_timers():
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _end_if_stalled(limit: float, finished: threading.Event) -> None:
    used = time.process_time()
    while not finished.wait(limit):
        before, used = used, time.process_time()
        if used - before < LEAST_SHARE * limit:
            os._exit(STALLED)


def _has_timers() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
