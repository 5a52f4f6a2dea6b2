"""The denoiser by its two paths: ``pytest tests/speed --benchmark-enable``; compare ratios within one run."""

import pytest
import torch

from amsbench.benchmark.method import Task
from amsbench.benchmark.structures import Structures
from amsbench.methods import native
from amsbench.methods.denoiser import FlexibleDenoiser, State
from amsbench.methods.graph import neighbour_graph
from amsbench.methods.material import NETWORKS

EDGE = 17.05
"""A, the edge of a cell of liquid silicon with 256 atoms."""


@pytest.fixture(scope="module")
def state():
    torch.set_num_threads(1)
    start = Structures.empty_cells(torch.eye(3)[None] * EDGE, torch.tensor([256]), torch.zeros(1, 0))
    generator = torch.Generator().manual_seed(0)
    return State(
        structures=start.with_positions(torch.rand(256, 3, generator=generator) * EDGE), elements=None
    )


@pytest.fixture(params=["torch", "native"])
def path(request, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE", "0" if request.param == "torch" else "1")
    if request.param == "native" and not native.info()["active"]:
        pytest.skip(f"no native kernel: {native.info()['reason']}")
    return request.param


def build(network):
    task = Task(dataset="asi", dataset_hash="none", elements=("Si",), ghost_density=None)
    return FlexibleDenoiser(task, NETWORKS[network])


@pytest.mark.parametrize("network", ["standard", "wide"])
@pytest.mark.benchmark(group="forward")
def test_forward(benchmark, state, path, network):
    denoiser, times = build(network), torch.tensor([0.5])
    with torch.no_grad():
        benchmark(lambda: denoiser(state, torch.zeros(1, 0), times, times * 0))


@pytest.mark.parametrize("network", ["standard", "wide"])
@pytest.mark.benchmark(group="training step")
def test_training_step(benchmark, state, path, network):
    denoiser, times = build(network), torch.tensor([0.5])

    def step():
        denoiser.zero_grad()
        (denoiser(state, torch.zeros(1, 0), times, times * 0).positions ** 2).mean().backward()

    benchmark(step)


@pytest.mark.benchmark(group="neighbour graph")
def test_neighbour_graph(benchmark, state):
    benchmark(neighbour_graph, state.structures, 6.5)
