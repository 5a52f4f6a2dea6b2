"""CDVAE: contract of a method, losses computed by hand, and a decoder without noise level."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from amsbench.baselines.cdvae.method import CDVAE, LATENT_GRADIENT
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.interface.task import Task
from amsbench.errors import AmsbenchError

NAN = math.nan
GLASS = Task(
    dataset="meg",
    dataset_hash="none",
    elements=("Si", "Na", "Li", "Al", "Ca", "Mg", "K", "B", "P", "Zn", "O"),
    ghost_density=0.11,
    properties=("young_modulus", "shear_modulus", "lithium"),
    property_mean=(80.0, 30.0, 5.0),
    property_std=(20.0, 8.0, 4.0),
    property_min=(20.0, 10.0, 0.0),
    property_max=(160.0, 70.0, 30.0),
)
SMALL = {"cutoff": 4.0, "neighbours": 12, "radial": 6, "angular": 3, "triplet": 4}
SIZES = (20, 31)


def build(task, **changes) -> CDVAE:
    torch.manual_seed(0)
    config = CDVAE.default_config("standard", task)
    config["encoder"] |= SMALL | {"hidden": 12, "blocks": 1}
    config["decoder"] |= SMALL | {"hidden": 24, "blocks": 2}
    return CDVAE(task, config | {"latent": 8, "head": 16, "property_width": 4, "latent_steps": 30} | changes)


def at_level(sigma) -> dict:
    """Settings with a single noise level."""
    return {"first": 2 * sigma, "last": sigma, "count": 1}


def start(task, sizes=SIZES, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), NAN) if properties is None else properties
    return Structures.empty_cells(9 * torch.eye(3).repeat(len(sizes), 1, 1), torch.tensor(sizes), table)


def sample(method, steps, sampler, properties=None, sizes=SIZES, seeds=(1, 2)) -> Structures:
    with torch.no_grad():
        cells = start(method.task, sizes, properties)
        return method.sample(cells, steps, sampler, StructureNoise(sizes, seeds))


def batch_noise(batch, seed=0, **options) -> BatchNoise:
    dtype = batch.positions.dtype
    generator = torch.Generator().manual_seed(seed)
    return BatchNoise(len(batch.positions), len(batch), generator, dtype=dtype, **options)


def losses_of(method, batch, noise=None):
    return method.training_loss(batch, noise or batch_noise(batch), teacher=method, progress=0.0)


def silica_batch(small_batch, dtype=torch.float32) -> Structures:
    batch = small_batch(2, 2, dtype=dtype)
    batch.properties[:] = torch.tensor([[23.0, NAN], [25.0, 5.2]])
    return add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))


def watched(method) -> list:
    """List of all further inputs and outputs of the decoder: (structures, conditioning, vectors, logits)."""
    calls = []
    method.decoder.register_forward_hook(lambda _, given, made: calls.append((*given, *made)))
    return calls


def telling_apart(task) -> CDVAE:
    """Method whose decoder bias is shifted by the mean logits, so that the likeliest species of the untrained network
    differ between atoms."""
    method = build(task)
    calls = watched(method)
    sample(method, 1, "langevin")
    method.decoder.types.bias.data -= calls[0][3].mean(0)
    return method


@pytest.mark.parametrize("elements", ["silicon", "silica", "glass"])
@pytest.mark.parametrize("steps", [1, 3, 11, 50, 53])
def test_evaluations_are_those_that_happen(elements, steps, silicon, silica):
    task = {"silicon": silicon, "silica": silica, "glass": GLASS}[elements]
    method = build(task)
    targets = torch.tensor(task.property_mean).repeat(2, 1)
    calls = watched(method)
    for sampler in method.samplers:
        calls.clear()
        made = sample(method, steps, sampler.name, targets)
        assert len(calls) == steps == sampler.evaluations(method, steps)
        assert float(made.positions.abs().max()) <= 4.5 + 1e-4  # half a cell


def test_types_are_the_likeliest_after_every_step(silica):
    method = telling_apart(silica)
    calls = watched(method)
    made = sample(method, 4, "langevin")
    assert len(set(made.species.tolist())) > 1
    for (*_, logits), (after, *_) in zip(calls, [*calls[1:], (made,)], strict=True):
        assert torch.equal(after.species, logits.argmax(-1))


def test_latent_gradient_moves_only_structures_with_targets(silica, silicon):
    method = build(silica)
    targets = torch.tensor([[NAN, NAN], [30.0, NAN]])
    free, led = (sample(method, 3, sampler.name, targets) for sampler in method.samplers)
    assert torch.equal(free.positions[:20], led.positions[:20])
    assert (free.positions[20:] - led.positions[20:]).abs().max() > 1e-5
    assert method.preferred_sampler() == LATENT_GRADIENT.label(method, 3) == "latent-gradient"
    without = build(silicon)
    free, led = (sample(without, 3, sampler.name) for sampler in without.samplers)
    assert torch.equal(free.positions, led.positions)
    assert without.preferred_sampler() == LATENT_GRADIENT.label(without, 3) == "langevin"


def test_latent_gradient_reaches_the_targets(silica):
    """The property head predicts the targets for the z that the decoder reads."""
    method, targets = (
        build(silica, latent_steps=300, latent_rate=0.05),
        torch.tensor([[26.0, NAN], [20.0, 5.3]]),
    )
    calls = watched(method)
    for sampler, error in (("langevin", 0.3), ("latent-gradient", 0.01)):
        calls.clear()
        sample(method, 1, sampler, targets)
        wanted, given = method.embedding.standardised(targets)
        z = calls[0][1][:, : method.config["latent"]]
        worst = (method.property_head(z) - wanted).abs()[given].max()
        assert bool(worst < error) == (sampler == "latent-gradient")


class Scaled(BatchNoise):
    """Noise of the atoms divided by a factor, so that twice the level with half the noise gives the same structure."""

    factor = 1.0

    def normal_atoms(self, width):
        return super().normal_atoms(width) / self.factor


def test_decoder_does_not_know_the_noise(silica, small_batch):
    """The same z and noisy structure at another level give the same output; the target differs by the level."""
    batch = silica_batch(small_batch, torch.float64)
    outputs, positions = [], []
    for sigma in (0.2, 0.4):
        method = build(silica, levels=at_level(sigma)).double()
        noise = Scaled(len(batch.positions), 2, torch.Generator().manual_seed(0), dtype=torch.float64)
        noise.factor = sigma
        calls = watched(method)
        losses = losses_of(method, batch, noise)
        outputs.append(calls[0])
        positions.append(float(losses["positions"].detach()))
    (given, told, vectors, logits), (given_too, told_too, vectors_too, logits_too) = outputs
    torch.testing.assert_close(given.positions, given_too.positions, rtol=0, atol=1e-12)
    assert torch.equal(told, told_too)
    torch.testing.assert_close(vectors, vectors_too, rtol=0, atol=1e-10)
    torch.testing.assert_close(logits, logits_too, rtol=0, atol=1e-10)
    assert positions[0] > 2 * positions[1]


def test_first_call_of_a_path_does_not_depend_on_its_level(silica):
    """A path of one step begins at 0.01 A, one of two steps at 10 A."""
    method = build(silica)
    calls = watched(method)
    for steps in (1, 2):
        sample(method, steps, "langevin")
    (_, told, vectors, logits), (_, told_too, vectors_too, logits_too), _ = calls
    assert torch.equal(told, told_too)
    assert torch.equal(vectors, vectors_too)
    assert torch.equal(logits, logits_too)


@pytest.mark.parametrize("sigma", [0.3, 6.0])
def test_losses_by_hand(sigma, silica, small_batch):
    """The losses equal sums over atoms of inputs and outputs of the decoder; cubic cells, so that the minimum image is
    that of each axis."""
    batch = replace(
        silica_batch(small_batch, torch.float64), cells=8.8 * torch.eye(3).repeat(2, 1, 1).double()
    )
    method = build(silica, levels=at_level(sigma), type_levels=at_level(0.7)).double()
    calls = watched(method)
    with torch.no_grad():
        losses = losses_of(method, batch)
        ((noisy, told, vectors, logits),) = calls
        composition = torch.log_softmax(method.composition_head(told), -1)
    parts = {"positions": [], "species": [], "composition": []}
    for k in range(2):
        rows = torch.nonzero(batch.batch == k)[:, 0].tolist()
        errors = dict.fromkeys(parts, 0.0)
        for i in rows:
            moved = (batch.positions[i] - noisy.positions[i]).numpy()
            nearest = moved - 8.8 * np.round(moved / 8.8)
            wanted = torch.tensor(nearest / sigma**2) * (int(batch.species[i]) != silica.ghost)
            errors["positions"] += 0.5 * sigma**2 * ((vectors[i] / sigma - wanted) ** 2).sum()
            errors["species"] += -torch.log_softmax(logits[i], -1)[batch.species[i]] / 0.7
            errors["composition"] += -composition[k, batch.species[i]]
        for name, error in errors.items():
            parts[name].append(error / len(rows))
    for name, found in parts.items():
        assert float(losses[name]) == pytest.approx(float(sum(found) / 2), rel=1e-9)
    weighted = sum(
        method.config["weights"][name] * float(losses[name]) for name in (*parts, "properties", "kl")
    )
    assert float(losses["loss"]) == pytest.approx(weighted, rel=1e-9)
    assert float(losses["ghost_share"]) == pytest.approx(float((logits.argmax(-1) == 2).double().mean()))
    assert float(losses["ghost_share_data"]) == pytest.approx(float((batch.species == 2).double().mean()))


def test_absent_labels_never_reach_a_loss(silica, small_batch):
    """Absent labels have no error: without labels the head has no gradient, and no loss is NaN."""
    batch = silica_batch(small_batch)
    assert float(losses_of(build(silica), batch)["properties"].detach()) > 0
    batch.properties[:] = NAN
    losses = losses_of(build(silica), batch)
    assert float(losses["properties"].detach()) == 0.0
    assert all(bool(torch.isfinite(value)) for value in losses.values())


def test_hidden_labels_are_hidden_from_the_decoder_alone(silica, small_batch):
    """With all labels hidden the decoder reads the same as without labels; the property head still learns from them."""
    batch = silica_batch(small_batch)
    method = build(silica, property_dropout=1.0)
    calls = watched(method)
    with torch.no_grad():
        hidden = losses_of(method, batch)
        absent = losses_of(method, replace(batch, properties=torch.full_like(batch.properties, NAN)))
        method.config["property_dropout"] = 0.0
        losses_of(method, batch)
    assert torch.equal(calls[0][1], calls[1][1])
    assert not torch.equal(calls[0][1], calls[2][1])
    assert float(hidden["properties"]) > 0 == float(absent["properties"])


def test_noisy_types_in_training(silica, small_batch):
    """Over many draws the type of an atom is the true one with probability (1 + sigma p) / (1 + sigma)."""
    batch, sigma = silica_batch(small_batch), 2.0
    method = build(silica, type_levels=at_level(sigma))
    composition = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    noise, draws = batch_noise(batch), 1_000
    found = torch.zeros(len(batch.species), 3)
    for _ in range(draws):
        noisy, told = method.noisy_types(batch, composition, noise)
        found += torch.nn.functional.one_hot(noisy.species, 3)
    assert torch.equal(told, torch.full((len(batch.species), 1), sigma))
    one_hot = torch.nn.functional.one_hot(batch.species, 3)
    wanted = (one_hot + sigma * composition[batch.batch]) / (1 + sigma)
    # means over atoms of one structure and type
    for structure in range(2):
        for kind in range(3):
            rows = (batch.batch == structure) & (batch.species == kind)
            allowed = 5 * (0.25 / (draws * float(rows.sum()))) ** 0.5
            torch.testing.assert_close(found[rows].mean(0) / draws, wanted[rows][0], rtol=0, atol=allowed)


def test_decoder_is_equivariant(silica, small_batch):
    batch = silica_batch(small_batch, torch.float64)
    method = build(silica).double()
    told = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = -torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix())
    images = torch.tensor(np.random.default_rng(0).integers(-2, 3, (len(batch.positions), 3))).double()
    moved = batch.positions + torch.einsum("ni,nij->nj", images, batch.cells[batch.batch]) + 1.2
    turned = replace(batch, positions=moved @ matrix, cells=batch.cells @ matrix)
    with torch.no_grad():
        (vectors, logits), (turned_vectors, turned_logits) = (
            method.decoder(b, told) for b in (batch, turned)
        )
    assert vectors.abs().max() > 1e-4
    torch.testing.assert_close(turned_vectors, vectors @ matrix, rtol=0, atol=1e-10)
    torch.testing.assert_close(turned_logits, logits, rtol=0, atol=1e-10)


def test_ghost_shares_are_those_after_every_step(silica, silicon):
    method = telling_apart(silica)
    calls = watched(method)
    with torch.no_grad():
        shares = method.ghost_shares(start(silica), 5, "langevin", StructureNoise(SIZES, [1, 2]))
    ghosts = [
        torch.stack([(logits.argmax(-1) == 2).float().split(SIZES)[k].mean() for k in (0, 1)])
        for *_, logits in calls
    ]
    torch.testing.assert_close(shares, torch.stack(ghosts))
    assert len(set(shares.flatten().tolist())) > 2
    with torch.no_grad():
        none = build(silicon).ghost_shares(start(silicon), 3, "langevin", StructureNoise(SIZES, [1, 2]))
    assert torch.equal(none, torch.zeros(3, 2))


def rock_salt(batch: Structures) -> Structures:
    """The batch with the 64 atoms of each structure on a lattice, which a network learns quickly."""
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    return replace(
        batch,
        positions=2.2 * grid.float().repeat(2, 1),
        species=(grid.sum(-1) % 2).repeat(2),
        cells=8.8 * torch.eye(3).repeat(2, 1, 1),
    )


def test_training_lowers_every_loss(silica, small_batch):
    method = build(silica)
    batch = rock_salt(small_batch(2, 2, sizes=(64, 64)))
    batch.properties[:] = torch.tensor([[20.0, 5.0], [28.0, 5.3]])
    batch = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)
    history = []
    for step in range(60):
        losses = losses_of(method, batch, batch_noise(batch, step % 4))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    for name in ("loss", "positions", "species", "composition", "properties"):
        assert sum(row[name] for row in history[-4:]) < 0.95 * sum(row[name] for row in history[:4])
    assert all(parameter.grad is not None for parameter in method.decoder.parameters())


@pytest.mark.parametrize("network", CDVAE.networks)
def test_presets(network, silicon, silica):
    """``paper`` has the sizes of the original, and every configuration is JSON data that rebuilds the method."""
    for task in (silicon, silica, GLASS):
        config = CDVAE.default_config(network, task)
        method = CDVAE(task, config)
        assert method.cutoff == config["decoder"]["cutoff"]
        assert config["decoder"]["neighbours"] == config["encoder"]["neighbours"] == 20
        assert config["levels"] == {"first": 10.0, "last": 0.01, "count": 50}
        assert config["type_levels"] == {"first": 5.0, "last": 0.01, "count": 50}
        assert config["weights"] | {"positions": 10.0, "kl": 0.01} == config["weights"]
        assert config["alpha"] == 1.0
    native = CDVAE.default_config("paper", silica)
    assert (native["latent"], native["encoder"]["blocks"], native["decoder"]["blocks"]) == (256, 4, 3)
    assert native["encoder"]["hidden"] == native["decoder"]["hidden"] == 128
    assert native["encoder"]["cutoff"] == 7.0


def test_card_names_every_sampler():
    assert set(CDVAE.card.evaluations) == {sampler.name for sampler in CDVAE.samplers}
    assert "2110.06197" in CDVAE.card.reference
    assert "MIT" in CDVAE.card.original


def test_unknown_sampler(silicon):
    with pytest.raises(AmsbenchError, match="no sampler 'heun'"):
        sample(build(silicon), 2, "heun")
