"""The sampler contract: objects with a name, and methods that list them or sample themselves."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.sampler import Sampler
from amsbench.benchmark.interface.structures import Structures, cartesian
from amsbench.errors import AmsbenchError


class Uniform(Sampler["Untrained"]):
    """Positions uniform in the cell."""

    def sample(self, method, start, steps, noise):
        return start.with_positions(cartesian(noise.uniform_atoms(3), start))


class Untrained(Method):
    name = "untrained"
    title = "for tests"
    samplers = (
        Uniform(name="uniform", title="uniform positions"),
        Sampler(name="described", title="no code"),
    )
    cutoff = 1.0

    @classmethod
    def default_config(cls, network, task):
        return {}

    def training_loss(self, batch, noise, *, teacher, progress):
        return {"loss": torch.zeros(())}


class SamplesItself(Untrained):
    samplers = (Sampler(name="own", title="the method's own"),)

    def sample(self, start, steps, sampler, noise):
        return start.with_positions(steps * torch.ones_like(start.positions))


def sample(method, sampler, steps=3):
    start = Structures.empty_cells(5 * torch.eye(3)[None], torch.tensor([7]), torch.zeros(1, 0))
    return method.sample(start, steps, sampler, StructureNoise([7], [1])).positions


def test_a_method_samples_by_the_object_of_that_name(silicon):
    method = Untrained(silicon, {})
    expected = 5 * StructureNoise([7], [1]).uniform_atoms(3)
    torch.testing.assert_close(sample(method, "uniform"), expected)
    assert method.preferred_sampler() == "uniform"
    with pytest.raises(AmsbenchError, match="no sampler 'heun'; it has: uniform, described"):
        sample(method, "heun")


def test_a_method_may_sample_itself(silicon):
    assert sample(SamplesItself(silicon, {}), "own").unique().tolist() == [3.0]


def test_a_sampler_without_code_says_what_to_implement(silicon):
    with pytest.raises(
        AmsbenchError, match=r"'described' has no function sample\(method, start, steps, noise\)"
    ):
        sample(Untrained(silicon, {}), "described")


def test_a_sampler_is_labelled_by_its_name_and_evaluates_once_per_step(silicon):
    sampler, method = Untrained.sampler_named("uniform"), Untrained(silicon, {})
    assert (sampler.version, sampler.label(method, 4), sampler.evaluations(method, 4)) == (1, "uniform", 4)
    with pytest.raises(FrozenInstanceError):
        sampler.version = 2
