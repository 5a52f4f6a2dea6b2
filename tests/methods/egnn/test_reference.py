"""The torch implementation of the edges against the reference network: values, gradients, memory."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.func import functional_call
from torch.profiler import ProfilerActivity, profile

from amsbench.benchmark.interface.neighbour_graph import Graph, neighbour_graph
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.edge_sums_torch import CHUNK, grouped
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.reference import ReferenceEGNN, reference_weights
from amsbench.methods.material_method import MATERIAL_NETWORKS

NETWORKS = MATERIAL_NETWORKS | {"tanh": EGNNConfig(hidden=128, layers=4, edge_features="tanh")}


@pytest.fixture(autouse=True)
def torch_code(monkeypatch, one_thread):
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "float32")


class Case:
    """A network with random weights, and atoms at random positions with the density of liquid silicon."""

    def __init__(self, config, atoms=40, dtype=torch.float64):
        torch.manual_seed(0)
        self.network = EGNN(config).to(dtype)
        for parameter in self.network.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        edge = 17.05 * (atoms / 256) ** (1 / 3)
        cells = torch.eye(3, dtype=dtype)[None] * edge
        start = Structures.empty_cells(cells, torch.tensor([atoms]), torch.zeros(1, 0))
        self.structures = start.with_positions(torch.rand(atoms, 3, dtype=dtype) * edge)
        self.graph = neighbour_graph(self.structures, config.cutoff)
        self.h = torch.randn(atoms, config.hidden, dtype=dtype)
        self.reference = ReferenceEGNN(self.network)

    def outputs(self, network):
        with torch.no_grad():
            return network(self.h, self.structures.positions, self.graph)

    def gradients(self, function):
        """With respect to the features and every parameter of the EGNN."""
        h = self.h.clone().requires_grad_()
        outputs = function(h, self.structures.positions, self.graph)
        generator = torch.Generator().manual_seed(1)
        loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs)
        return torch.autograd.grad(loss, [h, *self.network.parameters()], materialize_grads=True)

    def reference_gradients(self):
        return self.gradients(
            lambda *inputs: functional_call(self.reference, reference_weights(self.network), inputs)
        )


def error(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-6))


@pytest.mark.parametrize("network", ["standard", "wide", "tanh"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_outputs_and_gradients(network, dtype, limit):
    case = Case(NETWORKS[network], dtype=dtype)
    for ours, theirs in zip(case.outputs(case.network), case.outputs(case.reference), strict=True):
        assert error(ours, theirs) < limit
    for ours, theirs in zip(case.gradients(case.network), case.reference_gradients(), strict=True):
        assert error(ours, theirs) < limit


@pytest.mark.parametrize("config", [
    EGNNConfig(hidden=32, layers=1),
    EGNNConfig(hidden=32, layers=2, channels=1),
    EGNNConfig(hidden=20, layers=3),
])  # fmt: skip
def test_networks_of_other_shapes(config):
    case = Case(config, atoms=15)
    for ours, theirs in zip(case.gradients(case.network), case.reference_gradients(), strict=True):
        assert error(ours, theirs) < 1e-12


@pytest.mark.parametrize("network", ["standard", "tanh"])
def test_symmetries_of_the_reference(network):
    case = Case(NETWORKS[network])
    h, shift = case.outputs(case.reference)
    turn = torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix())
    order = torch.randperm(len(h))
    place = order.argsort()
    graph, positions = case.graph, case.structures.positions
    turned = Graph(receivers=graph.receivers, senders=graph.senders, shifts=graph.shifts @ turn)
    moved = positions @ turn + torch.tensor([1.0, -20.0, 0.3], dtype=torch.float64)
    shuffled = Graph(receivers=place[graph.receivers], senders=place[graph.senders], shifts=graph.shifts)
    with torch.no_grad():
        h_turned, shift_turned = case.reference(case.h, moved, turned)
        h_shuffled, shift_shuffled = case.reference(case.h[order], positions[order], shuffled)
    assert float(shift.norm()) > 1e-3
    assert error(h_turned, h) < 1e-12
    assert error(shift_turned, shift @ turn) < 1e-12
    assert error(h_shuffled, h[order]) < 1e-12
    assert error(shift_shuffled, shift[order]) < 1e-12


def peak_memory(function):
    """Largest number of bytes that a call holds at once, from its allocations, which are the same in every run."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


@pytest.mark.parametrize("network", ["standard", "wide", "tanh"])
def test_a_training_step_takes_an_eighth_of_the_memory(network):
    case = Case(NETWORKS[network], atoms=256, dtype=torch.float32)

    def step(network):
        h, shift = network(case.h, case.structures.positions, case.graph)
        ((h**2).mean() + (shift**2).mean()).backward()

    assert peak_memory(lambda: step(case.network)) < peak_memory(lambda: step(case.reference)) / 8


def test_groups_hold_every_edge_once():
    """Edges of atoms with very many neighbours included; atoms without neighbours are in no group."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 90, (200,), generator=generator)
    counts[7], counts[50], counts[-1] = 0, CHUNK["cpu"] + 300, 0
    edges = int(counts.sum())
    graph = Graph(
        receivers=torch.repeat_interleave(torch.arange(200), counts),
        senders=torch.randint(0, 200, (edges,), generator=generator),
        shifts=torch.randn(edges, 3, generator=generator),
    )
    number = torch.arange(1.0, edges + 1)  # given as the cutoff, to identify each edge
    seen = []
    for group in grouped(graph, number[:, None], number):
        real = group.smooth > 0
        edge_numbers = (group.smooth[real] - 1).long()
        seen.append(edge_numbers)
        assert torch.equal(group.receivers[:, None].expand_as(real)[real], graph.receivers[edge_numbers])
        assert torch.equal(group.senders.view_as(real)[real], graph.senders[edge_numbers])
        assert torch.equal(group.shifts[real][..., 0], graph.shifts[edge_numbers])
        assert torch.equal(group.features.view_as(real)[real], number[edge_numbers])
        # padding repeats an edge of the same receiver, so that a NaN reaches no other receiver
        receivers = graph.receivers[(group.features.long() - 1).flatten()].view_as(real)
        assert torch.equal(receivers, group.receivers[:, None].expand_as(real))
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(edges))


def test_nan_reaches_neighbours_and_no_other_atoms():
    case = Case(EGNNConfig(hidden=32, layers=1, cutoff=3.0), atoms=120)
    clean, _ = case.outputs(case.network)
    case.structures.positions[11] = math.nan
    spoilt, moved = case.outputs(case.network)
    reached = torch.zeros(120, dtype=torch.bool)
    reached[case.graph.receivers[case.graph.senders == 11]] = True
    reached[11] = True
    assert 1 < int(reached.sum()) < 60
    assert torch.equal(spoilt.isnan().any(-1), reached)
    assert torch.equal(moved.isnan().any(-1), reached)
    assert torch.equal(spoilt[~reached], clean[~reached])


@pytest.mark.parametrize("atoms", [0, 1, 3])
def test_atoms_without_neighbours(atoms):
    case = Case(EGNNConfig(hidden=32, layers=2, cutoff=0.1), atoms=max(atoms, 1))
    case.h, none = case.h[:atoms], torch.zeros(0, dtype=torch.long)
    case.structures = case.structures.with_positions(case.structures.positions[:atoms])
    case.graph = Graph(receivers=none, senders=none, shifts=torch.zeros(0, 3, dtype=torch.float64))
    for ours, theirs in zip(case.gradients(case.network), case.reference_gradients(), strict=True):
        assert error(ours, theirs) < 1e-12
    assert case.outputs(case.network)[1].abs().sum() == 0


def test_default_products_stay_within_their_rounding(monkeypatch):
    """Without a float32 level, oneDNN computes products in bfloat16 if the processor has AMX."""
    case = Case(NETWORKS["standard"], dtype=torch.float32)
    exact, gradients = case.outputs(case.network), case.gradients(case.network)
    monkeypatch.delenv("AMSBENCH_NATIVE_LEVEL")
    before = torch.get_float32_matmul_precision()
    for ours, theirs in zip(case.outputs(case.network), exact, strict=True):
        assert error(ours, theirs) < 5e-3
    ours, theirs = (
        torch.cat([g.flatten() for g in both]) for both in (case.gradients(case.network), gradients)
    )
    assert error(ours, theirs) < 2e-2
    assert torch.get_float32_matmul_precision() == before


def test_autocast_does_not_reach_the_edges():
    case = Case(EGNNConfig(hidden=32, layers=2), dtype=torch.float32)
    exact = case.outputs(case.network)
    with torch.autocast("cpu"):
        outputs = case.outputs(case.network)
        case.gradients(case.network)
    for ours, theirs in zip(outputs, exact, strict=True):
        assert error(ours.float(), theirs) < 2e-2
