"""The command of a result computes the same result again."""

import shlex

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.definition import plans_of
from amsbench.cli.options import parsed_steps
from amsbench.leaderboards.page.provenance import CHECKPOINT, command_of, provenance_of


def options_of(command):
    words = shlex.split(command)
    assert words[:2] == ["amsbench", "run"]
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_the_command_of_every_published_result_chooses_its_plan(published_results):
    for result in published_results:
        key, options = result.key, options_of(command_of(result))
        definition = registry.load("datasets", options["--dataset"])()
        count = int(options["--count"]) if "--count" in options else None
        steps = parsed_steps(options.get("--steps"))
        (plan,) = plans_of(
            definition, options["--protocol"], names=[options["--plans"]], steps=steps, count=count
        )
        assert (plan.name, plan.kind, plan.protocol) == (key.plan, key.kind, key.protocol)
        assert (plan.count, dict(plan.targets), plan.cube) == (key.count, key.targets, key.cube)
        assert (options["--method"], options["--seed"]) == (key.method, str(key.seed))
        if key.steps:
            assert (plan.steps, options["--samplers"]) == ((key.steps,), key.sampler)


def test_a_checkpoint_that_is_not_released_is_an_option(silica_results):
    released = next(result for result in silica_results if result.key.steps)
    assert provenance_of(released)["released"]
    assert CHECKPOINT not in command_of(released)
    other = released.model_copy(update={"key": released.key.model_copy(update={"checkpoint_hash": "c" * 64})})
    assert not provenance_of(other)["released"]
    assert options_of(command_of(other))["--checkpoint"] == CHECKPOINT


def test_names_are_quoted_for_a_shell(silica_results, hostile):
    result = hostile(silica_results[0])
    assert options_of(command_of(result))["--method"] == result.key.method


def test_provenance_has_hashes_machine_and_versions(silica_results):
    result = next(result for result in silica_results if result.files)
    source = provenance_of(result)
    assert source["checkpoint"] == result.key.checkpoint_hash
    assert source["files"] == result.files
    assert source["environment"]["device"] == result.environment.device
    assert source["result"].endswith(f"{result.key.digest[:12]}.json")
