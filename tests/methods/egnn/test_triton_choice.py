"""Choices of the GPU's kernels: tiles, gradients by torch over a neighbour table, and the race between codes."""

import pytest
import torch

from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.methods.egnn import triton_choice
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.neighbour_table import NeighbourCapacity, neighbour_table
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.triton_choice import KernelChoice, Tile, kernel_choice

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CUTOFF = 4.4


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    monkeypatch.setenv("AMSBENCH_TRITON", "float32")
    monkeypatch.delenv(triton_choice.VARIABLE, raising=False)


def gradients(config):
    """Gradients of a network's features and weights for two small structures."""
    torch.manual_seed(0)
    egnn = EGNN(config)
    for layer in egnn.layers:
        torch.nn.init.normal_(layer.shift.weight, std=0.2)
    egnn.to(DEVICE)
    cells = torch.tensor([[[9.0, 0, 0], [0, 9, 0], [0, 0, 9]], [[5.0, 0, 0], [4, 5, 0], [1, -2, 6]]])
    start = Structures.empty_cells(cells, torch.tensor([6, 9]), torch.zeros(2, 0))
    positions = torch.rand(15, 3, generator=torch.Generator().manual_seed(1)) * 9
    structures = start.with_positions(positions).to(DEVICE)
    table = neighbour_table(structures, CUTOFF, NeighbourCapacity.expected(structures, CUTOFF))
    h = torch.randn(15, config.hidden, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    h.requires_grad_()
    features, shift = egnn(h, structures.positions, table)
    return torch.autograd.grad(features.sin().sum() + (shift**2).sum(), [h, *egnn.parameters()])


@pytest.mark.parametrize("channels", [5, 8])
@pytest.mark.parametrize("text", ["gradients=torch", "forward=64 backward=16x8 gradients=triton"])
def test_every_choice_has_the_same_gradients(monkeypatch, text, channels):
    config = EGNNConfig(hidden=32, layers=3, cutoff=CUTOFF, radial=16, channels=channels)
    expected = gradients(config)
    monkeypatch.setenv(triton_choice.VARIABLE, text)
    for ours, theirs in zip(gradients(config), expected, strict=True):
        assert float((ours - theirs).norm()) <= 2e-5 * float(theirs.norm()) + 1e-6


def test_gradients_by_torch_do_not_depend_on_the_size_of_the_groups(monkeypatch):
    config = EGNNConfig(hidden=32, layers=2, cutoff=CUTOFF, radial=16)
    monkeypatch.setenv(triton_choice.VARIABLE, "gradients=torch")
    expected = gradients(config)
    monkeypatch.setattr(triton_choice, "PLACES", 200)
    for ours, theirs in zip(gradients(config), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_text_of_a_choice_is_read_back(monkeypatch):
    choice = KernelChoice(forward=Tile(edges=64), backward=Tile(edges=16, warps=8), gradients="torch")
    monkeypatch.setenv(triton_choice.VARIABLE, choice.text())
    assert kernel_choice() == choice
    monkeypatch.setenv(triton_choice.VARIABLE, "backward=16")
    assert kernel_choice() == KernelChoice(backward=Tile(edges=16))


@pytest.mark.parametrize("item", ["forward=24", "backward=32x3", "gradients=numpy", "edges=32", "forward"])
def test_a_choice_that_does_not_exist_is_an_error_of_one_sentence(monkeypatch, item):
    monkeypatch.setenv(triton_choice.VARIABLE, item)
    with pytest.raises(AmsbenchError, match=f"'{item}' in AMSBENCH_TRITON_KERNELS is no choice"):
        kernel_choice()


def test_the_faster_code_is_taken_from_then_on(monkeypatch):
    """On a GPU: both codes run in the race, the winner alone after it. Another kernel has its own race."""
    calls, seconds = [], {"slow": 2.0, "fast": 1.0}
    codes = {name: lambda name=name: calls.append(name) or name for name in seconds}
    monkeypatch.setattr(triton_choice, "_fastest", {})
    monkeypatch.setattr(triton_choice, "_seconds", lambda code: seconds[code()])
    gpu = torch.device("cuda", 0)
    assert triton_choice.faster("layer", codes, gpu) == "fast"
    assert triton_choice.faster("layer", codes, gpu) == "fast"
    assert calls == ["slow", "fast", "fast", "fast"]
    seconds["fast"] = float("inf")
    assert triton_choice.faster("other", codes, gpu) == "slow"
    assert sorted(triton_choice.races().values()) == ["fast", "slow"]
    assert triton_choice.faster("layer", codes, torch.device("cpu")) == "slow"
