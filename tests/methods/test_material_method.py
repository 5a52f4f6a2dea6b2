"""What these methods do beside keeping to the contract: exact flows, shortcuts, restarts, guidance, priors."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.conditioning import guidance_weights
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.samplers import adams_bashforth_drift, sample_one_hot
from amsbench.methods.state import Prediction, State

METHODS = (MaterialODE, MaterialSDE, AMShortcut)
SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), torch.nan) if properties is None else properties
    return Structures.empty_cells(torch.eye(3).repeat(len(sizes), 1, 1) * edge, torch.tensor(sizes), table)


@pytest.mark.parametrize("method_class", METHODS)
def test_ghosts_are_asked_for_their_mean(method_class, silica, small_batch):
    """A network that leaves every atom where it is has the whole loss of the atoms and none of the ghosts."""

    class Still(method_class):
        def predict(self, state: State, null, t, dt):
            positions = torch.zeros_like(state.structures.positions)
            return Prediction(positions=positions, elements=torch.zeros_like(state.elements))

    method = build(Still, silica, warmup=1.1) if method_class is AMShortcut else build(Still, silica)
    batch = small_batch(2, 2, sizes=(200, 200))
    batch = replace(batch, cells=torch.eye(3).repeat(2, 1, 1) * 17.0)
    filled = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    noise = BatchNoise(len(filled.positions), 2, torch.Generator().manual_seed(1))
    losses = method.training_loss(filled, noise, teacher=method, progress=0.0)
    share = len(batch.positions) / len(filled.positions)
    assert share < 0.4
    assert float(losses["positions"]) == pytest.approx(3 * share, rel=0.15)


def test_a_deeper_network_starts_with_the_function_of_a_shallower_one(silica, small_batch):
    shallow = build(MaterialSDE, silica).double()
    deep = build(AMShortcut, silica)
    deep = AMShortcut(silica, deep.config | {"network": deep.config["network"] | {"layers": 5}}).double()
    batch = small_batch(2, 2, sizes=(30, 40), dtype=torch.float64)
    noise = BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.full((2,), 0.3, dtype=torch.float64)
    state, _ = shallow.corrupt(batch, t[:, None], noise)
    null = shallow.denoiser.null_properties(noise)
    wanted, before = (m.predict(state, null, t, 0 * t) for m in (shallow, deep))
    deep.start_from(shallow)
    found = deep.predict(state, null, t, 0 * t)
    assert (before.positions - wanted.positions).abs().max() > 1e-4
    torch.testing.assert_close(found.positions, wanted.positions, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.elements, wanted.elements, rtol=0, atol=1e-12)
    # and its new layers learn
    found.positions.square().sum().backward()
    assert deep.denoiser.backbone.layers[2].shift.weight.grad.abs().max() > 0
    with pytest.raises(RuntimeError):
        shallow.start_from(deep)


def test_exact_averages_have_no_consistency_loss(silicon, small_batch):
    """With the closed solution of a Gaussian (data at one point per atom) in place of the network, L_SC is 0."""

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


def test_shortcut_mode_changes_at_ten_steps(silicon):
    method = build(AMShortcut, silicon)
    ancestral = method.sampler_named("ancestral")
    assert ancestral.at(9).step_size(0.7, 0.2) == pytest.approx(0.5)
    assert ancestral.at(10).step_size(0.7, 0.2) == 0.0
    assert method.sampler_named("ancestral").label(method, 5) == "shortcut"
    assert method.sampler_named("restart").label(method, 5) == "shortcut restart"
    assert method.sampler_named("multistep").label(method, 5) == "shortcut multistep"  # at times of its own
    assert method.sampler_named("multistep").label(method, 1) == "shortcut"
    assert method.sampler_named("restart").label(method, 1) == "shortcut"  # one step has no restart
    assert method.sampler_named("restart").label(method, 10) == "restart"
    assert method.sampler_named("ancestral").label(method, 10) == "ancestral"
    assert method.sampler_named("ode").label(method, 10) == "shortcut"


def gaussian_cloud(method, variance, steps, atoms=20_000):
    """Variance of what restarts make of normal data with the exact drift of ``method``: average drift for
    AMShortcut, instantaneous for material SDE."""

    def exact(state, null, t, dt):
        x, scale = state.structures.positions, method.positions.scale
        after, before = variance + (scale * (t - dt)) ** 2, variance + (scale * t) ** 2
        eps = x * ((1 - (after / before).sqrt()) / (scale * dt) if dt > 0 else scale * t / before)
        return Prediction(positions=eps, elements=None)

    method.predict = exact
    cell = Structures.empty_cells(6 * torch.eye(3)[None], torch.tensor([atoms]), torch.zeros(1, 0))
    return float(method.sample(cell, steps, "restart", StructureNoise([atoms], [1])).positions.var())


def deviation(method, sampler, steps, variance=0.04, atoms=50):
    """How far a sampler ends from the exact flow of normal data, X_0 = X_1 (V / (V + sigma_1^2))^(1/2)."""

    def exact(state, null, t, dt):
        at = t[0] * method.positions.scale
        eps = state.structures.positions * at / (variance + at**2)
        return Prediction(positions=eps, elements=None)

    method.predict = exact
    cell = Structures.empty_cells(
        6 * torch.eye(3)[None].double(), torch.tensor([atoms]), torch.zeros(1, 0).double()
    )
    noise = StructureNoise([atoms], [1], dtype=torch.float64)
    begin = method.prior(cell, noise).structures.positions
    wanted = begin * (variance / (variance + method.positions.scale**2)) ** 0.5
    return float((method.sample(cell, steps, sampler, noise.restarted()).positions - wanted).abs().max())


@pytest.mark.parametrize("ghosts", [False, True])
def test_unknown_noise_is_measured_on_the_atoms(ghosts, silicon, silica):
    """Normal data and its exact prediction, beside ghosts, about whose noise nothing can be known."""
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


def test_multistep_is_of_second_order_and_ode_of_first(silicon):
    method = build(MaterialSDE, silicon)
    for sampler, order in (("ode", 1), ("multistep", 2)):
        ratio = deviation(method, sampler, 200) / deviation(method, sampler, 400)
        assert math.log2(ratio) == pytest.approx(order, abs=0.15)
    assert deviation(method, "multistep", 25) < deviation(method, "ode", 25) / 4


def test_multistep_is_exact_for_a_drift_linear_in_time(silicon):
    """From its second step on; the first, of Euler's, ends at an X_s that is wrong by a constant."""
    method = build(MaterialSDE, silicon)
    path = method.sampler_named("multistep").times(method, 6)
    total, before = 0.0, None
    for t, s in path:
        now = Prediction(positions=torch.full((1, 3), 2 + 3 * t), elements=None)
        total += float(
            (now if before is None else adams_bashforth_drift(now, *before, t - s)).positions[0, 0]
        ) * (t - s)
        before = (now, t - s)
    (begin, end), *_ = path
    assert total == pytest.approx(2 + 1.5 + 3 * (begin - end) ** 2 / 2, abs=1e-6)


def test_restarts_with_exact_shortcuts_keep_the_spread_of_the_data(silicon):
    assert gaussian_cloud(build(AMShortcut, silicon), 0.04, 9) == pytest.approx(0.04, rel=0.05)


def test_restarts_with_the_expected_end_lose_spread(silicon):
    """Each step ends at E[X_0 | X_t], of which the variance is V^2 / (V + sigma^2) where X_t has the right one."""
    method = build(MaterialSDE, silicon)
    found, variance = gaussian_cloud(method, 0.04, 9), 3.0
    for t, _ in method.sampler_named("restart").times(method, 9):
        shrink = 0.04 / (0.04 + (method.positions.scale * t) ** 2)
        before = variance if t == 1 else variance + (method.positions.scale * t) ** 2
        variance = shrink**2 * before
    assert found == pytest.approx(variance, rel=0.05)
    assert found < 0.035


@pytest.mark.parametrize("method_class", [MaterialSDE, AMShortcut])
@pytest.mark.parametrize("steps", [2, 11])
def test_guidance_lies_on_the_line_through_no_targets_and_targets(method_class, steps, silica):
    """Weight 1 is the restart with the targets and weight 0 the one without, of the same noise."""
    targets, none = torch.tensor([[24.0, math.nan]]), torch.full((1, 2), math.nan)

    def sample(sampler, properties, **weight):
        method = build(method_class, silica, **weight)
        cells = start(silica, (20,), properties=properties)
        with torch.no_grad():
            return method.sample(cells, steps, sampler, StructureNoise([20], [5]))

    asked, free = sample("restart", targets), sample("restart", none)
    for weight, wanted in ((1.0, asked), (0.0, free)):
        made = sample("guided", targets, guidance={"shear_modulus": weight, "ring_size": 50.0})
        torch.testing.assert_close(made.positions, wanted.positions, rtol=0, atol=1e-5)
        assert bool((made.species == wanted.species).all())
    assert (asked.positions - free.positions).abs().max() > 1e-4
    made = sample("guided", none)
    torch.testing.assert_close(made.positions, free.positions, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_guidance_multiplies_what_a_target_does(weight, silica):
    """Normal data whose mean m goes with the target, around 0 without: the guided score is that of mean w m."""
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


def test_several_targets_have_the_mean_of_their_weights(silica):
    method = build(MaterialSDE, silica, guidance={"shear_modulus": 2.0, "ring_size": 12.0})
    nan = math.nan
    rows = torch.tensor([[24.0, 5.1], [24.0, nan], [nan, 5.1], [nan, nan]])
    found = guidance_weights(start(silica, (1, 2, 1, 1), properties=rows), method.guidance_weights)
    assert found[:, 0].tolist() == [7.0, 2.0, 2.0, 12.0, 0.0]


def test_guidance_needs_properties(silicon, silica):
    """Without any the sampler is the restart, evaluations and cell included."""
    without, given = build(AMShortcut, silicon), build(AMShortcut, silica)
    for steps in (1, 5, 25):
        assert without.sampler_named("guided").label(without, steps) == without.sampler_named(
            "restart"
        ).label(without, steps)
        assert without.sampler_named("guided").evaluations(without, steps) == steps
        assert given.sampler_named("guided").evaluations(given, steps) == 2 * steps
        assert given.sampler_named("guided").label(given, steps) != given.sampler_named("restart").label(
            given, steps
        )
    assert without.preferred_sampler() == "multistep"
    assert given.preferred_sampler() == "guided"


@pytest.mark.parametrize("method_class", METHODS)
def test_cards_say_how_many_evaluations_a_step_is(method_class, silica):
    method = build(method_class, silica)
    said = {name: int(text.split(":")[0]) for name, text in method.card.evaluations.items()}
    assert said == {sampler.name: sampler.evaluations(method, 1) for sampler in method.samplers}


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


def test_drawn_species_have_their_probabilities():
    probabilities = torch.tensor([0.2, -0.1, 0.5, 0.0, 0.3])  # guidance may leave some below 0
    atoms = 40_000
    found = sample_one_hot(probabilities.repeat(atoms, 1), StructureNoise([atoms], [0]))
    assert bool((found.sum(1) == 1).all())
    assert found.mean(0).tolist() == pytest.approx([0.2, 0, 0.5, 0, 0.3], abs=0.01)
    assert found[:, [1, 3]].sum() == 0


def test_unknown_sampler(silicon):
    with pytest.raises(AmsbenchError, match="no sampler 'heun'"):
        build(MaterialSDE, silicon).sample(start(silicon), 2, "heun", StructureNoise([20, 31], [1, 2]))


def test_prior_is_uniform_in_skewed_cells(silicon):
    method = build(MaterialSDE, silicon)
    cell = torch.tensor([[8.0, 0, 0], [3, 7, 0], [-2, 1, 9]])
    cells = Structures.empty_cells(cell[None], torch.tensor([20_000]), torch.zeros(1, 0))
    state = method.prior(cells, StructureNoise([20_000], [0]))
    fractions = state.structures.positions @ torch.linalg.inv(cell)
    assert float(fractions.min()) > -1e-5
    assert float(fractions.max()) < 1 + 1e-5
    assert float((fractions.mean(0) - 0.5).abs().max()) < 0.01
    assert float((fractions.var(0) - 1 / 12).abs().max()) < 0.002


def test_displacements_of_material_ode_are_shortest(silicon, small_batch):
    from amsbench.benchmark.interface.structures import minimum_image

    batch = small_batch(1, 0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(batch.positions), 3, generator=generator, dtype=torch.float64) * 8
    short = minimum_image(vectors, batch)
    fractions = torch.einsum("ni,nij->nj", short, torch.linalg.inv(batch.cells)[batch.batch])
    assert float(fractions.abs().max()) <= 0.5 + 1e-9
    lattice = torch.einsum("ni,nij->nj", vectors - short, torch.linalg.inv(batch.cells)[batch.batch])
    torch.testing.assert_close(lattice, lattice.round(), rtol=0, atol=1e-9)
