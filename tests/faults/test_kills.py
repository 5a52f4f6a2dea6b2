"""Commands that are killed at random moments, or lose a worker: given again they end as undisturbed ones do.

``AMSBENCH_KILLS=30 pytest tests/faults`` kills each command so many times, the suite twice.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from amsbench.benchmark.system.files import UNFINISHED
from amsbench.benchmark.training.checkpoints import load_checkpoint

KILLS = int(os.environ.get("AMSBENCH_KILLS", "2"))
LONGEST = 300
"""Seconds in which a command has to end."""
MAIN = "from amsbench.cli.main import main; main()"
BUILD = """
import time
from amsbench.benchmark.datasets.build import build_dataset
from amsbench.testing import SyntheticGlass

class Slow(SyntheticGlass):
    def simulate(self, recipe, seed, samples):
        time.sleep(0.1)
        return super().simulate(recipe, seed, samples)

if __name__ == "__main__":
    build_dataset(Slow(), samples=24, output="glass.npz", workers=2, refresh=4)
"""
NETWORK = 'network={"hidden":16,"layers":1,"channels":2,"cutoff":4.0}'


def structures_and_tables(folder: Path):
    """Structures and tables of results byte by byte, and their scores."""
    found = {
        path.name: path.read_bytes()
        for path in folder.glob("results/**/*")
        if path.suffix in (".extxyz", ".parquet")
    }
    for path in folder.glob("results/**/*.json"):
        fields = json.loads(path.read_text())
        found[path.name] = {
            name: fields[name] for name in ("key", "files", "structural", "inverse_design", "descriptors")
        }
    return found


def weights_and_losses(folder: Path):
    """Hash of the checkpoint, and the log without times."""
    run = folder / "runs" / "material-ode-asi"
    rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    times = {k for k, name in enumerate(rows[0]) if "second" in name}
    assert times
    kept = [[cell for k, cell in enumerate(row) if k not in times] for row in rows]
    return load_checkpoint(run / "best.safetensors").content_hash, kept


def glasses(folder: Path):
    """The glasses and the table of everything tried."""
    (table,) = folder.glob("*.design/table.csv")
    return (folder / "glasses.extxyz").read_bytes(), table.read_bytes()


class Command(NamedTuple):
    """What is killed, and what it leaves."""

    words: tuple[str, ...]
    left: Callable[[Path], object]


MODEL = ("--method", "material-ode", "--dataset", "asi", "--device", "cpu")
COMMANDS = {
    "run": Command(
        ("-c", MAIN, "run", *MODEL, "--protocol", "quick", "--steps", "2,5", "--count", "6", "--cores", "2"),
        structures_and_tables,
    ),
    "train": Command(
        (
            "-c",
            MAIN,
            "train",
            *MODEL,
            "--cores",
            "1",
            "--samples",
            "300",
            "--batch-size",
            "1",
            "--set",
            NETWORK,
        ),
        weights_and_losses,
    ),
    "generate": Command(
        ("-c", MAIN, "generate", *MODEL, "--steps", "5", "--count", "40", "--output-file", "out.extxyz"),
        lambda folder: (folder / "out.extxyz").read_bytes(),
    ),
    "build": Command(("build.py",), lambda folder: (folder / "glass.npz").read_bytes()),
    "design": Command(
        (
            *("-c", MAIN, "design", "--dataset", "asio2", "--target", "shear_modulus=23", "--tolerance", "6"),
            *(
                "--cell",
                "11",
                "--round-size",
                "4",
                "--most",
                "8",
                "--cores",
                "1",
                "--output",
                "glasses.extxyz",
            ),
        ),
        glasses,
    ),
}


def started(command: Command, folder: Path) -> "subprocess.Popen[bytes]":
    (folder / "build.py").write_text(BUILD)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *command.words], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )


def finished(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    assert process.wait(timeout=LONGEST) == 0, (folder / "log").read_text()[-2_000:]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a command leaves when nothing happens to it, and the seconds that it takes; computed once."""
    known: dict[str, tuple[object, float]] = {}

    def result(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            begin = time.monotonic()
            finished(started(COMMANDS[name], folder), folder)
            known[name] = COMMANDS[name].left(folder), time.monotonic() - begin
        return known[name]

    return result


def kill(process: "subprocess.Popen[bytes]", folder: Path, rng: random.Random) -> None:
    """Kill a command, of which no process may live on, or one of its workers, after which it has to end by itself."""
    everybody = psutil.Process(process.pid).children(recursive=True)
    if everybody and rng.random() < 0.4:
        rng.choice(everybody).send_signal(signal.SIGKILL)
        finished(process, folder)
        return
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(everybody, timeout=60)
    for orphan in alive:
        orphan.kill()
    assert alive == []


@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_ends_as_an_undisturbed_one(name, number, undisturbed, tmp_path):
    expected, seconds = undisturbed(name)
    rng = random.Random(f"{name} {number}")
    for _ in range(rng.choice([1, 1, 2])):
        process = started(COMMANDS[name], tmp_path)
        try:
            process.wait(timeout=rng.uniform(0.2, 0.95) * seconds)
        except subprocess.TimeoutExpired:
            kill(process, tmp_path, rng)
        else:
            finished(process, tmp_path)
    finished(started(COMMANDS[name], tmp_path), tmp_path)
    assert COMMANDS[name].left(tmp_path) == expected
    assert [str(path) for path in tmp_path.rglob(f"*{UNFINISHED}")] == []
