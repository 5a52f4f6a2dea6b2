"""MeshGraphNets on periodic atoms: output of a layer, and symmetries of the networks."""

from dataclasses import replace

import pytest
import torch

from amsbench.baselines.graphite import mesh_graph_net
from amsbench.baselines.graphite.mesh_graph_net import (
    GraphiteScoreNetwork,
    MeshGraphNetConfig,
    MeshLayer,
    PropertyNetwork,
    edge_inputs,
    with_empty_edges,
)
from amsbench.benchmark.interface.neighbour_graph import Graph, neighbour_graph
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.state import State

SMALL = MeshGraphNetConfig(hidden=16, layers=2, cutoff=4.0)


def score_network(task) -> GraphiteScoreNetwork:
    torch.manual_seed(0)
    return GraphiteScoreNetwork(task, SMALL, 4).double()


def asked(network: GraphiteScoreNetwork, structures: Structures, elements, seeds=(1, 2)):
    """eps and probabilities for the given embeddings, at one time per seed."""
    null = network.null_properties(
        StructureNoise(structures.counts.tolist(), seeds[: len(structures)], dtype=torch.float64)
    )
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)[2 - len(structures) :]
    evidence = 2 * elements if elements is not None else None
    return network(State(structures=structures, elements=elements), null, t, evidence)


def embeddings(atoms: int, width: int):
    return torch.randn(atoms, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def supercell(structures: Structures, elements):
    """The 2 x 2 x 2 supercell of a structure, with its embeddings."""
    images = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 3) @ structures.cells[0]
    atoms = len(structures.positions)
    return Structures(
        positions=(images[:, None] + structures.positions).flatten(0, 1),
        cells=2 * structures.cells,
        species=structures.species.repeat(8),
        batch=torch.zeros(8 * atoms, dtype=torch.long),
        counts=torch.tensor([8 * atoms]),
        properties=structures.properties,
    ), elements.repeat(8, 1)


def test_layer_edge_by_edge():
    """The layer computes v_i' = v_i + f([v_i, sum_j e_ij']) and e_ij' = e_ij + g([v_i, v_j, e_ij]), summed over the
    edges to i."""
    torch.manual_seed(0)
    layer, hidden = MeshLayer(5).double(), 5
    receivers, senders = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([1, 1, 2, 0, 2])
    graph = Graph(receivers=receivers, senders=senders, shifts=torch.zeros(5, 3).double())
    v, e = embeddings(4, hidden), 2 * embeddings(5, hidden)
    new_v, new_e = layer(v, e, graph)

    first = torch.cat([layer.receiver.weight, layer.sender.weight, layer.edge.weight], dim=1)
    sums = torch.zeros_like(v)
    for k, (i, j) in enumerate(zip(receivers.tolist(), senders.tolist(), strict=True)):
        hidden_edge = first @ torch.cat([v[i], v[j], e[k]]) + layer.receiver.bias
        wanted = e[k] + layer.edge_rest(hidden_edge)
        torch.testing.assert_close(new_e[k], wanted)
        sums[i] += wanted
    for i in range(4):
        torch.testing.assert_close(new_v[i], v[i] + layer.node(torch.cat([v[i], sums[i]])))


def test_edges_are_told_their_vectors(small_batch):
    batch = small_batch(1, 0, dtype=torch.float64)
    graph = neighbour_graph(batch, 4.0)
    found = edge_inputs(graph, batch.positions)
    wanted = batch.positions[graph.receivers] - batch.positions[graph.senders] - graph.shifts
    torch.testing.assert_close(found[:, :3], wanted)
    torch.testing.assert_close(found[:, 3], wanted.norm(dim=1))
    assert found[:, 3].max() < 4.0


def test_translations_and_permutations(silica, small_batch):
    network = score_network(silica)
    batch = small_batch(3, 2, dtype=torch.float64)
    e = embeddings(51, 3)
    before = asked(network, batch, e)

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(-2, 3, (51, 3), generator=generator).double()
    moved = batch.positions + torch.tensor([0.7, -3.0, 11.0])
    moved = moved + torch.einsum("ni,nij->nj", images, batch.cells[batch.batch])
    after = asked(network, batch.with_positions(moved), e)
    torch.testing.assert_close(after.positions, before.positions, rtol=0, atol=1e-10)
    torch.testing.assert_close(after.elements, before.elements, rtol=0, atol=1e-10)

    order = torch.cat([torch.randperm(20, generator=generator), 20 + torch.randperm(31, generator=generator)])
    after = asked(network, batch.with_positions(batch.positions[order]), e[order])
    torch.testing.assert_close(after.positions, before.positions[order], rtol=0, atol=1e-10)
    torch.testing.assert_close(after.elements, before.elements[order], rtol=0, atol=1e-10)
    assert before.positions.std() > 0.01


def test_rotations_are_not_built_in(silica, small_batch):
    network = score_network(silica)
    batch = small_batch(3, 2, dtype=torch.float64)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    turned = replace(batch, positions=batch.positions @ quarter.T, cells=batch.cells @ quarter.T)
    e = embeddings(51, 3)
    before, after = asked(network, batch, e), asked(network, turned, e)
    assert (after.positions - before.positions @ quarter.T).abs().max() > 0.01


def test_a_small_cell_is_its_supercell(silica):
    """In a small cell an atom is a neighbour of others, and of itself, through several images."""
    network = score_network(silica)
    generator = torch.Generator().manual_seed(0)
    cell = torch.tensor([[4.2, 0, 0], [0.6, 4.4, 0], [-0.5, 0.3, 4.6]], dtype=torch.float64)
    small = Structures.empty_cells(
        cell[None], torch.tensor([5]), torch.full((1, 2), torch.nan, dtype=torch.float64)
    )
    small = small.with_positions(torch.rand(5, 3, generator=generator, dtype=torch.float64) @ cell)
    graph = neighbour_graph(small, SMALL.cutoff)
    pairs = torch.stack([graph.receivers, graph.senders], dim=1)
    assert len(pairs) > len(pairs.unique(dim=0))
    e = embeddings(5, 3)
    found = asked(network, small, e)
    wanted = asked(network, *supercell(small, e))
    torch.testing.assert_close(found.positions.repeat(8, 1), wanted.positions, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.elements.repeat(8, 1), wanted.elements, rtol=0, atol=1e-10)

    torch.manual_seed(0)
    properties = PropertyNetwork(silica, SMALL).double()
    shares = torch.softmax(e, dim=-1)
    torch.testing.assert_close(
        properties(small, shares), properties(*supercell(small, shares)), rtol=0, atol=1e-10
    )


def test_structures_of_a_batch_are_apart(silica, small_batch):
    network = score_network(silica)
    batch = small_batch(3, 2, dtype=torch.float64)
    e = embeddings(51, 3)
    alone = Structures(
        positions=batch.positions[20:],
        cells=batch.cells[1:],
        species=batch.species[20:],
        batch=batch.batch[20:] - 1,
        counts=batch.counts[1:],
        properties=batch.properties[1:],
    )
    both, single = asked(network, batch, e), asked(network, alone, e[20:], seeds=(2,))
    torch.testing.assert_close(both.positions[20:], single.positions, rtol=0, atol=1e-10)
    properties, shares = PropertyNetwork(silica, SMALL).double(), torch.softmax(e, dim=-1)
    torch.testing.assert_close(
        properties(batch, shares)[1:], properties(alone, shares[20:]), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(("atoms", "edges"), [(5, 7), (32, 40), (32, 512), (40, 0)])
def test_empty_edges_are_between_empty_rows(atoms, edges, monkeypatch):
    monkeypatch.setattr(
        mesh_graph_net, "padded_row_count", lambda count, multiple, example: -(-count // multiple) * multiple
    )
    ends = torch.arange(edges) % atoms
    graph = Graph(receivers=ends, senders=ends.flip(0), shifts=torch.rand(edges, 3))
    found, rows = with_empty_edges(graph, torch.zeros(atoms, 1))
    assert len(found.senders) == len(found.receivers) == len(found.shifts)
    assert len(found.senders) % 512 == rows % 32 == 0
    for name in ("receivers", "senders", "shifts"):
        torch.testing.assert_close(getattr(found, name)[:edges], getattr(graph, name), rtol=0, atol=0)
    added = torch.cat([found.receivers[edges:], found.senders[edges:]])
    assert bool(((atoms <= added) & (added < rows)).all())


def test_time_and_every_property_reach_the_network(silica, small_batch):
    """The output depends on the time at once, and on properties and null vectors after the first training step."""
    network = score_network(silica)
    batch = small_batch(3, 2, sizes=(20,), dtype=torch.float64)
    null, e = torch.zeros(1, 8, dtype=torch.float64), embeddings(20, 3)
    nan = torch.nan

    def eps(t, properties, null=null):
        row = torch.tensor([properties], dtype=torch.float64)
        state = State(structures=replace(batch, properties=row), elements=e)
        return network(state, null, torch.tensor([t], dtype=torch.float64), e).positions

    assert bool((eps(0.3, (20.0, nan)) == eps(0.3, (nan, nan), null + 1)).all())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    (eps(0.3, (20.0, nan)) ** 2).sum().backward()
    optimizer.step()
    cases = [
        eps(0.3, (nan, nan), null + 1),
        eps(0.3, (nan, nan)),
        eps(0.31, (nan, nan)),
        eps(0.3, (20.0, nan)),
        eps(0.3, (nan, 5.0)),
        eps(0.3, (20.0, 5.0)),
    ]
    for k in range(len(cases)):
        for other in range(k):
            assert (cases[k] - cases[other]).abs().max() > 1e-4


def test_ghosts_have_no_part_in_the_mean(silica, small_batch):
    """A network whose output is the species of each atom returns the composition without ghosts."""

    class Species(torch.nn.Module):
        def forward(self, features, structures, presence):
            return features[:, :2]

    batch = small_batch(3, 2, dtype=torch.float64)
    network = PropertyNetwork(silica, SMALL)
    network.network = Species()
    found = network(batch, torch.nn.functional.one_hot(batch.species, 3).double())
    for k in range(2):
        kinds = batch.species[batch.batch == k]
        atoms = (kinds < 2).sum()
        assert found[k].tolist() == pytest.approx([float((kinds == s).sum() / atoms) for s in range(2)])


def test_atoms_at_one_place_and_atoms_alone_have_gradients(silicon):
    """Gradients are finite for two atoms at one position and for a structure without edges."""
    torch.manual_seed(0)
    network = GraphiteScoreNetwork(silicon, SMALL, 4).double()
    structures = Structures.empty_cells(
        torch.eye(3, dtype=torch.float64).repeat(2, 1, 1) * 9, torch.tensor([2, 1]), torch.zeros(2, 0)
    )
    x = structures.positions.requires_grad_()
    found = network(
        State(structures=structures, elements=None),
        torch.zeros(2, 0),
        torch.full((2,), 0.5, dtype=torch.float64),
        None,
    )
    found.positions.square().sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_what_is_a_ghost_for_certain_says_nothing_to_others(silica, small_batch):
    """Certain ghosts have no effect on other atoms; atoms do. Otherwise sums over neighbours would be mostly noise."""
    network, ghost = score_network(silica), silica.ghost
    batch = small_batch(3, 2, dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(batch.species, 3).double()
    real = batch.species != ghost
    assert 0 < real.sum() < len(real)
    alone = replace(
        batch,
        positions=batch.positions[real],
        species=batch.species[real],
        batch=batch.batch[real],
        counts=torch.bincount(batch.batch[real], minlength=2),
    )
    found = asked(network, batch, 100 * one_hot).positions
    torch.testing.assert_close(found[real], asked(network, alone, 100 * one_hot[real]).positions)
    moved = replace(batch, positions=batch.positions + 0.3 * (batch.species == 0)[:, None])
    assert (asked(network, moved, 100 * one_hot).positions - found).abs()[batch.species == 1].max() > 1e-4
