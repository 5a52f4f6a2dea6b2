"""Worker pool: one thread per worker in any environment, time limits, and crashes attributed to their job."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from amsbench.benchmark.system.worker_pool import ONE_THREAD, TaskLost, local_pool, map_with_timeout


def test_workers_have_one_thread_each_and_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv(ONE_THREAD[0], "7")
    monkeypatch.delenv(ONE_THREAD[1], raising=False)
    with local_pool(1) as pool:
        assert list(pool.map(os.getenv, ONE_THREAD)) == ["1"] * len(ONE_THREAD)
    assert os.environ[ONE_THREAD[0]] == "7"
    assert ONE_THREAD[1] not in os.environ


# jobs as source text for eval, since the workers cannot import this file
DIES = "__import__('os')._exit(1)"
SLEEPS = "__import__('time').sleep(60)"
DEAF = f"(__import__('signal').pthread_sigmask({int(signal.SIG_BLOCK)}, [{int(signal.SIGALRM)}]), {SLEEPS})"


def test_a_job_that_dies_or_never_ends_loses_only_itself():
    jobs = [f"{k} ** 2" for k in range(7)] + [DIES, SLEEPS, DEAF, "100", "121"]
    with local_pool(2) as pool:
        found = list(map_with_timeout(eval, [(job,) for job in jobs], pool, limit=1.0))
        after = list(pool.map(eval, ["1", "2"]))
    assert found[:7] == [k**2 for k in range(7)]
    assert found[7] == TaskLost("its process died")
    assert found[8] == TaskLost("it took longer than 1 s")
    assert found[9] == TaskLost("its process died")
    assert found[10:] == [100, 121]
    assert after == [1, 2]


def test_any_executor_and_none_give_the_same_in_order():
    jobs = [(k,) for k in ("3", "1", "2")]
    with ThreadPoolExecutor(2) as threads:
        assert list(map_with_timeout(eval, jobs, threads, limit=5)) == [3, 1, 2]
    assert list(map_with_timeout(eval, jobs, None, limit=5)) == [3, 1, 2]
    slow, quick = map_with_timeout(eval, [(SLEEPS,), ("2",)], None, limit=0.2)
    assert (slow, quick) == (TaskLost("it took longer than 0.2 s"), 2)
    assert list(map_with_timeout(eval, [], None, limit=5)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_of_the_program_is_raised(workers):
    with local_pool(1) as pool, pytest.raises(ZeroDivisionError):
        list(map_with_timeout(eval, [("1 / 0",)], pool if workers else None, limit=5))


def test_an_interrupt_ends_the_workers_in_the_midst_of_their_work():
    running = []

    def interrupted():
        with local_pool(1) as pool:
            (number,) = pool.map(eval, ["__import__('os').getpid()"])
            running.extend([number, pool.submit(eval, SLEEPS)])
            time.sleep(0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    number, job = running
    with pytest.raises(BrokenExecutor):
        job.result(timeout=20)
    until = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.05)  # ended, and waited for soon
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
