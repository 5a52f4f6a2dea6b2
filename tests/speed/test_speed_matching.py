"""Time of the losses of AMShortcut, gradient included: ``pytest tests/speed --benchmark-enable``.

Numbers in brackets are ratios to the shortest of a dataset; compare within one run only.
"""

import itertools

import pytest
import torch
from torch_geometric.data import Batch

from amsbench.benchmark.datasets.dataset import samples_of, task_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_sde import MaterialSDE

LOSSES = {
    "sde": lambda method, batch, noise: MaterialSDE.training_loss(
        method, batch, noise, teacher=method, progress=1.0
    )["loss"],
    "consistency": lambda method, batch, noise: method.consistency_loss(batch, noise, method),
    "matching, 1 step": lambda method, batch, noise: sum(
        method.matching_losses(batch, noise, method).values()
    ),
    "matching, 5 steps": lambda method, batch, noise: sum(
        method.matching_losses(batch, noise, method).values()
    ),
    "critic, 5 steps": lambda method, batch, noise: sum(
        method.matching_losses(batch, noise, method).values()
    ),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dataset", ["asi", "asio2"])
def test_losses(dataset, name, benchmark, one_thread):
    benchmark.group = f"losses of amshortcut, {dataset}, 4 structures"
    data = load_dataset(dataset)
    task = task_of(data, data.definition.design_properties)
    torch.manual_seed(0)
    config = AMShortcut.default_config("deep", task)
    weight = "critic" if "critic" in name else "weight"
    config["matching"] = config["matching"] | {weight: 1.0, "steps": 5 if "5" in name else 1}
    method, calls = AMShortcut(task, config), itertools.count()
    samples = samples_of(data.split("train"), task)

    def step():
        generator = torch.Generator().manual_seed(next(calls))
        chosen = torch.randint(len(samples), (4,), generator=generator).tolist()
        batch = Structures.from_data(Batch.from_data_list([samples[k] for k in chosen]))
        if task.ghost_density is not None:
            batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
        noise = BatchNoise(len(batch.positions), len(batch), generator)
        method.zero_grad()
        LOSSES[name](method, batch, noise).backward()

    benchmark.pedantic(step, rounds=15, warmup_rounds=1)
