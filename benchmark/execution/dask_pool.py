"""An executor on a Dask cluster whose workers run each task in a process of their own.

Worker processes of Dask run tasks in threads, where no time limit can interrupt them, and a task that crashes takes its
worker and the other tasks of it along. Each thread of a worker therefore has a process beside it that does the work, by
``map_with_timeout``: limits, repetitions and crashes are those of a local pool. Dask itself repeats the tasks of a
worker that is lost.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import hashlib
import multiprocessing
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import AmsbenchError
from ...version import __version__
from ..system.environment import silent_logger
from .cores import ONE_THREAD
from .local_pool import LocalPool
from .task_map import ExecutorLost, WorkersKilled, map_with_timeout, results_of

if TYPE_CHECKING:
    import distributed
    from distributed import Client

CONNECTION_SECONDS = 20
"""Longest time in which a scheduler has to answer."""

COUNTED_EVERY = 5.0
"""Seconds after which the threads of the cluster are counted again, since clusters grow and shrink."""

PACKAGE = Path(__file__).parents[2]


@contextmanager
def dask_pool(scheduler: str | None = None, workers: int | None = None) -> Iterator[DaskPool]:
    """Executor on the cluster of a scheduler (``tcp://host:8786``), or on ``workers`` processes of this machine.

    Raises AmsbenchError without the package distributed, if no scheduler answers, and for workers with another
    amsbench; tasks raise ExecutorLost once the scheduler is lost.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise AmsbenchError(
            "the executor 'dask' needs the package distributed; install it with: pip install 'amsbench[cluster]'"
        ) from error
    with ExitStack() as stack:
        stack.enter_context(silent_logger("distributed"))
        if scheduler is None:
            # at any free port, since that of the default may be another cluster's
            cluster = LocalCluster(n_workers=workers or 1, threads_per_worker=1, dashboard_address=":0")
            address: Any = stack.enter_context(cluster)
        else:
            _check_answers(scheduler)
            address = scheduler
        yield DaskPool(stack.enter_context(Client(address, timeout=CONNECTION_SECONDS)))


def _check_answers(scheduler: str) -> None:
    """Raise AmsbenchError if nothing listens at an address.

    A client that cannot connect must not be made: when it is deleted while another one starts, both wait for ever.
    """
    from distributed.comm import get_address_host_port

    try:
        with socket.create_connection(get_address_host_port(scheduler), timeout=CONNECTION_SECONDS):
            return
    except (OSError, ValueError) as error:
        raise AmsbenchError(
            f"no Dask scheduler answers at '{scheduler}' ({error}); give the address that 'dask scheduler' printed, "
            "such as tcp://host:8786"
        ) from error


class DaskPool(Executor):
    """Executor of the workers of a Dask client, for ``map_with_timeout`` and by itself."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._software = software()
        self._counted: tuple[float, int] = (-COUNTED_EVERY, 1)

    @property
    def workers(self) -> int:
        """Tasks that the cluster runs at a time, at least 1."""
        now = time.monotonic()
        if now - self._counted[0] >= COUNTED_EVERY:
            self._counted = now, max(1, self.threads())
        return self._counted[1]

    def threads(self) -> int:
        """Threads of all workers that the cluster has now."""
        with _lost_scheduler():
            return sum(self._client.nthreads().values())

    def submit_together(
        self, limit: float | None, task: str, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]
    ) -> Future[list[tuple[Any, float]]]:
        """A future of ``function(*job)``, or TaskLost, and its seconds for each job, by ``map_with_timeout`` on one
        worker."""
        submitted: Future[list[tuple[Any, float]]] = Future()
        submitted.set_running_or_notify_cancel()
        with _lost_scheduler():
            inner = self._client.submit(run_together, self._software, limit, task, function, jobs, pure=False)
            loop = self._client.loop
            assert loop is not None  # the client is connected
            loop.add_callback(_pass_on, submitted, task, inner)
        return submitted

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        alone: Future[Any] = Future()
        alone.set_running_or_notify_cancel()

        def pass_on(answered: Future[list[tuple[Any, float]]]) -> None:
            if (error := answered.exception()) is not None:
                alone.set_exception(error)
            else:
                ((result, _),) = answered.result()
                alone.set_result(result)

        job = functools.partial(function, *args, **kwargs)
        self.submit_together(None, "a task", _not_lost, [(job,)]).add_done_callback(pass_on)
        return alone

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """As ``results_of``; timeout and chunksize are ignored."""
        return results_of(fn, zip(*iterables, strict=False), self)


def run_together(
    expected: str,
    limit: float | None,
    task: str,
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
) -> list[tuple[Any, float]]:
    """``function(*job)``, or TaskLost, and the seconds that it took for each job, one after the other in the process
    beside this thread of a worker.

    expected: ``software`` of the program that asks; AmsbenchError if the worker has another
    """
    own = software()
    if own != expected:
        raise AmsbenchError(
            f"a Dask worker on {platform.node()} has amsbench {own}, and this program {expected}; install the same "
            "version where the workers run, and start them again"
        )
    answers = []
    for job in jobs:
        began = time.perf_counter()
        (result,) = map_with_timeout(function, [job], _process(), limit=limit, task=task)
        answers.append((result, time.perf_counter() - began))
    return answers


@functools.cache
def software() -> str:
    """Version of amsbench and a hash of its source files."""
    digest = hashlib.sha256()
    # a checkout holds more than the package: tests, and perhaps an environment
    folders = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    modules = [path for path in sorted(PACKAGE.glob("*.py")) if path.name != "setup.py"]
    for path in [*modules, *(path for folder in folders for path in sorted(folder.rglob("*.py")))]:
        digest.update(path.read_bytes())
    return f"{__version__} ({digest.hexdigest()[:8]})"


_beside = threading.local()
"""The pool of one process of each thread of a worker."""


def _process() -> LocalPool:
    if not hasattr(_beside, "pool"):
        # a worker of Dask is a daemon, which may have no processes of its own unless this is taken back; that of the
        # pool ends with its parent by itself
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
        _beside.pool = LocalPool(1)
    return _beside.pool


def _not_lost(function: Callable[[], Any]) -> Any:
    return function()


async def _pass_on(submitted: Future[Any], task: str, inner: distributed.Future[Any]) -> None:
    """Give a future the result or the error of Dask's, in words of this package where it has some.

    The executor of Dask itself (``Client.get_executor``) looks whether a task is finished when it has its result. If
    the worker is lost in between, it raises a TypeError.
    """
    from distributed import KilledWorker

    try:
        result = await inner.result()
    except (concurrent.futures.CancelledError, asyncio.CancelledError):
        submitted.set_exception(ExecutorLost(LOST))
    except KilledWorker as error:
        submitted.set_exception(
            WorkersKilled(
                f"{task} was lost with its Dask worker {error.allowed_failures + 1} times; the usual cause is too "
                "little memory or a time limit of the queue: give the workers more, and run the command again, which "
                "goes on where it stopped, since all finished work is kept"
            )
        )
    except BaseException as error:
        submitted.set_exception(error)
    else:
        submitted.set_result(result)


LOST = (
    "the Dask scheduler is gone or has forgotten this program's tasks; start it again and run the command again, which "
    "goes on where it stopped, since all finished work is kept"
)


@contextmanager
def _lost_scheduler() -> Iterator[None]:
    """ExecutorLost for a connection that is lost within the block."""
    try:
        yield
    except (OSError, TimeoutError, RuntimeError) as error:
        raise ExecutorLost(LOST) from error
