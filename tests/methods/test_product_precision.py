"""Products in bfloat16: close to those in float32, and used only in ``fast_products``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from amsbench.baselines import triplet_network
from amsbench.baselines.graphite import mesh_graph_net
from amsbench.baselines.graphite.mesh_graph_net import MeshGraphNet, MeshGraphNetConfig
from amsbench.baselines.triplet_network import TripletConfig, TripletNetwork
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods import product_precision

Outputs = Callable[[torch.dtype], torch.Tensor]


@pytest.fixture(params=[True, False], ids=["able", "unable"])
def able(request, monkeypatch):
    """A processor with bfloat16 products, and one without."""
    monkeypatch.setattr(product_precision, "_processor_has_bfloat16", lambda: request.param)
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


def mesh(dtype: torch.dtype) -> tuple[torch.nn.Module, Callable[[Structures], torch.Tensor]]:
    torch.manual_seed(0)
    network = MeshGraphNet(MeshGraphNetConfig(hidden=32, layers=3), 2, 4, timed=True).to(dtype)
    features, t = torch.ones(40, 2, dtype=dtype), torch.ones(1, dtype=dtype)
    return network, lambda seen: network(features, seen, t)


def triplet(dtype: torch.dtype) -> tuple[torch.nn.Module, Callable[[Structures], torch.Tensor]]:
    torch.manual_seed(0)
    network = TripletNetwork(TripletConfig(hidden=32, blocks=3)).to(dtype)
    h = torch.randn(40, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    return network, lambda seen: torch.cat(network(h, seen), dim=-1)


@pytest.fixture(params=[mesh, triplet])
def made(request):
    return request.param


@pytest.fixture
def outputs(made) -> Outputs:
    return lambda dtype: made(dtype)[1](structures(dtype))


def deviation(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(((found.double() - wanted).norm() / wanted.norm()).detach())


def test_products_are_bfloat16_where_there_are_such_and_outputs_stay_float32(outputs: Outputs, able):
    found = outputs(torch.float32)
    assert found.dtype == torch.float32
    off = deviation(found, outputs(torch.float64))
    assert 1e-4 < off < 2e-2 if able else off < 1e-5


@pytest.mark.parametrize("level", ["float32", "avx2"])
def test_a_level_without_bfloat16_keeps_them_in_float32(outputs: Outputs, able, level, monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
    assert deviation(outputs(torch.float32), outputs(torch.float64)) < 1e-5


def test_float64_stays_float64(outputs: Outputs, able, monkeypatch):
    found = outputs(torch.float64)
    assert found.dtype == torch.float64
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "float32")
    torch.testing.assert_close(found, outputs(torch.float64), rtol=0, atol=0)


def test_gradients_have_the_type_of_the_weights(able):
    """Gradients are float32, so that optimiser steps far below the rounding of bfloat16 are not lost."""
    torch.manual_seed(0)
    network = TripletNetwork(TripletConfig(hidden=32, blocks=2))
    h, vectors = network(torch.ones(40, 32), structures(torch.float32))
    (h.sum() + vectors.square().sum()).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_what_is_recorded_says_so(able):
    network = TripletNetwork(TripletConfig(hidden=32, blocks=1))
    assert product_precision.backend(network) == ("torch bfloat16" if able else "torch")
    assert product_precision.backend(network.double()) == "torch"


def test_empty_rows_change_nothing(made, monkeypatch):
    """Outputs and gradients with respect to positions and weights are unchanged by empty rows."""

    def found() -> tuple[torch.Tensor, torch.Tensor]:
        network, call = made(torch.float64)
        seen = structures(torch.float64)
        moved = seen.with_positions(seen.positions.requires_grad_())
        outputs = call(moved)
        (outputs**2).sum().backward()
        slopes = [moved.positions.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
        return outputs.detach(), torch.cat([slope.flatten() for slope in slopes])

    wanted = found()
    assert wanted[1].abs().max() > 0.1
    for module in (mesh_graph_net, triplet_network):
        monkeypatch.setattr(module, "padded_row_count", rounded_up)
    for with_empty, without in zip(found(), wanted, strict=True):
        torch.testing.assert_close(with_empty, without, rtol=1e-10, atol=1e-10)


def rounded_up(count: int, multiple: int, example: torch.Tensor) -> int:
    return (count // multiple + 1) * multiple


@pytest.mark.parametrize("multiple", [32, 512])
def test_products_have_round_numbers_of_rows(multiple, able):
    example = torch.zeros(1)
    for count in (0, 1, multiple - 1, multiple, 5 * multiple + 3):
        rows = product_precision.padded_row_count(count, multiple, example)
        if able:
            assert rows % multiple == 0
            assert count <= rows < count + multiple
        else:
            assert rows == count
        assert product_precision.padded_row_count(count, multiple, example.double()) == count
