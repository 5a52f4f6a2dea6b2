"""MatterGen: exact scores in place of the network, symmetries of the network, and the contract of a method."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from amsbench.baselines.mattergen.method import GUIDED, MatterGen
from amsbench.baselines.mattergen.network import Score, time_features
from amsbench.baselines.mattergen.wrapped_normal import scaled_score
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts, cartesian, fractional
from amsbench.benchmark.interface.task import Task
from amsbench.errors import AmsbenchError

SMALL = {
    "hidden": 24, "blocks": 2, "cutoff": 4.0, "neighbours": 8, "radial": 10, "angular": 3, "triplet": 4,
}  # fmt: skip
NAN = math.nan
EXACT = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(scope="module")
def eleven():
    """A task with eleven elements, ghosts and three properties."""
    return Task(
        dataset="meg",
        dataset_hash="none",
        elements=("Si", "O", "Al", "B", "Ca", "K", "Li", "Mg", "Na", "P", "Sr"),
        ghost_density=0.11,
        properties=("youngs_modulus", "shear_modulus", "lithium"),
        property_mean=(80.0, 30.0, 6.0),
        property_std=(9.0, 4.0, 7.0),
        property_min=(50.0, 20.0, 0.0),
        property_max=(110.0, 45.0, 30.0),
    )


@pytest.fixture
def task(request):
    return request.getfixturevalue(request.param)


def build(task: Task, network: str = "standard", **changes) -> MatterGen:
    torch.manual_seed(0)
    config = MatterGen.default_config(network, task)
    return MatterGen(task, config | {"network": config["network"] | SMALL} | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None, dtype=torch.float32) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), NAN) if properties is None else properties
    cells = torch.eye(3, dtype=dtype).repeat(len(sizes), 1, 1) * edge
    return Structures.empty_cells(cells, torch.tensor(sizes), table.to(dtype))


def sample(method, cells, steps, sampler, seeds=(1, 2)) -> Structures:
    noise = StructureNoise(cells.counts.tolist(), seeds[: len(cells)], dtype=cells.cells.dtype)
    with torch.no_grad():
        return method.sample(cells, steps, sampler, noise)


@pytest.mark.parametrize("task", ["silicon", "silica", "eleven"], indirect=True)
@pytest.mark.parametrize("steps", [1, 3, 11])
def test_evaluations_are_those_that_happen(task, steps):
    method, calls = build(task), []
    method.network.register_forward_hook(lambda *_: calls.append(1))
    properties = torch.full((2, len(task.properties)), NAN)
    properties[0, :1] = 24.0
    cells = start(task, properties=properties)
    for sampler in method.samplers:
        calls.clear()
        made = sample(method, cells, steps, sampler.name)
        assert len(calls) == sampler.evaluations(method, steps)
        assert int(made.species.max()) < task.species_count  # no mask survives


def test_evaluations_of_a_step(silicon, silica):
    assert [sampler.evaluations(build(silica), 5) for sampler in MatterGen.samplers] == [10, 5, 20]
    assert [sampler.evaluations(build(silicon), 5) for sampler in MatterGen.samplers] == [10, 5, 10]
    assert GUIDED.label(build(silicon), 5) == "predictor-corrector"
    assert GUIDED.label(build(silica), 5) == "guided"
    assert set(MatterGen.card.evaluations) == {sampler.name for sampler in MatterGen.samplers}
    with pytest.raises(AmsbenchError, match="no sampler 'heun'"):
        sample(build(silicon), start(silicon), 2, "heun")


def test_one_species_has_no_channel(silicon, silica):
    assert build(silicon).masks is None
    assert build(silicon).network.head is None
    assert build(silica).masks.kinds == 3  # silicon, oxygen and ghosts


def test_an_absent_property_is_a_vector_of_its_own(silica, small_batch):
    """The output for an absent property differs from that for 0 and for the mean, and does not depend on the
    embedding."""
    method = build(silica)
    batch = small_batch(3, 2)
    t = torch.tensor([0.3, 0.7])

    def predicted(row):
        with torch.no_grad():
            return method.predict(replace(batch, properties=torch.tensor([row, row])), t).species

    absent, mean, zero = predicted([NAN, 5.0]), predicted([24.0, 5.0]), predicted([0.0, 5.0])
    assert (absent - mean).abs().max() > 1e-4
    assert (absent - zero).abs().max() > 1e-4
    with torch.no_grad():
        method.network.embedding.weight[0] += 1.0
        method.network.embedding.bias[0] -= torch.linspace(0, 1, method.network.embedding.shape[1])
    assert torch.equal(predicted([NAN, 5.0]), absent)
    assert (predicted([24.0, 5.0]) - mean).abs().max() > 1e-4


def test_labels_are_hidden_each_on_its_own(silica):
    method, seen = build(silica), []
    n = 20_000

    def predict(structures, t):
        seen.append(structures.properties.isnan())
        return Score(positions=torch.zeros(n, 3), species=torch.zeros(n, 3))

    method.predict = predict
    cells = start(silica, (1,) * n, properties=torch.tensor([[24.0, 5.0]]).repeat(n, 1))
    noise = BatchNoise(n, n, torch.Generator().manual_seed(0))
    method.training_loss(cells, noise, teacher=method, progress=0.0)
    pattern = seen[0].long() @ torch.tensor([2, 1])
    shares = torch.bincount(pattern, minlength=4) / n
    assert shares.tolist() == pytest.approx([0.64, 0.16, 0.16, 0.04], abs=0.012)


# -- symmetries --------------------------------------------------------------------------------------------


@pytest.fixture
def noisy(silica, small_batch):
    """A method in float64, and structures in skewed cells with some masked atoms."""
    batch = small_batch(4, 2, dtype=torch.float64)
    batch.properties[0, 1] = 5.0
    return build(silica).double(), batch


def predicted(method, batch) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        found = method.predict(batch, torch.tensor([0.4, 0.6], dtype=torch.float64))
    return found.positions, found.species


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_said_of_fractional_coordinates_does_not_turn(noisy, mirrored):
    method, batch = noisy
    matrix = torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()) * (-1 if mirrored else 1)
    turned = replace(batch, positions=batch.positions @ matrix, cells=batch.cells @ matrix)
    assert predicted(method, batch)[0].abs().max() > 1e-3
    for before, after in zip(predicted(method, batch), predicted(method, turned), strict=True):
        torch.testing.assert_close(after, before, **EXACT)


def test_translation_images_and_permutation(noisy):
    method, batch = noisy
    random = np.random.default_rng(5)
    images = torch.tensor(random.integers(-2, 3, (len(batch.positions), 3)), dtype=torch.float64)
    moved = batch.positions + torch.einsum("ni,nij->nj", images, batch.cells[batch.batch]) + 1.234
    offsets = batch.offsets.tolist()
    order = np.concatenate([random.permutation(np.arange(a, b)) for a, b in itertools.pairwise(offsets)])
    shuffled = replace(batch, positions=moved[order], species=batch.species[order])
    for before, after in zip(predicted(method, batch), predicted(method, shuffled), strict=True):
        torch.testing.assert_close(after, before[order], **EXACT)


def test_ghosts_are_nobody_s_neighbours(noisy):
    """An unmasked ghost does not replace atoms or masked atoms among the nearest neighbours."""
    method, batch = noisy
    for kind, seen in ((method.task.ghost, False), (method.masks.mask, True), (0, True)):
        chosen = replace(batch, species=batch.species.index_fill(0, torch.tensor([3]), kind))
        moved = chosen.with_positions(
            chosen.positions + 1.5 * (torch.arange(len(batch.positions)) == 3)[:, None]
        )
        others = torch.arange(len(batch.positions)) != 3
        (before, _), (after, _) = predicted(method, chosen), predicted(method, moved)
        assert bool((after - before)[others].abs().max() > 1e-6) is seen
        assert (after - before)[3].abs().max() > 1e-6  # it finds its own neighbours


def test_a_displacement_in_a_cube_keeps_its_size(silicon, small_batch):
    """Output vectors are in units of the edge: in a cube along the axes the score is the vector itself."""
    method = build(silicon).double()
    batch = replace(small_batch(1, 0, dtype=torch.float64), cells=8.5 * torch.eye(3).double().repeat(2, 1, 1))
    vectors = []
    method.network.backbone.register_forward_hook(lambda module, inputs, output: vectors.append(output[1]))
    found = method.predict(batch, torch.tensor([0.4, 0.6], dtype=torch.float64)).positions
    torch.testing.assert_close(found, vectors[0], **EXACT)


def test_time_is_told_at_all_scales():
    t = torch.tensor([0.5, 0.501, 0.6, 1.0], dtype=torch.float64)
    features = time_features(t)
    assert (features[1] - features[0]).abs().max() > 0.05
    assert (features[0] - features[3]).abs().max() > 0.5


# -- losses ------------------------------------------------------------------------------------------------


def test_a_network_that_knows_the_structure_has_no_loss(silica, small_batch):
    """The loss vanishes for the score of the known clean positions in skewed cells, and for certain logits of the true
    species."""
    method, batch = build(silica).double(), small_batch(3, 2, dtype=torch.float64)
    clean, ghost = fractional(batch.positions, batch), batch.species == silica.ghost
    assert bool(ghost.any())

    def predict(structures, t):
        sigma = method.process.sigma(t[:, None], structures)
        scaled = scaled_score(fractional(structures.positions, structures) - clean, sigma)
        logits = 40.0 * torch.nn.functional.one_hot(batch.species, 3).double()
        return Score(positions=scaled.masked_fill(ghost[:, None], 0.0), species=logits)

    method.predict = predict
    for seed in range(5):
        noise = BatchNoise(51, 2, torch.Generator().manual_seed(seed), dtype=torch.float64)
        losses = method.training_loss(batch, noise, teacher=method, progress=0.0)
        assert float(losses["loss"]) < 1e-15


def test_weights_of_the_losses(silica, small_batch):
    """The weights are 0.1 for positions; 1 for the divergence of a step of 1/1000 and 0.01 for the cross entropy, here
    ln 3."""
    method, batch = build(silica), small_batch(3, 2, sizes=(300, 300))
    method.predict = lambda structures, t: Score(
        positions=torch.zeros_like(structures.positions), species=torch.zeros(600, 3)
    )
    losses = []
    for seed in range(100):
        noise = BatchNoise(600, 2, torch.Generator().manual_seed(seed))
        losses.append(method.training_loss(batch, noise, teacher=method, progress=0.0))
        total = 0.1 * losses[-1]["positions"] + losses[-1]["species"]
        assert float(losses[-1]["loss"]) == pytest.approx(float(total))
    mean = {name: np.mean([float(loss[name]) for loss in losses]) for name in losses[0]}
    assert mean["cross_entropy"] == pytest.approx(math.log(3))
    # masked with probability t, to come back with 1 / (1000 t)
    assert mean["divergence"] == pytest.approx(math.log(3) / 1000, rel=0.15)
    assert mean["species"] == pytest.approx(mean["divergence"] + 0.01 * math.log(3))


def test_ghosts_are_asked_for_their_mean(silica, small_batch):
    """A network with score 0 has the full loss for the atoms and none for the ghosts."""
    method = build(silica)
    method.predict = lambda structures, t: Score(
        positions=torch.zeros_like(structures.positions), species=torch.zeros(len(structures.positions), 3)
    )
    batch = replace(small_batch(2, 2, sizes=(200, 200)), cells=torch.eye(3).repeat(2, 1, 1) * 17.0)
    filled = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    share = len(batch.positions) / len(filled.positions)
    assert share < 0.4
    state, wanted = method.corrupt(
        filled,
        torch.full((2, 1), 0.2),
        BatchNoise(len(filled.positions), 2, torch.Generator().manual_seed(0)),
    )
    assert float((wanted**2).mean()) == pytest.approx(share, rel=0.15)
    assert bool((wanted[filled.species == 2] == 0).all())
    # yet a ghost moves as any atom does, and its species is hidden as any
    moved = (fractional(state.positions - filled.positions, filled) + 0.5).remainder(1) - 0.5
    assert float(moved[filled.species == 2].std() / moved[filled.species < 2].std()) == pytest.approx(
        1, abs=0.1
    )
    masked = (state.species == 3)[filled.species == 2]
    assert float(masked.double().mean()) == pytest.approx(0.2, abs=0.05)


def test_noise_follows_the_lattice_vectors(silicon):
    """The covariance of a displacement in a skewed cell is sigma^2 C^T C, where the rows of C are the lattice
    vectors."""
    n, cell = 20_000, torch.tensor([[8.0, 0, 0], [3, 7, 0], [-2, 1, 9]], dtype=torch.float64)
    cells = Structures.empty_cells(cell[None], torch.tensor([n]), torch.zeros(1, 0).double())
    noise = BatchNoise(n, 1, torch.Generator().manual_seed(0), dtype=torch.float64)
    method, t = build(silicon), torch.full((1, 1), 0.2, dtype=torch.float64)
    middle = cells.with_positions(cells.positions + torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64) @ cell)
    state, _ = method.corrupt(middle, t, noise)
    sigma = float(method.process.sigma(t, cells)[0])
    found = torch.cov((state.positions - middle.positions).T) / sigma**2
    torch.testing.assert_close(found, cell.T @ cell, rtol=0.05, atol=2.0)


def rock_salt(batch: Structures) -> Structures:
    """The batch with the 64 atoms of each structure on a lattice, which a network learns quickly."""
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    return replace(
        batch,
        positions=2.2 * grid.float().repeat(2, 1),
        species=(grid.sum(-1) % 2).repeat(2),
        cells=8.8 * torch.eye(3).repeat(2, 1, 1),
    )


def test_training_lowers_both_losses_and_reaches_every_parameter(silica, small_batch):
    method = build(silica, property_dropout=0.5, cross_entropy=1.0)
    batch = rock_salt(small_batch(2, 2, sizes=(64, 64)))
    batch.properties[:] = torch.tensor([[23.0, 5.0], [25.0, 5.2]])
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    seen, rows = set(), []
    for step in range(40):
        noise = BatchNoise(128, 2, torch.Generator().manual_seed(step % 4))
        losses = method.training_loss(batch, noise, teacher=method, progress=1.0)
        optimizer.zero_grad()
        losses["loss"].backward()
        seen |= {
            name for name, p in method.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
        }
        optimizer.step()
        rows.append([float(losses[name].detach()) for name in ("positions", "cross_entropy")])
    assert seen == {name for name, _ in method.named_parameters()}
    begin, end = np.mean(rows[:4], axis=0), np.mean(rows[-4:], axis=0)
    assert bool((end < 0.9 * begin).all()), (begin, end)


# -- samplers with an exact score --------------------------------------------------------------------------

SKEWED = torch.tensor([[8.0, 0, 0], [3, 7, 0], [-2, 1, 9]], dtype=torch.float64)


def cloud(method, atoms: int, properties: torch.Tensor | None = None) -> Structures:
    table = torch.zeros(1, 0) if properties is None else properties
    return Structures.empty_cells(SKEWED[None], torch.tensor([atoms]), table.double())


def normal_data(method, centre, variance):
    """Exact prediction for coordinates that are wrapped-normal around the positions ``centre``."""

    def predict(structures, t):
        sigma = method.process.sigma(t[:, None], structures)
        spread = torch.sqrt(sigma**2 + variance)
        x = fractional(structures.positions, structures)
        scaled = sigma / spread * scaled_score(x - centre(structures), spread)
        logits = scaled.new_zeros(len(x), method.masks.kinds) if method.masks else None
        return Score(positions=scaled, species=logits)

    method.predict = predict


@pytest.mark.parametrize(
    ("sampler", "snr"), [("predictor", 0.4), ("predictor-corrector", 0.1), ("predictor-corrector", 0.4)]
)
def test_exact_scores_lead_to_the_mean_and_variance_of_the_data(silicon, sampler, snr):
    """The error decreases with the number of steps. The corrector keeps 1 + snr^2 times the variance
    (test_wrapped_normal.py)."""
    method, atoms, variance = build(silicon, snr=snr), 2_000, 0.03**2
    normal_data(method, lambda structures: 0.4, variance)
    kept = variance * (1 + snr**2) if sampler == "predictor-corrector" else variance
    errors = []
    for steps in (3, 150):
        x = fractional(sample(method, cloud(method, atoms), steps, sampler).positions, cloud(method, atoms))
        errors.append(abs(float(x.var()) / kept - 1))
    assert x.mean(0).tolist() == pytest.approx([0.4] * 3, abs=0.003)
    assert errors[1] < 0.06
    assert errors[1] < errors[0] / 20


@pytest.mark.parametrize("sampler", ["predictor", "predictor-corrector"])
def test_exact_scores_of_a_lattice_end_on_it(silicon, sampler):
    method, atoms = build(silicon), 512
    grid = torch.cartesian_prod(*[torch.arange(8.0, dtype=torch.float64)] * 3) / 8 + 0.03
    normal_data(method, lambda structures: grid, 0.0)
    for steps in (10, 60):
        x = fractional(sample(method, cloud(method, atoms), steps, sampler).positions, cloud(method, atoms))
        away = (x - grid + 0.5).remainder(1) - 0.5
        far = float((away.abs() > 1e-6).double().mean())
        assert far < (0.01 if steps == 10 else 1e-9)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_guidance_multiplies_what_a_target_does(silica, weight):
    """For normal data whose mean depends on the target, and is 0.5 without, the guided score is that of ``weight``
    times the shift."""
    method, atoms = build(silica, guidance={"shear_modulus": weight}, snr=0.1), 1_000

    def centre(structures):
        return 0.5 + torch.nan_to_num(structures.properties[:, :1])[structures.batch] / 1000

    normal_data(method, centre, 0.03**2)
    cells = cloud(method, atoms, torch.tensor([[20.0, NAN]]))
    found = fractional(sample(method, cells, 40, "guided").positions, cells)
    assert float(found.mean()) == pytest.approx(0.5 + 0.02 * weight, abs=0.005)


def test_guidance_of_weight_one_and_zero(silica):
    """Weight 1 gives the native sampler with targets, weight 0 the one without, species included."""
    targets, none = torch.tensor([[24.0, NAN]]), torch.full((1, 2), NAN)

    def made(sampler, properties, **weight):
        method = build(silica, **weight).double()
        return sample(method, start(silica, (20,), properties=properties, dtype=torch.float64), 5, sampler)

    asked, free = made("predictor-corrector", targets), made("predictor-corrector", none)
    for weight, wanted in ((1.0, asked), (0.0, free)):
        found = made("guided", targets, guidance={"shear_modulus": weight, "ring_size": 50.0})
        torch.testing.assert_close(found.positions, wanted.positions, rtol=0, atol=1e-6)
        assert torch.equal(found.species, wanted.species)
    assert (asked.positions - free.positions).abs().max() > 1e-4
    torch.testing.assert_close(made("guided", none).positions, free.positions, rtol=0, atol=1e-6)


def test_guidance_weighs_logits(silica):
    """Where a target changes log-odds of species by 1, guidance changes them by ``weight``."""
    method, n = build(silica, guidance={"shear_modulus": 3.0}), 30_000
    moved = torch.tensor([1.0, 0.0, 0.0])

    def predict(structures, t):
        asked = (~structures.properties[:, :1].isnan())[structures.batch]
        return Score(positions=torch.zeros(n, 3), species=asked * moved)

    method.predict = predict
    cells = start(silica, (n,), properties=torch.tensor([[24.0, NAN]]))
    shares = torch.bincount(sample(method, cells, 4, "guided").species, minlength=3) / n
    assert shares.tolist() == pytest.approx(torch.softmax(3 * moved, 0).tolist(), abs=0.01)


def test_ghosts_do_not_set_the_corrector_s_step(silica):
    """The score of a ghost is 0; the step size is that of the atoms alone."""
    method = build(silica).double()
    cells = start(silica, (40,), dtype=torch.float64)
    species = torch.arange(40) % 4  # of all kinds, masked ones too
    generator = torch.Generator().manual_seed(0)
    scaled = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    score = Score(positions=scaled.masked_fill((species == 2)[:, None], 0.0), species=None)
    t = torch.full((1, 1), 0.3, dtype=torch.float64)
    state = replace(cells, positions=cartesian(torch.full_like(scaled, 0.5), cells), species=species)
    moved = method.corrector_step(state, score, t, StructureNoise([40], [1], dtype=torch.float64))
    z = StructureNoise([40], [1], dtype=torch.float64).normal_atoms(3)
    atoms, sigma = species != 2, method.process.sigma(t, state)
    step = 2 * 0.16 * (z[atoms] ** 2).sum() / ((scaled / sigma)[atoms] ** 2).sum()
    wanted = 0.5 + step * score.positions / sigma + torch.sqrt(2 * step) * z
    torch.testing.assert_close(fractional(moved.positions, state), wanted, **EXACT)


def test_prior_is_uniform_and_masked(silica):
    method = build(silica)
    n = 20_000
    cells = Structures.empty_cells(SKEWED[None], torch.tensor([n]), torch.zeros(1, 2).double())
    state = method.prior(cells, StructureNoise([n], [0], dtype=torch.float64))
    x = fractional(state.positions, cells)
    assert bool((state.species == 3).all())
    assert float((x.mean(0) - 0.5).abs().max()) < 0.01
    assert float((x.var(0) - 1 / 12).abs().max()) < 0.002


# -- checkpoints -------------------------------------------------------------------------------------------


def test_presets(silica):
    standard, paper = (MatterGen.default_config(name, silica) for name in MatterGen.networks)
    assert standard["network"]["neighbours"] == 20
    assert (paper["network"]["hidden"], paper["network"]["blocks"]) == (512, 4)
    assert paper["network"]["cutoff"] == 7.0
    assert build(silica).preferred_sampler() == "guided"
