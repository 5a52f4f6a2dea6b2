"""Builds of datasets: determinism, resumption after a kill, reported failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms

from amsbench.benchmark.datasets.build import SIMULATION_ATTEMPTS, build_dataset, simulation_seed
from amsbench.benchmark.datasets.definition import DatasetDefinition, Measurement, Property, SimulationFailed
from amsbench.benchmark.datasets.storage import read_packed
from amsbench.benchmark.system.files import exclusive_lock
from amsbench.errors import AmsbenchError


class Inline(Executor):
    """Executor that runs each task at once in this process."""

    def submit(self, function, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Gas(DatasetDefinition):
    """Dataset of random atoms: three snapshots per 'melt', labelled with their volume."""

    name: ClassVar = "gas"
    title: ClassVar = "random atoms"
    elements: ClassVar = ("Ar",)
    ghost_density: ClassVar = None
    properties: ClassVar = (
        Property(name="volume", unit="A^3", description="of the cell"),
        Property(name="first_x", unit="A", description="x of the first atom"),
    )

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.measured: list[tuple[str, ...]] = []
        self.fails = lambda seed: False
        self.simulated_until = 10**9

    def simulation_recipe(self, recipe):
        return {"atoms": 5}

    def samples_per_simulation(self, recipe):
        return 3

    def evaluation_plans(self, protocol):
        return ()

    def simulate(self, recipe, seed, samples):
        if len(self.seeds) >= self.simulated_until:
            raise KeyboardInterrupt
        self.seeds.append(seed)
        if self.fails(seed):
            raise SimulationFailed("lost atoms")
        random = np.random.default_rng(seed)
        edges = random.uniform(5, 6, samples)
        return [Atoms("Ar5", random.uniform(0, edge, (5, 3)), cell=[edge] * 3, pbc=True) for edge in edges]

    def measure(self, atoms, names=None):
        self.measured.append(tuple(names))
        values = {"volume": float(atoms.get_volume()), "first_x": float(atoms.positions[0, 0])}
        failures = {}
        if "first_x" in names and values["first_x"] > 4:
            del values["first_x"]
            failures["first_x"] = "too far right"
        return Measurement(values={k: v for k, v in values.items() if k in names}, failures=failures)


@pytest.fixture
def gas() -> Gas:
    return Gas()


def contents(path):
    return read_packed(path)[0]


def test_a_build_packs_what_was_asked_for(gas, tmp_path):
    steps = []
    report = build_dataset(
        gas, samples=8, output=tmp_path / "gas.npz", executor=Inline(), progress=lambda *a: steps.append(a)
    )
    arrays = contents(tmp_path / "gas.npz")
    assert report.samples == len(arrays["counts"]) == 8
    assert arrays["groups"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert report.simulations == 3
    assert report.content_hash == read_packed(tmp_path / "gas.npz")[2]
    volumes = np.linalg.det(arrays["cells"])
    np.testing.assert_allclose(arrays["properties"][:, 0], volumes)
    right = np.isnan(arrays["properties"][:, 1]).sum()
    assert report.labelled == {"volume": 8, "first_x": 8 - right}
    assert report.label_failures == {"volume": {}, "first_x": {"too far right": right} if right else {}}
    assert steps[-1] == ("label", 3, 3)
    assert ("simulate", 3, 3) in steps


def test_the_same_arguments_give_the_same_file(tmp_path):
    hashes = [
        build_dataset(Gas(), samples=9, output=tmp_path / name, executor=Inline(), seed=seed).content_hash
        for name, seed in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_interrupted_build_goes_on_where_it_stopped(tmp_path):
    stopped = Gas()
    stopped.simulated_until = 2
    with pytest.raises(KeyboardInterrupt):
        build_dataset(stopped, samples=12, output=tmp_path / "gas.npz", executor=Inline())
    resumed = Gas()
    report = build_dataset(resumed, samples=12, output=tmp_path / "gas.npz", executor=Inline())
    assert len(resumed.seeds) == 2
    whole = build_dataset(Gas(), samples=12, output=tmp_path / "whole.npz", executor=Inline())
    assert report.content_hash == whole.content_hash


def test_a_finished_build_repeats_nothing(tmp_path):
    build_dataset(Gas(), samples=6, output=tmp_path / "gas.npz", executor=Inline())
    again = Gas()
    build_dataset(again, samples=6, output=tmp_path / "gas.npz", executor=Inline())
    assert (again.seeds, again.measured) == ([], [])


def test_two_builds_do_not_share_their_parts(tmp_path):
    build_dataset(Gas(), samples=6, output=tmp_path / "gas.npz", executor=Inline())
    with (
        exclusive_lock(tmp_path / "gas.npz.parts"),
        pytest.raises(AmsbenchError, match="another process is at work"),
    ):
        build_dataset(Gas(), samples=8, output=tmp_path / "gas.npz", executor=Inline())


def test_a_build_can_grow_without_changing_what_is_there(tmp_path):
    build_dataset(Gas(), samples=6, output=tmp_path / "gas.npz", executor=Inline())
    before = contents(tmp_path / "gas.npz")
    build_dataset(Gas(), samples=15, output=tmp_path / "gas.npz", executor=Inline())
    after = contents(tmp_path / "gas.npz")
    for name in ("cells", "counts", "groups", "splits", "properties"):
        np.testing.assert_array_equal(after[name][:6], before[name])
    assert len(after["counts"]) == 15


def test_a_cut_simulation_is_completed_when_the_build_grows(tmp_path):
    build_dataset(Gas(), samples=4, output=tmp_path / "gas.npz", executor=Inline())
    report = build_dataset(Gas(), samples=6, output=tmp_path / "gas.npz", executor=Inline())
    assert report.samples == 6
    assert report.labelled["volume"] == 6


def test_failed_simulations_get_a_new_seed_and_are_counted(gas, tmp_path):
    bad = simulation_seed(0, 1, 0)
    gas.fails = lambda seed: seed == bad
    report = build_dataset(gas, samples=9, output=tmp_path / "gas.npz", executor=Inline())
    assert report.samples == 9
    assert report.simulation_failures == ["lost atoms"]
    assert simulation_seed(0, 1, 1) in gas.seeds
    assert report.abandoned == []


def test_a_simulation_that_always_fails_is_left_out_and_tried_anew_next_time(tmp_path):
    gas = Gas()
    first = {simulation_seed(0, 1, attempt) for attempt in range(SIMULATION_ATTEMPTS)}
    gas.fails = lambda seed: seed in first
    report = build_dataset(gas, samples=9, output=tmp_path / "gas.npz", executor=Inline())
    assert report.abandoned == [1]
    assert report.samples == 6
    assert len(report.simulation_failures) == SIMULATION_ATTEMPTS
    assert contents(tmp_path / "gas.npz")["groups"].tolist() == [0, 0, 0, 2, 2, 2]
    again = build_dataset(gas, samples=9, output=tmp_path / "gas.npz", executor=Inline())
    assert again.abandoned == []
    assert gas.seeds[-1] == simulation_seed(0, 1, SIMULATION_ATTEMPTS)


class Cold(Gas):
    """A gas whose second simulation is dense."""

    def definition_for(self, index):
        return Dense() if index == 1 else self


class Dense(Gas):
    def simulate(self, recipe, seed, samples):
        return [Atoms("Ar5", np.zeros((5, 3)), cell=[1.0] * 3, pbc=True) for _ in range(samples)]


def test_a_simulation_may_be_made_differently_for_its_number(tmp_path):
    build_dataset(Cold(), samples=9, output=tmp_path / "gas.npz", executor=Inline())
    volumes = contents(tmp_path / "gas.npz")["properties"][:, 0]
    assert (volumes == 1).tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_when_nothing_succeeds_the_reason_is_told(gas, tmp_path):
    gas.fails = lambda seed: True
    with pytest.raises(AmsbenchError, match=r"no simulation of 'gas' succeeded.*lost atoms"):
        build_dataset(gas, samples=3, output=tmp_path / "gas.npz", executor=Inline())


def test_other_exceptions_are_not_swallowed(gas, tmp_path):
    def broken(seed):
        raise ZeroDivisionError

    gas.fails = broken
    with pytest.raises(ZeroDivisionError):
        build_dataset(gas, samples=3, output=tmp_path / "gas.npz", executor=Inline())


@pytest.mark.parametrize("other", [{"seed": 1}, {"recipe": "paper"}])
def test_parts_made_with_other_arguments_are_refused(tmp_path, other):
    build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())
    with pytest.raises(AmsbenchError, match=f"another {next(iter(other))}"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline(), **other)


def test_parts_of_another_protocol_are_refused(tmp_path, monkeypatch):
    build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())
    monkeypatch.setattr(Gas, "simulation_recipe", lambda self, recipe: {"atoms": 6})
    with pytest.raises(AmsbenchError, match="another protocol"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())


def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "gas.npz").write_text("precious")
    with pytest.raises(AmsbenchError, match=r"gas\.npz"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())
    assert (tmp_path / "gas.npz").read_text() == "precious"
    assert not (tmp_path / "gas.npz.parts").exists()


def test_a_build_goes_on_from_a_packed_file_alone(tmp_path):
    """A bundled file is extended on a machine without the cache of its build."""
    build_dataset(Gas(), samples=12, output=tmp_path / "whole.npz", executor=Inline())
    build_dataset(Gas(), samples=6, output=tmp_path / "gas.npz", executor=Inline())
    shutil.rmtree(tmp_path / "gas.npz.parts")
    gas = Gas()
    build_dataset(gas, samples=12, output=tmp_path / "gas.npz", executor=Inline())
    assert gas.seeds == [simulation_seed(0, index, 0) for index in (2, 3)]
    (whole, _, _), (grown, _, _) = (read_packed(tmp_path / name) for name in ("whole.npz", "gas.npz"))
    for name, array in whole.items():
        np.testing.assert_array_equal(grown[name], array)


def test_a_packed_file_of_another_seed_is_refused(tmp_path):
    build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())
    shutil.rmtree(tmp_path / "gas.npz.parts")
    with pytest.raises(AmsbenchError, match="another seed"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", seed=1, executor=Inline())
    assert not (tmp_path / "gas.npz.parts").exists()


def test_a_damaged_part_is_named(tmp_path):
    build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())
    part = tmp_path / "gas.npz.parts" / "simulation-00000.npz"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(AmsbenchError, match="simulation-00000"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", executor=Inline())


def test_properties_can_be_measured_one_after_the_other(tmp_path):
    first = Gas()
    build_dataset(first, samples=6, output=tmp_path / "gas.npz", executor=Inline(), properties=["volume"])
    assert np.isnan(contents(tmp_path / "gas.npz")["properties"][:, 1]).all()
    second = Gas()
    report = build_dataset(second, samples=6, output=tmp_path / "gas.npz", executor=Inline())
    assert second.seeds == []
    assert set(second.measured) == {("first_x",)}
    assert report.labelled["volume"] == 6
    assert report.labelled["first_x"] > 0


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(AmsbenchError, match="at least one sample"):
        build_dataset(Gas(), samples=0, output=tmp_path / "gas.npz")
    with pytest.raises(AmsbenchError, match="no property 'mass'"):
        build_dataset(Gas(), samples=3, output=tmp_path / "gas.npz", properties=["mass"])


KILLED = """
import sys, time
import numpy as np
from ase import Atoms
from amsbench.benchmark.datasets.definition import DatasetDefinition
from amsbench.benchmark.datasets.build import build_dataset

class Slow(DatasetDefinition):
    name = "slow"
    title = "waits"
    elements = ("Ar",)
    ghost_density = None
    properties = ()
    def simulation_recipe(self, recipe): return {}
    def evaluation_plans(self, protocol): return ()
    def samples_per_simulation(self, recipe): return 1
    def simulate(self, recipe, seed, samples):
        time.sleep(0.3)
        return [Atoms("Ar", np.random.default_rng(seed).uniform(0, 5, (1, 3)), cell=[5] * 3, pbc=True)]

def main():
    report = build_dataset(Slow(), samples=int(sys.argv[2]), output=sys.argv[1], workers=2)
    print(report.samples)

if __name__ == "__main__":
    import slow
    slow.main()
"""


CRASHING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ase import Atoms
from amsbench.benchmark.datasets.definition import DatasetDefinition, Measurement, Property
from amsbench.benchmark.datasets.build import build_dataset

class Crashing(DatasetDefinition):
    # simulation 0 is killed twice, the first attempt of simulation 1 crashes, the labels of simulation 2 always do
    name = "crashing"
    title = "crashes"
    elements = ("Ar",)
    ghost_density = None
    properties = (Property(name="x", unit="A", description="position"),)
    def __init__(self, number=None): self.number = number
    def definition_for(self, number): return Crashing(number)
    def simulation_recipe(self, recipe): return {}
    def evaluation_plans(self, protocol): return ()
    def samples_per_simulation(self, recipe): return 1
    def simulate(self, recipe, seed, samples):
        count = Path(f"count-{self.number}")
        tried = len(count.read_text()) if count.is_file() else 0
        count.write_text("x" * (tried + 1))
        if self.number == 0 and tried < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.number == 1 and not Path("crashed").is_file():
            if tried == 2:
                Path("crashed").touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return [Atoms("Ar", [[self.number, 1, 1]], cell=[5] * 3, pbc=True)]
    def measure(self, atoms, names=None):
        if round(atoms.positions[0, 0]) == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        return Measurement(values={"x": float(atoms.positions[0, 0])})

def main():
    from amsbench.benchmark.execution import task_map
    task_map.WAITS = (0.01, 0.01, 0.01)
    report = build_dataset(Crashing(), samples=4, output="a.npz", workers=1)
    print(report.samples, report.simulation_failures, report.abandoned, report.labelled, report.label_failures)

if __name__ == "__main__":
    import crashing
    crashing.main()
"""


def test_a_build_survives_the_death_of_its_workers(tmp_path):
    """Kills say nothing about a simulation, which is repeated; crashes are failures of the simulation or its labels."""
    (tmp_path / "crashing.py").write_text(CRASHING)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    found = subprocess.run(
        [sys.executable, "crashing.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    crash = "its process crashed (SIGSEGV)"
    assert found.stdout.strip() == f"4 ['{crash}'] [] {{'x': 3}} {{'x': {{'{crash}': 1}}}}"
    assert len((tmp_path / "count-0").read_text()) == 3


def test_a_killed_build_loses_only_what_was_running(tmp_path):
    (tmp_path / "slow.py").write_text(KILLED)
    output = tmp_path / "slow.npz"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "slow.py", str(output)]
    parts = tmp_path / "slow.npz.parts"
    with subprocess.Popen([*command, "1000"], cwd=tmp_path, env=environment) as process:
        # Generous, for a busy machine: it takes two seconds on an idle one.
        deadline = time.monotonic() + 300
        while len(list(parts.glob("simulation-*.npz"))) < 3 and time.monotonic() < deadline:
            assert process.poll() is None, "the build ended by itself"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    kept = {path.name: path.read_bytes() for path in parts.glob("simulation-*.npz")}
    assert len(kept) >= 3
    wanted = str(len(kept) + 1)
    resumed = subprocess.run([*command, wanted], cwd=tmp_path, env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert resumed.stdout.decode().strip() == wanted
    assert len(contents(output)["counts"]) == len(kept) + 1
    for name, content in kept.items():
        assert (parts / name).read_bytes() == content
