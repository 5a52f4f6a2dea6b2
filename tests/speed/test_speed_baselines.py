"""Training steps and evaluations of the baselines from other fields, with products in bfloat16 and in float32, and
with rounded numbers of rows and without.

``pytest tests/speed --benchmark-enable``; compare the medians within one run.
"""

import itertools

import pytest
import torch
from torch_geometric.data import Batch

from amsbench.baselines import triplet_network
from amsbench.baselines.graphite import mesh_graph_net
from amsbench.benchmark.datasets.dataset import samples_of, task_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.registry import load
from amsbench.methods.product_precision import product_type


@pytest.fixture(params=["bfloat16", "float32"])
def products(request, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "" if request.param == "bfloat16" else "float32")
    if product_type(torch.zeros(1)) != request.param:
        pytest.skip("this processor has no products in bfloat16")
    return request.param


@pytest.fixture(params=["as they are", "rounded up"])
def rows(request, products, monkeypatch):
    """Numbers of atoms and edges; those of products in float32 always are as they are."""
    if request.param == "rounded up" and products == "float32":
        pytest.skip("nothing is compiled for products in float32")
    if request.param == "as they are":
        for module in (mesh_graph_net, triplet_network):
            monkeypatch.setattr(module, "padded_row_count", lambda count, multiple, example: count)
    return request.param


@pytest.fixture(params=["cdvae", "mattergen", "graphite"])
def name(request):
    return request.param


@pytest.fixture(params=["asi", "asio2"])
def loss(request, name, rows):
    """The loss of two structures, other ones with other noise in every call, by one thread."""
    data = load_dataset(request.param)
    task = task_of(data, ())
    torch.manual_seed(0)
    made = load("methods", name)
    method = made(task, made.default_config(made.networks[0], task))
    samples, calls = samples_of(data.split("train"), task), itertools.count()

    def evaluated():
        k = next(calls)
        generator = torch.Generator().manual_seed(k)
        pair = [samples[(2 * k + i) % len(samples)] for i in range(2)]
        batch = Structures.from_data(Batch.from_data_list(pair))
        if task.ghost_density is not None:
            batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
        noise = BatchNoise(len(batch.positions), len(batch), generator, torch.device("cpu"))
        return method.training_loss(batch, noise, teacher=method, progress=1.0)["loss"]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(30):
        evaluated().backward()
    yield request.param, evaluated
    torch.set_num_threads(before)


def test_training_step(benchmark, name, loss):
    benchmark.group = f"training step of {name}, two structures of {loss[0]}, one thread"
    benchmark.pedantic(lambda: loss[1]().backward(), rounds=40)


def test_evaluation(benchmark, name, loss):
    benchmark.group = f"loss of {name}, two structures of {loss[0]}, one thread"
    with torch.no_grad():
        benchmark.pedantic(loss[1], rounds=40)
