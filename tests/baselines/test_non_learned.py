"""Non-learned baselines: the simulation of a dataset and relaxed random positions, without training and steps."""

from dataclasses import replace

import numpy as np
import pytest

import amsbench
from amsbench.baselines.non_learned import RELAXED, RandomRelax, Simulation
from amsbench.benchmark import registry
from amsbench.benchmark.datasets import asi
from amsbench.benchmark.datasets.definition import SimulationFailed, plans_of
from amsbench.benchmark.interface.method import method_class
from amsbench.benchmark.runs.generator import Trial
from amsbench.benchmark.runs.results import NO_STEPS, ResultStore
from amsbench.benchmark.runs.runner import Run
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.tables.make_tables import tables_of
from amsbench.metrics.potentials.lammps_calculator import energy_per_atom
from amsbench.metrics.potentials.potential import STILLINGER_WEBER_SILICON
from amsbench.testing import SyntheticGlass, synthetic_dataset


class Silent:
    def trial_started(self, job, number, total, known):
        pass

    def progress(self, stage, done, total):
        pass


def made(baseline, count, seed=0):
    """Structures of a baseline and their cost."""
    plan = plans_of(baseline.dataset.definition, "quick")[0].changed(count=count)
    job = Trial(plan=plan, sampler=baseline.sampler, steps=NO_STEPS)
    frames = []
    generated = baseline.generate(baseline.dataset, job, seed, None, lambda done: None, frames.extend)
    return replace(generated, frames=frames)


@pytest.fixture(scope="module")
def silicon_data():
    return amsbench.load_dataset("asi")


@pytest.fixture
def short(monkeypatch):
    """Melts of picoseconds with two snapshots each."""
    monkeypatch.setitem(asi.DURATIONS, "reduced", dict.fromkeys(asi.DURATIONS["reduced"], 0.3))
    monkeypatch.setitem(asi.SNAPSHOTS, "reduced", 2)
    monkeypatch.setattr(asi, "SNAPSHOT_SPACING", 0.05)
    monkeypatch.setattr(asi, "MEMORY_LOSS", 0.0)


def test_random_positions_end_at_a_minimum(silicon_data):
    found = made(RandomRelax(silicon_data), 2)
    train = silicon_data.split("train")
    for k, atoms in enumerate(found.frames):
        np.testing.assert_allclose(atoms.cell.array, train.atoms(k * len(train) // 2).cell.array, atol=1e-5)
        energy, force = energy_per_atom(STILLINGER_WEBER_SILICON, atoms)
        assert force < 2 * RELAXED
        assert -4.34 < energy < -3.0  # above the crystal, far below free atoms
    assert found.seconds > 0
    assert found.evaluations == 0
    assert np.abs(found.frames[0].positions - found.frames[1].positions).max() > 1


def test_same_seed_same_structures_other_seed_others(silicon_data):
    first, again, other = (made(RandomRelax(silicon_data), 1, seed).frames[0].positions for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


class Melts:
    """Replacement of the simulation that returns stored structures, counts its calls, and interrupts the run after a
    given number of them."""

    def __init__(self, monkeypatch, data, stopped_after=None):
        self.made, self.data, self.stopped_after = 0, data, stopped_after
        monkeypatch.setattr(asi.AmorphousSilicon, "simulate", lambda *task: self.simulate(*task[1:]))
        monkeypatch.setitem(asi.SNAPSHOTS, "reduced", 1)

    def simulate(self, recipe, seed, samples):
        if self.made == self.stopped_after:
            raise KeyboardInterrupt
        self.made += 1
        atoms = self.data.atoms(seed % len(self.data))
        atoms.info.clear()  # a simulation knows of no split
        return [atoms] * samples


def stored_tasks(folder):
    return sorted(path.name for path in folder.rglob("*.npz"))


def run_of(data, folder, *counts):
    (plan,) = plans_of(data.definition, "quick")
    baseline = Simulation(data)
    return Run(
        source=baseline,
        dataset=data,
        plans=tuple(replace(plan.changed(count=count), name=f"plan {k}") for k, count in enumerate(counts)),
        samplers=(baseline.sampler,),
        store=ResultStore(folder),
    )


def test_a_stopped_run_goes_on_within_a_result(silicon_data, monkeypatch, tmp_path):
    Melts(monkeypatch, silicon_data)
    (whole,) = run_of(silicon_data, tmp_path / "whole", 5).execute(None, Silent())
    Melts(monkeypatch, silicon_data, stopped_after=3)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        list(run_of(silicon_data, folder, 5).execute(None, Silent()))
    names = stored_tasks(folder)
    assert names == [f"{k:08d}.npz" for k in range(3)]
    (file,) = folder.rglob(names[1])
    file.write_bytes(file.read_bytes()[:50])  # a broken one is made again
    melts = Melts(monkeypatch, silicon_data)
    (again,) = run_of(silicon_data, folder, 5).execute(None, Silent())
    assert melts.made == 3
    assert stored_tasks(folder) == []
    assert again.structural == whole.structural
    texts = [next(path.rglob("*.extxyz")).read_text() for path in (tmp_path / "whole", folder)]
    assert texts[0] == texts[1]


def test_plans_of_one_count_share_the_structures(silicon_data, monkeypatch, tmp_path):
    melts = Melts(monkeypatch, silicon_data)
    first, second, other = run_of(silicon_data, tmp_path, 2, 2, 3).execute(None, Silent())
    assert melts.made == 2 + 3
    assert first.structural == second.structural != other.structural
    assert first.seconds == second.seconds > 0
    assert stored_tasks(tmp_path) == []


def test_finishing_one_baseline_leaves_what_another_has_begun(silicon_data, monkeypatch, tmp_path):
    """Two runs in one folder that differ in their seed alone, and one in its number of structures."""
    Melts(monkeypatch, silicon_data, stopped_after=3)
    runs = [
        replace(run_of(silicon_data, tmp_path, count), seed=seed) for seed, count in ((0, 5), (1, 5), (0, 4))
    ]
    for run in runs:
        Melts(monkeypatch, silicon_data, stopped_after=3)
        with pytest.raises(KeyboardInterrupt):
            list(run.execute(None, Silent()))
    assert len(stored_tasks(tmp_path)) == 9
    for run, left in zip(runs, (2, 2, 1), strict=True):
        melts = Melts(monkeypatch, silicon_data)
        list(run.execute(None, Silent()))
        assert melts.made == left
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_dir()] == [""]


def test_snapshots_of_a_melt_are_one_task(silicon_data, short):
    baseline = Simulation(silicon_data)
    assert [(job.index, job.samples) for job in baseline.jobs(5, 0)] == [(0, 2), (1, 2), (2, 1)]
    found = made(baseline, 3)
    assert [len(atoms) for atoms in found.frames] == [256, 256, 256]
    assert all(atoms.info == {} and set(atoms.arrays) == {"numbers", "positions"} for atoms in found.frames)
    energies = [energy_per_atom(STILLINGER_WEBER_SILICON, atoms)[0] for atoms in found.frames]
    assert all(-4.3 < energy < -3.0 for energy in energies)


def test_an_unusable_melt_is_tried_again_with_another_seed(silicon_data, monkeypatch):
    seeds = []

    def simulate(self, recipe, seed, samples):
        seeds.append(seed)
        if len(seeds) < 3:
            raise SimulationFailed("lost an atom")
        return [silicon_data.atoms(0)] * samples

    monkeypatch.setattr(asi.AmorphousSilicon, "simulate", simulate)
    assert len(made(Simulation(silicon_data), 2).frames) == 2
    assert len(set(seeds)) == 3


def test_a_melt_that_never_comes_is_said(silicon_data, monkeypatch):
    def simulate(self, recipe, seed, samples):
        raise SimulationFailed("lost an atom")

    monkeypatch.setattr(asi.AmorphousSilicon, "simulate", simulate)
    with pytest.raises(
        AmsbenchError, match="none of 20 seeds gave a usable structure; the last one: lost an atom"
    ):
        made(Simulation(silicon_data), 1)


def test_it_simulates_what_the_dataset_was_not_built_from(silicon_data):
    from amsbench.benchmark.datasets.build import simulation_seed

    (job,) = Simulation(silicon_data).jobs(1, 0)
    seeds = []

    class Recorder:
        def definition_for(self, index):
            return self

        def simulate(self, recipe, seed, samples):
            seeds.append(seed)
            return []

    Simulation.work(Recorder(), job)
    assert seeds[0] != simulation_seed(0, 0, 0)


def test_a_run_has_one_cell_without_steps_and_a_table(silicon_data, short, tmp_path):
    (plan,) = plans_of(silicon_data.definition, "quick")
    baseline = Simulation(silicon_data)
    run = Run(
        source=baseline,
        dataset=silicon_data,
        plans=(plan.changed(count=2),),
        samplers=(baseline.sampler,),
        store=ResultStore(tmp_path),
    )
    (cell,) = run.execute(None, Silent())
    assert (cell.key.steps, cell.evaluations, cell.training) == (NO_STEPS, 0, {})
    assert list(run.execute(None, Silent())) == [cell]  # read, not computed
    (table,) = tables_of([cell])
    assert table.title.startswith("Non-learned baselines: asi")
    assert [row[0] for row in table.rows] == ["simulation"]
    assert len(tables_of([cell], detail=True)) == 2


@pytest.mark.parametrize("name", ["simulation", "random-relax"])
def test_own_structures_have_no_simulation(name):
    with pytest.raises(AmsbenchError, match="'synthetic' has none"):
        registry.load("non_learned", name)(synthetic_dataset())
    assert SyntheticGlass.potential is None


@pytest.mark.parametrize("name", ["simulation", "random-relax"])
def test_there_is_nothing_to_train(name, tmp_path):
    for call in (
        lambda: method_class(name),
        lambda: amsbench.load_method(name, dataset="asi"),
        lambda: amsbench.train(name, "asi", output=tmp_path),
    ):
        with pytest.raises(AmsbenchError, match="is no model"):
            call()
    assert not list(tmp_path.iterdir())
