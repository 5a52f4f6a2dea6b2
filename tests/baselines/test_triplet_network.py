"""The triplet network: symmetries in float64, images, largest number of neighbours, angles, smoothness."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from amsbench.baselines.triplet_network import (
    TIE,
    TripletConfig,
    TripletNetwork,
    envelope,
    legendre,
    nearest_neighbours,
)
from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.benchmark.interface.structures import Structures

SMALL = TripletConfig(hidden=24, blocks=2, cutoff=5.0, neighbours=9, radial=12, angular=5, triplet=6)
EXACT = {"rtol": 0, "atol": 1e-10}


def network(grad: bool = False, **changes) -> TripletNetwork:
    torch.manual_seed(1)
    return TripletNetwork(replace(SMALL, **changes)).double().requires_grad_(grad)


def packed(cells, positions, counts) -> Structures:
    """Structures with the given positions [n, 3] in the given cells [s, 3, 3]."""
    counts = torch.tensor(counts)
    return Structures(
        positions=torch.as_tensor(positions, dtype=torch.float64),
        cells=torch.as_tensor(cells, dtype=torch.float64),
        species=torch.zeros(int(counts.sum()), dtype=torch.long),
        batch=torch.repeat_interleave(torch.arange(len(counts)), counts),
        counts=counts,
        properties=torch.zeros(len(counts), 0, dtype=torch.float64),
    )


def features(n: int, width: int = SMALL.hidden) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture
def example(small_batch):
    batch = small_batch(1, 0, dtype=torch.float64)
    return batch, features(len(batch.positions))


@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirror(example, mirrored):
    batch, h = example
    matrix = torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()) * (-1 if mirrored else 1)
    turned = replace(batch, positions=batch.positions @ matrix, cells=batch.cells @ matrix)
    net = network()
    (found, vectors), (turned_found, turned_vectors) = net(h, batch), net(h, turned)
    assert vectors.abs().max() > 1e-2  # the output is there at all
    torch.testing.assert_close(turned_vectors, vectors @ matrix, **EXACT)
    torch.testing.assert_close(turned_found, found, **EXACT)


def test_translation_and_images(example):
    batch, h = example
    random = np.random.default_rng(5)
    images = torch.tensor(random.integers(-2, 3, (len(batch.positions), 3)), dtype=torch.float64)
    moved = batch.positions + torch.einsum("ni,nij->nj", images, batch.cells[batch.batch]) + 1.234
    net = network()
    for before, after in zip(net(h, batch), net(h, batch.with_positions(moved)), strict=True):
        torch.testing.assert_close(after, before, **EXACT)


def test_permutation_within_structures(example):
    batch, h = example
    random = np.random.default_rng(6)
    offsets = batch.offsets.tolist()
    order = np.concatenate([random.permutation(np.arange(a, b)) for a, b in itertools.pairwise(offsets)])
    net = network()
    shuffled = net(h[order], batch.with_positions(batch.positions[order]))
    for before, after in zip(net(h, batch), shuffled, strict=True):
        torch.testing.assert_close(after, before[order], **EXACT)


def test_a_structure_does_not_see_its_batch_mates(example):
    batch, h = example
    first = int(batch.counts[0])
    alone = packed(batch.cells[:1], batch.positions[:first], [first])
    # a dense neighbour widens the table of the first, which has fewer edges than the cap
    dense = torch.cat([batch.positions[:first], batch.positions[first:] * 0.4])
    net = network(cutoff=2.5, neighbours=30)
    for together, single in zip(net(h, batch.with_positions(dense)), net(h[:first], alone), strict=True):
        torch.testing.assert_close(single, together[:first], **EXACT)


@pytest.mark.parametrize("neighbours", [20, 400])
def test_a_cell_and_its_supercell_are_the_same_crystal(neighbours):
    """In a cell of 9 A with a cutoff of 7 A most atoms are neighbours of each other through several images."""
    random = np.random.default_rng(0)
    cell = np.diag([9.0, 9.2, 8.8]) + random.uniform(-0.5, 0.5, (3, 3))
    places = random.random((12, 3)) @ cell
    images = np.array(list(itertools.product(range(2), repeat=3)))
    single = packed(cell[None], places, [12])
    large = packed(2 * cell[None], (places[None] + (images @ cell)[:, None]).reshape(-1, 3), [96])
    net = network(cutoff=7.0, neighbours=neighbours)
    rows = nearest_neighbours(neighbour_graph(single, 7.0), single.positions, neighbours)
    pairs = [(i, j) for i in range(12) for j in rows.senders[i][rows.there[i]].tolist()]
    assert len(pairs) > len(set(pairs)) + 12
    h = features(12)
    for one, many in zip(net(h, single), net(h.repeat(8, 1), large), strict=True):
        torch.testing.assert_close(many, one.repeat(8, 1), **EXACT)


def test_silent_atoms_are_nobody_s_neighbours(example):
    """Silent atoms have no effect on other atoms; their own output is that of an additional atom at their position."""
    batch, h = example
    first = int(batch.counts[0])
    silent = torch.zeros(len(h), dtype=torch.bool)
    silent[[1, 4, first + 2]] = True
    left = replace(
        batch,
        positions=batch.positions[~silent],
        species=batch.species[~silent],
        batch=batch.batch[~silent],
        counts=batch.counts - torch.tensor([2, 1]),
    )
    net = network()
    found, vectors = net(h, batch, silent)
    without, vectors_without = net(h[~silent], left)
    torch.testing.assert_close(found[~silent], without, **EXACT)
    torch.testing.assert_close(vectors[~silent], vectors_without, **EXACT)
    assert vectors[silent].abs().max() > 1e-2
    assert (
        net(h, batch)[1][~silent] - vectors[~silent]
    ).abs().max() > 1e-2  # heard, they would have mattered


@pytest.mark.parametrize("most", [5, 20, 1000])
def test_the_nearest_edges_are_kept(example, most):
    batch, _ = example
    graph = neighbour_graph(batch, 5.0)
    rows = nearest_neighbours(graph, batch.positions, most)
    lengths = torch.linalg.vector_norm(graph.vectors(batch.positions), dim=-1)
    kept = torch.linalg.vector_norm(rows.vectors(batch.positions), dim=-1)
    for atom in range(len(batch.positions)):
        wanted = lengths[graph.receivers == atom].sort().values[:most]
        there = rows.there[atom]
        assert int(there.sum()) == len(wanted)
        # neighbours closer to each other than TIE may stand in either order
        torch.testing.assert_close(kept[atom][there].sort().values, wanted, rtol=0, atol=TIE)
        assert bool((rows.senders[atom][~there] == atom).all())
    assert bool((kept[~rows.there] == 0).all())


def test_equal_distances_are_cut_by_index():
    """Of the 12 atoms of the second shell of a simple cubic crystal the five with the smallest indices remain with 6 +
    5 neighbours, whatever the rounding errors of a translation."""
    grid = 2.7 * torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 3)
    crystal = packed(10.8 * torch.eye(3)[None], grid, [64])
    found = []
    for shift in (0.0, 0.1234567, 3.3):
        moved = crystal.positions + shift * torch.tensor([1.0, 0.3, -0.7], dtype=torch.float64)
        rows = nearest_neighbours(neighbour_graph(crystal.with_positions(moved), 4.5), moved, 11)
        found.append(rows.senders)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    graph = neighbour_graph(crystal, 4.5)
    lengths = torch.linalg.vector_norm(graph.vectors(grid), dim=-1)
    second = graph.senders[(graph.receivers == 21) & (lengths > 3)]
    assert len(second) == 12
    assert found[0][21, 6:].tolist() == second.sort().values[:5].tolist()


def test_legendre_polynomials():
    cosine = torch.linspace(-1, 1, 41, dtype=torch.float64).view(1, 1, -1)
    found = legendre(cosine, 6)[0, 0]
    for degree in range(6):
        wanted = math.sqrt(2 * degree + 1) * eval_legendre(degree, cosine[0, 0].numpy())
        torch.testing.assert_close(found[degree], torch.as_tensor(wanted), rtol=0, atol=1e-13)
    assert legendre(cosine, 1).shape == (1, 1, 1, 41)


def test_triplet_sums_are_those_of_a_loop_over_pairs_of_edges(example):
    """The first block agrees with the formula in the module's docstring, edge by edge."""
    batch, h = example
    net = network(blocks=1)
    block, seen = net.blocks[0], {}
    block.up.register_forward_hook(lambda module, inputs, output: seen.update(inner=output))
    block.down.register_forward_hook(lambda module, inputs, output: seen.update(x=output))
    net(h, batch)
    rows = nearest_neighbours(neighbour_graph(batch, 5.0), batch.positions, SMALL.neighbours)
    vectors = rows.vectors(batch.positions)
    distance = torch.linalg.vector_norm(vectors, dim=-1)
    smooth = envelope(distance / 5.0) * rows.there
    radial = net.basis(distance.flatten()).view(*distance.shape, -1) * smooth[..., None]
    a, b = block.up_radial(radial), block.down_radial(radial)
    x = torch.nn.functional.silu(seen["x"])
    for atom, slot in ((0, 0), (3, 4), (30, 8)):
        total = torch.zeros(SMALL.angular, SMALL.triplet, dtype=torch.float64)
        for other in range(SMALL.neighbours):
            if other == slot or not rows.there[atom, other]:
                continue
            cosine = torch.dot(vectors[atom, slot], vectors[atom, other])
            cosine = float(cosine / (distance[atom, slot] * distance[atom, other]))
            for degree in range(SMALL.angular):
                polynomial = math.sqrt(2 * degree + 1) * eval_legendre(degree, cosine)
                total[degree] += polynomial * b[atom, other] * x[atom, other]
        wanted = block.up.weight @ (a[atom, slot, :, None] * total).flatten() * SMALL.neighbours**-0.5
        torch.testing.assert_close(seen["inner"][atom, slot], wanted, rtol=1e-9, atol=1e-9)


def test_angles_between_edges_are_seen():
    """For two neighbours at fixed distances the output of the first block depends on their angle, except with the
    polynomial of degree 0 alone."""

    def outcome(degrees, angular):
        x, y = 2 * math.cos(math.radians(degrees)), 2 * math.sin(math.radians(degrees))
        structure = packed(30 * torch.eye(3)[None], [[10, 10, 10], [12, 10, 10], [10 + x, 10 + y, 10]], [3])
        return network(blocks=1, angular=angular)(features(1).repeat(3, 1), structure)[0][0]

    assert (outcome(90, 2) - outcome(120, 2)).abs().max() > 1e-5
    torch.testing.assert_close(outcome(90, 2), outcome(-90, 2), **EXACT)
    torch.testing.assert_close(outcome(90, 1), outcome(120, 1), **EXACT)


def test_edges_appear_smoothly():
    """The effect of an atom that enters the cutoff grows continuously, as the cube of its depth."""

    def outcome(distance):
        places = [[10, 10, 10], [11.5, 10, 10], [10, 10 + distance, 10]]
        structure = packed(40 * torch.eye(3)[None], places, [3])
        return torch.cat(network(cutoff=4.0)(features(3), structure), dim=-1)[0]

    apart = outcome(4.5)
    torch.testing.assert_close(outcome(4.0 + 1e-6), apart, **EXACT)
    near, nearer = ((outcome(4.0 - depth) - apart).abs().max() for depth in (0.08, 0.04))
    assert near > 1e-7
    assert float(near / nearer) == pytest.approx(8, rel=0.35)


def test_envelope_ends_with_two_vanishing_derivatives():
    u = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    value = envelope(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), u)
    assert value.tolist() == pytest.approx([1.0, 0.7734375, 0.0, 0.0], abs=1e-12)
    assert slope[[0, 2]].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert float(curvature[2]) == pytest.approx(0.0, abs=1e-12)


def test_isolated_atoms_and_atoms_on_top_of_each_other_are_finite():
    """Outputs are finite for a single atom, a pair, two atoms at one position, and a structure without edges."""
    places = [[1, 1, 1], [10, 10, 10], [11, 10, 10], [20, 20, 20], [20, 20, 20], [5, 5, 5]]
    structures = packed(30 * torch.eye(3).repeat(2, 1, 1), places, [5, 1])
    structures.positions.requires_grad_(True)
    h = features(6).requires_grad_(True)
    net = network(grad=True)
    found, vectors = net(h, structures)
    assert bool(torch.isfinite(found).all())
    assert bool((vectors[[0, 3, 4, 5]] == 0).all())
    assert vectors[1].abs().max() > 1e-4
    (found.square().sum() + found.sum() + vectors.sum()).backward()
    for leaf in (h, structures.positions, *net.parameters()):
        assert bool(torch.isfinite(leaf.grad).all())
    alone = packed(30 * torch.eye(3)[None], [[5, 5, 5]], [1])
    assert bool(torch.isfinite(net(features(1), alone)[0].detach()).all())


def test_gradients_reach_every_parameter_and_input(example):
    batch, h = example
    h.requires_grad_(True)
    net = network(grad=True)
    found, vectors = net(h, batch)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ((found * weights).sum() + vectors.square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 1e-8, name
    assert bool((h.grad.abs().amax(1) > 1e-8).all())
