"""Material SDE: residual noise, restarts and guidance against exact solutions for normal data."""

import math
from itertools import pairwise

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.state import Prediction, State

SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), torch.nan) if properties is None else properties
    return Structures.empty_cells(torch.eye(3).repeat(len(sizes), 1, 1) * edge, torch.tensor(sizes), table)


def gaussian_cloud(method, variance, steps, sampler="restart", atoms=20_000):
    """Variance of the samples of restarts for normal data with the exact drift of ``method``: the average drift for
    AMShortcut, the instantaneous one for material SDE."""

    def exact(state, null, t, dt):
        x, scale = state.structures.positions, method.positions.scale
        after, before = variance + (scale * (t - dt)) ** 2, variance + (scale * t) ** 2
        eps = x * ((1 - (after / before).sqrt()) / (scale * dt) if dt > 0 else scale * t / before)
        return Prediction(positions=eps, elements=None)

    method.predict = exact
    cell = Structures.empty_cells(6 * torch.eye(3)[None], torch.tensor([atoms]), torch.zeros(1, 0))
    return float(method.sample(cell, steps, sampler, StructureNoise([atoms], [1])).positions.var())


@pytest.mark.parametrize("ghosts", [False, True])
def test_unknown_noise_is_measured_on_the_atoms(ghosts, silicon, silica):
    """Normal data with its exact prediction; the noise of ghosts, which cannot be predicted, is excluded."""
    method, atoms, variance, t = build(MaterialSDE, silica if ghosts else silicon), 20_000, 0.04, 0.3
    noise = StructureNoise([atoms], [1])
    sigma = method.positions.scale * t
    share = sigma**2 / (variance + sigma**2)
    eps = noise.normal_atoms(3) * share**0.5  # share * x / sigma, where x / sigma has variance 1 / share
    times, elements, velocity = torch.full((atoms, 1), t), None, None
    cell = Structures.empty_cells(6 * torch.eye(3)[None], torch.tensor([atoms]), torch.zeros(1, 0))
    if ghosts:
        ghost = torch.arange(atoms) % 4 == 0
        eps[ghost] = 0.0
        clean = torch.nn.functional.one_hot(torch.where(ghost, silica.ghost, 1), 3).float()
        drawn = noise.normal_atoms(3)
        elements = method.elements.corrupt(clean, drawn, times)
        velocity = method.elements.velocity(clean, drawn, times)
    state = State(structures=cell, elements=elements)
    found = method.residual_noise_variance(state, Prediction(positions=eps, elements=velocity), times)
    assert found.shape == (atoms, 1)
    assert torch.equal(found, found[:1].expand_as(found))
    # five standard errors of the variance of 45,000 numbers
    assert float(found[0]) == pytest.approx(1 - share, abs=5 * share * (2 / 45_000) ** 0.5)


def test_restarts_with_exact_shortcuts_keep_the_spread_of_the_data(silicon):
    method = build(AMShortcut, silicon)
    for steps in (9, 12):
        assert gaussian_cloud(method, 0.04, steps, "shortcut-restart") == pytest.approx(0.04, rel=0.05)


def test_restarts_with_the_expected_end_lose_spread(silicon):
    """Each step ends at E[X_0 | X_t], whose variance is V^2 / (V + sigma^2) if X_t has the correct one."""
    method = build(MaterialSDE, silicon)
    found, variance = gaussian_cloud(method, 0.04, 9), 3.0
    for t, _ in method.sampler_named("restart").times(method, 9):
        shrink = 0.04 / (0.04 + (method.positions.scale * t) ** 2)
        before = variance if t == 1 else variance + (method.positions.scale * t) ** 2
        variance = shrink**2 * before
    assert found == pytest.approx(variance, rel=0.05)
    assert found < 0.035


@pytest.mark.parametrize(
    ("method_class", "kind"), [(MaterialSDE, ""), (AMShortcut, ""), (AMShortcut, "shortcut-")]
)
@pytest.mark.parametrize("steps", [2, 11])
def test_guidance_lies_on_the_line_through_no_targets_and_targets(method_class, kind, steps, silica):
    """Weight 1 gives the restart with targets and weight 0 the one without, for the same noise."""
    targets, none = torch.tensor([[24.0, math.nan]]), torch.full((1, 2), math.nan)

    def sample(sampler, properties, **weight):
        method = build(method_class, silica, **weight)
        cells = start(silica, (20,), properties=properties)
        with torch.no_grad():
            return method.sample(cells, steps, sampler, StructureNoise([20], [5]))

    asked, free = sample(f"{kind}restart", targets), sample(f"{kind}restart", none)
    for weight, wanted in ((1.0, asked), (0.0, free)):
        made = sample(f"{kind}guided", targets, guidance={"shear_modulus": weight, "ring_size": 50.0})
        torch.testing.assert_close(made.positions, wanted.positions, rtol=0, atol=1e-5)
        assert bool((made.species == wanted.species).all())
    assert (asked.positions - free.positions).abs().max() > 1e-4
    made = sample(f"{kind}guided", none)
    torch.testing.assert_close(made.positions, free.positions, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_guidance_multiplies_what_a_target_does(weight, silica):
    """For normal data whose mean m depends on the target and is 0 without, the guided score is that of mean w m."""
    method, variance, atoms = build(MaterialSDE, silica, guidance={"shear_modulus": weight}), 0.04, 5_000

    def exact(state, null, t, dt):
        x, scale = state.structures.positions, method.positions.scale
        asked = torch.nan_to_num(state.structures.properties[:, :1])[state.structures.batch] / 24
        eps = (x - asked) * scale * t / (variance + (scale * t) ** 2)
        return Prediction(positions=eps, elements=torch.zeros_like(state.elements))

    method.predict = exact
    cells = start(silica, (atoms,), properties=torch.tensor([[12.0, math.nan]]))
    made = method.sample(cells, 9, "guided", StructureNoise([atoms], [1]))
    assert float(made.positions.mean()) == pytest.approx(0.5 * weight, abs=0.02)


def test_guidance_needs_properties(silicon, silica):
    """Without properties the sampler equals the restart sampler, also in its evaluations and cells."""
    without, given = build(AMShortcut, silicon), build(AMShortcut, silica)
    for kind in ("", "shortcut-"):
        guided, restart = (AMShortcut.sampler_named(f"{kind}{name}") for name in ("guided", "restart"))
        for steps in (1, 5, 25):
            assert guided.label(without, steps) == restart.label(without, steps)
            assert guided.evaluations(without, steps) == steps
            assert guided.evaluations(given, steps) == 2 * steps
            assert guided.label(given, steps) != restart.label(given, steps)
    assert (without.preferred_sampler(), given.preferred_sampler()) == ("shortcut", "shortcut-guided")
    without, given = build(MaterialSDE, silicon), build(MaterialSDE, silica)
    assert (without.preferred_sampler(), given.preferred_sampler()) == ("multistep", "guided")


def test_restarts_go_to_the_end_from_ever_smaller_times(silicon):
    for steps in (1, 2, 3, 25):
        method = build(MaterialSDE, silicon)
        path = method.sampler_named("restart").times(method, steps)
        assert len(path) == steps
        assert path[0] == (1.0, 0.0)
        assert all(t > after > s == 0 for (t, s), (after, _) in pairwise(path))


def test_restarts_of_many_species_come_down_in_several_steps(silicon):
    method = build(MaterialSDE, silicon, descent_share=0.35)
    for steps, down in ((1, 1), (2, 1), (5, 2), (25, 9)):
        path = method.sampler_named("restart").times(method, steps)
        assert len(path) == steps
        assert [s for _, s in path].index(0.0) == down - 1
        assert path[0][0] == 1.0
        assert all(s == t for (_, s), (t, _) in pairwise(path[:down]))
        assert all(t >= 0.4 for t, _ in path[:down])
        assert all(t > after > s == 0 for (t, s), (after, _) in pairwise(path[down:]))


def conditioned(task, **changes):
    """Material SDE with self-conditioning whose input for estimates has an effect."""
    method = build(MaterialSDE, task, self_conditioning=True, **changes)
    torch.nn.init.normal_(method.denoiser.estimate_input.weight)
    return method.eval()


def test_self_conditioning_starts_as_the_network_without_it(silica, tmp_path):
    plain, new = build(MaterialSDE, silica).eval(), build(MaterialSDE, silica, self_conditioning=True).eval()
    torch.nn.init.normal_(plain.denoiser.head.weight)
    new.start_from(plain)
    samples = [
        method.sample(start(silica), 3, "ancestral", StructureNoise([20, 31], [1, 2]))
        for method in (plain, new)
    ]
    assert torch.equal(samples[0].positions, samples[1].positions)


@pytest.mark.parametrize("sampler", ["ancestral", "multistep", "guided"])
def test_every_step_reads_the_clean_sample_that_the_step_before_implied(silica, sampler):
    method, calls = conditioned(silica), []
    honest = method.predict

    def watched(state, null, t, dt):
        prediction = honest(state, null, t, dt)
        calls.append((state, prediction, float(t[0])))
        return prediction

    method.predict = watched
    method.sample(start(silica), 4, sampler, StructureNoise([20, 31], [1, 2]))
    calls = calls[:: 2 if sampler == "guided" else 1]
    assert calls[0][0].estimate is None
    for (before, drift, t), (state, _, _) in pairwise(calls):
        assert state.estimate.elements.shape == state.elements.shape
        if sampler != "guided":  # whose drift is extrapolated
            expected = before.structures.positions - 1.7 * t * drift.positions
            torch.testing.assert_close(state.estimate.structures.positions, expected)
            torch.testing.assert_close(state.estimate.elements.sum(1), torch.ones(51), rtol=0, atol=1e-4)


def test_shortcuts_read_no_estimates(silica):
    method = build(AMShortcut, silica, self_conditioning=True).eval()
    estimates = []
    honest = method.predict

    def watched(state, null, t, dt):
        estimates.append(state.estimate)
        return honest(state, null, t, dt)

    method.predict = watched
    method.sample(start(silica), 3, "shortcut", StructureNoise([20, 31], [1, 2]))
    assert estimates == [None] * 3


def test_estimates_are_read_without_regard_to_axes_and_periodic_images(silica):
    method = conditioned(silica)
    noise = StructureNoise([20, 31], [1, 2])
    state = method.prior(start(silica), noise)
    t = torch.full((2,), 0.5)
    null = method.denoiser.null_properties(noise)
    drift = method.predict(state, null, t, 0 * t)
    estimate = method.estimate(state, drift, t, 0 * t)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q

    def turned(structures):
        return structures.__class__(
            **vars(structures)
            | {"positions": structures.positions @ rotation, "cells": structures.cells @ rotation}
        )

    def drift_with(state, estimate):
        given = State(structures=state.structures, elements=state.elements, estimate=estimate)
        return method.predict(given, null, t, 0 * t).positions

    with torch.no_grad():
        plain = drift_with(state, estimate)
        moved = estimate.structures.positions + 9.0 * torch.tensor([1.0, 0.0, -2.0])
        images = State(structures=estimate.structures.with_positions(moved), elements=estimate.elements)
        torch.testing.assert_close(drift_with(state, images), plain, rtol=1e-3, atol=1e-4)
        there = State(structures=turned(state.structures), elements=state.elements)
        estimate = State(structures=turned(estimate.structures), elements=estimate.elements)
        torch.testing.assert_close(drift_with(there, estimate), plain @ rotation, rtol=1e-3, atol=1e-4)
        assert (drift_with(state, None) - plain).abs().max() > 1e-3


def test_half_of_the_training_steps_have_estimates_without_gradient(silicon, small_batch):
    method, batch = build(MaterialSDE, silicon, self_conditioning=True), small_batch(1, 0)
    given = []
    honest = method.denoiser.forward

    def watched(state, *arguments):
        if torch.is_grad_enabled():
            given.append(state.estimate is not None)
            if given[-1]:
                assert not state.estimate.structures.positions.requires_grad
        return honest(state, *arguments)

    method.denoiser.forward = watched
    for seed in range(40):
        noise = StructureNoise([20, 31], [seed, seed + 100])
        method.training_loss(batch, noise, teacher=method, progress=0.0)["loss"].backward()
    assert 10 <= sum(given) <= 30
    assert method.denoiser.estimate_input.weight.grad.abs().max() > 0


def test_the_paper_network_has_no_self_conditioning(silicon):
    with pytest.raises(AmsbenchError, match="cannot be trained with self_conditioning=true"):
        MaterialSDE(silicon, MaterialSDE.default_config("paper", silicon) | {"self_conditioning": True})
