"""AMShortcut: consistency of shortcuts, drawn step sizes, and samplers below and from ten steps on."""

import pytest
import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.state import Prediction, State

SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def test_exact_averages_have_no_consistency_loss(silicon, small_batch):
    """L_SC is 0 for the exact average drift of Gaussian data (one point per atom) in place of the network."""

    class Exact(AMShortcut):
        spread = 0.3

        def predict(self, state: State, null, t, dt):
            at, step = t[:, None][state.structures.batch], dt[:, None][state.structures.batch]
            x, s = state.structures.positions, self.positions.scale
            ratio = torch.sqrt((self.spread**2 + (s * (at - step)) ** 2) / (self.spread**2 + (s * at) ** 2))
            return Prediction(positions=x * (1 - ratio) / (s * step), elements=None)

    method = build(Exact, silicon).double()
    batch = small_batch(1, 0, dtype=torch.float64)
    noise = BatchNoise(len(batch.positions), 2, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(method.consistency_loss(batch, noise, method)) < 1e-20

    class Wrong(Exact):
        def predict(self, state: State, null, t, dt):
            found = super().predict(state, null, t, dt)
            return Prediction(
                positions=found.positions * (1 + dt[:, None][state.structures.batch]), elements=None
            )

    wrong = build(Wrong, silicon).double()
    assert float(wrong.consistency_loss(batch, noise, wrong)) > 1e-4


def test_shortcut_steps_fit_into_the_time(silicon):
    method = build(AMShortcut, silicon)
    t, dt = method.draw_steps(BatchNoise(1, 10_000, torch.Generator().manual_seed(0)))
    assert bool((dt > 0).all())
    assert bool((2 * dt <= t + 1e-6).all())
    assert float((t == 1).float().mean()) == pytest.approx(method.config["start_share"], abs=0.02)
    assert float((2 * dt == t).float().mean()) == pytest.approx(method.config["full_share"], abs=0.02)


def test_shortcut_mode_changes_at_ten_steps(silicon):
    method = build(AMShortcut, silicon)
    ancestral = method.sampler_named("ancestral")
    assert ancestral.at(9).step_size(0.7, 0.2) == pytest.approx(0.5)
    assert ancestral.at(10).step_size(0.7, 0.2) == 0.0
    assert method.sampler_named("ancestral").label(method, 5) == "shortcut"
    assert method.sampler_named("restart").label(method, 5) == "shortcut restart"
    assert method.sampler_named("multistep").label(method, 5) == "shortcut multistep"  # at times of its own
    assert method.sampler_named("multistep").label(method, 1) == "shortcut"
    assert method.sampler_named("restart").label(method, 1) == "shortcut"  # one step has no restart
    assert method.sampler_named("restart").label(method, 10) == "restart"
    assert method.sampler_named("ancestral").label(method, 10) == "ancestral"
    assert method.sampler_named("ode").label(method, 10) == "shortcut"
