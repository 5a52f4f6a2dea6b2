"""Signals that stop a training between two steps, where its state can be stored."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what schedulers of jobs send."""


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Context in which a signal to stop is only noted, and a second one acts at once; gives whether there was one.

    Outside the main thread, which alone gets signals, there never is one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted = False
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        noted = True
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: noted
    finally:
        restore()
