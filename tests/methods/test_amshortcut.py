"""AMShortcut: consistency of shortcuts, drawn step sizes, and samplers of both kinds."""

from typing import ClassVar

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import BatchNoise, structure_noise
from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import SHORTCUT_RESTART, AMShortcut
from amsbench.methods.state import Prediction, State

SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def test_exact_averages_have_no_consistency_loss(silicon, small_batch):
    """L_SC is 0 for the exact average drift of Gaussian data (one point per atom) in place of the network."""

    class Exact(AMShortcut):
        spread = 0.3

        def predict(self, state: State, null, t, dt):
            at, step = t[:, None][state.structures.batch], dt[:, None][state.structures.batch]
            x, s = state.structures.positions, self.positions.scale
            ratio = torch.sqrt((self.spread**2 + (s * (at - step)) ** 2) / (self.spread**2 + (s * at) ** 2))
            return Prediction(positions=x * (1 - ratio) / (s * step), elements=None)

    method = build(Exact, silicon).double()
    batch = small_batch(1, 0, dtype=torch.float64)
    noise = BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(method.consistency_loss(batch, noise, method)) < 1e-20

    class Wrong(Exact):
        def predict(self, state: State, null, t, dt):
            found = super().predict(state, null, t, dt)
            return Prediction(
                positions=found.positions * (1 + dt[:, None][state.structures.batch]), elements=None
            )

    wrong = build(Wrong, silicon).double()
    assert float(wrong.consistency_loss(batch, noise, wrong)) > 1e-4


def test_shortcut_steps_fit_into_the_time(silicon):
    method = build(AMShortcut, silicon)
    t, dt = method.draw_steps(BatchNoise(1, 10_000, torch.Generator().manual_seed(0)))
    assert bool((dt > 0).all())
    assert bool((2 * dt <= t + 1e-6).all())
    assert float((t == 1).float().mean()) == pytest.approx(method.config["start_share"], abs=0.02)
    assert float((2 * dt == t).float().mean()) == pytest.approx(method.config["full_share"], abs=0.02)


def test_only_shortcuts_give_the_network_their_step_size_and_at_every_step_count(silicon):
    """The step sizes that the network reads are those of the steps, or 0 in the samplers of material SDE."""

    class Reading(AMShortcut):
        read: ClassVar[list[tuple[float, float]]] = []

        def predict(self, state: State, null, t, dt):
            self.read.append((float(t[0]), float(dt[0])))
            return super().predict(state, null, t, dt)

    method = build(Reading, silicon)
    for steps in (1, 3, 10, 12):
        for sampler in method.samplers:
            method.read.clear()
            noise = structure_noise([12], torch.tensor([3]), torch.device("cpu"))
            start = Structures.empty_cells(8.0 * torch.eye(3)[None], torch.tensor([12]), torch.zeros(1, 0))
            sampler.sample(method, start, steps, noise)
            times = sampler.times(method, steps)
            shortcut = sampler.name.startswith("shortcut")
            assert [t for t, _ in method.read] == pytest.approx([t for t, _ in times])
            assert [dt for _, dt in method.read] == pytest.approx([(t - s) * shortcut for t, s in times])


def test_the_papers_sampler_is_the_shortcut_in_equal_steps_at_every_step_count(silicon):
    method = build(AMShortcut, silicon)
    first = method.samplers[0]
    assert first.name == method.preferred_sampler() == "shortcut"
    for steps in (1, 9, 10, 250):
        assert first.label(method, steps) == "shortcut"
        assert [t - s for t, s in first.times(method, steps)] == pytest.approx([1 / steps] * steps)


def test_shortcuts_add_no_noise(silicon):
    """From one start, two noise sources give one structure."""
    method = build(AMShortcut, silicon)
    drift = Prediction(positions=torch.ones(12, 3), elements=None)
    start = Structures.empty_cells(8.0 * torch.eye(3)[None], torch.tensor([12]), torch.zeros(1, 0))
    state = State(structures=start, elements=None)
    t, s = torch.full((12, 1), 0.7), torch.full((12, 1), 0.6)
    for name in ("shortcut", "shortcut-multistep", "shortcut-restart", "shortcut-guided"):
        steps = [
            method.sampler_named(name).step(
                method, state, drift, t, s, BatchNoise(12, 1, torch.Generator().manual_seed(seed))
            )
            for seed in (0, 1)
        ]
        assert torch.equal(steps[0].structures.positions, steps[1].structures.positions)


def test_samplers_of_equal_labels_are_those_that_take_the_same_steps(silicon):
    method = build(AMShortcut, silicon)
    labels = {(s.name, steps): s.label(method, steps) for s in method.samplers for steps in (1, 5, 10)}
    assert {name for (name, steps), label in labels.items() if steps == 1 and label == "shortcut"} == {
        *("shortcut", "shortcut-multistep", "shortcut-restart", "shortcut-guided")
    }
    for steps in (5, 10):  # silicon has no targets to guide to
        assert labels["shortcut-guided", steps] == labels["shortcut-restart", steps] == "shortcut-restart"
        assert labels["shortcut-multistep", steps] == "shortcut-multistep"  # at times of its own
        assert labels["guided", steps] == labels["restart", steps] == "restart"
        assert labels["euler-maruyama", steps] == "SDE"


MATCHING = {"weight": 1.0, "share": 1.0, "warmup": 0.0, "steps": 5}


def noise_of(batch: Structures, seed=0) -> BatchNoise:
    generator = torch.Generator().manual_seed(seed)
    return BatchNoise(len(batch.positions), len(batch), generator, dtype=batch.positions.dtype)


def without_matching(network: str, task) -> dict:
    """The configuration of a checkpoint from before the setting."""
    config = AMShortcut.default_config(network, task)
    assert config.pop("matching")["weight"] == 0
    return config | {"network": config["network"] | SMALL | {"hidden": 40}}


@pytest.mark.parametrize("network", ["standard", "paper"])
def test_matching_is_off_by_default_and_off_is_the_training_without_it(silica, small_batch, network):
    before = AMShortcut(silica, without_matching(network, silica))
    off = AMShortcut.default_config(network, silica)["matching"]
    method = AMShortcut(silica, before.config | {"matching": off})
    before.load_state_dict(method.state_dict())
    batch = small_batch(3, 2)
    losses = method.training_loss(batch, noise_of(batch), teacher=method, progress=1.0)
    expected = before.training_loss(batch, noise_of(batch), teacher=before, progress=1.0)
    assert losses.keys() == expected.keys()
    assert torch.equal(losses["loss"], expected["loss"])


def test_matching_trains_the_shortcuts_that_the_sampler_takes_and_mostly_the_first(silica):
    method = build(AMShortcut, silica, matching=MATCHING)
    counts: dict[float, int] = {}
    path = SHORTCUT_RESTART.times(method, 5)
    noise = BatchNoise(1, 1, torch.Generator().manual_seed(0))
    for _ in range(4000):
        before, (t, s) = method.draw_shortcut(noise)
        assert s == 0
        assert (*before, (t, s)) in {tuple(path[: len(before) + 1]), ((1.0, 0.0),)}
        counts[t] = counts.get(t, 0) + 1
    share = method.config["start_share"]
    assert {t: n / 4000 for t, n in counts.items()} == pytest.approx(
        {t: (1 - share) / 5 + share * (t == 1) for t, _ in path}, abs=0.03
    )


def test_matching_has_exact_gradients_of_the_parameters(silica, small_batch):
    """In float64 against finite differences of the discrepancy after a shortcut; the fast training path is used."""
    method = build(AMShortcut, silica, matching=MATCHING).double()
    teacher = build(AMShortcut, silica, matching=MATCHING).double()
    batch = small_batch(3, 2, dtype=torch.float64)
    weight = method.denoiser.input[0].weight

    def losses():
        return method.matching_losses(batch, noise_of(batch, 3), teacher)

    method.zero_grad()
    losses()["matching"].backward()
    gradient = weight.grad.clone()
    assert float(gradient.abs().max()) > 0
    direction, step = gradient / gradient.norm(), 1e-5
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
            ends.append(float(losses()["matching"]))
            weight -= sign * step * direction
    assert float(gradient.norm()) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


def test_matching_holds_the_species_of_the_moving_average(silica, small_batch):
    # at t = 1, where the species are open
    first = MATCHING | {"steps": 1}
    method, batch = build(AMShortcut, silica, matching=first), small_batch(3, 2)
    assert float(method.matching_losses(batch, noise_of(batch), method)["held species"].detach()) == 0
    teacher = build(AMShortcut, silica, matching=first)
    with torch.no_grad():
        method.denoiser.head.bias[0] += 1
    assert float(method.matching_losses(batch, noise_of(batch), teacher)["held species"].detach()) > 1e-3


def test_bad_matching_is_refused_in_one_sentence(silica, small_batch):
    for wrong in ({"weight": -1.0}, {"critic": -1.0}, {"share": 2.0}, {"warmup": float("nan")}, {"steps": 0}):
        with pytest.raises(AmsbenchError, match="setting 'matching'"):
            build(AMShortcut, silica, matching=MATCHING | wrong)
    method = build(AMShortcut, silica, matching=MATCHING)
    batch = small_batch(3, 2, sizes=(20,))
    with pytest.raises(AmsbenchError, match="--batch-size 2"):
        method.training_loss(batch, noise_of(batch), teacher=method, progress=1.0)
    # the last batch of a validation may have one structure
    assert torch.isfinite(method.eval().validation_loss(batch, noise_of(batch), teacher=method))


def test_a_training_with_a_critic_has_its_losses_and_a_validation_has_not(silica, small_batch):
    method, batch = (
        build(AMShortcut, silica, matching=MATCHING | {"weight": 0.0, "critic": 2.0}),
        small_batch(3, 2),
    )
    losses = method.train().training_loss(batch, noise_of(batch), teacher=method, progress=1.0)
    assert {"critic", "adversary", "held species"} <= losses.keys()
    assert "matching" not in losses
    losses["loss"].backward()
    assert float(method.critic.last[-1].weight.grad.abs().max()) > 0
    assert float(method.denoiser.head.bias.grad.abs().max()) > 0
    with torch.no_grad():
        assert torch.isfinite(method.eval().validation_loss(batch, noise_of(batch), teacher=method))
    assert method.training_additions()[-1] == "critic of local environments (weight 2)"
