"""Training steps and evaluations of the baselines from other fields, with products in bfloat16 and in float32.

``pytest tests/speed --benchmark-enable``; compare the minima within one run.
"""

import pytest
import torch
from torch_geometric.data import Batch

from amsbench.baselines.precision import product_type
from amsbench.benchmark.method import Task
from amsbench.benchmark.noise import BatchNoise
from amsbench.benchmark.registry import load
from amsbench.benchmark.structures import Structures
from amsbench.benchmark.trainer import samples_of


@pytest.fixture(params=["bfloat16", "float32"])
def products(request, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "" if request.param == "bfloat16" else "float32")
    if product_type(torch.zeros(1)) != request.param:
        pytest.skip("this processor has no products in bfloat16")
    return request.param


@pytest.fixture(params=["cdvae", "mattergen", "graphite"])
def loss(request, silicon, products):
    """The loss of two liquid silicon structures, by one thread."""
    task = Task.of(silicon, ())
    torch.manual_seed(0)
    made = load("methods", request.param)
    method = made(task, made.default_config(made.networks[0], task))
    batch = Structures.from_data(Batch.from_data_list(samples_of(silicon.split("train"), task)[:2]))

    def evaluated():
        generator = torch.Generator().manual_seed(0)
        noise = BatchNoise(len(batch.positions), len(batch), generator, torch.device("cpu"))
        return method.training_loss(batch, noise, teacher=method, progress=0.5)["loss"]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param, evaluated
    torch.set_num_threads(before)


def test_training_step(benchmark, loss):
    name, evaluated = loss
    benchmark.group = f"training step of {name}, 2 times 256 atoms, one thread"
    benchmark(lambda: evaluated().backward())


def test_evaluation(benchmark, loss):
    name, evaluated = loss
    benchmark.group = f"loss of {name}, 2 times 256 atoms, one thread"
    with torch.no_grad():
        benchmark(evaluated)
