"""Worker pool: one thread per worker in any environment, time limits, and crashes attributed to their job."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from amsbench.benchmark.execution import task_map
from amsbench.benchmark.execution.cores import ONE_THREAD
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.execution.task_map import map_with_timeout
from amsbench.benchmark.execution.time_limits import TaskLost
from amsbench.errors import AmsbenchError


def test_workers_have_one_thread_each_and_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv(ONE_THREAD[0], "7")
    monkeypatch.delenv(ONE_THREAD[1], raising=False)
    with local_pool(1) as pool:
        assert list(pool.map(os.getenv, ONE_THREAD)) == ["1"] * len(ONE_THREAD)
    assert os.environ[ONE_THREAD[0]] == "7"
    assert ONE_THREAD[1] not in os.environ


# jobs as source text for eval, since the workers cannot import this file
SLEEPS = "__import__('time').sleep(60)"
LOOPS = "max(iter(int, 1))"  # for ever, in C: only the system can end it
NEVER_RETURNS = "[0 for _ in iter(int, 1)]"  # for ever, in Python


def ends(number):
    return f"__import__('os').kill(__import__('os').getpid(), {int(number)})"


def exits(code):
    return f"__import__('os')._exit({code})"


def so_many_times(file, times, end, then="'done'"):
    """A job that ends its process ``times`` times, which a file counts, and then has a result."""
    grow = f"open({str(file)!r}, 'a').write('x')"
    return f"({grow}, {end} if len(open({str(file)!r}).read()) <= {times} else None, {then})[-1]"


def mapped(jobs, pool, limit=30.0):
    return list(map_with_timeout(eval, [(job,) for job in jobs], pool, limit=limit, task="the measurement"))


@pytest.fixture
def waits(monkeypatch):
    """Waits before tasks are repeated, which are none here."""
    waited = []
    monkeypatch.setattr(task_map.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (ends(signal.SIGSEGV), "its process crashed (SIGSEGV)"),
        (ends(signal.SIGABRT), "its process crashed (SIGABRT)"),
        (ends(signal.SIGFPE), "its process crashed (SIGFPE)"),
        (exits(1), "its process crashed (exit code 1)"),
    ],
)
def test_a_job_that_crashes_whenever_it_runs_loses_only_itself(end, reason, waits):
    jobs = [f"{k} ** 2" for k in range(7)] + [end, "100", "121"]
    with local_pool(2) as pool:
        found = mapped(jobs, pool)
        after = list(pool.map(eval, ["1", "2"]))
    assert found[:7] == [k**2 for k in range(7)]
    assert found[7] == TaskLost(reason, crashed=True)
    assert found[8:] == [100, 121]
    assert after == [1, 2]
    assert waits == []


def test_a_job_that_never_ends_loses_only_itself():
    with local_pool(2) as pool:
        found = mapped(["1", NEVER_RETURNS, LOOPS, "2"], pool, limit=0.5)
    lost = TaskLost("it took longer than 0.5 s of processor time")
    assert found == [1, lost, lost, 2]


@pytest.mark.parametrize("times", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_whose_process_is_killed_from_outside_is_repeated(tmp_path, waits, times, number):
    """The first kill is in company, three more are allowed alone."""
    jobs = ["1", so_many_times(tmp_path / "kills", times, ends(number)), "2"]
    with local_pool(2) as pool:
        assert mapped(jobs, pool) == [1, "done", 2]
    assert waits == list(task_map.WAITS[: times - 1])


def test_kills_that_go_on_end_the_work_with_one_sentence(waits):
    with local_pool(2) as pool, pytest.raises(AmsbenchError) as error:
        mapped(["1", ends(signal.SIGKILL), "2"], pool)
    text = str(error.value)
    assert text.startswith("the measurement (number 1) was stopped 4 times (killed from outside by SIGKILL)")
    for words in ("memory", "fewer --cores", "run the command again", "all finished work is kept"):
        assert words in text
    assert waits == list(task_map.WAITS)


def test_a_crash_that_does_not_come_again_is_no_property_of_the_job(tmp_path, waits):
    jobs = [so_many_times(tmp_path / "crashes", 2, ends(signal.SIGSEGV))]
    with local_pool(1) as pool:
        assert mapped(jobs, pool) == ["done"]


def test_kills_between_crashes_do_not_hide_them(tmp_path, waits):
    """Killed in company and once alone, then crashed twice."""
    jobs = [so_many_times(tmp_path / "kills", 2, ends(signal.SIGKILL), then=ends(signal.SIGSEGV))]
    with local_pool(1) as pool:
        assert mapped(jobs, pool) == [TaskLost("its process crashed (SIGSEGV)", crashed=True)]
    assert len(waits) == 1


def test_a_job_without_memory_is_repeated_alone(tmp_path, waits):
    full = "(_ for _ in ()).throw(MemoryError())"
    with local_pool(2) as pool:
        assert mapped(["1", so_many_times(tmp_path / "full", 2, full), "2"], pool) == [1, "done", 2]
        with pytest.raises(AmsbenchError, match="it could allocate no memory"):
            mapped([full], pool)


def test_a_job_that_gets_no_processor_time_is_not_taken_for_a_long_one(tmp_path, waits):
    """A machine that swaps or was suspended says nothing about a structure."""
    with local_pool(1) as pool:
        assert mapped([so_many_times(tmp_path / "sleeps", 2, SLEEPS)], pool, limit=0.4) == ["done"]
        with pytest.raises(AmsbenchError, match="it got no processor time"):
            mapped([SLEEPS], pool, limit=0.4)


def test_after_a_kill_fewer_jobs_run_at_a_time(tmp_path, waits):
    """Each job notes how many run beside it; before the kill there are four, at the end two."""
    at_work = tmp_path / "at work"
    at_work.mkdir()
    note = (
        f"(lambda p, t: (p.touch(), t.sleep(0.3), len(list(p.parent.iterdir())), p.unlink())[2])"
        f"(__import__('pathlib').Path({str(at_work)!r}, '%d'), __import__('time'))"
    )
    with local_pool(4) as pool:
        first = mapped([note % k for k in range(8)], pool)
        kill = so_many_times(tmp_path / "kills", 2, ends(signal.SIGKILL))
        for path in at_work.iterdir():
            path.unlink()
        last = mapped([kill, *(note % k for k in range(100, 108))], pool)[-3:]
    assert max(first) > 2
    assert max(last) <= 2


def test_the_map_of_the_pool_survives_a_kill_and_names_a_crash(tmp_path, waits):
    with local_pool(2) as pool:
        kill = so_many_times(tmp_path / "kills", 1, ends(signal.SIGKILL))
        assert list(pool.map(eval, ["1", kill, "2"])) == [1, "done", 2]
        with pytest.raises(AmsbenchError, match=r"its process crashed \(SIGSEGV\)"):
            list(pool.map(eval, [ends(signal.SIGSEGV)]))


def test_a_foreign_executor_that_breaks_ends_the_work_instead_of_losing_jobs(waits):
    """Nothing is said about its processes, and Python's own pool stays broken."""
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context) as pool,
        pytest.raises(AmsbenchError, match="stopped 4 times"),
    ):
        mapped([exits(1), "1"], pool)


def test_any_executor_and_none_give_the_same_in_order():
    jobs = ["3", "1", "2"]
    with ThreadPoolExecutor(2) as threads:
        assert mapped(jobs, threads) == [3, 1, 2]
    assert mapped(jobs, None) == [3, 1, 2]
    slow, quick = mapped([NEVER_RETURNS, "2"], None, limit=0.2)
    assert (slow, quick) == (TaskLost("it took longer than 0.2 s of processor time"), 2)
    assert mapped([], None) == []
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL


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
