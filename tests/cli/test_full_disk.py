"""A disk that is full at any write ends a command with one sentence, and costs nothing that was finished."""

import re
import resource
import shutil
import signal
from contextlib import contextmanager

import pytest
from ase.build import bulk
from ase.io import write

from amsbench.benchmark import registry
from amsbench.benchmark.system import files
from amsbench.testing import SyntheticGlass

COMMANDS = {
    "generate": "generate --method material-sde --dataset asio2 --count 3 --steps 1 --cell 11 --cores 1 "
    "--output-file {out}/glass.extxyz",
    "train": "train --method material-ode --dataset asio2 --samples 8 --batch-size 2 --validate-every 4 --cores 1 "
    "--output-dir {out}",
    "run": "run --method amshortcut --dataset asi --samplers shortcut --steps 1 --count 2 --cores 1 --output-dir {out}",
    "evaluate": "evaluate glass.extxyz --dataset asio2 --output-file {out}/table.parquet --cores 1",
    "picture": "picture glass.extxyz --output-file {out}/glass.png",
    "table": "table --results results --pages {out}",
    "figures": "figures {out} --results results",
    "data build": "data build synthetic --samples 4 --output-file {out}/glass.npz --cores 1",
    "data import": "data import silicon.extxyz --name mine --output-file {out}/mine.npz",
    "data export": "data export asi --split validation --output-file {out}/validation.extxyz",
    "design": "design --dataset asio2 --method material-sde --target ring_size=5.2 --tolerance 2 --cell 11 "
    "--round-size 2 --most 2 --cores 1 --output {out}/design.extxyz",
    "submit": "submit results --methods amshortcut --output-dir {out}",
    "sweep": "sweep plan.toml --cores 1 --output-dir {out}",
}
PLAN = """
[[runs]]
methods = ["amshortcut"]
datasets = "asi"
protocols = "quick"
steps = [1]
count = 2
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of the inputs, made by the first test."""
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture
def inputs(amsbench, made, tmp_path, monkeypatch):
    """Structures and a result in the working folder, which some of the commands read."""
    if not any(made.iterdir()):
        generated = amsbench(*COMMANDS["generate"].format(out=made).split())
        assert generated[0] == 0, generated
        computed = amsbench(*COMMANDS["run"].format(out=made / "results").split())
        assert computed[0] == 0, computed
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "plan.toml").write_text(PLAN)
    silicon = [bulk("Si", cubic=True) * (2, 2, 2) for _ in range(8)]
    for seed, atoms in enumerate(silicon):
        atoms.rattle(0.1, seed=seed)
    write("silicon.extxyz", silicon)
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("datasets", "synthetic", SyntheticGlass, "here")


@contextmanager
def full_at(monkeypatch, number):
    """The disk is full at one of the writes, in any library: a file may not grow beyond ten bytes meanwhile.

    number: which of the writes, from 1; the value of the context has the number of writes so far
    """
    temporary_file = files._temporary_file
    writes = [0]

    @contextmanager
    def limited(path):
        with temporary_file(path) as name:
            writes[0] += 1
            if writes[0] != number:
                yield name
                return
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
            try:
                yield name
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
    with monkeypatch.context() as patch:
        patch.setattr(files, "_temporary_file", limited)
        yield writes
    signal.signal(signal.SIGXFSZ, ignored)


def contents(folder):
    """Names and bytes of all files of a folder, hidden ones included, without those that hold times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.suffix in (".extxyz", ".npz", ".png")
        and path.parent.suffix != ".parts"
        and "round-" not in str(path)
        else b""
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_at_any_write(name, amsbench, inputs, tmp_path, monkeypatch):
    arguments = COMMANDS[name].format(out="out").split()
    out = tmp_path / "out"
    number = 0
    while True:
        number += 1
        with full_at(monkeypatch, number) as writes:
            code, _, messages = amsbench(*arguments)
        if writes[0] < number:  # there is no such write any more
            assert code == 0, messages
            break
        assert code == (3 if name == "sweep" else 2), f"write {number}: {messages}"
        assert "Traceback" not in messages
        # a sweep goes on with its other runs, and says at the end what has failed
        sentence = messages.strip().splitlines()[-2 if name == "sweep" else -1]
        assert re.search(
            r"(amsbench|failed: .*): cannot write .*File too large; choose a folder with room", sentence
        )
        assert not [path for path in tmp_path.rglob("*") if path.name.endswith(files.UNFINISHED)]
    assert number > 1, "the command writes nothing"
    after_failures = contents(out)
    out.rename(tmp_path / "earlier")
    code, _, messages = amsbench(*arguments)
    assert code == 0, messages
    assert contents(out) == after_failures
