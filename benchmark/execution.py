"""Worker processes: a local pool that cleans up after itself; any concurrent.futures executor may stand in."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What a worker's libraries read when they are loaded. Every core has a worker: with threads of their own these would
wait for each other in every product of two 3 x 3 matrices, and a relaxation takes minutes instead of seconds."""


@contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """A pool of processes of one thread each; on an error or an interrupt its workers are ended at once."""
    with _environment(dict.fromkeys(ONE_THREAD, "1")):
        yield from _pool(workers)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """The process's environment with some values set, which processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _pool(workers: int) -> Iterator[Executor]:
    # spawn: LAMMPS and MPI do not survive a fork.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    pool.shutdown()


def cores() -> int:
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
