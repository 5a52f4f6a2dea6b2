"""The script of the guide for the queue of Slurm, with a cluster of this machine in the place of the queue."""

import shlex
import subprocess
import sys
from pathlib import Path

import dask_jobqueue
import pytest
from distributed import LocalCluster

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "use_a_cluster.md"
TITLE = 'title="on_slurm.py"\n'


@pytest.fixture
def script():
    _, _, rest = GUIDE.read_text(encoding="utf-8").partition(TITLE)
    names = {"__name__": "on_slurm"}
    exec(compile(rest[: rest.index("```")], "on_slurm.py", "exec"), names)
    return names


class SimulatedQueue(LocalCluster):
    """At most two workers start, at once; the job that Slurm would get is kept."""

    def __init__(self, **settings) -> None:
        real = dask_jobqueue.SLURMCluster(**settings)
        self.job = real.job_script()
        real.close()
        self.asked = 0
        super().__init__(n_workers=0, threads_per_worker=1, dashboard_address=":0")

    def scale(self, n) -> None:
        self.asked = max(n, self.asked)
        super().scale(min(n, 2))


def test_a_command_runs_on_the_workers_of_the_queue(script, monkeypatch, tmp_path):
    queues = []
    monkeypatch.setitem(
        script, "SLURMCluster", lambda **settings: queues.append(SimulatedQueue(**settings)) or queues[0]
    )
    command = (
        f"amsbench run -m amshortcut -d asi --samplers shortcut --steps 1 --count 4 --cores 1 -o {tmp_path}"
    )
    words = shlex.split(command)
    started = []
    run = subprocess.run

    def watched(command, **options):
        started.append(command)
        main = [sys.executable, "-c", "from amsbench.cli.main import main; main()"]
        return run([*main, *command[1:]], **options)

    monkeypatch.setattr(subprocess, "run", watched)
    assert script["main"](words) == 0
    (queue,) = queues
    assert queue.asked == 200
    for line in (
        "#SBATCH -p compute",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --mem=30G",
        "#SBATCH -t 04:00:00",
    ):
        assert line in queue.job.splitlines()
    assert all(option in queue.job for option in ("--nthreads 1 ", "--nworkers 16 "))
    assert "source $HOME/amsbench/bin/activate" in queue.job.splitlines()
    assert started == [[*words, "--executor", "dask", "--scheduler", queue.scheduler_address]]
    assert len(list((tmp_path / "asi").glob("*.json"))) == 1
