"""The published results are those of samplers that exist, under the labels that these samplers have."""

from functools import cache

import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.runs.results import NO_STEPS, ResultStore
from amsbench.benchmark.training.checkpoints import load_checkpoint, released_path
from amsbench.leaderboards.result_folders import PUBLISHED


@cache
def released(method, dataset):
    return load_checkpoint(released_path(method, dataset)).method


def of_trained_models():
    return [result for result in ResultStore(PUBLISHED).results() if result.key.steps != NO_STEPS]


def test_every_label_is_that_of_the_sampler():
    results = of_trained_models()
    assert {result.key.method for result in results} >= {"amshortcut", "material-sde"}
    for result in results:
        key = result.key
        method = released(key.method, key.dataset)
        sampler = method.sampler_named(key.sampler)
        assert result.step_label == sampler.label(method, key.steps), key.stem
        assert key.sampler_version <= sampler.version, key.stem
        assert result.evaluations == sampler.evaluations(method, key.steps), key.stem


@pytest.mark.parametrize("steps", [10, 25])
def test_ten_and_more_shortcuts_are_no_sde_steps(steps):
    """In ten SDE steps the released checkpoint has the error of material SDE, in ten shortcuts a tenth of it."""
    errors = {}
    for result in of_trained_models():
        key = result.key
        if (key.method, key.dataset, key.protocol, key.steps) == ("amshortcut", "asi", "standard", steps):
            rmsd = result.structural.curves["rdf"].rmsd
            errors[key.sampler] = min(rmsd, errors.get(key.sampler, rmsd))
    assert errors["shortcut"] < errors["euler-maruyama"]
    if steps == 10:
        assert errors["shortcut"] < 0.2 * errors["euler-maruyama"]


def test_every_published_method_is_registered():
    names = registry.names("methods")
    assert all(result.key.method in names for result in of_trained_models())


def test_results_of_which_nothing_was_measured_are_in_the_last_third():
    """As docs/rules.md says of the shear modulus of silica."""
    results = [
        result
        for result in ResultStore(PUBLISHED).results()
        if (result.key.dataset, result.key.plan, result.key.protocol)
        == ("asio2", "shear_modulus", "standard")
    ]
    errors = [result.inverse_design["shear_modulus"] for result in results]
    ranked = sorted(errors, key=lambda item: item.penalised_mae)
    places = [place for place, item in enumerate(ranked) if item.measured == 0]
    assert places
    assert min(places) >= 2 * len(ranked) / 3
