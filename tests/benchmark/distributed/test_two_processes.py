"""Trainings that two processes share: the losses of one process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import psutil
import pytest
import torch

from amsbench.benchmark.interface.noise import BatchNoise, PartOfNoise, uniform_numbers
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.training import train
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.errors import AmsbenchError

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}
OPTIONS = TrainingOptions(samples_seen=24, batch_size=4, validate_every=12, validation_samples=4)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def two_processes(monkeypatch):
    """Trainings on two devices, which are processor cores here; LAMMPS and torch must not be forked."""
    monkeypatch.setattr(train, "pick_devices", lambda name: ("cpu", "cpu"))


def losses(dataset, output, **settings):
    seen = []

    def report(progress):
        seen.append((progress.step, progress.losses["loss"], progress.validation))

    arguments = {"method_name": "material-sde", "options": OPTIONS, "config": SMALL} | settings
    train.train_method(dataset=dataset, output=output, report=report, **arguments)
    return seen


@pytest.mark.parametrize(
    ("method", "changes"),
    [("material-sde", {}), ("amshortcut", {"warmup": 0.0, "consistency_share": 0.5})],
)
def test_two_processes_have_the_losses_of_one(method, changes, tiny_asi, tmp_path, request):
    settings = {"method_name": method, "config": SMALL | changes}
    alone = losses(tiny_asi, tmp_path / "alone", **settings)
    request.getfixturevalue("two_processes")
    shared = losses(tiny_asi, tmp_path / "shared", **settings)
    assert [step for step, *_ in shared] == [step for step, *_ in alone] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([loss for _, loss, _ in shared], [loss for _, loss, _ in alone], rtol=2e-4)
    np.testing.assert_allclose(shared[-1][2], alone[-1][2], rtol=2e-4)
    one, two = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("alone", "shared"))
    assert two.record["processes"] == 2
    assert "processes" not in one.record
    for first, second in zip(one.method.parameters(), two.method.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=2e-4)


def test_a_training_goes_on_with_more_processes(tiny_asi, tmp_path, request):
    whole = losses(tiny_asi, tmp_path / "whole")

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    begin = partial(train.train_method, "material-sde", tiny_asi, output=tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        begin(options=OPTIONS, config=SMALL, report=stop)
    request.getfixturevalue("two_processes")
    rest = losses(tiny_asi, tmp_path / "a")
    assert rest[-1][0] == 6
    np.testing.assert_allclose(rest[-1][1], whole[-1][1], rtol=2e-4)


def test_mistakes_are_those_of_one_process(tiny_asi, tmp_path, two_processes, monkeypatch):
    odd = TrainingOptions(samples_seen=9, batch_size=3)
    with pytest.raises(AmsbenchError, match="a batch of 3 structures cannot be shared by 2 devices"):
        losses(tiny_asi, tmp_path / "odd", options=odd)
    with pytest.raises(AmsbenchError, match=r"became (nan|inf) at step"):
        losses(
            tiny_asi,
            tmp_path / "nan",
            options=TrainingOptions(samples_seen=40, batch_size=4, learning_rate=1e30),
        )


PROGRAM = """
import sys
from pathlib import Path
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.training import train
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.errors import AmsbenchError

if __name__ == "__main__":
    train.pick_devices = lambda name: ("cpu", "cpu")
    network = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}
    options = TrainingOptions(samples_seen=4_000_000, batch_size=4, validate_every=1_000_000)
    try:
        train.train_method(
            "material-ode", load_dataset("asio2"), output=Path(sys.argv[1]), options=options,
            config={"network": network}, report=lambda progress: print(progress.step, flush=True),
        )
    except KeyboardInterrupt:
        print("stopped")
    except AmsbenchError as error:
        print(error)
"""


@contextmanager
def running(folder):
    """A training of two processes after its fifth step, in a process group of its own, and its output folder."""
    (folder / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(folder / "program.py"), str(folder / "out")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "5":
                break
        yield process, folder / "out"


def in_group(process, group):
    """Whether a process of a group still runs; those that nobody waits for are not removed from the list."""
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def assert_no_process_is_left(group):
    deadline = time.monotonic() + 20
    while left := [item for item in psutil.process_iter(["status"]) if in_group(item, group)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["program", "all-processes"])
def test_a_signal_stops_all_processes_with_their_state(tmp_path, to):
    """To the program alone, as ``kill`` does, or to all of its processes, as the terminal or a queue does."""
    with running(tmp_path) as (process, output):
        to(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert rest.endswith("stopped\n")
    steps = [int(line) for line in rest.split()[:-1]]
    assert read_state(output)["step"] == max(steps, default=5)
    assert_no_process_is_left(process.pid)


def test_a_killed_process_is_one_sentence_and_a_killed_program_leaves_none(tmp_path):
    with running(tmp_path) as (process, _):
        workers = [
            child for child in psutil.Process(process.pid).children() if "spawn_main" in child.cmdline()[-2]
        ]
        workers[-1].kill()
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert f"a process of the training in {tmp_path / 'out'} has ended (SIGKILL)" in rest.splitlines()[-1]
    assert_no_process_is_left(process.pid)
    with running(tmp_path) as (process, _):
        process.kill()
    assert_no_process_is_left(process.pid)


def test_an_error_in_the_report_ends_the_training_with_its_state(tiny_asi, tmp_path, two_processes):
    def report(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    options = TrainingOptions(samples_seen=400_000, batch_size=4, validate_every=400_000)
    begin = partial(train.train_method, "material-sde", tiny_asi, output=tmp_path, options=options)
    with pytest.raises(KeyboardInterrupt):
        begin(config=SMALL, report=report)
    assert read_state(tmp_path)["step"] >= 2


def test_parts_of_a_batch_have_its_noise():
    cells = torch.eye(3).repeat(4, 1, 1) * 8
    counts = torch.tensor([3, 5, 4, 2])
    batch = Structures.empty_cells(cells, counts, torch.arange(4.0)[:, None])
    batch = add_ghosts(batch, 0.02, 1, torch.Generator().manual_seed(1))
    size = len(batch.positions), len(batch)
    noise = BatchNoise(*size, torch.Generator().manual_seed(3))
    first, atoms = batch.part(0, 2)
    second, others = batch.part(2, 4)
    torch.testing.assert_close(torch.cat([first.positions, second.positions]), batch.positions)
    assert torch.cat([first.batch, second.batch + 2]).tolist() == batch.batch.tolist()
    assert second.properties.flatten().tolist() == [2.0, 3.0]
    halves = [PartOfNoise(noise.restarted(), rows, slice(k, k + 2)) for rows, k in ((atoms, 0), (others, 2))]
    torch.testing.assert_close(
        torch.cat([half.normal_atoms(3) for half in halves]), noise.restarted().normal_atoms(3)
    )
    assert torch.cat([half.uniform_structures(1) for half in halves]).shape == (4, 1)
    assert uniform_numbers(halves[0], 2) == uniform_numbers(halves[1], 2)
