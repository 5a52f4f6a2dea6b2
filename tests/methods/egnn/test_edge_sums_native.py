"""The native edge kernel against the torch implementation."""

import math
from dataclasses import replace

import pytest
import torch

from amsbench.benchmark.interface.neighbour_graph import Graph, neighbour_graph
from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.methods import product_precision
from amsbench.methods.egnn import edge_sums_native
from amsbench.methods.egnn.config import EGNNConfig, RadialBasis, smooth_cutoff
from amsbench.methods.egnn.edge_sums_torch import sum_over_edges
from amsbench.methods.egnn.layer import EGNNLayer
from amsbench.methods.egnn.network import EGNN

pytestmark = [
    pytest.mark.skipif(not edge_sums_native.info()["built"], reason=edge_sums_native.info()["reason"]),
    pytest.mark.usefixtures("one_thread"),
]

AVAILABLE = edge_sums_native.LIBRARY.available_levels
FLOAT32 = [level for level in AVAILABLE if level not in product_precision.BFLOAT16]
BFLOAT16 = [level for level in AVAILABLE if level in product_precision.BFLOAT16]
CUTOFF = EGNNConfig().cutoff


def random_graph(atoms, edges, seed=0):
    """Sorted receivers among the first atoms - 1, so that the last one has no neighbours."""
    generator = torch.Generator().manual_seed(seed)
    receivers = torch.randint(0, atoms - 1, (edges,), generator=generator).sort().values
    senders = torch.randint(0, atoms, (edges,), generator=generator)
    return Graph(receivers=receivers, senders=senders, shifts=torch.randn(edges, 3, generator=generator))


class Case:
    """A layer with random weights on a random graph, and the sum of its outputs with random signs."""

    def __init__(self, hidden, channels_in, channels_out, atoms=23, edges=500):
        torch.manual_seed(3)
        self.layer = EGNNLayer(EGNNConfig(hidden=hidden), channels_in, channels_out)
        for parameter in (self.layer.shift.weight, self.layer.shift.bias):
            torch.nn.init.normal_(parameter, std=0.2)
        self.graph = random_graph(atoms, edges)
        self.distance = 6.6 * torch.rand(edges)
        self.smooth = smooth_cutoff(self.distance, CUTOFF)
        self.nodes = [torch.randn(atoms, 2 * hidden), torch.randn(atoms, 2 * hidden)]
        self.nodes.append(2 * torch.randn(atoms, channels_in, 3))
        self.weights = torch.randn(atoms, hidden), torch.randn(atoms, channels_out, 3)

    def torch_sums(self, *nodes):
        basis = RadialBasis(32, CUTOFF)(self.distance)
        parameters = self.layer.edge_parameters
        return sum_over_edges(self.layer._messages, self.graph, (basis, self.smooth), nodes, parameters)

    def native_sums(self, *nodes):
        return edge_sums_native.sum_messages(self.layer, self.graph, (self.distance, self.smooth), nodes)

    def results(self, sums):
        """The two outputs, then the gradients of nodes and parameters."""
        nodes = [t.clone().requires_grad_() for t in self.nodes]
        outputs = sums(*nodes)
        loss = sum((w * out).sum() for w, out in zip(self.weights, outputs, strict=True))
        return [*outputs, *torch.autograd.grad(loss, [*nodes, *self.layer.edge_parameters])]


def error(ours, theirs):
    """Relative error in the Euclidean norm, or the absolute error for values near zero."""
    return float((ours - theirs).detach().norm() / theirs.detach().norm().clamp(min=1e-6))


@pytest.mark.parametrize(
    ("hidden", "channels_in", "channels_out"),
    [(64, 1, 8), (64, 8, 8), (64, 8, 1), (128, 8, 8), (32, 3, 5), (96, 1, 1), (32, 8, 4)],
)
@pytest.mark.parametrize("level", FLOAT32)
def test_float32_levels_agree_with_torch(monkeypatch, level, hidden, channels_in, channels_out):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    case = Case(hidden, channels_in, channels_out)
    for ours, theirs in zip(case.results(case.native_sums), case.results(case.torch_sums), strict=True):
        assert ours.shape == theirs.shape
        assert error(ours, theirs) < 1e-5


@pytest.mark.parametrize("level", BFLOAT16)
@pytest.mark.parametrize(
    ("hidden", "channels_in", "channels_out"),
    [(64, 1, 8), (64, 8, 8), (64, 8, 1), (128, 8, 8), (32, 3, 5), (96, 1, 1)],
)
def test_bfloat16_stays_within_its_rounding(monkeypatch, level, hidden, channels_in, channels_out):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    case = Case(hidden, channels_in, channels_out)
    pairs = list(zip(case.results(case.native_sums), case.results(case.torch_sums), strict=True))
    assert max(error(*pair) for pair in pairs[:2]) < 5e-3
    assert max(error(*pair) for pair in pairs[2:]) < 2e-2
    assert error(*pairs[0]) > 1e-5  # the products were in bfloat16


@pytest.mark.parametrize("level", AVAILABLE)
@pytest.mark.parametrize("edges", [0, 1, 31, 32, 33, 129])
def test_every_length_of_the_last_block(monkeypatch, level, edges):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    case = Case(32, 8, 8, atoms=5, edges=edges)
    results = case.results(case.native_sums)
    for ours, theirs in zip(results, case.results(case.torch_sums), strict=True):
        assert error(ours, theirs) < (2e-2 if level in BFLOAT16 else 1e-5)
    assert bool((results[0][-1] == 0).all())  # the atom without neighbours
    assert bool((results[1][-1] == 0).all())


@pytest.mark.parametrize("threads", ["of OpenMP", "of Python"])
@pytest.mark.parametrize("level", AVAILABLE)
def test_threads_share_the_edges(monkeypatch, level, threads):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    if threads == "of Python":
        monkeypatch.setattr(edge_sums_native, "_openmp_team", lambda: None)
    elif edge_sums_native._openmp_team() is None:
        pytest.skip("torch has another OpenMP runtime here")
    case = Case(32, 8, 8, atoms=40, edges=5000)
    alone = case.results(case.native_sums)
    torch.set_num_threads(4)
    together = case.results(case.native_sums)
    again = case.results(case.native_sums)
    for a, b, c in zip(alone, together, again, strict=True):
        assert error(b, a) < 1e-5
        assert torch.equal(b, c)
    # the sums of an atom are those of its own edges, whatever thread computes them
    assert all(torch.equal(a, b) for a, b in zip(alone[:2], together[:2], strict=True))


@pytest.mark.parametrize("level", AVAILABLE)
@pytest.mark.parametrize("neighbours", [1, 31, 32, 33, 200])
def test_sums_of_an_atom_do_not_depend_on_other_atoms(monkeypatch, level, neighbours):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    case = Case(32, 8, 8, atoms=9, edges=neighbours + 300)
    receivers = torch.full((neighbours + 300,), 5)
    receivers[:150], receivers[150 + neighbours :] = 2, 7
    whole = Graph(receivers=receivers, senders=case.graph.senders, shifts=case.graph.shifts)
    own = receivers == 5
    alone = Graph(receivers=receivers[own], senders=whole.senders[own], shifts=whole.shifts[own])
    with torch.no_grad():
        case.graph = whole
        expected = case.torch_sums(*case.nodes)
        among_others = case.native_sums(*case.nodes)
        case.graph, case.distance, case.smooth = alone, case.distance[own], case.smooth[own]
        for ours, theirs, right in zip(case.native_sums(*case.nodes), among_others, expected, strict=True):
            assert torch.equal(ours[5], theirs[5])
            assert error(ours[5], right[5]) < (5e-3 if level in BFLOAT16 else 1e-5)


@pytest.mark.parametrize("team", [True, False])
def test_a_failure_in_one_of_several_threads_is_raised(monkeypatch, team):
    if not team:
        monkeypatch.setattr(edge_sums_native, "_openmp_team", lambda: None)
    case = Case(32, 8, 8, atoms=40, edges=5000)
    senders = case.graph.senders.clone()
    senders[-1] = 40
    case.graph = Graph(receivers=case.graph.receivers, senders=senders, shifts=case.graph.shifts)
    torch.set_num_threads(4)
    with torch.no_grad(), pytest.raises(ValueError, match="name atoms that do not exist"):
        case.native_sums(*case.nodes)


@pytest.mark.parametrize("level", AVAILABLE)
def test_nan_reaches_neighbours_and_no_other_atoms(monkeypatch, level):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    case = Case(32, 8, 8, atoms=60, edges=150)
    with torch.no_grad():
        clean, _ = case.native_sums(*case.nodes)
        case.nodes[1][7, 3] = math.nan  # a node feature of the messages
        case.nodes[2][11] = math.nan
        spoilt, moved = case.native_sums(*case.nodes)
    graph = case.graph
    position = (graph.senders == 11) | (graph.receivers == 11)
    reached = torch.zeros(60, dtype=torch.bool)
    reached[graph.receivers[(graph.senders == 7) | position]] = True
    assert bool(reached.any())
    assert torch.equal(spoilt.isnan().any(-1), reached)
    assert torch.equal(spoilt[~reached], clean[~reached])
    reached[:] = False
    reached[graph.receivers[position]] = True
    assert torch.equal(moved.isnan().flatten(1).any(-1), reached)


def test_strided_inputs_are_read_as_they_are():
    case = Case(32, 8, 8)
    with torch.no_grad():
        expected = case.native_sums(*case.nodes)
        case.nodes[0] = case.nodes[0].t().contiguous().t()
        case.nodes[1] = torch.stack([case.nodes[1], case.nodes[1]], dim=-1)[..., 0]
        case.nodes[2] = case.nodes[2].flip(0).contiguous().flip(0)
        assert not case.nodes[0].is_contiguous()
        for ours, theirs in zip(case.native_sums(*case.nodes), expected, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("change", ["order", "sender", "receiver", "negative"])
def test_a_wrong_graph_is_refused(change):
    case = Case(32, 8, 8)
    receivers, senders = case.graph.receivers.clone(), case.graph.senders.clone()
    if change == "order":
        receivers = receivers.flip(0)
    elif change == "sender":
        senders[-1] = 23
    elif change == "receiver":
        receivers[-1] = 23
    else:
        senders[40] = -1
    case.graph = Graph(receivers=receivers, senders=senders, shifts=case.graph.shifts)
    with torch.no_grad(), pytest.raises(ValueError, match="sorted"):
        case.native_sums(*case.nodes)


@pytest.mark.parametrize("level", AVAILABLE)
def test_distances_and_cutoffs(monkeypatch, level):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    graph = random_graph(9, 77)
    positions = 3 * torch.randn(9, 3)
    distance, smooth = edge_sums_native.edge_inputs(graph, positions, CUTOFF)
    expected = graph.vectors(positions).norm(dim=-1)
    torch.testing.assert_close(distance, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(smooth, smooth_cutoff(expected, CUTOFF), rtol=1e-4, atol=1e-6)
    assert bool((smooth[expected > CUTOFF + 1e-3] == 0).all())
    assert 0 < int((expected > CUTOFF).sum()) < 77


def backbone(**options):
    torch.manual_seed(0)
    network = EGNN(EGNNConfig(hidden=32, layers=3, channels=4, **options))
    side = 9.0
    structures = Structures.empty_cells(side * torch.eye(3)[None], torch.tensor([30]), torch.zeros(1, 0))
    structures = structures.with_positions(side * torch.rand(30, 3))
    return network, torch.randn(30, 32), structures


@pytest.mark.parametrize("level", ["float32", *BFLOAT16])
def test_a_network_has_the_same_gradients_with_and_without_the_kernel(monkeypatch, level):
    limit = 2e-2 if level in BFLOAT16 else 1e-4
    network, h, structures = backbone()
    graph = neighbour_graph(structures, CUTOFF)
    gradients = []
    for switch in ("0", "1"):
        monkeypatch.setenv("AMSBENCH_NATIVE", switch)
        monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
        features, shift = network(h, structures.positions, graph)
        loss = (features**2).mean() + (shift**2).sum()
        parameters = [p for p in network.parameters() if p.requires_grad]
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    assert 0 < error(gradients[1], gradients[0]) < limit


def test_displacements_rotate_with_the_positions():
    network, h, structures = backbone()
    graph = neighbour_graph(structures, CUTOFF)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3))
    turned = Graph(receivers=graph.receivers, senders=graph.senders, shifts=graph.shifts @ rotation)
    with torch.no_grad():
        _, shift = network(h, structures.positions, graph)
        _, other = network(h, structures.positions @ rotation, turned)
    assert float(shift.norm()) > 1e-3
    assert error(other, shift @ rotation) < 1e-2


def test_networks_that_the_kernel_does_not_support_are_computed_by_torch(monkeypatch):
    h = torch.zeros(1, 32)
    assert edge_sums_native.usable(EGNNConfig(hidden=32), h) == edge_sums_native.info()["active"]
    assert not edge_sums_native.usable(EGNNConfig(hidden=32), h.double())
    assert not edge_sums_native.usable(EGNNConfig(hidden=48), h)
    assert not edge_sums_native.usable(EGNNConfig(hidden=32, channels=9), h)
    assert not edge_sums_native.usable(EGNNConfig(hidden=32, edge_features="tanh"), h)
    with torch.autocast("cpu"):
        assert not edge_sums_native.usable(EGNNConfig(hidden=32), h)
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    assert not edge_sums_native.usable(EGNNConfig(hidden=32), h)
    assert edge_sums_native.info()["active"] is False
    assert "AMSBENCH_NATIVE=0" in edge_sums_native.info()["reason"]


def test_info_and_an_unknown_level(monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "plain")
    state = edge_sums_native.info()
    assert (state["active"], state["level"], state["mode"]) == (True, "plain", "float32")
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "avx1024")
    with pytest.raises(AmsbenchError, match="avx1024"):
        edge_sums_native.info()


def test_a_library_with_another_interface_is_not_used():
    other = replace(edge_sums_native.LIBRARY, abi=edge_sums_native.ABI + 1)
    assert not other.built
    assert not other.active
    assert "another version" in other.reason
    assert other.available_levels == ()
    with pytest.raises(RuntimeError, match="another version"):
        _ = other.functions


def test_a_library_that_was_not_built_gives_the_reason():
    missing = replace(edge_sums_native.LIBRARY, name="_missing")
    assert not missing.built
    assert "no C compiler" in missing.reason
