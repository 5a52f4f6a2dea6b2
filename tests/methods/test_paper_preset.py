"""The preset ``paper`` has the numbers and the equations of the paper (arXiv 2603.29812)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import minimum_image
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.derivatives import differentiable
from amsbench.methods.egnn.paper_network import PaperEGNN
from amsbench.methods.material_method import MIN_TIME
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.paper_denoiser import PaperDenoiser
from amsbench.methods.state import Prediction, State

METHODS = (MaterialODE, MaterialSDE, AMShortcut)
SMALL = {"hidden": 64, "layers": 2, "channels": 3, "cutoff": 4.0}


def build(method_class, task, **changes):
    torch.manual_seed(0)
    config = method_class.default_config("paper", task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


@pytest.mark.parametrize("method_class", METHODS)
def test_the_settings_are_the_papers(method_class, silica):
    config = method_class.default_config("paper", silica)
    network = EGNNConfig(**config["network"])
    assert (network.layers, network.hidden, network.channels) == (4, 128, 8)
    assert (network.cutoff, network.neighbours) == (6.5, 40.0)
    assert (network.form, network.edge_features) == ("paper", "tanh")
    assert config["uniform_share"] == 1.0
    assert config["property_dropout"] == 0.0
    assert config["ghost_noise"]
    assert not config["composition_input"]
    assert not config["neutral"]
    method = method_class(silica, config)
    assert method.positions.scale == 1.7
    if method_class is MaterialODE:
        assert (config["element_output"], method.elements.scale) == ("velocity", 1.0)
        assert not config["scaled_positions"]
    else:
        assert (config["element_output"], method.elements.scale) == ("noise", 1.5)


def test_a_quarter_of_the_batches_has_a_shortcut_loss_from_the_beginning(silica, small_batch):
    method = build(AMShortcut, silica)
    config = method.config
    assert (config["consistency_share"], config["warmup"]) == (0.25, 0.0)
    batch = small_batch(3, 2, sizes=(6,))
    generator = torch.Generator().manual_seed(0)
    losses = [
        method.training_loss(batch, BatchNoise(6, 1, generator), teacher=method, progress=0.0)
        for _ in range(400)
    ]
    share = np.mean(["consistency" in loss for loss in losses])
    assert share == pytest.approx(0.25, abs=3 * (0.25 * 0.75 / 400) ** 0.5)


def test_times_and_step_sizes_of_shortcuts_are_uniform(silica):
    method = build(AMShortcut, silica)
    t, dt = method.draw_steps(BatchNoise(1, 20_000, torch.Generator().manual_seed(0)))
    for values in (t, (2 * dt - MIN_TIME) / (t - MIN_TIME)):
        quartiles = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75]))
        assert quartiles.tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


def shapes(module):
    return [tuple(p.shape) for p in module.parameters()]


@pytest.mark.parametrize("method_class", METHODS)
def test_the_parameters_are_those_of_the_equations(method_class, silica):
    """phi_e and phi_x read [H_i, H_j, e_ij], phi_h reads [H_i, m_agg]; phi_x puts out k x k numbers; there is no layer
    before the first one or after the last one."""
    denoiser = method_class(silica, method_class.default_config("paper", silica)).denoiser
    assert isinstance(denoiser, PaperDenoiser)
    h, k = 128, 8

    def mlp(inputs, outputs):
        return [
            (h, inputs),
            (h,),
            (h,),
            (h,),
            (outputs, h),
            (outputs,),
        ]  # linear, layer normalisation, linear

    layers = denoiser.backbone.layers
    assert len(layers) == 4
    for layer in layers:
        assert shapes(layer.phi_e) == mlp(2 * h + 1, h)
        assert shapes(layer.attention) == mlp(h, 1)
        assert shapes(layer.phi_h) == mlp(2 * h, h)
        assert shapes(layer.phi_x) == mlp(2 * h + 1, k * k)
        assert sum(map(len, map(shapes, layer.children()))) == len(shapes(layer))
    assert len(shapes(denoiser)) == len(shapes(denoiser.embedding)) + sum(len(shapes(x)) for x in layers)
    assert shapes(denoiser.embedding) == [(2, 16), (2, 16)]  # Linear(y) of each property


class Direct(torch.nn.Module):
    """Eq. 13 atom by atom and edge by edge."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, h, positions, graph):
        config, count = self.network.config, len(h)
        x = positions[:, None].repeat(1, config.channels, 1)
        edges = list(zip(graph.receivers.tolist(), graph.senders.tolist(), graph.shifts, strict=True))
        for layer in self.network.layers:
            sums = [torch.zeros(config.hidden, dtype=h.dtype) for _ in range(count)]
            features = []
            for i, j, shift in edges:
                distance = (positions[i] - positions[j] - shift).norm()
                e = torch.tanh(distance**2 / config.cutoff**2) * 2 - 1
                smooth = 2 * torch.tanh(1 - min(distance, config.cutoff) / config.cutoff) ** 2
                features.append((e[None], smooth))
                m = layer.phi_e(torch.cat([h[i], h[j], e[None]]))
                sums[i] = sums[i] + torch.sigmoid(layer.attention(m)) * m * smooth / config.neighbours
            h = torch.stack([h[i] + layer.phi_h(torch.cat([h[i], sums[i]])) for i in range(count)])
            moved = [torch.zeros(config.channels, 3, dtype=h.dtype) for _ in range(count)]
            for (i, j, shift), (e, smooth) in zip(edges, features, strict=True):
                phi = layer.phi_x(torch.cat([h[i], h[j], e])).view(config.channels, config.channels)
                d = x[i] - x[j] - shift
                direction = d / (d.norm(dim=1, keepdim=True) + 1)
                moved[i] = moved[i] + phi @ direction * smooth / config.neighbours
            x = x + torch.stack(moved)
        return h, positions - x[:, 0]


def test_the_network_computes_the_equations(small_batch):
    torch.manual_seed(0)
    config = EGNNConfig(hidden=6, layers=3, channels=3, cutoff=3.5, edge_features="tanh", form="paper")
    network = PaperEGNN(config).double()
    structures = small_batch(1, 0, sizes=(5, 4), dtype=torch.float64)
    structures = structures.with_positions(structures.positions * 0.4)
    graph = neighbour_graph(structures, config.cutoff)
    assert len(graph.receivers) > 10
    h = torch.randn(9, 6, dtype=torch.float64)
    with torch.no_grad():
        results = network(h, structures.positions, graph), Direct(network)(h, structures.positions, graph)
    for ours, direct in zip(*results, strict=True):
        assert ours.abs().max() > 1e-3
        torch.testing.assert_close(ours, direct, rtol=0, atol=1e-9)


def test_features_go_in_and_come_out_as_they_are(silica, small_batch):
    """H^(0) holds E_t, properties, t and dt; without the updates of the layers H^(L) returns E_t."""
    method = build(AMShortcut, silica)
    denoiser = method.denoiser
    seen = []
    denoiser.backbone.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for layer in denoiser.backbone.layers:
        for linear in (layer.phi_h.last, layer.phi_x.last):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
    batch = small_batch(3, 2)
    elements, null = torch.randn(len(batch.positions), 3), torch.randn(2, 32)
    t, dt = torch.tensor([0.3, 0.9]), torch.tensor([0.1, 0.5])
    with torch.no_grad():
        output = denoiser(State(structures=batch, elements=elements), null, t, dt)
    torch.testing.assert_close(output.elements, elements)
    assert output.positions.abs().max() == 0
    per_structure = torch.cat([null, t[:, None], dt[:, None]], dim=1)[batch.batch]
    torch.testing.assert_close(seen[0], functional.pad(torch.cat([elements, per_structure], dim=1), (0, 27)))


@pytest.mark.parametrize("method_class", [MaterialODE, MaterialSDE])
def test_only_amshortcut_reads_the_step_size(method_class, silica, small_batch):
    batch = small_batch(3, 2)
    for kind, reads in ((method_class, False), (AMShortcut, True)):
        denoiser = build(kind, silica).denoiser
        state = State(structures=batch, elements=torch.zeros(len(batch.positions), 3))
        t, null = torch.full((2,), 0.5), torch.zeros(2, 32)
        with torch.no_grad():
            outputs = [denoiser(state, null, t, dt).elements for dt in (0 * t, t)]
        assert bool((outputs[0] != outputs[1]).any()) == reads


def test_errors_of_shortcuts_are_those_of_eq_4(silica, small_batch):
    """With a network whose prediction is a constant for dt and another one for 2 dt."""

    class Constant(AMShortcut):
        sizes: list[float]

        def predict(self, state, null, t, dt):
            self.sizes.append(float(dt[0]))
            value = 1.0 if len(self.sizes) == 3 else 3.0
            shape = state.structures.positions
            return Prediction(
                positions=torch.full_like(shape, value), elements=torch.full_like(state.elements, value)
            )

    method = build(Constant, silica)
    method.sizes = []
    batch = small_batch(3, 2)
    noise = BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0))
    loss = float(method.consistency_loss(batch, noise, AMShortcut))
    assert loss == pytest.approx(1.7**2 * 3 * 4 + 3 * 4, rel=1e-5)  # 3 components and 3 species, errors of 2
    assert method.sizes[2] == pytest.approx(2 * method.sizes[0], rel=1e-5)


def test_ghosts_keep_their_drawn_noise(silica, small_batch):
    batch = small_batch(3, 2)
    noise = torch.randn_like(batch.positions)
    assert torch.equal(build(MaterialSDE, silica).position_target(noise, batch), noise)
    standard = MaterialSDE(silica, MaterialSDE.default_config("standard", silica))
    ghosts = batch.species == silica.ghost
    assert ghosts.any()
    assert standard.position_target(noise, batch)[ghosts].abs().max() == 0


def test_material_odes_errors_are_in_angstrom(silica, small_batch):
    """A network without output has the mean square of the displacements themselves as its loss (Eq. 8)."""
    method = build(MaterialODE, silica)
    for layer in method.denoiser.backbone.layers:
        torch.nn.init.zeros_(layer.phi_x.last.weight)
        torch.nn.init.zeros_(layer.phi_x.last.bias)
    batch = small_batch(3, 2)

    def noise():
        return BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0))

    losses = method.training_loss(batch, noise(), teacher=method, progress=0.0)
    again = noise()
    method.hide_properties(batch, again)
    method.draw_times(again)
    u = minimum_image(method.prior(batch, again).structures.positions - batch.positions, batch)
    assert float(losses["positions"].detach()) == pytest.approx(float((u**2).sum(-1).mean()), rel=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_whole_methods_are_equivariant(silica, small_batch, mirrored):
    method = build(AMShortcut, silica).double()
    batch = small_batch(3, 2, dtype=torch.float64)
    turn = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )[0]
    turn = turn * torch.linalg.det(turn).sign() * (-1 if mirrored else 1)
    elements, null = torch.randn(len(batch.positions), 3, dtype=torch.float64), torch.randn(2, 32).double()
    t = torch.full((2,), 0.6, dtype=torch.float64)
    turned = replace(batch, positions=batch.positions @ turn + 0.7, cells=batch.cells @ turn)
    with torch.no_grad():
        one, two = (
            method.predict(State(structures=s, elements=elements), null, t, t / 3) for s in (batch, turned)
        )
    assert one.positions.abs().max() > 1e-3
    torch.testing.assert_close(two.positions, one.positions @ turn, rtol=0, atol=1e-10)
    torch.testing.assert_close(two.elements, one.elements, rtol=0, atol=1e-10)


def test_positions_have_derivatives(silicon, small_batch):
    method = build(MaterialSDE, silicon).double()
    batch = small_batch(1, 0, sizes=(7,), dtype=torch.float64)
    t, null = torch.full((1,), 0.4, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)

    def energy(positions):
        with differentiable():
            state = State(structures=batch.with_positions(positions), elements=None)
            return method.predict(state, null, t, 0 * t).positions.square().sum()

    positions = batch.positions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(positions), positions)
    step = 1e-5 * torch.randn_like(batch.positions)
    with torch.no_grad():
        difference = energy(batch.positions + step) - energy(batch.positions - step)
    assert float(difference) == pytest.approx(2 * float((gradient * step).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"element_output": "species"}, "element_output=species"),
        ({"composition_input": True}, "composition_input=true"),
        ({"property_width": 64}, "more than 'hidden', 64"),
        ({"network": {"edge_features": "radial"}}, "not edge_features 'radial'"),
    ],
)
def test_what_the_network_cannot_do_is_said(silica, changes, words):
    config = AMShortcut.default_config("paper", silica)
    config["network"] = config["network"] | SMALL | changes.get("network", {})
    with pytest.raises(AmsbenchError, match=words):
        AMShortcut(silica, config | {name: value for name, value in changes.items() if name != "network"})
