"""Graphite: exact solutions of samplers and guidance, rotations, and the contract of a method."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from amsbench.baselines.graphite.method import Graphite
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.interface.task import Task
from amsbench.errors import AmsbenchError
from amsbench.methods.state import Prediction

VARIANCE, MEAN = 0.04, 1.0
"""Of the normal data that samplers are tested on, per component: 0.2 A is the spread of an atom in a glass."""
EDGE = 6.0
ATOMS = 20_000


@pytest.fixture(scope="module")
def eleven():
    """A task with eleven elements, ghosts and three properties."""
    return Task(
        dataset="meg",
        dataset_hash="none",
        elements=("Si", "P", "Al", "Li", "Be", "K", "Ca", "Ti", "Ba", "Zn", "O"),
        ghost_density=0.11,
        properties=("a", "b", "c"),
        property_mean=(70.0, 30.0, 5.0),
        property_std=(10.0, 4.0, 3.0),
        property_min=(50.0, 20.0, 0.0),
        property_max=(90.0, 40.0, 15.0),
    )


@pytest.fixture(scope="module")
def measured_silicon():
    """A task with one element, no ghosts, and two properties of mean 0 and standard deviation 1."""
    return Task(
        dataset="own",
        dataset_hash="none",
        elements=("Si",),
        ghost_density=None,
        properties=("a", "b"),
        property_mean=(0.0, 0.0),
        property_std=(1.0, 1.0),
        property_min=(-3.0, -3.0),
        property_max=(3.0, 3.0),
    )


def build(task: Task, **changes) -> Graphite:
    torch.manual_seed(0)
    config = Graphite.default_config("standard", task)
    small = {"hidden": 16, "layers": 1, "cutoff": 4.0}
    return Graphite(task, config | {"network": small, "property_network": small} | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), torch.nan) if properties is None else properties
    return Structures.empty_cells(torch.eye(3).repeat(len(sizes), 1, 1) * edge, torch.tensor(sizes), table)


def sampled(method, sampler, steps, sizes=(20, 31), seeds=(1, 2), **options) -> Structures:
    with torch.no_grad():
        noise = StructureNoise(sizes, seeds[: len(sizes)])
        return method.sample(start(method.task, sizes, **options), steps, sampler, noise)


def of_normal_data(method: Graphite) -> Graphite:
    """``method`` with the exact prediction for normal data of MEAN and VARIANCE."""

    def exact(state, null, t):
        sigma = method.positions.scale * t[state.structures.batch, None]
        eps = sigma * (state.structures.positions - MEAN) / (VARIANCE + sigma**2)
        return Prediction(positions=eps, elements=None)

    method.predict = exact
    return method


# -- samplers ----------------------------------------------------------------------------------------------


def test_paths_have_as_many_steps_as_asked_for(silicon):
    method = build(silicon)
    for steps in range(1, 260):
        for sampler in method.samplers:
            path = sampler.times(steps)
            assert len(path) == steps
            assert path[0][0] == 1
            assert path[-1][1] == 0
            assert all(t > s >= 0 for t, s in path)
            beginnings = [t for (_, s), (t, _) in pairwise(path) if t != s]
            assert beginnings == [0.4] * (sampler.restarts(steps) if sampler.name == "restart" else 0)
            # a restart begins where a descent ended, and all steps are of about one length
            assert all(s in (t, 0) for (_, s), (t, _) in pairwise(path))
            lengths = [t - s for t, s in path]
            assert max(lengths) < 1.3 * min(lengths)


def test_the_step_count_of_the_original_is_divided_as_there(silicon):
    lengths, method = [], build(silicon)
    restart = Graphite.sampler_named("restart")
    for t, _ in restart.times(164):
        if t in (1.0, 0.4):
            lengths.append(0)
        lengths[-1] += 1
    assert lengths == [63, 26, 25, 25, 25]
    assert [restart.label(method, steps) for steps in (15, 16)] == ["SDE", "restart"]


def exact_end(scale: float, restarts: int) -> tuple[float, float]:
    """Mean and variance per component to which the reverse SDE takes uniform positions in the limit of many steps. From
    a time with noise sigma it draws from the posterior of X_0, whose mean is m + r (x - m) and whose variance is V (1 -
    r) with r = V / (V + sigma^2)."""
    r = VARIANCE / (VARIANCE + scale**2)
    mean = MEAN + r * (EDGE / 2 - MEAN)
    variance = VARIANCE * (1 - r) + r**2 * EDGE**2 / 12
    r = VARIANCE / (VARIANCE + (0.4 * scale) ** 2)
    for _ in range(restarts):
        mean = MEAN + r * (mean - MEAN)
        variance = VARIANCE * (1 - r) + r**2 * (variance + (0.4 * scale) ** 2)
    return mean, variance


@pytest.mark.parametrize("sampler", ["euler-maruyama", "restart"])
def test_samplers_converge_to_normal_data(sampler, silicon):
    method = of_normal_data(build(silicon))
    errors = []
    for steps in (20, 80, 240):
        x = sampled(method, sampler, steps, (ATOMS,), edge=EDGE).positions
        mean, variance = exact_end(
            method.config["noise"],
            Graphite.sampler_named("restart").restarts(steps) if sampler == "restart" else 0,
        )
        errors.append(abs(float(x.var()) / variance - 1))
    assert errors[1] < errors[0] / 2
    assert errors[2] < 0.03
    assert float(x.mean()) == pytest.approx(mean, abs=0.005)
    # restarts forget where the atoms began, which was around the middle of the cell
    assert (abs(mean - MEAN) < 1e-3) == (sampler == "restart")


def test_euler_maruyama_is_the_step_it_says(silicon):
    """Every step is X - 2 k dt eps + k sqrt(2 t dt) z, from which the variance follows."""
    method = of_normal_data(build(silicon))
    k, steps = method.config["noise"], 7
    variance = EDGE**2 / 12
    for n in range(steps):
        t, dt = 1 - n / steps, 1 / steps
        shrink = 1 - 2 * k * dt * k * t / (VARIANCE + (k * t) ** 2)
        variance = shrink**2 * variance + 2 * k**2 * t * dt
    found = float(sampled(method, "euler-maruyama", steps, (ATOMS,), edge=EDGE).positions.var())
    assert found == pytest.approx(variance, rel=0.03)


@pytest.mark.parametrize("sampler", ["euler-maruyama", "restart", "guided"])
@pytest.mark.parametrize("steps", [1, 3, 17])
def test_species_of_independent_atoms_have_their_probabilities(sampler, steps, silica):
    """The species follow Bayes' rule for each atom at any step size; guidance by a property that is linear in the
    species multiplies each probability by exp(2 rho c) while the target is not reached."""
    method = build(silica)
    shares, slope = torch.tensor([0.15, 0.3, 0.55]), 0.2

    def exact(state, null, t):
        evidence = method.elements.species_log_likelihood(state.elements, t[state.structures.batch, None])
        eps = 0 * state.structures.positions  # for the gradients, of which there are none
        return Prediction(positions=eps, elements=torch.softmax(shares.log() + evidence + eps, dim=-1))

    class Linear(torch.nn.Module):
        def forward(self, structures, elements):
            total = slope * elements[:, :1].sum() + 0 * structures.positions.sum()
            return total.expand(1, 2)

    method.predict, method.property_network = exact, Linear()
    far = torch.tensor([[1e7, math.nan]])
    made = sampled(method, sampler, steps, (ATOMS,), properties=far)
    wanted = shares.clone()
    if sampler == "guided":
        wanted[0] *= math.exp(2 * method.config["guidance"] * slope)
    wanted /= wanted.sum()
    found = torch.bincount(made.species, minlength=3) / ATOMS
    assert found.tolist() == pytest.approx(wanted.tolist(), abs=0.015)


# -- guidance ----------------------------------------------------------------------------------------------


class Coordinates(torch.nn.Module):
    """Property network with two known properties: ``slope`` times the sums of the x and of the y coordinates."""

    def __init__(self, slope: float, centre: float = 0.0) -> None:
        super().__init__()
        self.slope, self.centre = slope, centre

    def forward(self, structures, elements):
        sums = structures.positions.new_zeros(len(structures), 2)
        return self.slope * sums.index_add_(0, structures.batch, structures.positions[:, :2] - self.centre)


def shift_of(method: Graphite, slope: float, steps: int) -> float:
    """Shift of the mean of normal data by guidance towards a target that is not reached. The likelihood exp(-2 rho
    |misfit|) adds 2 rho slope dX_0/dX_t to the score, and dX_0/dX_t = V / (V + sigma^2)."""
    k, shift = method.config["noise"], 0.0
    for t, s in Graphite.sampler_named("guided").times(steps):
        sigma, dt = k * t, t - s
        shrink, pull = VARIANCE / (VARIANCE + sigma**2), 2 * method.config["guidance"] * slope
        shift += 2 * k * dt * sigma * (pull * shrink - shift / (VARIANCE + sigma**2))
    return shift


@pytest.mark.parametrize(
    ("targets", "direction"),
    [((1e9, math.nan), (1, 0)), ((math.nan, -1e9), (0, -1)), ((6e8, -8e8), (0.6, -0.8))],
)
def test_guidance_shifts_normal_data_by_the_slope_of_the_likelihood(targets, direction, measured_silicon):
    """All atoms are shifted equally towards the targets, and their variance is unchanged."""
    method, slope, steps, atoms = of_normal_data(build(measured_silicon)), 0.5, 25, 500
    method.property_network = Coordinates(slope)
    options = {"edge": EDGE, "properties": torch.tensor([targets])}
    # the same noise moves both, so that nothing of it is left in the difference
    guided, free = (sampled(method, s, steps, (atoms,), **options) for s in ("guided", "euler-maruyama"))
    wanted = shift_of(method, slope, steps) * torch.tensor([*direction, 0.0])
    difference = guided.positions - free.positions
    torch.testing.assert_close(difference, wanted.expand(atoms, 3), rtol=0, atol=1e-4)


def test_guidance_in_short_steps_is_the_tilted_distribution(measured_silicon):
    """The density tilted by exp(2 rho slope x) has its mean shifted by 2 rho slope V. The samples lack the share V / (V
    + k^2) of it, the correlation with the initial positions, since the prior does not depend on the target."""
    method, slope = build(measured_silicon), 0.5
    remembered = VARIANCE / (VARIANCE + method.config["noise"] ** 2)
    wanted = 2 * method.config["guidance"] * slope * VARIANCE * (1 - remembered)
    assert shift_of(method, slope, 50) == pytest.approx(wanted, rel=0.2)
    assert shift_of(method, slope, 5000) == pytest.approx(wanted, rel=0.002)


def test_guidance_meets_a_target_within_reach(measured_silicon):
    """Structures of ten atoms with a standard normal property have values close to their own targets."""
    method, count, steps = of_normal_data(build(measured_silicon)), 120, 80
    centre, _ = exact_end(method.config["noise"], 0)
    method.property_network = Coordinates(1 / math.sqrt(10 * VARIANCE), centre)
    targets = torch.tensor([[-1.0, math.nan], [1.5, math.nan]]).repeat(count // 2, 1)

    def properties(sampler):
        seeds = tuple(range(count))
        made = sampled(method, sampler, steps, (10,) * count, seeds, edge=EDGE, properties=targets)
        return method.property_network(made, None)[:, 0].unflatten(0, (count // 2, 2))

    guided, free = properties("guided"), properties("euler-maruyama")
    assert guided.mean(0).tolist() == pytest.approx([-1.0, 1.5], abs=0.15)
    assert guided.std(0).max() < 0.5
    assert free.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.45)
    assert free.std(0).min() > 0.75


def test_guidance_without_targets_changes_nothing(silicon, silica):
    for task in (silicon, silica):
        method = build(task)
        guided, free = sampled(method, "guided", 4), sampled(method, "euler-maruyama", 4)
        torch.testing.assert_close(guided.positions, free.positions, rtol=0, atol=1e-4)
        assert bool((guided.species == free.species).all())
    assert build(silicon).property_network is None
    native, _, guided = Graphite.samplers
    assert guided.label(build(silicon), 5) == native.label(build(silicon), 5) == "SDE"
    assert guided.label(build(silica), 5) == "guided"


def test_guided_denoiser_is_told_no_property(silica):
    """With guidance the targets act through the property network only."""
    method, targets = build(silica, guidance=0.0), torch.tensor([[30.0, 4.0], [20.0, math.nan]])
    method.denoiser.network.encode_conditioning[-1].reset_parameters()  # which says nothing before a training
    guided = sampled(method, "guided", 3, properties=targets)
    torch.testing.assert_close(guided.positions, sampled(method, "guided", 3).positions, rtol=0, atol=1e-4)
    asked = sampled(method, "euler-maruyama", 3, properties=targets)
    assert (asked.positions - guided.positions).abs().max() > 1e-3


# -- training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "least", "most"),
    [(0.0, 0.1, 0.2), (0.2, 0.1, 0.2), (0.4375, 0.05, 0.6), (0.625, 0.0, 1.0), (1.0, 0.0, 1.0)],
)
def test_with_ghosts_training_begins_with_early_times(progress, least, most, silica, silicon, small_batch):
    """Times are from 0.1 to 0.2 in the first quarter and from the whole range after five eighths; without ghosts, or
    with a share of 0, always from the whole range."""
    batch = small_batch(1, 2, sizes=(1,) * 400)

    def times(method, structures):
        seen, inner = [], method.corrupt
        method.corrupt = lambda batch, t, noise: seen.append(t) or inner(batch, t, noise)
        method.training_loss(structures, training_noise(structures, 0), teacher=method, progress=progress)
        return float(seen[0].min()), float(seen[0].max())

    found = times(build(silica), batch)
    assert found == pytest.approx((least, most), abs=0.01)
    assert found[0] >= least - 1e-6
    assert found[1] <= most + 1e-6
    assert times(build(silica, early_share=0.0), batch) == pytest.approx((0, 1), abs=0.01)
    assert times(build(silicon), start(silicon, (1,) * 400)) == pytest.approx((0, 1), abs=0.01)


@pytest.mark.parametrize("share", [-0.1, 0.5])
def test_a_training_must_come_to_all_times(silica, share):
    with pytest.raises(AmsbenchError, match=f"early_share is {share:g}; give .* from 0 to 0.4"):
        build(silica, early_share=share)


def test_training_turns_every_structure(silica, small_batch):
    method, batch, seen = build(silica), small_batch(3, 2), []
    inner = method.predict

    def recorded(state, null, t):
        seen.append(state.structures)
        return inner(state, null, t)

    method.predict = recorded
    for seed in (0, 1):
        method.training_loss(batch, training_noise(batch, seed), teacher=method, progress=0.0)
    for found in seen:
        metric = batch.cells @ batch.cells.transpose(1, 2)
        torch.testing.assert_close(found.cells @ found.cells.transpose(1, 2), metric, rtol=0, atol=1e-4)
        assert float(torch.linalg.det(found.cells / batch.cells.norm(dim=-1, keepdim=True)).min()) > 0
    turns = torch.cat([torch.linalg.solve(batch.cells, found.cells) for found in seen])
    for k in range(4):
        assert all((turns[k] - turns[other]).abs().max() > 0.1 for other in range(k))


def training_noise(batch: Structures, seed: int) -> BatchNoise:
    return BatchNoise(len(batch.positions), len(batch), torch.Generator().manual_seed(seed))


def trained(method: Graphite, batch: Structures, steps: int, rate: float) -> list[dict[str, float]]:
    """Losses of all steps of a training on one batch, with the same four noises in turn."""
    optimizer = torch.optim.Adam(method.parameters(), lr=rate)
    history = []
    for step in range(steps):
        losses = method.training_loss(batch, training_noise(batch, step % 4), teacher=method, progress=1.0)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({key: float(value.detach()) for key, value in losses.items()})
    return history


def test_training_learns_a_bond(silicon):
    """Randomly rotated pairs of atoms: their distance determines the noise along the bond and nothing else."""
    pairs = start(silicon, (2,) * 40)
    positions = pairs.positions.clone()
    positions[1::2, 0] = 2.4
    history = trained(build(silicon), pairs.with_positions(positions), 60, 1e-2)
    assert set(history[0]) == {"positions", "loss"}
    # a network that finds 0 has a loss of 3
    assert sum(h["positions"] for h in history[-4:]) / 4 < 2.8


def test_training_learns_species_and_properties(silica, small_batch):
    """Two lattices that differ in the number of ghosts between the atoms."""
    grid = torch.cartesian_prod(*[torch.arange(3)] * 3)
    batch = replace(
        small_batch(1, 2, sizes=(27, 27)),
        positions=2.4 * grid.float().repeat(2, 1),
        species=(grid.sum(-1) % 2).repeat(2),
        cells=torch.eye(3) * torch.tensor([7.2, 8.3])[:, None, None],
    )
    batch.properties[:] = torch.tensor([[21.0, math.nan], [27.0, 5.2]])
    batch = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    history = trained(build(silica), batch, 40, 5e-3)
    for key, share in (("elements", 0.95), ("properties", 0.3)):
        first, last = (sum(h[key] for h in part) for part in (history[:4], history[-4:]))
        assert last < share * first
    together = {key: history[0][key] for key in ("positions", "elements", "properties")}
    weights = {"positions": 1.0, "elements": 0.5, "properties": 0.1}
    assert history[0]["loss"] == pytest.approx(sum(weights[key] * value for key, value in together.items()))


def test_the_two_networks_have_separate_gradients(silica, small_batch):
    method, batch = build(silica), small_batch(3, 2)
    batch.properties[:] = torch.tensor([[23.0, math.nan], [25.0, 5.2]])
    losses = method.training_loss(batch, training_noise(batch, 0), teacher=method, progress=0.0)
    losses["properties"].backward(retain_graph=True)
    assert all(p.grad is None for p in method.denoiser.parameters())
    assert all(p.grad.abs().max() > 0 for p in method.property_network.network.decode.parameters())
    method.zero_grad()
    (losses["positions"] + losses["elements"]).backward()
    assert all(p.grad is None for p in method.property_network.parameters())
    assert all(p.grad is not None for p in method.denoiser.parameters())


def test_property_loss_is_of_the_labels_that_there_are(silica, small_batch):
    """The loss of a network that predicts 0, the mean, is computed by hand; a batch without labels has none."""

    class Zero(torch.nn.Module):
        def forward(self, structures, elements):
            return structures.positions.new_zeros(len(structures), 2)

    method, batch = build(silica), small_batch(3, 2)
    method.property_network = Zero()
    assert float(method.property_loss(batch, training_noise(batch, 0))) == 0
    batch.properties[:] = torch.tensor([[24.0 + 2.7 * 2, math.nan], [24.0 - 2.7, 5.1 + 0.2 * 3]])
    found = float(method.property_loss(batch, training_noise(batch, 0)))
    assert found == pytest.approx((2**2 + 1**2 + 3**2) / 3, rel=1e-5)


def test_property_network_learns_from_nearly_clean_structures(silica, small_batch):
    method, batch, seen = build(silica), small_batch(3, 2, sizes=(2000,)), []

    class Recorder(torch.nn.Module):
        def forward(self, structures, elements):
            seen.append((structures, elements))
            return structures.positions.new_zeros(1, 2)

    method.property_network = Recorder()
    for seed in range(20):
        method.property_loss(batch, training_noise(batch, seed))
    moved = torch.stack([(structures.positions - batch.positions).std() for structures, _ in seen])
    most = method.config["noise"] * method.config["property_time"]
    assert float(moved.max()) < 1.05 * most
    assert float(moved.max() - moved.min()) > most / 2
    assert all(bool((elements.argmax(1) == batch.species).all()) for _, elements in seen)


# -- what every method keeps to ----------------------------------------------------------------------------


def test_one_element_has_no_species_channel(silicon, silica):
    method = build(silicon)
    assert method.denoiser.network.decode[-1].out_features == 3
    assert method.prior(start(silicon), StructureNoise((20, 31), (1, 2))).elements is None
    assert build(silica).denoiser.network.decode[-1].out_features == 3 + 3


@pytest.mark.parametrize("steps", [1, 20])
def test_evaluations_are_those_that_happen(steps, silica, silicon):
    """Every step has one evaluation of the denoiser; a guided step counts two, for its backward pass."""
    method = build(silica)
    calls = {"denoiser": 0, "property_network": 0}
    for name in calls:

        def count(*_, name=name):
            calls[name] += 1

        getattr(method, name).register_forward_hook(count)
    for sampler in method.samplers:
        calls.update(denoiser=0, property_network=0)
        sampled(method, sampler.name, steps, properties=torch.tensor([[24.0, 5.0]] * 2))
        guided = sampler.name == "guided"
        assert calls == {"denoiser": steps, "property_network": steps * guided}
        assert sampler.evaluations(method, steps) == steps * (1 + guided)
        assert sampler.evaluations(build(silicon), steps) == steps
    assert set(Graphite.card.evaluations) == {sampler.name for sampler in Graphite.samplers}


def test_sampling_leaves_no_gradients(silica):
    """Parameters have no gradients after sampling, since threads share the module."""
    method = build(silica)
    sampled(method, "guided", 2, properties=torch.tensor([[24.0, 5.0]] * 2))
    assert all(p.grad is None for p in method.parameters())


def test_unknown_sampler(silicon):
    with pytest.raises(AmsbenchError, match="no sampler 'heun'"):
        sampled(build(silicon), "heun", 2)
