"""Conditioning: guidance weights of several targets."""

import math

import torch

from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.conditioning import guidance_weights
from amsbench.methods.material_sde import MaterialSDE

SMALL = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}


def build(method_class: type[Method], task, network="standard", **changes) -> Method:
    torch.manual_seed(0)
    config = method_class.default_config(network, task)
    config["network"] = config["network"] | SMALL
    return method_class(task, config | changes)


def start(task, sizes=(20, 31), edge=9.0, properties=None) -> Structures:
    table = torch.full((len(sizes), len(task.properties)), torch.nan) if properties is None else properties
    return Structures.empty_cells(torch.eye(3).repeat(len(sizes), 1, 1) * edge, torch.tensor(sizes), table)


def test_several_targets_have_the_mean_of_their_weights(silica):
    method = build(MaterialSDE, silica, guidance={"shear_modulus": 2.0, "ring_size": 12.0})
    nan = math.nan
    rows = torch.tensor([[24.0, 5.1], [24.0, nan], [nan, 5.1], [nan, nan]])
    found = guidance_weights(start(silica, (1, 2, 1, 1), properties=rows), method.guidance_weights)
    assert found[:, 0].tolist() == [7.0, 2.0, 2.0, 12.0, 0.0]
