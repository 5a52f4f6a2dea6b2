"""Which parameters which optimiser changes."""

import pytest
import torch
from torch import nn

from amsbench.benchmark.training.optimizers import HIDDEN_WIDTH, hidden_matrices, make_optimizers
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_sde import MaterialSDE

MUON = TrainingOptions(samples_seen=1, optimizer="muon", learning_rate=1e-2)


@pytest.fixture
def method(silica):
    return MaterialSDE(silica, MaterialSDE.default_config("standard", silica))


def parameters_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def test_every_parameter_has_one_optimiser(method):
    sets = [parameters_of(optimizer) for optimizer in make_optimizers(method, MUON)]
    assert sorted(map(id, sets[0] + sets[1])) == sorted(map(id, method.parameters()))
    assert sets[1] == hidden_matrices(method)


def test_a_critic_has_an_optimiser_without_momentum(silica):
    config = AMShortcut.default_config("standard", silica)
    config["matching"]["critic"] = 1.0
    method = AMShortcut(silica, config)
    made = make_optimizers(method, MUON)
    sets = [parameters_of(optimizer) for optimizer in made]
    assert sorted(id(p) for chosen in sets for p in chosen) == sorted(map(id, method.parameters()))
    assert sets[1] == list(method.critic.parameters())
    assert made[1].param_groups[0]["betas"][0] == 0


def test_muon_has_the_matrices_between_hidden_features_alone(method):
    names = {id(value): name for name, value in method.named_parameters()}
    chosen = {names[id(value)] for value in hidden_matrices(method)}
    assert "denoiser.backbone.layers.0.message.weight" in chosen
    assert (
        not {
            "denoiser.head.weight",
            "denoiser.embedding.weight",
            "denoiser.backbone.layers.0.gate.weight",
            "denoiser.backbone.layers.0.shift.weight",
        }
        & chosen
    )
    assert all(value.ndim == 2 and min(value.shape) >= HIDDEN_WIDTH for value in hidden_matrices(method))


def test_a_step_of_muon_has_the_size_of_one_of_adam_in_every_direction():
    """The update of a matrix is orthogonal up to the error of its iteration, and its entries are 0.2 of the rate."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 48, bias=False)
    before = layer.weight.detach().clone()
    optimizer = make_optimizers(layer, MUON)[0]
    # a gradient of nearly one direction, which Adam would follow almost alone
    layer.weight.grad = torch.outer(torch.randn(48), torch.randn(64)) + 0.05 * torch.randn(48, 64)
    optimizer.step()
    update = (layer.weight.detach() - before) / MUON.learning_rate
    values = torch.linalg.svdvals(update) / (0.2 * 64**0.5)
    assert values.min() > 0.4
    assert values.max() < 1.3
    assert (update**2).mean().sqrt() == pytest.approx(0.2, rel=0.3)


def test_without_hidden_matrices_there_is_adam_alone():
    assert [type(item) for item in make_optimizers(nn.Linear(64, 3), MUON)] == [torch.optim.Adam]


def test_a_torch_without_muon_is_named(method, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(AmsbenchError, match=r"has no optimizer 'muon'; install torch 2\.9"):
        make_optimizers(method, MUON)
