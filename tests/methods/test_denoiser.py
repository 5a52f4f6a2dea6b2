"""The denoiser: symmetries in float64, absent properties, batch independence."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods import denoiser as denoiser_module
from amsbench.methods.denoiser import LEAST_FRACTION, FlexibleDenoiser, likeliest_compositions, spatial_order
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.paper_denoiser import PaperDenoiser
from amsbench.methods.state import State

CONFIGS = {
    "standard": EGNNConfig(hidden=32, layers=3, cutoff=5.0),
    "tanh": EGNNConfig(hidden=32, layers=4, cutoff=5.0, edge_features="tanh"),
}


@pytest.fixture(params=[*CONFIGS, "composition", "paper"])
def denoiser(request, silica):
    torch.manual_seed(1)
    if request.param == "paper":
        literal = EGNNConfig(hidden=64, layers=4, cutoff=5.0, edge_features="tanh", form="paper")
        return PaperDenoiser(silica, literal, 16, reads_step_size=True).double()
    composition = request.param == "composition"
    config = CONFIGS["standard" if composition else request.param]
    made = FlexibleDenoiser(silica, config, composition=composition).double()
    if made.composition_head is not None:
        torch.nn.init.normal_(made.composition_head[-1].weight)  # silent until trained
    return made


def predict(denoiser, batch, elements, null, t=0.4, dt=0.1):
    times = torch.full((len(batch),), t, dtype=torch.float64)
    with torch.no_grad():
        found = denoiser(State(structures=batch, elements=elements), null, times, torch.full_like(times, dt))
    return found.positions, found.elements


@pytest.fixture
def example(small_batch, denoiser):
    batch = small_batch(3, 2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    elements = torch.randn(len(batch.positions), 3, generator=generator, dtype=torch.float64)
    noise = BatchNoise(len(batch.positions), len(batch), generator, dtype=torch.float64)
    return batch, elements, denoiser.null_properties(noise)


@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirror(denoiser, example, mirrored):
    batch, elements, null = example
    matrix = torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()) * (-1 if mirrored else 1)
    turned = replace(batch, positions=batch.positions @ matrix, cells=batch.cells @ matrix)
    positions, types = predict(denoiser, batch, elements, null)
    turned_positions, turned_types = predict(denoiser, turned, elements, null)
    assert positions.abs().max() > 1e-3  # the output is there at all
    torch.testing.assert_close(turned_positions, positions @ matrix, rtol=0, atol=1e-10)
    torch.testing.assert_close(turned_types, types, rtol=0, atol=1e-10)


def test_translation_and_images(denoiser, example):
    batch, elements, null = example
    random = np.random.default_rng(5)
    images = torch.tensor(random.integers(-2, 3, (len(batch.positions), 3)), dtype=torch.float64)
    moved = batch.positions + torch.einsum("ni,nij->nj", images, batch.cells[batch.batch]) + 1.234
    for before, after in zip(
        predict(denoiser, batch, elements, null),
        predict(denoiser, batch.with_positions(moved), elements, null),
        strict=True,
    ):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-10)


def test_permutation_within_structures(denoiser, example):
    batch, elements, null = example
    random = np.random.default_rng(6)
    offsets = batch.offsets.tolist()
    order = np.concatenate([random.permutation(np.arange(a, b)) for a, b in itertools.pairwise(offsets)])
    shuffled = replace(batch, positions=batch.positions[order], species=batch.species[order])
    for before, after in zip(
        predict(denoiser, batch, elements, null),
        predict(denoiser, shuffled, elements[order], null),
        strict=True,
    ):
        torch.testing.assert_close(after, before[order], rtol=0, atol=1e-10)


def test_a_structure_does_not_see_its_batch_mates(denoiser, example):
    batch, elements, null = example
    first = int(batch.counts[0])
    alone = replace(
        batch,
        positions=batch.positions[:first],
        cells=batch.cells[:1],
        species=batch.species[:first],
        batch=batch.batch[:first],
        counts=batch.counts[:1],
        properties=batch.properties[:1],
    )
    for together, single in zip(
        predict(denoiser, batch, elements, null),
        predict(denoiser, alone, elements[:first], null[:1]),
        strict=True,
    ):
        torch.testing.assert_close(single, together[:first], rtol=0, atol=1e-10)


def gas(*sizes):
    """Structures of random atoms in cubic cells of 0.1 atoms per cubic angstrom, some of them outside their cell."""
    generator = torch.Generator().manual_seed(5)
    sides = [(size / 0.1) ** (1 / 3) for size in sizes]
    positions = [
        side * (3 * torch.rand(size, 3, generator=generator) - 1)
        for side, size in zip(sides, sizes, strict=True)
    ]
    counts = torch.tensor(sizes)
    return Structures(
        positions=torch.cat(positions).double(),
        cells=torch.eye(3, dtype=torch.float64) * torch.tensor(sides, dtype=torch.float64)[:, None, None],
        species=torch.randint(2, (sum(sizes),), generator=generator),
        batch=torch.repeat_interleave(torch.arange(len(sizes)), counts),
        counts=counts,
        properties=torch.full((len(sizes), 2), torch.nan, dtype=torch.float64),
    )


def test_the_order_of_a_structure_keeps_its_atoms_and_does_not_depend_on_its_batch(monkeypatch):
    monkeypatch.setattr(denoiser_module, "SORTED_FROM", 200)
    order = spatial_order(gas(100, 300, 50, 200))
    assert order.sort().values.equal(torch.arange(650))
    assert order[:100].equal(torch.arange(100))
    assert order[400:450].equal(torch.arange(400, 450))
    assert not order[100:400].equal(torch.arange(100, 400))
    alone = gas(100, 300, 50, 200)
    (first,) = (alone.counts == 300).nonzero()[0]
    chosen = replace(
        alone,
        **{name: getattr(alone, name)[100:400] for name in ("positions", "species")},
        **{name: getattr(alone, name)[first : first + 1] for name in ("cells", "counts", "properties")},
        batch=torch.zeros(300, dtype=torch.int64),
    )
    assert (spatial_order(chosen) + 100).equal(order[100:400])
    assert spatial_order(gas(199, 100)) is None


def test_atoms_that_are_near_in_space_are_near_in_memory():
    """Of two random places in memory, half are further apart than 1 - 1/sqrt(2) of all; sorted atoms within 4.4 A are
    in the same or in adjacent ones of 10 layers of boxes."""
    structure = gas(8_000)
    order = spatial_order(structure)
    sorted_atoms = replace(structure, positions=structure.positions[order])
    for atoms, least, most in ((structure, 0.28, 0.31), (sorted_atoms, 0.0, 0.1)):
        graph = neighbour_graph(atoms, 4.4)
        inside = (graph.shifts == 0).all(1)
        steps = (graph.senders - graph.receivers)[inside].abs().double() / 8_000
        assert least < steps.median() < most


def test_a_prediction_does_not_depend_on_the_order_in_memory(silica, monkeypatch):
    torch.manual_seed(1)
    network = FlexibleDenoiser(silica, CONFIGS["standard"], composition=True).double()
    torch.nn.init.normal_(network.composition_head[-1].weight)
    batch = gas(60, 300)
    elements = torch.randn(360, 3, dtype=torch.float64)
    null = network.null_properties(BatchNoise(360, 2, torch.Generator(), dtype=torch.float64))
    expected = predict(network, batch, elements, null)
    monkeypatch.setattr(denoiser_module, "SORTED_FROM", 200)
    for found, value in zip(predict(network, batch, elements, null), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("composition", [False, True])
def test_the_composition_is_known_to_atoms_without_neighbours(silica, small_batch, composition):
    torch.manual_seed(2)
    denoiser = FlexibleDenoiser(silica, CONFIGS["standard"], composition=composition).double()
    batch = small_batch(1, 2, sizes=(2,), dtype=torch.float64)
    places = torch.tensor([[0.0, 0, 0], [15, 15, 15]], dtype=torch.float64)
    batch = replace(batch, positions=places, cells=30 * torch.eye(3, dtype=torch.float64)[None])
    null = denoiser.null_properties(BatchNoise(2, 1, torch.Generator().manual_seed(0), dtype=torch.float64))
    elements = torch.zeros(2, 3, dtype=torch.float64)
    _, before = predict(denoiser, batch, elements, null)
    elements[1, 0] = 1.0
    _, after = predict(denoiser, batch, elements, null)
    assert bool((after[0] != before[0]).any()) == composition


@pytest.mark.parametrize("composition", [False, True])
def test_what_a_structure_is_made_of_is_learnt_from_all_its_atoms(silica, composition):
    """All 64 distant atoms are of the first species or all of the second: at this noise a single embedding does not
    determine which, but the mean of 64 does."""
    torch.manual_seed(0)
    noise, atoms = 3.0, 64
    denoiser = FlexibleDenoiser(
        silica,
        EGNNConfig(hidden=16, layers=1, cutoff=2.0),
        predict_species_probabilities=True,
        composition=composition,
    )
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    grid = 10.0 * torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    structures = Structures(
        positions=grid.repeat(4, 1),
        species=torch.zeros(4 * atoms, dtype=torch.long),
        batch=torch.arange(4).repeat_interleave(atoms),
        cells=40 * torch.eye(3).repeat(4, 1, 1),
        counts=torch.full((4,), atoms),
        properties=torch.full((4, len(silica.properties)), torch.nan),
    )
    null = torch.zeros(4, denoiser.embedding.weight.numel())
    times = torch.full((4,), 0.9)
    losses = []
    for _ in range(300):
        species = torch.randint(2, (4,))[structures.batch]
        clean = torch.nn.functional.one_hot(species, 3).float()
        elements = clean + noise * torch.randn_like(clean)
        found = denoiser(
            State(structures=structures, elements=elements), null, times, 0 * times, elements / noise**2
        )
        loss = -(found.elements.gather(1, species[:, None]).log()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    # the difference of two means of 64 tells right in 97 % of the cases, that of one embedding in 59 %
    loss = np.mean(losses[-100:])
    assert 0.04 < loss < 0.2 if composition else loss > 0.6


def of_sizes(*sizes):
    """Structures with the given numbers of atoms at arbitrary positions."""
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return Structures(
        positions=torch.zeros(len(batch), 3, dtype=torch.float64),
        species=torch.zeros(len(batch), dtype=torch.long),
        batch=batch,
        cells=torch.eye(3, dtype=torch.float64).repeat(len(sizes), 1, 1),
        counts=torch.tensor(sizes),
        properties=torch.zeros(len(sizes), 0, dtype=torch.float64),
    )


def test_likeliest_compositions_of_embeddings_without_noise_are_the_counts():
    structures = of_sizes(4, 10)
    species = torch.tensor([0, 1, 1, 1] + 5 * [2] + 5 * [0])
    hot = torch.nn.functional.one_hot(species, 3).double()
    found = likeliest_compositions(100 * hot, structures)
    wanted = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted.clamp(min=LEAST_FRACTION))


def test_likeliest_compositions_find_what_no_embedding_tells():
    """The likeliest species of an embedding is wrong for about half of the atoms. The fractions of maximum likelihood
    are accurate to about the noise of 4,000 atoms, more than the fractions of the likeliest species."""
    generator = torch.Generator().manual_seed(0)
    truth, atoms, sigma = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=torch.float64), 4000, 0.7
    species = torch.multinomial(truth, atoms, replacement=True, generator=generator)
    hot = torch.nn.functional.one_hot(species, 4).double()
    noisy = hot + sigma * torch.randn(hot.shape, generator=generator, dtype=torch.float64)
    found = likeliest_compositions(noisy / sigma**2, of_sizes(atoms))[0]
    counted = torch.nn.functional.one_hot(noisy.argmax(1), 4).double().mean(0)
    assert (counted - truth).abs().max() > 0.1
    assert (found - truth).abs().max() < 0.05


@pytest.mark.parametrize("form", ["standard", "paper"])
def test_edges_appear_smoothly(silicon, small_batch, form):
    """The output is continuous when an atom enters the cutoff of another one."""
    torch.manual_seed(0)
    if form == "paper":
        literal = replace(CONFIGS["tanh"], form="paper")
        denoiser = PaperDenoiser(silicon, literal, 16, reads_step_size=True).double()
    else:
        denoiser = FlexibleDenoiser(silicon, CONFIGS["standard"]).double()
    cell = torch.eye(3, dtype=torch.float64)[None] * 30
    outputs = []
    for distance in (5.0 - 1e-7, 5.0 + 1e-7):
        batch = small_batch(1, 0, sizes=(2,), dtype=torch.float64)
        positions = torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64)
        batch = replace(batch, positions=positions, cells=cell)
        outputs.append(predict(denoiser, batch, None, torch.zeros(1, 0, dtype=torch.float64))[0])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-10)


def test_an_absent_property_is_never_a_number(denoiser, example):
    """For an absent property the output depends on the null vector only, and differs from that for 0 and for the
    mean."""
    batch, elements, null = example
    absent, _ = predict(denoiser, batch, elements, null)
    other, _ = predict(denoiser, batch, elements, null + 1.0)
    assert (absent - other).abs().max() > 1e-6
    for value in (0.0, 24.0):
        given = batch.properties.clone()
        given[:, 0] = value
        found, _ = predict(denoiser, replace(batch, properties=given), elements, null)
        assert (found - absent).abs().max() > 1e-6
        # where it is given the null vector of that property is not read
        width = denoiser.embedding.shape[1]
        changed = null.clone()
        changed[:, :width] += 1.0
        again, _ = predict(denoiser, replace(batch, properties=given), elements, changed)
        torch.testing.assert_close(again, found, rtol=0, atol=0)


def test_small_cells_have_several_images(silicon, small_batch):
    """In a cell thinner than twice the cutoff an atom has several images of a neighbour; the output equals that for a
    supercell."""
    torch.manual_seed(0)
    denoiser = FlexibleDenoiser(silicon, CONFIGS["standard"]).double()
    batch = small_batch(1, 0, sizes=(12,), dtype=torch.float64)
    batch = replace(batch, cells=torch.eye(3, dtype=torch.float64)[None] * 5.5)
    shifts = torch.cartesian_prod(*[torch.arange(2)] * 3).double() * 5.5
    double = replace(
        batch,
        positions=(batch.positions[:, None] + shifts).reshape(-1, 3),
        cells=batch.cells * 2,
        species=batch.species.repeat_interleave(8),
        batch=batch.batch.repeat_interleave(8),
        counts=batch.counts * 8,
    )
    null = torch.zeros(1, 0, dtype=torch.float64)
    small, _ = predict(denoiser, batch, None, null)
    large, _ = predict(denoiser, double, None, null)
    torch.testing.assert_close(large, small.repeat_interleave(8, dim=0), rtol=0, atol=1e-10)
