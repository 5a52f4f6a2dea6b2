"""The choice of guidance weights is the same procedure for every method, and no number of a table takes part in it."""

import json

import numpy as np
import pytest
import torch

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.errors import AmsbenchError
from amsbench.methods.material_sde import MaterialSDE


@pytest.fixture
def study(script):
    return script("studies/guidance_weights.py")


@pytest.fixture(scope="module")
def silica_glass():
    return load_dataset("asio2")


@pytest.fixture(scope="module")
def plans(silica_glass):
    return {plan.name: plan for plan in plans_of(silica_glass.definition, "standard")}


def untrained(dataset):
    task = task_of(dataset, ("shear_modulus", "ring_size"))
    config = MaterialSDE.default_config("standard", task)
    config["network"] |= {"hidden": 32, "layers": 1, "channels": 2, "cutoff": 3.0}
    torch.manual_seed(0)
    return MaterialSDE(task, config)


def test_every_method_with_a_guidance_weight_takes_part(study, silica_glass):
    task = task_of(silica_glass, ("shear_modulus", "ring_size"))
    methods = {name: registry.load("methods", name) for name in registry.names("methods")}
    guided = {
        name
        for name, kind in methods.items()
        if hasattr(kind, "default_config") and "guidance" in kind.default_config(kind.networks[0], task)
    }
    assert guided == set(study.SAMPLERS)
    for name, sampler in study.SAMPLERS.items():
        assert methods[name].sampler_named(sampler).name == sampler


def test_targets_are_labels_of_the_validation_split(study, silica_glass, plans):
    validation = silica_glass.split("validation")
    column = silica_glass.property_names.index("shear_modulus")
    labels = validation.properties[:, column].astype(float)
    labels = labels[np.isfinite(labels)]
    targets = study.validation_targets(silica_glass, plans["shear_modulus"], 24)["shear_modulus"]
    assert len(targets) == 24
    assert set(targets) <= set(labels)
    evenly = np.linspace(18.0, 29.0, 24)
    assert np.abs(targets - evenly).max() == max(np.abs(labels - value).min() for value in evenly)
    assert (np.diff(targets) >= 0).all()
    assert study.SEED != 0  # the seed of the tables


def test_targets_of_several_properties_belong_to_one_glass(study):
    glasses = load_dataset("meg")
    plan = {plan.name: plan for plan in plans_of(glasses.definition, "standard")}["youngs_modulus"]
    targets = study.validation_targets(glasses, plan, 10)
    columns = [glasses.property_names.index(name) for name in targets]
    pairs = {tuple(row) for row in glasses.split("validation").properties[:, columns].astype(float)}
    assert set(targets) == {"youngs_modulus", "li_concentration"}
    assert set(zip(*targets.values(), strict=True)) <= pairs


def test_a_trial_charges_structures_that_cannot_be_measured(study, silica_glass, plans):
    """One step of an untrained network leaves overlaps: nothing is measured, and every failure is charged."""
    method = untrained(silica_glass)
    numbers = study.trial(method, "guided", 3.0, silica_glass, plans["shear_modulus"], count=2, steps=1)
    assert method.guidance_weights.tolist() == [3.0, 3.0]
    (errors,) = numbers["targets"].values()
    assert (errors["coverage"], errors["mae"]) == (0.0, None)
    assert numbers["score"] == pytest.approx(errors["penalised_mae"] / errors["training_mean_mae"])
    assert numbers["score"] >= 1


def test_a_single_weight_for_all_properties_is_set_too(study, silica_glass):
    method = untrained(silica_glass)
    method.config = method.config | {"guidance": 3.0}
    study.set_weight(method, 12.0)
    assert method.config["guidance"] == 12.0


def test_all_methods_have_the_same_trials_and_none_is_repeated(study, monkeypatch, tmp_path):
    calls = []

    def counted(method, sampler, weight, dataset, plan, **options):
        calls.append((method.name, plan.name, weight / study.default_weight(method)))
        return {"targets": {}, "density": 2.3, "score": abs(weight - 4.0)}

    monkeypatch.setattr(study, "trial", counted)
    path = tmp_path / "trials.json"
    for name in study.SAMPLERS:
        study.run(name, "asio2", [], path)
    expected = [
        (name, plan, relative)
        for name in study.SAMPLERS
        for plan in ("shear_modulus", "ring_size")
        for relative in study.RELATIVE
    ]
    assert sorted(calls) == sorted(expected)
    trials = json.loads(path.read_text())
    path.write_text(json.dumps(trials[:-1]))  # as a run that was stopped before its last trial
    calls.clear()
    study.run("graphite", "asio2", [], path)
    assert len(calls) == 1
    rows = study.table(study.stored(path)).splitlines()
    assert len(rows) == 2 + 2 * len(study.SAMPLERS)
    assert all("| 4 " in row for row in rows if "material-sde" in row)  # the smallest score


def test_a_network_has_the_same_trials_whatever_weights_it_was_given(study, silica_glass):
    """The chosen weights are stored in the checkpoint, which would else be another one to the trials."""
    method = untrained(silica_glass)
    before = study.network_hash(method)
    method.config = {**method.config, "guidance": {"shear_modulus": 7.0, "ring_size": 9.0}}
    assert study.network_hash(method) == before
    next(method.parameters()).data += 1
    assert study.network_hash(method) != before


@pytest.mark.parametrize("dataset", ["asio2", "meg"])
def test_the_stored_trials_are_those_of_the_released_networks_and_their_weights(study, dataset):
    trials = study.stored()
    for name in study.SAMPLERS:
        method = load_checkpoint_for(name, dataset).method
        own = [one for one in trials if (one["method"], one["dataset"]) == (name, dataset)]
        assert {one["network"] for one in own} == {study.network_hash(method)}
        assert {one["count"] for one in own} == {study.COUNT[dataset]}
        assert study.chosen_weights(trials, name, dataset, method) == method.config["guidance"]


def test_of_equal_scores_the_larger_rank_correlation_decides(study):
    def trial(score, correlation):
        return {"score": score, "targets": {"shear_modulus": {"spearman": correlation}}}

    trials = [trial(0.906, 0.4), trial(0.914, 0.8), trial(0.93, 0.95), trial(0.907, None)]
    assert min(trials, key=lambda one: study.rank([one])) == trials[1]
    assert study.rank([trials[0], trials[2]]) < study.rank([trials[2]])


def test_what_is_no_choice_is_refused(study, tmp_path):
    with pytest.raises(AmsbenchError, match="method 'cdvae' has no guidance weight"):
        study.run("cdvae", "asio2", [], tmp_path / "trials.json")
    with pytest.raises(AmsbenchError, match="'asio2' has no plan shear"):
        study.run("graphite", "asio2", ["shear"], tmp_path / "trials.json")
    assert not (tmp_path / "trials.json").exists()


def test_the_page_has_the_table_of_the_stored_trials(study):
    assert study.STORED.is_on_page(study.table(study.stored())), (
        "run: python docs/studies/guidance_weights.py table"
    )
