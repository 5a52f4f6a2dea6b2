"""Baselines that copy the training set: what they answer, and that evaluation sees it."""

import numpy as np
import pytest

import amsbench
from amsbench.baselines.training_set import NearestTraining, TrainingMean, nearest_rows
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.runs.generator import Trial
from amsbench.benchmark.runs.results import NO_STEPS, ResultStore
from amsbench.benchmark.runs.runner import Run


@pytest.fixture(scope="module")
def silica():
    return amsbench.load_dataset("asio2")


def made(baseline, plan):
    trial = Trial(plan=plan, sampler=baseline.sampler, steps=NO_STEPS)
    counts = []
    frames = []
    baseline.generate(baseline.dataset, trial, 0, None, counts.append, frames.extend)
    assert counts[-1] == plan.count
    return frames


@pytest.fixture(scope="module")
def rings(silica):
    return next(plan for plan in plans_of(silica.definition, "quick") if plan.name == "ring_size")


def key_of(atoms):
    return atoms.get_positions().tobytes()


def labels_of(silica, frames, name="ring_size"):
    train = silica.split("train")
    column = train.properties[:, train.property_names.index(name)]
    by_positions = {key_of(train.atoms(k)): column[k] for k in range(len(train))}
    return np.array([by_positions[key_of(atoms)] for atoms in frames])


def test_the_nearest_labels_are_close_to_the_targets(silica, rings):
    frames = made(NearestTraining(silica), rings)
    targets = rings.target_values()["ring_size"]
    assert np.abs(labels_of(silica, frames) - targets).max() < 0.03
    assert [atoms.info["target_ring_size"] for atoms in frames] == targets.tolist()
    assert not any("ring_size" in atoms.info for atoms in frames)
    assert len({key_of(atoms) for atoms in frames}) == rings.count


def test_the_mean_is_answered_whatever_the_target(silica, rings):
    frames = made(TrainingMean(silica), rings)
    train = silica.split("train")
    mean = np.nanmean(train.properties[:, train.property_names.index("ring_size")])
    assert np.abs(labels_of(silica, frames) - mean).max() < 0.05


def test_copies_have_small_errors_and_no_hits(silica, rings):
    plan = rings.changed(count=4)
    frames = made(NearestTraining(silica), plan)
    evaluation = amsbench.evaluate(frames, silica, targets=plan.target_values())
    assert evaluation.inverse_design["ring_size"].mae < 0.03
    assert evaluation.hits.within_tolerance == 4
    assert evaluation.hits.novel == evaluation.hits.hits == 0
    assert evaluation.descriptors["copies"] == 1.0


def test_without_targets_the_copies_are_spread_over_the_training_set():
    liquid = amsbench.load_dataset("asi")
    (plan,) = plans_of(liquid.definition, "quick")
    frames = made(NearestTraining(liquid), plan)
    train = liquid.split("train")
    assert key_of(frames[0]) == key_of(train.atoms(0))
    assert key_of(frames[-1]) == key_of(train.atoms(len(train) - 1))


def test_each_row_is_used_once_until_all_are():
    labels = np.array([[1.0], [2.0], [np.nan], [3.0]])
    requests = np.array([[1.1], [1.1], [1.1], [1.1]])
    assert nearest_rows(requests, labels).tolist() == [0, 1, 3, 0]


def test_plans_of_one_count_do_not_share_the_copies(silica, tmp_path):
    """Structures of equal keys are taken from each other's partial results; copies depend on the targets."""
    baseline = NearestTraining(silica)
    run = Run(
        source=baseline,
        dataset=silica,
        plans=tuple(plan for plan in plans_of(silica.definition, "quick") if plan.targets),
        samplers=(baseline.sampler,),
        store=ResultStore(tmp_path),
    )
    keys = [run.key(trial) for trial in run.trials()]
    assert len({key.count for key in keys}) == 1 < len(keys)
    assert len({str(baseline.structures_key(key)) for key in keys}) == len(keys)


def test_a_baseline_of_copies_needs_no_potential(silica):
    from dataclasses import replace

    from amsbench.benchmark.datasets.imported import ImportedStructures

    imported = ImportedStructures(
        name="glass", elements=("Si", "O"), ghost_density=None, properties=("ring_size",)
    )
    assert NearestTraining(replace(silica, definition=imported)).record == {}
