"""Derivatives of the denoiser against finite differences, and the refusal of those that the fast paths lack."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp

from amsbench.benchmark.interface.neighbour_graph import Graph, neighbour_graph
from amsbench.errors import AmsbenchError
from amsbench.methods.denoiser import FlexibleDenoiser
from amsbench.methods.egnn import edge_sums_native
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.derivatives import differentiable
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.reference import ReferenceEGNN
from amsbench.methods.state import State

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGS = {
    "radial": EGNNConfig(hidden=32, layers=3, cutoff=4.4),
    "tanh": EGNNConfig(hidden=32, layers=3, cutoff=4.4, edge_features="tanh"),
    "one layer": EGNNConfig(hidden=32, layers=1, cutoff=4.4),
}
INPUTS = ("positions", "elements", "t", "dt", "properties", "cells")
FAST = ["torch", pytest.param("native", marks=pytest.mark.skipif(
    not edge_sums_native.info()["active"], reason="no native kernel"
))]  # fmt: skip


def normal(like, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)


class DenoiserCase:
    """A weighted sum of all outputs of a denoiser as a function of its inputs, and a direction for each of them."""

    def __init__(self, task, batch, config, *, species=False, dtype=torch.float64):
        torch.manual_seed(0)
        self.denoiser = FlexibleDenoiser(
            task, config, predict_species_probabilities=species, composition=species
        ).to(dtype)
        for parameter in self.denoiser.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        self.batch, self.species = batch, species
        self.null = normal(batch.properties.new_empty(len(batch), self.denoiser.embedding.weight.numel()), 1)
        elements = normal(batch.positions, 2)
        properties = torch.tensor([[22.0, 5.2], [26.0, 5.0]], dtype=dtype)
        t, dt = torch.tensor([0.4, 0.7], dtype=dtype), torch.tensor([0.1, 0.2], dtype=dtype)
        self.inputs = dict(
            zip(INPUTS, (batch.positions, elements, t, dt, properties, batch.cells), strict=True)
        )
        self.directions = {name: 0.1 * normal(value, 3) for name, value in self.inputs.items()}

    def value(self, changed):
        inputs = {**self.inputs, **changed}
        structures = replace(
            self.batch, **{name: inputs[name] for name in ("positions", "properties", "cells")}
        )
        elements = inputs["elements"]
        prediction = self.denoiser(
            State(structures=structures, elements=elements),
            self.null,
            inputs["t"],
            inputs["dt"],
            elements / 0.5 if self.species else None,
        )
        return sum(
            (output * normal(output, seed)).sum()
            for seed, output in enumerate((prediction.positions, prediction.elements))
        )

    def along(self, name):
        """The value as a function of one input, the input, and a direction."""
        return lambda x: self.value({name: x}), self.inputs[name], self.directions[name]


def finite_difference(function, x, direction, step=1e-5):
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


def reverse_derivative(function, x, direction, **options):
    x = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x), x, **options)
    return (gradient * direction).sum()


@pytest.fixture(params=[*CONFIGS, "species"])
def case(request, silica, small_batch):
    species = request.param == "species"
    config = CONFIGS["radial" if species else request.param]
    batch = small_batch(3, 2, sizes=(9, 12), dtype=torch.float64)
    return DenoiserCase(silica, batch, config, species=species)


@pytest.mark.parametrize("name", INPUTS)
def test_first_derivatives_are_those_of_finite_differences(case, name):
    function, x, direction = case.along(name)
    with torch.no_grad():
        expected = finite_difference(function, x, direction)
    assert expected.abs() > 1e-3
    with differentiable():
        _, forward = jvp(function, (x,), (direction,))
        with forward_ad.dual_level():
            dual = forward_ad.unpack_dual(function(forward_ad.make_dual(x, direction))).tangent
        reverse = reverse_derivative(function, x, direction)
    for derivative in (forward, dual, reverse):
        torch.testing.assert_close(derivative.detach(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", INPUTS)
def test_second_derivatives_are_those_of_finite_differences(case, name):
    function, x, direction = case.along(name)

    def slope(x):
        return reverse_derivative(function, x, direction)

    with differentiable():
        expected = finite_difference(slope, x, direction).detach()
        assert expected.abs() > 1e-5
        _, forward_over_reverse = jvp(lambda x: (grad(function)(x) * direction).sum(), (x,), (direction,))
        _, forward_over_forward = jvp(lambda x: jvp(function, (x,), (direction,))[1], (x,), (direction,))
        twice = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(twice), twice, create_graph=True)
        (second,) = torch.autograd.grad((gradient * direction).sum(), twice)
    for derivative in (forward_over_reverse, forward_over_forward, (second * direction).sum()):
        torch.testing.assert_close(derivative.detach(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", INPUTS)
def test_third_derivatives_are_those_of_finite_differences(case, name):
    function, x, direction = case.along(name)

    def curvature(x):
        return jvp(lambda x: jvp(function, (x,), (direction,))[1], (x,), (direction,))[1]

    with differentiable():
        expected = finite_difference(curvature, x, direction, step=1e-4).detach()
        _, forward = jvp(curvature, (x,), (direction,))
        reverse = reverse_derivative(curvature, x, direction)
    for derivative in (forward, reverse):
        torch.testing.assert_close(derivative.detach(), expected, rtol=1e-5, atol=1e-6)


def test_the_total_derivative_along_a_path_needs_no_reverse_mode(case):
    """d u(x + s v, t + s) / ds, as the identity of mean flows takes it, with parameters that are then trained."""
    directions = {name: case.directions[name] for name in ("positions", "elements")}
    directions["t"] = torch.ones_like(case.inputs["t"])
    start = {name: case.inputs[name] for name in directions}

    def moved(s):
        return case.value({name: start[name] + s * directions[name] for name in directions})

    with torch.no_grad():
        expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
    parameters = list(case.denoiser.backbone.parameters())
    with differentiable():
        _, derivative = jvp(case.value, (start,), (directions,))
    torch.testing.assert_close(derivative.detach(), expected, rtol=1e-6, atol=1e-8)
    assert any(bool(g.any()) for g in torch.autograd.grad(derivative, parameters, materialize_grads=True))


def test_the_example_of_the_documentation(silica, small_batch):
    page = (Path(__file__).parents[3] / "docs" / "speed.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    batch = small_batch(3, 2, sizes=(9, 12), dtype=torch.float64)
    case = DenoiserCase(silica, batch, CONFIGS["radial"])
    structures = replace(batch, properties=case.inputs["properties"])
    state = State(structures=structures, elements=case.inputs["elements"])
    names = {
        "denoiser": case.denoiser,
        "state": state,
        "null": case.null,
        "t": case.inputs["t"],
        "dt": case.inputs["dt"],
        "v": case.directions["positions"],
    }
    exec(example, names)
    with torch.no_grad():
        steps = [names["drift"](batch.positions + s * names["v"], names["t"] + s) for s in (1e-5, -1e-5)]
    torch.testing.assert_close(
        names["derivative"].detach(), (steps[0] - steps[1]) / 2e-5, rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("edge_features", ["radial", "tanh"])
def test_every_path_is_the_same_function(monkeypatch, edge_features, small_batch):
    """Outputs, and the gradients of features, positions and parameters, of EGNN and the reference network."""
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    torch.manual_seed(0)
    network = EGNN(EGNNConfig(hidden=32, layers=3, cutoff=4.4, edge_features=edge_features)).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    structures = small_batch(3, 0, dtype=torch.float64)
    graph = neighbour_graph(structures, 4.4)
    h = torch.randn(len(structures.positions), 32, dtype=torch.float64, requires_grad=True)
    positions = structures.positions.requires_grad_()
    fast = network(h, positions, graph)
    with differentiable():
        slow = network(h, positions, graph)
    reference = ReferenceEGNN(network)(h, positions, graph)
    torch.testing.assert_close(slow, fast, rtol=0, atol=1e-10)
    torch.testing.assert_close(slow, reference, rtol=0, atol=1e-10)

    def gradients(outputs, inputs):
        return torch.autograd.grad(sum((output**2).sum() for output in outputs), inputs, retain_graph=True)

    trained = [h, *(p for p in network.parameters())]
    torch.testing.assert_close(gradients(slow, trained), gradients(fast, trained), rtol=1e-8, atol=1e-8)
    inputs = [h, positions]
    torch.testing.assert_close(gradients(slow, inputs), gradients(reference, inputs), rtol=1e-8, atol=1e-8)


@pytest.fixture(params=FAST)
def fast_case(request, monkeypatch, silica, small_batch):
    native = request.param == "native"
    monkeypatch.setenv("AMSBENCH_NATIVE", "1" if native else "0")
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "float32")
    dtype = torch.float32 if native else torch.float64
    batch = small_batch(3, 2, sizes=(9, 12), dtype=dtype)
    case = DenoiserCase(silica, batch, CONFIGS["radial"], dtype=dtype)
    assert edge_sums_native.usable(case.denoiser.backbone.config, batch.positions) == native
    return case


@pytest.mark.parametrize("name", ["elements", "t", "dt", "properties"])
def test_fast_paths_have_first_derivatives_by_reverse_mode(fast_case, name):
    function, x, direction = fast_case.along(name)
    derivative = reverse_derivative(function, x, direction)
    with differentiable():
        expected = reverse_derivative(function, x, direction)
    limit = 1e-10 if x.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(derivative, expected, rtol=limit, atol=limit)


@pytest.mark.parametrize("name", ["positions", "cells"])
def test_fast_paths_refuse_derivatives_of_the_geometry(fast_case, name):
    with pytest.raises(AmsbenchError, match=rf"with respect to {name}.*inside 'with differentiable"):
        reverse_derivative(*fast_case.along(name))


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("name", INPUTS)
def test_fast_paths_refuse_forward_mode(fast_case, name, enabled):
    function, x, direction = fast_case.along(name)
    with torch.set_grad_enabled(enabled):
        with pytest.raises(AmsbenchError, match=r"torch.func.*inside 'with differentiable"):
            jvp(function, (x,), (direction,))
        with forward_ad.dual_level(), pytest.raises(AmsbenchError, match="inside 'with differentiable"):
            function(forward_ad.make_dual(x, direction))


@pytest.mark.parametrize("name", ["elements", "t", "dt", "properties"])
def test_fast_paths_refuse_second_derivatives(fast_case, name):
    """The value is linear in the outputs, so that the incoming gradients of the backward pass are constants."""
    function, x, direction = fast_case.along(name)
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x), x, create_graph=True)
    slope = (gradient * direction).sum()
    with pytest.raises(AmsbenchError, match=r"second derivatives.*inside 'with differentiable"):
        torch.autograd.grad(slope, x, retain_graph=True)
    with pytest.raises(AmsbenchError, match="second derivatives"):
        slope.backward()


def test_a_first_derivative_with_create_graph_is_the_same(fast_case):
    function, x, direction = fast_case.along("elements")
    kept = reverse_derivative(function, x, direction, create_graph=True)
    torch.testing.assert_close(kept, reverse_derivative(function, x, direction))
    assert kept.requires_grad


class ValueModule(torch.nn.Module):
    """The value of a case as a module, so that ``functional_call`` can replace parameters of the denoiser."""

    def __init__(self, case):
        super().__init__()
        self.denoiser, self.case = case.denoiser, case

    def with_message_weight(self, weight):
        return functional_call(self, {"denoiser.backbone.layers.1.message.weight": weight}, ())

    def forward(self):
        return self.case.value({})


def test_fast_paths_refuse_forward_mode_of_a_weight(fast_case):
    weight = fast_case.denoiser.backbone.layers[1].message.weight.detach()
    with forward_ad.dual_level(), pytest.raises(AmsbenchError, match="forward-mode derivatives"):
        ValueModule(fast_case).with_message_weight(forward_ad.make_dual(weight, weight))


def test_functional_call_replaces_weights_of_the_edges(fast_case):
    module = ValueModule(fast_case)
    weight = fast_case.denoiser.backbone.layers[1].message.weight.detach()
    with torch.no_grad():
        before, doubled = module(), module.with_message_weight(2 * weight)
        weight.mul_(2)
        assert torch.equal(module(), doubled)
    assert (doubled - before).abs() > 1e-3


def test_shifts_of_the_differentiable_graph_follow_the_cells(silicon, small_batch):
    denoiser = FlexibleDenoiser(silicon, CONFIGS["radial"]).double()
    structures = small_batch(1, 0, dtype=torch.float64)
    graph = denoiser.neighbours(structures)
    with differentiable():
        same = denoiser.neighbours(structures)
    assert isinstance(graph, Graph)
    assert torch.equal(same.receivers, graph.receivers)
    assert torch.equal(same.senders, graph.senders)
    torch.testing.assert_close(same.shifts, graph.shifts, rtol=0, atol=1e-12)


def test_the_context_ends():
    network = EGNN(EGNNConfig(hidden=32, layers=1)).double()
    none = torch.zeros(0, dtype=torch.long)
    graph = Graph(receivers=none, senders=none, shifts=torch.zeros(0, 3, dtype=torch.float64))
    positions = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)

    def gradient():
        h, shift = network(torch.ones(2, 32, dtype=torch.float64), positions, graph)
        return torch.autograd.grad(h.sum() + shift.sum(), positions)[0]

    with differentiable():
        assert not bool(gradient().any())
    with pytest.raises(AmsbenchError, match="with respect to positions"):
        gradient()
