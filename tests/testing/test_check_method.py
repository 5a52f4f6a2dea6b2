"""Checks of plug-ins: each finds the fault in its name, and correct plug-ins pass all of them."""

import math
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.definition import Measurement
from amsbench.benchmark.interface.evaluation_plan import EvaluationPlan
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import fractional
from amsbench.errors import AmsbenchError
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.samplers import Euler, Multistep
from amsbench.testing import (
    TASKS,
    CheckFailed,
    SyntheticGlass,
    check_dataset,
    check_method,
    checks,
    dataset_checks,
    synthetic_dataset,
)

SMALL = {"network": {"hidden": 16, "layers": 1, "channels": 2, "cutoff": 4.0}}
DEEPER = {"network": SMALL["network"] | {"layers": 2}}
"""A network whose output depends on the time; that of a single layer hardly does."""
GLASS = "ghosts and properties"


class Wrong(MaterialODE):
    """Base class of faulty methods, whose subclasses modify the samples."""

    settings = SMALL

    samplers = MaterialODE.samplers[:1]
    card = None

    def sample(self, start, steps, sampler, noise):
        return self.spoilt(super().sample(start, steps, sampler, noise), start, steps, noise)

    def spoilt(self, made, start, steps, noise):
        return made


class OddStepsFail(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made if steps % 2 == 0 or steps == 1 else made.with_positions(made.positions * math.nan)


class ChangesTheCell(Wrong):
    def spoilt(self, made, start, steps, noise):
        return replace(made, cells=made.cells * 1.001)


class WritesIntoStart(Wrong):
    def spoilt(self, made, start, steps, noise):
        start.positions.copy_(made.positions)
        return made


class LeavesAMask(Wrong):
    def spoilt(self, made, start, steps, noise):
        masked = torch.arange(len(made.species)) == 5
        return replace(made, species=made.species.masked_fill(masked, self.task.species_count))


class IgnoresTheSeed(Wrong):
    def sample(self, start, steps, sampler, noise):
        noise = StructureNoise(start.counts.tolist(), [0] * len(start), dtype=start.cells.dtype)
        return super().sample(start, steps, sampler, noise)


class DrawsFromTorch(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions + 0.01 * torch.randn_like(made.positions))


class RemembersTheLast(Wrong):
    last = 0.0

    def spoilt(self, made, start, steps, noise):
        before, self.last = self.last, float(made.positions.std())
        return made.with_positions(made.positions + 0.01 * before)


class ReadsBatchMates(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions + 0.01 * made.positions.mean(0))


class SharesAPlace(Wrong):
    """A method in which one thread overwrites a value before another thread has read it."""

    def sample(self, start, steps, sampler, noise):
        self.note = start.cells.sum()
        threading.Event().wait(0.1)
        return super().sample(start, steps, sampler, noise)

    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions + 0.01 * self.note)


class CountsAtoms(Wrong):
    def spoilt(self, made, start, steps, noise):
        numbers = torch.arange(len(made.positions)).to(made.positions)
        return made.with_positions(made.positions + 0.01 * numbers[:, None])


class KnowsTheOrigin(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions * 1.001)


class BeginsNowhere(Wrong):
    """A method with initial positions uniform in a cube instead of the cell, which the check cannot translate."""

    def prior(self, start, noise):
        state = super().prior(start, noise)
        places = 9 * torch.cat([noise.uniform_atoms(1) for _ in range(3)], dim=1)
        return replace(state, structures=state.structures.with_positions(places))

    def sample(self, start, steps, sampler, noise):
        class Narrow(StructureNoise):
            def uniform_atoms(self, width):
                drawn = [StructureNoise.uniform_atoms(self, 1) for _ in range(width)]
                return torch.cat(drawn, dim=1)

        del noise
        noise = Narrow(start.counts.tolist(), [0] * len(start), dtype=start.cells.dtype)
        return super().sample(start, steps, sampler, noise)


class KnowsUp(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions * torch.tensor([1.0, 1.0, 1.001]).to(made.positions))


class NanIsZero(Wrong):
    """A method that replaces absent properties by 0 before standardisation."""

    def sample(self, start, steps, sampler, noise):
        return super().sample(
            replace(start, properties=start.properties.nan_to_num(0.0)), steps, sampler, noise
        )


class NanIsTheMean(Wrong):
    """A method that replaces absent properties by 0 after standardisation."""

    def sample(self, start, steps, sampler, noise):
        mean = torch.tensor(self.task.property_mean).to(start.properties)
        given = torch.where(start.properties.isnan(), mean, start.properties)
        return super().sample(replace(start, properties=given), steps, sampler, noise)


class ReadsNoProperty(Wrong):
    def sample(self, start, steps, sampler, noise):
        hidden = torch.full_like(start.properties, torch.nan)
        return super().sample(replace(start, properties=hidden), steps, sampler, noise)


class LetsNanThrough(Wrong):
    def spoilt(self, made, start, steps, noise):
        shift = start.properties.sum(1)[start.batch, None]
        return made.with_positions(made.positions + 1e-6 * shift)


class ReadsTheAnswer(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions + 0.01 * start.positions)


class KeepsTheAnswer(Wrong):
    """A method that remembers its training structures."""

    def training_loss(self, batch, noise, **schedule):
        self.seen = [batch.positions[a:b] for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
        return super().training_loss(batch, noise, **schedule)

    def spoilt(self, made, start, steps, noise):
        if not hasattr(self, "seen"):
            return made
        known = [
            self.seen[k % 2][torch.arange(int(n)) % len(self.seen[k % 2])] for k, n in enumerate(start.counts)
        ]
        return made.with_positions(torch.cat(known))


class Nameless(Wrong):
    name = "My Method"


class PrefersWhatItLacks(Wrong):
    def preferred_sampler(self):
        return "heun"


class OneEvaluation(Euler):
    def evaluations(self, method, steps):
        return 1


class StandsStill(Wrong):
    samplers = (OneEvaluation(name="ode", title="Euler steps"),)


class HasTuples(Wrong):
    @classmethod
    def default_config(cls, network, task):
        return super().default_config(network, task) | {"widths": (1, 2)}


class ChangesItsConfig(Wrong):
    def __init__(self, task, config):
        config["uniform_share"] = 0.5
        super().__init__(task, config)


class BuildsAnother(Wrong):
    built = 0

    def __init__(self, task, config):
        super().__init__(task, config)
        BuildsAnother.built += 1
        self.more = torch.nn.Parameter(torch.zeros(BuildsAnother.built))


class DrawsItsLoss(Wrong):
    def training_loss(self, batch, noise, **schedule):
        losses = super().training_loss(batch, noise, **schedule)
        return losses | {"loss": losses["loss"] * (1 + torch.rand(()))}


class ForgetsImages(Wrong):
    def training_loss(self, batch, noise, **schedule):
        losses = super().training_loss(batch, noise, **schedule)
        return losses | {"loss": losses["loss"] + 1e-3 * batch.positions.square().mean()}


class LearnsFromNan(Wrong):
    """A method that excludes absent labels from the loss, but not from its gradient."""

    def __init__(self, task, config):
        super().__init__(task, config)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def training_loss(self, batch, noise, **schedule):
        losses = super().training_loss(batch, noise, **schedule)
        scaled = self.scale * batch.properties
        given = torch.where(batch.properties.isnan(), torch.zeros_like(scaled), scaled)
        return losses | {"loss": losses["loss"] + 1e-6 * given.sum()}


class Climbs(Wrong):
    """A method whose loss has a gradient of the opposite sign."""

    def training_loss(self, batch, noise, **schedule):
        losses = super().training_loss(batch, noise, **schedule)
        return losses | {"loss": losses["loss"].detach() * 2 - losses["loss"]}


class HidesAWeight(Wrong):
    """A method with a sampling parameter that is in neither state nor configuration."""

    def __init__(self, task, config):
        super().__init__(task, config)
        self.hidden = torch.rand(())

    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions + self.hidden)


class SharesALabel(Wrong):
    """A method with two samplers of one label that differ from two steps on."""

    class Denser(Multistep):
        def label(self, method, steps):
            return "ODE"

    samplers = (*Wrong.samplers, Denser(name="denser", title="steps at other times"))


class Uphill(Wrong):
    """A method with steps of the wrong sign, away from the data."""

    class Sampler(Euler):
        def step(self, method, state, drift, t, s, noise):
            return method.ode_step(state, drift, s, t)

    samplers = (Sampler(name="ode", title="steps of the wrong sign"),)


class ReversedTime(Wrong):
    """A method whose network reads the time 1 - t."""

    class Sampler(Euler):
        def drift(self, method, state, t, dt, noise):
            return super().drift(method, state, (1 - t).clamp(min=1e-3), dt, noise)

    samplers = (Sampler(name="ode", title="reversed times"),)
    settings: ClassVar = DEEPER


class OtherNoiseScale(Wrong):
    """A method with a tenth of the trained noise scale in sampling, as if in nanometres."""

    class Sampler(Euler):
        def step(self, method, state, drift, t, s, noise):
            return super().step(method, state, replace(drift, positions=0.1 * drift.positions), t, s, noise)

    samplers = (Sampler(name="ode", title="a tenth of the noise"),)


class Fractional(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(fractional(made.positions, made) % 1)


class Nanometres(Wrong):
    def spoilt(self, made, start, steps, noise):
        return made.with_positions(made.positions / 10)


WRONG_METHODS = [
    (Nameless, "attributes", GLASS, "'My Method'"),
    (PrefersWhatItLacks, "attributes", GLASS, "'heun'"),
    (HasTuples, "config_is_json", GLASS, "widths"),
    (ChangesItsConfig, "config_is_json", GLASS, "modifies its argument config"),
    (BuildsAnother, "default_config_rebuilds", GLASS, "other weights"),
    (StandsStill, "evaluations_grow", GLASS, "[1, 1, 1"),
    (DrawsItsLoss, "losses_follow_from_the_noise", GLASS, "NoiseSource"),
    (ForgetsImages, "images_train_alike", GLASS, "lattice vectors"),
    (LearnsFromNan, "absent_labels_train", GLASS, "'scale'"),
    (Climbs, "training_lowers_the_loss", GLASS, "changed the loss from"),
    (HidesAWeight, "checkpoint_gives_the_same_samples", GLASS, "saved and loaded"),
    (OddStepsFail, "any_step_count", GLASS, "with 3 steps"),
    (ChangesTheCell, "cells_and_counts_untouched", GLASS, "changed cells"),
    (WritesIntoStart, "cells_and_counts_untouched", GLASS, "writes into positions"),
    (LeavesAMask, "only_known_species", GLASS, "species [3], where 0 to 2 are known"),
    (LeavesAMask, "only_known_species", "two elements", "species [2], where 0 to 1 are known"),
    (DrawsFromTorch, "same_seed_same_sample", GLASS, "NoiseSource"),
    (RemembersTheLast, "same_seed_same_sample", GLASS, "may not change the method"),
    (IgnoresTheSeed, "other_seed_other_sample", GLASS, "two seeds"),
    (ReadsBatchMates, "batch_mates_do_not_matter", GLASS, "than alone"),
    (SharesAPlace, "concurrent_samples", GLASS, "not concurrent"),
    (CountsAtoms, "permutation_equivariance", GLASS, "must not matter"),
    (KnowsTheOrigin, "translation_equivariance", GLASS, "initial positions are shifted"),
    (BeginsNowhere, "translation_equivariance", GLASS, "uniform_atoms(3)"),
    (KnowsUp, "rotation_equivariance", "one element", "rotated cell"),
    (LetsNanThrough, "every_subset_of_properties", GLASS, "no property present"),
    (NanIsZero, "absent_is_not_zero", GLASS, "absent and where it is 0"),
    (NanIsTheMean, "absent_is_not_zero", GLASS, "its mean, 0 when standardised"),
    (ReadsNoProperty, "absent_is_not_zero", GLASS, "does not read it"),
    (
        SharesALabel,
        "equal_labels_equal_structures",
        GLASS,
        "'ode' and 'denser' make different structures with 2 st",
    ),
    (Uphill, "many_steps_approach_the_data", "one element", "the sign of the steps"),
    (ReversedTime, "many_steps_approach_the_data", "one element", "the direction of time"),
    (OtherNoiseScale, "many_steps_approach_the_data", "one element", "the scale of the noise"),
    (Nanometres, "many_steps_approach_the_data", "one element", "nanometres"),
    (Fractional, "translation_equivariance", GLASS, "they seem to be fractional coordinates"),
    (Nanometres, "translation_equivariance", GLASS, "or nanometres; samplers return angstrom"),
    (ReadsTheAnswer, "no_leak_of_the_answer", GLASS, "positions and species of a training structure"),
    (KeepsTheAnswer, "no_leak_of_the_answer", "one element", "after one step without a shortcut"),
]


@pytest.mark.parametrize(
    ("method_class", "name", "task", "words"),
    WRONG_METHODS,
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_method_is_caught_by_the_check_of_that_name(method_class, name, task, words):
    with pytest.raises(CheckFailed) as failure:
        check_method(method_class, config=method_class.settings, only=[name], tasks=[task])
    message = str(failure.value)
    assert f"\n{name}: " in message
    assert words in message
    assert f"[task '{task}']" in message


def test_the_method_that_nothing_is_done_to_passes_all_of_these():
    names = {(name, task) for _, name, task, _ in WRONG_METHODS}
    for task in {task for _, task in names}:
        only = [name for name, of in names if of == task]
        results = check_method(Wrong, config=SMALL, only=only, tasks=[task])
        assert {result.outcome for result in results} == {"passed"}


def test_every_check_of_methods_has_a_method_that_it_catches():
    assert {name for _, name, _, _ in WRONG_METHODS} == {check.name for check in checks()}
    assert all(check.description.endswith(".") for check in checks())


def test_expected_failures():
    """Expected failures need a reason and are reported; one that passes is a failure."""
    options = {"config": SMALL, "tasks": [GLASS], "only": ["only_known_species", "evaluations_grow"]}
    results = check_method(StandsStill, expected_failures={"evaluations_grow": "one jump"}, **options)
    assert [(result.name, result.outcome) for result in results] == [
        ("evaluations_grow", "failed as expected"),
        ("only_known_species", "passed"),
    ]
    assert "expected: one jump" in results[0].message
    with pytest.raises(CheckFailed, match="evaluations_grow: passes, though it is expected to fail"):
        check_method(Wrong, expected_failures={"evaluations_grow": "one jump"}, **options)
    with pytest.raises(AmsbenchError, match="'evaluations_grow' has no reason"):
        check_method(Wrong, expected_failures={"evaluations_grow": " "}, **options)
    with pytest.raises(AmsbenchError, match="did you mean 'evaluations_grow'"):
        check_method(Wrong, expected_failures={"evaluation_grows": "one jump"}, **options)


def test_all_failures_are_told_at_once():
    class Both(StandsStill, LeavesAMask):
        pass

    only = ["evaluations_grow", "only_known_species", "attributes"]
    with pytest.raises(CheckFailed, match="fails 2 of 3 checks") as failure:
        check_method(Both, config=SMALL, tasks=[GLASS], only=only)
    assert "\nevaluations_grow: " in str(failure.value)
    assert "\nonly_known_species: " in str(failure.value)


def test_a_method_that_raises_is_told_as_a_failure():
    class Raises(Wrong):
        def spoilt(self, made, start, steps, noise):
            raise KeyError("lattice")

    with pytest.raises(
        CheckFailed, match="any_step_count: sampler 'ode' with 1 steps raised KeyError: 'lattice'"
    ):
        check_method(Raises, config=SMALL, tasks=[GLASS], only=["any_step_count"])


def test_names_that_there_are_not():
    with pytest.raises(AmsbenchError, match="no check 'everything'"):
        check_method(Wrong, only=["everything"])
    with pytest.raises(AmsbenchError, match="no task 'water'"):
        check_method(Wrong, tasks=["water"])
    with pytest.raises(AmsbenchError, match="no network 'huge'"):
        check_method(Wrong, network="huge")
    with pytest.raises(CheckFailed, match=r"no setting 'hiden'; did you mean 'hidden'\?"):
        check_method(Wrong, config={"network": {"hiden": 3}}, only=["attributes"])


def test_checks_leave_random_numbers_and_threads_alone():
    torch.manual_seed(5)
    random.seed(5)
    before, threads = (torch.get_rng_state(), random.getstate()), torch.get_num_threads()
    check_method(Wrong, config=SMALL, tasks=["one element"], only=["same_seed_same_sample"])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.get_num_threads() == threads


def test_a_large_cutoff_is_given_large_cells():
    config = {"network": SMALL["network"] | {"cutoff": 11.0}}
    check_method(Wrong, config=config, tasks=["one element"], only=["batch_mates_do_not_matter"])


# -- synthetic data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_synthetic_datasets_are_sound(task):
    dataset = synthetic_dataset(**TASKS[task])
    results = check_dataset(dataset)
    assert "simulations_repeat" in [item.name for item in results if item.outcome == "does not apply"]
    again = synthetic_dataset(**TASKS[task])
    assert again.content_hash == dataset.content_hash
    assert synthetic_dataset(seed=1, **TASKS[task]).content_hash != dataset.content_hash
    made = task_of(dataset, dataset.definition.design_properties)
    assert made.elements == TASKS[task]["elements"]


def test_a_synthetic_definition_can_be_simulated():
    assert {result.outcome for result in check_dataset(SyntheticGlass)} == {"passed"}


def test_synthetic_properties_are_what_they_say():
    dataset = synthetic_dataset(12)
    for k in range(len(dataset)):
        atoms = dataset.atoms(k)
        density, fraction = dataset.properties[k]
        assert density == pytest.approx(1000 * len(atoms) / atoms.cell.volume, rel=1e-4)
        assert fraction == pytest.approx(100 * np.mean(atoms.numbers == 14), rel=1e-5)


def test_synthetic_glasses_with_charges_are_neutral():
    task = TASKS["eleven elements"]
    dataset = synthetic_dataset(**task)
    charges = np.array([task["formal_charges"][element] for element in task["elements"]])
    sample = np.repeat(np.arange(len(dataset)), dataset.counts)
    assert not np.bincount(sample, weights=charges[dataset.species]).any()
    assert set(dataset.species) == set(range(11))


def test_synthetic_forces_are_the_slope_of_the_energy():
    definition = SyntheticGlass(("Si",), ghost_density=None)
    atoms = definition.simulate("reduced", 3, 1)[0]
    atoms.rattle(0.3, seed=1)
    _, largest = definition.energy(atoms)
    slopes = np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for axis in range(3):
            ends = []
            for step in (-1e-5, 1e-5):
                moved = atoms.copy()
                moved.positions[i, axis] += step
                ends.append(definition.energy(moved)[0] * len(atoms))
            slopes[i, axis] = (ends[1] - ends[0]) / 2e-5
    assert np.linalg.norm(slopes, axis=1).max() == pytest.approx(largest, rel=1e-4)
    assert largest > 0.1


# -- checks of datasets ----------------------------------------------------------------------------------------


class Unpicklable(SyntheticGlass):
    def __init__(self, **options):
        super().__init__(**options)
        self.function = lambda: None


class UnknownPlan(SyntheticGlass):
    def evaluation_plans(self, protocol):
        plan = EvaluationPlan(
            name="toughness",
            kind="inverse-design",
            protocol=protocol,
            version=1,
            count=4,
            steps=(1,),
            targets={"toughness": (1.0, 2.0)},
            cube=9.2,
        )
        return (plan,)


class NoRoomForCubes(SyntheticGlass):
    def evaluation_plans(self, protocol):
        return [
            replace(plan, cube=9.2) for plan in SyntheticGlass(ghost_density=None).evaluation_plans(protocol)
        ]


class Silent(SyntheticGlass):
    def measure(self, atoms, names=None):
        return Measurement()


class Infinite(SyntheticGlass):
    def measure(self, atoms, names=None):
        found = super().measure(atoms, names)
        return Measurement(values=dict.fromkeys(found.values, math.inf))


class MeasuresElse(SyntheticGlass):
    def measure(self, atoms, names=None):
        found = super().measure(atoms, names)
        return Measurement(values={name: 1.02 * value for name, value in found.values.items()})


class NoEnergy(SyntheticGlass):
    def energy(self, atoms):
        return math.nan, 0.0


class AnotherEveryTime(SyntheticGlass):
    def simulate(self, recipe, seed, samples):
        return super().simulate(recipe, int(torch.seed() % 1000), samples)


class AlwaysTheSame(SyntheticGlass):
    def simulate(self, recipe, seed, samples):
        return super().simulate(recipe, 0, samples)


SOUND = synthetic_dataset(12)


CELLS = np.repeat(SOUND.cells, SOUND.counts, axis=0)
FRACTIONS = np.einsum("ni,nij->nj", SOUND.positions, np.linalg.inv(CELLS)).astype(SOUND.positions.dtype)


def in_nanometres(dataset):
    return replace(dataset, positions=dataset.positions / 10, cells=dataset.cells / 10)


def other_definition(definition_class, **options):
    return replace(SOUND, definition=definition_class(**options))


WRONG_DATASETS = [
    (other_definition(Unpicklable), "definition_attributes", "lambda"),
    (replace(SOUND, groups=SOUND.groups[:5]), "arrays_fit", "groups has the shape (5,)"),
    (replace(SOUND, species=SOUND.species + 1), "arrays_fit", "0 to 1"),
    (replace(SOUND, positions=SOUND.positions + 0.5), "positions_inside", "outside its cell"),
    (replace(SOUND, positions=SOUND.positions * math.nan), "positions_inside", "not finite"),
    (replace(SOUND, positions=FRACTIONS), "positions_inside", "fractional coordinates or nanometres"),
    (replace(SOUND, positions=SOUND.positions / 10), "positions_inside", "store angstrom"),
    (replace(SOUND, cells=SOUND.cells / 10), "positions_inside", "is it in nanometres?"),
    (in_nanometres(synthetic_dataset(2, cell=16.0)), "positions_inside", "store angstrom"),
    (replace(SOUND, splits=SOUND.splits[::-1].copy()), "splits_follow_groups", "those of the groups"),
    (SOUND.subset(SOUND.indices("train")), "splits_follow_groups", "'validation, test' has no samples"),
    (other_definition(SyntheticGlass, ghost_density=0.06), "density_below_ghosts", "atoms and ghosts"),
    (replace(SOUND, properties=SOUND.properties + math.inf), "labels_finite_or_absent", "infinite"),
    (other_definition(Silent), "measure_answers", "neither a value of 'number_density' nor a reason"),
    (other_definition(Infinite), "measure_answers", "give a reason instead"),
    (other_definition(MeasuresElse), "labels_are_measured", "measured alike"),
    (other_definition(NoEnergy), "energies_finite", "nan eV per atom"),
    (replace(SOUND, provenance={}), "provenance_is_recorded", "recipe"),
    (other_definition(UnknownPlan), "plans_valid", "has no property 'toughness'"),
    (other_definition(NoRoomForCubes, ghost_density=None), "plans_valid", "has cubic cells"),
    (AnotherEveryTime, "simulations_repeat", "same seed simulates other"),
    (AlwaysTheSame(), "simulations_repeat", "two seeds simulate the same"),
]


@pytest.mark.parametrize(
    ("subject", "name", "words"), WRONG_DATASETS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_wrong_dataset_is_caught_by_the_check_of_that_name(subject, name, words):
    with pytest.raises(CheckFailed) as failure:
        check_dataset(subject, only=[name])
    assert f"\n{name}: " in str(failure.value)
    assert words in str(failure.value)


def test_every_check_of_datasets_has_a_dataset_that_it_catches():
    assert {name for _, name, _ in WRONG_DATASETS} == {check.name for check in dataset_checks()}
    assert {result.outcome for result in check_dataset(SOUND)} == {"passed", "does not apply"}


def test_a_bundled_dataset_is_sound():
    from amsbench import load_dataset

    slow = {"measure_answers", "labels_are_measured"}  # moduli of glasses, in test_bundled.py
    check_dataset(load_dataset("asio2"), only=[c.name for c in dataset_checks() if c.name not in slow])


def test_the_guide_has_every_check():
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "add_a_method.md").read_text()
    for check in checks():
        assert f"| `{check.name}` | {check.description} |" in guide
