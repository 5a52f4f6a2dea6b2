"""Samplers of the material methods: order of convergence and drawn species."""

import math

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.samplers import adams_bashforth_drift, sample_one_hot
from amsbench.methods.state import Prediction

SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def deviation(method, sampler, steps, variance=0.04, atoms=50):
    """Deviation of a sampler's result from the exact flow of normal data, X_0 = X_1 (V / (V + sigma_1^2))^(1/2)."""

    def exact(state, null, t, dt):
        at = t[0] * method.positions.scale
        eps = state.structures.positions * at / (variance + at**2)
        return Prediction(positions=eps, elements=None)

    method.predict = exact
    cell = Structures.empty_cells(
        6 * torch.eye(3)[None].double(), torch.tensor([atoms]), torch.zeros(1, 0).double()
    )
    noise = StructureNoise([atoms], [1], dtype=torch.float64)
    begin = method.prior(cell, noise).structures.positions
    wanted = begin * (variance / (variance + method.positions.scale**2)) ** 0.5
    return float((method.sample(cell, steps, sampler, noise.restarted()).positions - wanted).abs().max())


def test_multistep_is_of_second_order_and_ode_of_first(silicon):
    method = build(MaterialSDE, silicon)
    for sampler, order in (("ode", 1), ("multistep", 2)):
        ratio = deviation(method, sampler, 200) / deviation(method, sampler, 400)
        assert math.log2(ratio) == pytest.approx(order, abs=0.15)
    assert deviation(method, "multistep", 25) < deviation(method, "ode", 25) / 4


def test_multistep_is_exact_for_a_drift_linear_in_time(silicon):
    """Exact from the second step on; the first one, an Euler step, has a constant error."""
    method = build(MaterialSDE, silicon)
    path = method.sampler_named("multistep").times(method, 6)
    total, before = 0.0, None
    for t, s in path:
        now = Prediction(positions=torch.full((1, 3), 2 + 3 * t), elements=None)
        total += float(
            (now if before is None else adams_bashforth_drift(now, *before, t - s)).positions[0, 0]
        ) * (t - s)
        before = (now, t - s)
    (begin, end), *_ = path
    assert total == pytest.approx(2 + 1.5 + 3 * (begin - end) ** 2 / 2, abs=1e-6)


def test_drawn_species_have_their_probabilities():
    probabilities = torch.tensor([0.2, -0.1, 0.5, 0.0, 0.3])  # guidance may leave some below 0
    atoms = 40_000
    found = sample_one_hot(probabilities.repeat(atoms, 1), StructureNoise([atoms], [0]))
    assert bool((found.sum(1) == 1).all())
    assert found.mean(0).tolist() == pytest.approx([0.2, 0, 0.5, 0, 0.3], abs=0.01)
    assert found[:, [1, 3]].sum() == 0
