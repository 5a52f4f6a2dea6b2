"""Products in bfloat16: near those in float32, and only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from amsbench.baselines import precision
from amsbench.baselines.mesh_graph_net import MeshGraphNet, MeshGraphNetConfig
from amsbench.baselines.triplets import TripletConfig, TripletNetwork
from amsbench.benchmark.structures import Structures

Outputs = Callable[[torch.dtype], torch.Tensor]


@pytest.fixture(params=[True, False], ids=["able", "unable"])
def able(request, monkeypatch):
    """A processor that has bfloat16 products, and one that does not."""
    monkeypatch.setattr(precision, "_processor_has_bfloat16", lambda: request.param)
    monkeypatch.delenv("AMSBENCH_NATIVE_LEVEL", raising=False)
    return request.param


def structures(dtype: torch.dtype) -> Structures:
    """40 atoms in a cube of 9 A."""
    generator = torch.Generator().manual_seed(1)
    positions = 9 * torch.rand(40, 3, generator=generator, dtype=torch.float64)
    return Structures(
        positions=positions.to(dtype),
        cells=9 * torch.eye(3, dtype=dtype)[None],
        species=torch.zeros(40, dtype=torch.long),
        batch=torch.zeros(40, dtype=torch.long),
        counts=torch.tensor([40]),
        properties=torch.zeros(1, 0, dtype=dtype),
    )


def mesh_outputs(dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    network = MeshGraphNet(MeshGraphNetConfig(hidden=32, layers=3), 2, 4, timed=True).to(dtype)
    return network(torch.ones(40, 2, dtype=dtype), structures(dtype), torch.ones(1, dtype=dtype))


def triplet_outputs(dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    network = TripletNetwork(TripletConfig(hidden=32, blocks=3)).to(dtype)
    h = torch.randn(40, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    return torch.cat(network(h, structures(dtype)), dim=-1)


networks = pytest.mark.parametrize("outputs", [mesh_outputs, triplet_outputs])


def deviation(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(((found.double() - wanted).norm() / wanted.norm()).detach())


@networks
def test_products_are_bfloat16_where_there_are_such_and_outputs_stay_float32(outputs: Outputs, able):
    found = outputs(torch.float32)
    assert found.dtype == torch.float32
    off = deviation(found, outputs(torch.float64))
    assert 1e-4 < off < 2e-2 if able else off < 1e-5


@networks
@pytest.mark.parametrize("level", ["float32", "avx2"])
def test_a_level_without_bfloat16_keeps_them_in_float32(outputs: Outputs, able, level, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    assert deviation(outputs(torch.float32), outputs(torch.float64)) < 1e-5


@networks
def test_float64_stays_float64(outputs: Outputs, able, monkeypatch):
    found = outputs(torch.float64)
    assert found.dtype == torch.float64
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "float32")
    torch.testing.assert_close(found, outputs(torch.float64), rtol=0, atol=0)


def test_gradients_have_the_type_of_the_weights(able):
    """So that an optimiser's steps, far smaller than a rounding of bfloat16, are not lost."""
    torch.manual_seed(0)
    network = TripletNetwork(TripletConfig(hidden=32, blocks=2))
    h, vectors = network(torch.ones(40, 32), structures(torch.float32))
    (h.sum() + vectors.square().sum()).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_what_is_recorded_says_so(able):
    network = TripletNetwork(TripletConfig(hidden=32, blocks=1))
    assert precision.backend(network) == ("torch bfloat16" if able else "torch")
    assert precision.backend(network.double()) == "torch"
