"""Executor on a Dask cluster: as the local pool, and with workers and schedulers that are lost."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from amsbench.benchmark.execution.dask_pool import dask_pool, software
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.execution.task_map import WorkersKilled, map_with_timeout
from amsbench.benchmark.execution.time_limits import TaskLost
from amsbench.errors import AmsbenchError

CRASH = f"__import__('os').kill(__import__('os').getpid(), {int(signal.SIGSEGV)})"
LOOPS = "max(iter(int, 1))"  # for ever, in C: only the system can end it


@pytest.fixture(scope="module")
def pool():
    with dask_pool(workers=2) as opened:
        yield opened


def mapped(jobs, pool, limit=20.0):
    return list(map_with_timeout(eval, [(job,) for job in jobs], pool, limit=limit, task="the measurement"))


def kill_the_worker(file, times):
    """A job that kills the worker of Dask beside its process ``times`` times, which a file counts."""
    kill = f"__import__('os').kill(__import__('os').getppid(), {int(signal.SIGKILL)})"
    count = f"open({str(file)!r}, 'a').write('x')"
    # the process must not outlive its worker, which would run the job to its end
    more = f"len(open({str(file)!r}).read()) <= {times}"
    return f"({count}, ({kill}, __import__('time').sleep(9)) if {more} else 0, 'done')[-1]"


def test_results_come_in_order_and_crashes_and_long_jobs_lose_only_themselves(pool):
    assert pool.workers == 2
    found = mapped(["1", CRASH, "2", LOOPS, "3"], pool, limit=1.0)
    assert found[::2] == [1, 2, 3]
    assert found[1] == TaskLost("its process crashed (SIGSEGV)", crashed=True)
    assert found[3] == TaskLost("it took longer than 1 s of processor time")


def test_single_tasks_and_maps(pool):
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    assert list(pool.map(eval, ["1", "2"])) == [1, 2]
    with pytest.raises(AmsbenchError, match=r"its process crashed \(SIGSEGV\)"):
        list(pool.map(eval, [CRASH]))


def test_a_mistake_of_the_program_is_raised(pool):
    with pytest.raises(ZeroDivisionError):
        mapped(["1 / 0"], pool)


def test_each_worker_has_one_thread_for_numerical_libraries(pool):
    assert set(pool.map(os.getenv, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])) == {"1"}


def test_the_tasks_of_a_lost_worker_are_repeated(pool, tmp_path):
    assert mapped(["1", kill_the_worker(tmp_path / "kills", 2), "2"], pool) == [1, "done", 2]
    assert mapped(["3"], pool) == [3]


def test_quick_tasks_go_together_and_all_are_repeated_with_a_lost_worker(pool, tmp_path, monkeypatch):
    groups = []
    submit = pool._client.submit

    def counted(function, software, limit, task, work, jobs, **options):
        groups.append(len(jobs))
        return submit(function, software, limit, task, work, jobs, **options)

    monkeypatch.setattr(pool._client, "submit", counted)
    jobs = [str(k) for k in range(600)]
    jobs[500] = kill_the_worker(tmp_path / "kills", 1)
    expected = list(range(600))
    expected[500] = "done"
    assert mapped(jobs, pool) == expected
    assert sum(groups) == 600
    assert max(groups) > 10


def test_a_result_is_kept_although_its_worker_is_lost_at_once(pool, monkeypatch):
    gather = pool._client._gather

    async def gather_and_lose(futures, *args, **kwargs):
        results = await gather(futures, *args, **kwargs)
        for future in futures:
            future._state.lose()
        return results

    monkeypatch.setattr(pool._client, "_gather", gather_and_lose)
    assert mapped(["1", "2", "3"], pool) == [1, 2, 3]


def test_a_task_that_loses_every_worker_ends_the_work_with_one_sentence(pool, tmp_path):
    with pytest.raises(
        WorkersKilled, match=r"the measurement \(number 0\) was lost with its Dask worker 4 times"
    ):
        mapped([kill_the_worker(tmp_path / "kills", 100)], pool)
    assert mapped(["3"], pool) == [3]


def test_workers_with_another_version_are_refused(pool, monkeypatch):
    monkeypatch.setattr(pool, "_software", "0.0.1 (00000000)")
    with pytest.raises(
        AmsbenchError, match=r"has amsbench 0\.2\.0 .*, and this program 0\.0\.1 \(00000000\)"
    ):
        mapped(["1"], pool)


def test_the_software_is_known_by_its_sources(tmp_path, monkeypatch):
    from amsbench.benchmark.execution import dask_pool

    monkeypatch.setattr(dask_pool, "PACKAGE", tmp_path)
    found = []
    for text in ("a = 1\n", "a = 2\n"):
        (tmp_path / "module.py").write_text(text)
        software.cache_clear()
        found.append(software())
    assert found[0] != found[1]
    # an environment and other files of a checkout are no part of it
    (tmp_path / ".venv" / "lib").mkdir(parents=True)
    for name in (".venv/lib/other.py", "setup.py"):
        (tmp_path / name).write_text("b = 1\n")
    software.cache_clear()
    assert software() == found[1]
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "__init__.py").touch()
    (tmp_path / "part" / "module.py").write_text("c = 1\n")
    software.cache_clear()
    assert software() != found[1]
    software.cache_clear()


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:9", "tcp://no.such.host:8786"])
def test_a_scheduler_that_does_not_answer_is_named(address):
    with pytest.raises(AmsbenchError, match=f"no Dask scheduler answers at '{address}'"), dask_pool(address):
        pass


def started(*arguments: str, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", *arguments, "--dashboard-address", ":0"]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def wait_for(text: str, log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if text in line:
                return line
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_a_scheduler_that_is_lost_ends_the_work_and_a_new_one_goes_on(tmp_path):
    log, worker_log = tmp_path / "scheduler.log", tmp_path / "worker.log"
    scheduler = started("distributed.cli.dask_scheduler", "--port", "0", log=log)
    address = wait_for("Scheduler at:", log).split()[-1]
    worker = started("distributed.cli.dask_worker", address, "--nthreads", "2", log=worker_log)
    wait_for("Registered to", worker_log)
    try:
        done = []

        def killing_the_scheduler(pool):
            for result in map_with_timeout(
                eval, [("__import__('time').sleep(0.2) or 1",)] * 50, pool, limit=20
            ):
                done.append(result)
                if len(done) == 3:
                    scheduler.kill()
                    scheduler.wait()

        with dask_pool(address) as pool, pytest.raises(AmsbenchError, match="the Dask scheduler is gone"):
            killing_the_scheduler(pool)
        assert 3 <= len(done) < 50
        port = address.rpartition(":")[2]
        scheduler = started("distributed.cli.dask_scheduler", "--port", port, log=log)
        wait_for("Scheduler at:", log)
        worker.kill()
        worker.wait()
        worker = started("distributed.cli.dask_worker", address, "--nthreads", "2", log=worker_log)
        with dask_pool(address) as pool:
            assert mapped(["1", "2"], pool) == [1, 2]
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


def test_any_mixture_of_engines_gives_the_same(pool):
    jobs = [f"__import__('numpy').random.default_rng({k}).normal(size=3).tobytes()" for k in range(8)]
    with local_pool(2) as processes, ThreadPoolExecutor(2) as threads:
        found = [mapped(jobs, executor) for executor in (None, processes, threads, pool)]
    assert found[0] == found[1] == found[2] == found[3]


PROGRAM = """
from amsbench.benchmark.execution.dask_pool import dask_pool
from amsbench.benchmark.execution.task_map import map_with_timeout

if __name__ == "__main__":
    with dask_pool(workers=2) as pool:
        for _ in map_with_timeout(eval, [("__import__('time').sleep(0.3)",)] * 1000, pool, limit=50):
            print("done", flush=True)
"""


def test_a_killed_program_leaves_no_process(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    log = tmp_path / "log"
    with log.open("wb") as output:
        program = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=output, stderr=output)
    wait_for("done", log)
    children = psutil.Process(program.pid).children(recursive=True)
    assert len(children) >= 4  # two workers, each with a process beside it
    program.kill()
    program.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    for process in alive:
        process.kill()
    assert alive == []
