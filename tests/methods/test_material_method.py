"""The material methods: targets of ghosts, deeper networks, cards and the prior."""

from dataclasses import replace

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.state import Prediction, State

METHODS = (MaterialODE, MaterialSDE, AMShortcut)
SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), torch.nan) if properties is None else properties
    return Structures.empty_cells(torch.eye(3).repeat(len(sizes), 1, 1) * edge, torch.tensor(sizes), table)


@pytest.mark.parametrize("method_class", METHODS)
def test_ghosts_are_asked_for_their_mean(method_class, silica, small_batch):
    """A network that predicts 0 has the full loss for the atoms and none for the ghosts."""

    class Still(method_class):
        def predict(self, state: State, null, t, dt):
            positions = torch.zeros_like(state.structures.positions)
            return Prediction(positions=positions, elements=torch.zeros_like(state.elements))

    method = build(Still, silica, warmup=1.1) if method_class is AMShortcut else build(Still, silica)
    batch = small_batch(2, 2, sizes=(200, 200))
    batch = replace(batch, cells=torch.eye(3).repeat(2, 1, 1) * 17.0)
    filled = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    noise = BatchNoise(len(filled.positions), 2, torch.Generator().manual_seed(1))
    losses = method.training_loss(filled, noise, teacher=method, progress=0.0)
    share = len(batch.positions) / len(filled.positions)
    assert share < 0.4
    assert float(losses["positions"]) == pytest.approx(3 * share, rel=0.15)


def test_a_deeper_network_starts_with_the_function_of_a_shallower_one(silica, small_batch):
    shallow = build(MaterialSDE, silica).double()
    deep = build(AMShortcut, silica)
    deep = AMShortcut(silica, deep.config | {"network": deep.config["network"] | {"layers": 5}}).double()
    batch = small_batch(2, 2, sizes=(30, 40), dtype=torch.float64)
    noise = BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.full((2,), 0.3, dtype=torch.float64)
    state, _ = shallow.corrupt(batch, t[:, None], noise)
    null = shallow.denoiser.null_properties(noise)
    wanted, before = (m.predict(state, null, t, 0 * t) for m in (shallow, deep))
    deep.start_from(shallow)
    found = deep.predict(state, null, t, 0 * t)
    assert (before.positions - wanted.positions).abs().max() > 1e-4
    torch.testing.assert_close(found.positions, wanted.positions, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.elements, wanted.elements, rtol=0, atol=1e-12)
    # and its new layers learn
    found.positions.square().sum().backward()
    assert deep.denoiser.backbone.layers[2].shift.weight.grad.abs().max() > 0
    with pytest.raises(RuntimeError):
        shallow.start_from(deep)


@pytest.mark.parametrize("method_class", METHODS)
def test_cards_say_how_many_evaluations_a_step_is(method_class, silica):
    method = build(method_class, silica)
    said = {name: int(text.split(":")[0]) for name, text in method.card.evaluations.items()}
    assert said == {sampler.name: sampler.evaluations(method, 1) for sampler in method.samplers}


def test_unknown_sampler(silicon):
    with pytest.raises(AmsbenchError, match="no sampler 'heun'"):
        build(MaterialSDE, silicon).sample(start(silicon), 2, "heun", StructureNoise([20, 31], [1, 2]))


def test_prior_is_uniform_in_skewed_cells(silicon):
    method = build(MaterialSDE, silicon)
    cell = torch.tensor([[8.0, 0, 0], [3, 7, 0], [-2, 1, 9]])
    cells = Structures.empty_cells(cell[None], torch.tensor([20_000]), torch.zeros(1, 0))
    state = method.prior(cells, StructureNoise([20_000], [0]))
    fractions = state.structures.positions @ torch.linalg.inv(cell)
    assert float(fractions.min()) > -1e-5
    assert float(fractions.max()) < 1 + 1e-5
    assert float((fractions.mean(0) - 0.5).abs().max()) < 0.01
    assert float((fractions.var(0) - 1 / 12).abs().max()) < 0.002
