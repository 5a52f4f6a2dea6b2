"""The pool of workers: one thread each, whatever the user's environment says; a job that ends one is lost alone."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from amsbench.benchmark.execution import ONE_THREAD, Lost, each, local_pool


def test_workers_have_one_thread_each_and_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv(ONE_THREAD[0], "7")
    monkeypatch.delenv(ONE_THREAD[1], raising=False)
    with local_pool(1) as pool:
        assert list(pool.map(os.getenv, ONE_THREAD)) == ["1"] * len(ONE_THREAD)
    assert os.environ[ONE_THREAD[0]] == "7"
    assert ONE_THREAD[1] not in os.environ


def square_or_worse(value: int) -> int:
    """A job that does what its number says: 7 takes its process down, 8 sleeps, 9 sleeps and is deaf to signals."""
    if value == 7:
        os._exit(1)
    if value == 8:
        time.sleep(60)
    if value == 9:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)
    return value**2


def test_a_job_that_dies_or_never_ends_loses_only_itself():
    with local_pool(2) as pool:
        found = list(each(square_or_worse, [(k,) for k in range(12)], pool, limit=1.0))
        after = list(pool.map(square_or_worse, range(3)))
    assert found[:7] == [k**2 for k in range(7)]
    assert found[7] == Lost("its process died")
    assert found[8] == Lost("it took longer than 1 s")
    assert found[9] == Lost("its process died")
    assert found[10:] == [100, 121]
    assert after == [0, 1, 4]


def test_any_executor_and_none_give_the_same_in_order():
    jobs = [(k,) for k in (3, 1, 2)]
    with ThreadPoolExecutor(2) as threads:
        assert list(each(square_or_worse, jobs, threads, limit=5)) == [9, 1, 4]
    assert list(each(square_or_worse, jobs, None, limit=5)) == [9, 1, 4]
    assert list(each(square_or_worse, [(8,), (2,)], None, limit=0.2)) == [
        Lost("it took longer than 0.2 s"),
        4,
    ]
    assert list(each(square_or_worse, [], None, limit=5)) == []


def fail(value: int) -> int:
    raise ValueError(f"{value} is a mistake of the program")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_of_the_program_is_raised(workers):
    with local_pool(1) as pool, pytest.raises(ValueError, match="3 is a mistake"):
        list(each(fail, [(3,)], pool if workers else None, limit=5))
