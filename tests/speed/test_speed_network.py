"""Speed of the network by every implementation: ``pytest tests/speed --benchmark-enable``.

Numbers in brackets are ratios to the fastest implementation of a group. The reference is the network in plain torch.
All run in one process, on one thread or AMSBENCH_SPEED_THREADS of them; compare ratios within one run only.
"""

import os
from contextlib import nullcontext

import pytest
import torch
from torch.func import jvp

from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods import denoiser
from amsbench.methods.egnn import edge_sums_native
from amsbench.methods.egnn.derivatives import differentiable
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.reference import ReferenceEGNN
from amsbench.methods.material_method import MATERIAL_NETWORKS
from amsbench.methods.state import State

EDGE = 17.05
"""Edge of a cell of liquid silicon with 256 atoms, A."""

PATHS = {
    "reference": {},
    "torch": {"AMSBENCH_NATIVE": "0"},
    "torch float32": {"AMSBENCH_NATIVE": "0", "AMSBENCH_NATIVE_LEVEL": "float32"},
    "native": {"AMSBENCH_NATIVE": "1"},
    "native float32": {"AMSBENCH_NATIVE": "1", "AMSBENCH_NATIVE_LEVEL": "float32"},
    "differentiable": {},
}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("AMSBENCH_SPEED_THREADS", "1")))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def structures():
    start = Structures.empty_cells(torch.eye(3)[None] * EDGE, torch.tensor([256]), torch.zeros(1, 0))
    return start.with_positions(torch.rand(256, 3, generator=torch.Generator().manual_seed(0)) * EDGE)


@pytest.fixture(params=["standard", "wide"])
def network(request):
    torch.manual_seed(0)
    return request.param, EGNN(MATERIAL_NETWORKS[request.param])


@pytest.fixture(params=PATHS)
def call(request, network, structures, benchmark, monkeypatch):
    """The module and a function that evaluates it on one structure; adds the preset to the name of the group."""
    name, egnn = network
    for variable, value in PATHS[request.param].items():
        monkeypatch.setenv(variable, value)
    if request.param.startswith("native") and not edge_sums_native.info()["active"]:
        pytest.skip(f"no native kernel: {edge_sums_native.info()['reason']}")
    benchmark.group = f"{benchmark.group}, {name} network"
    module = ReferenceEGNN(egnn) if request.param == "reference" else egnn
    h, positions = torch.randn(256, egnn.config.hidden), structures.positions
    graph = neighbour_graph(structures, egnn.config.cutoff)

    def forward():
        with differentiable() if request.param == "differentiable" else nullcontext():
            return module(h, positions, graph)

    return module, forward


@pytest.mark.benchmark(group="forward", min_rounds=15, warmup=True, warmup_iterations=2)
def test_forward(benchmark, call):
    _, forward = call
    with torch.no_grad():
        benchmark(forward)


@pytest.mark.benchmark(group="training step", min_rounds=15, warmup=True, warmup_iterations=2)
def test_training_step(benchmark, call):
    module, forward = call

    def step():
        module.zero_grad()
        h, shift = forward()
        ((h**2).mean() + (shift**2).mean()).backward()

    benchmark(step)


@pytest.fixture
def directional_derivative(network, structures):
    """A network and its forward-mode derivative along random directions of positions and features, as a call."""
    _, egnn = network
    graph = neighbour_graph(structures, egnn.config.cutoff)
    inputs = structures.positions, torch.randn(256, egnn.config.hidden)
    directions = tuple(torch.randn_like(t) for t in inputs)

    def derivative():
        with differentiable():
            return jvp(lambda positions, h: egnn(h, positions, graph), inputs, directions)[1]

    return egnn, derivative


@pytest.mark.benchmark(group="directional derivative")
def test_directional_derivative(benchmark, network, directional_derivative):
    benchmark.group = f"{benchmark.group}, {network[0]} network"
    with torch.no_grad():
        benchmark(directional_derivative[1])


@pytest.mark.benchmark(group="training step on a directional derivative")
def test_training_step_on_a_directional_derivative(benchmark, network, directional_derivative):
    benchmark.group = f"{benchmark.group}, {network[0]} network"
    egnn, derivative = directional_derivative

    def step():
        egnn.zero_grad()
        sum((part**2).mean() for part in derivative()).backward()

    benchmark(step)


@pytest.mark.benchmark(group="neighbour graph")
def test_neighbour_graph(benchmark, structures):
    benchmark(neighbour_graph, structures, 6.5)


@pytest.mark.parametrize("order", ["random", "by place"])
@pytest.mark.benchmark(group="forward, 30,000 atoms in one cell", min_rounds=3)
def test_order_of_the_atoms_of_a_large_cell(benchmark, silica, order, monkeypatch):
    """The neighbour search and the evaluation of the network together, as in a step of generation."""
    monkeypatch.setattr(denoiser, "SORTED_FROM", 1 if order == "by place" else 30_001)
    edge = torch.tensor([30_000 / 0.11]).pow(1 / 3)
    start = Structures.empty_cells(
        torch.eye(3)[None] * edge, torch.tensor([30_000]), torch.full((1, len(silica.properties)), torch.nan)
    )
    positions = torch.rand(30_000, 3, generator=torch.Generator().manual_seed(0)) * edge
    network = denoiser.FlexibleDenoiser(silica, MATERIAL_NETWORKS["standard"])
    state = State(
        structures=start.with_positions(positions), elements=torch.randn(30_000, silica.species_count)
    )
    times = torch.full((1,), 0.5)
    null = torch.zeros(1, network.embedding.weight.numel())
    with torch.no_grad():
        benchmark(network, state, null, times, torch.zeros(1))
