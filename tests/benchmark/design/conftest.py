"""A model whose glasses have the density that they are asked for, with a bias and noise, in microseconds."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.design.folder import opened_folder
from amsbench.benchmark.design.request import DesignRequest
from amsbench.benchmark.design.run import Unobserved, run_design
from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.sampler import Sampler
from amsbench.benchmark.training.checkpoints import load_checkpoint, save_checkpoint
from amsbench.testing import synthetic_dataset

PROPERTY = "number_density"
TARGET = 75.0


class Densities(Method):
    """Atoms at random places; as many as give ``slope * asked + offset + noise`` atoms per nm³.

    With a second property the share of the first element is the asked one, with the same noise.

    planted: ``copy`` for the training structure ``copied``, ``repeat`` for the same places in every structure,
        ``sparse`` for a tenth of the atoms; None for none of these
    """

    name = "densities"
    title = "random places, for tests"
    samplers = (Sampler(name="random", title="random places"),)
    cutoff = 3.0
    copied = None

    def __init__(self, task, config):
        super().__init__(task, config)
        self.weight = torch.nn.Parameter(torch.tensor([config["slope"], config["offset"], config["noise"]]))

    @classmethod
    def default_config(cls, network, task):
        return {"slope": 1.0, "offset": 0.0, "noise": 2.0, "planted": None}

    def training_loss(self, batch, noise, *, teacher, progress):
        raise NotImplementedError

    def sample(self, start, steps, sampler, noise):
        slope, offset, spread = self.weight.tolist()
        fractions = noise.uniform_atoms(3).double()
        drawn = noise.normal_structures(2)
        ends = np.concatenate([[0], np.cumsum(start.counts.tolist())])
        species = torch.full((len(fractions),), self.task.ghost)
        positions = torch.zeros(len(fractions), 3)
        for k, (first, stop) in enumerate(pairwise(ends)):
            rows = slice(first, stop)
            volume = float(torch.linalg.det(start.cells[k]).abs())
            density = slope * float(start.properties[k, 0]) + offset + spread * float(drawn[k, 0])
            places = fractions[rows]
            planted = self.config["planted"]
            if planted == "sparse":
                density *= 0.1
            if planted == "repeat":
                places = torch.rand(len(places), 3, generator=torch.Generator().manual_seed(1)).double()
            if planted == "copy":
                scaled = torch.tensor(self.copied.get_scaled_positions())
                places[: len(scaled)] = scaled
                density = 1000 * len(scaled) / volume
            atoms = min(len(places), round(density * volume / 1000))
            species[first : first + atoms] = 0
            if len(self.task.properties) > 1:
                share = float(start.properties[k, 1]) + spread * float(drawn[k, 1])
                species[first + round(share * atoms / 100) : first + atoms] = 1
            positions[rows] = (places @ start.cells[k].double()).float()
        return replace(start, positions=positions, species=species)


@pytest.fixture(scope="session")
def dataset():
    return synthetic_dataset(40, elements=("Si",), cell=9.2)


@dataclass
class Designs:
    """Makes designs with the model of this file, in this process."""

    dataset: object
    folder: object

    def checkpoint(self, **config):
        task = task_of(self.dataset, self.dataset.property_names)
        path = self.folder / "model.safetensors"
        method = Densities(task, Densities.default_config("standard", task) | config)
        save_checkpoint(path, method, {"samples_seen": 0})
        return load_checkpoint(path, cls=Densities)

    def request(self, *, target=TARGET, tolerance=1.0, count=4, config=None, targets=None, **options):
        checkpoint = self.checkpoint(**(config or {}))
        return DesignRequest.of(
            self.dataset,
            checkpoint,
            targets or {PROPERTY: target},
            tolerance=tolerance,
            count=count,
            **options,
        )

    def run(self, name="design", *, executor=None, observer=None, overlap=False, **options):
        request = self.request(**options)
        with opened_folder(self.folder / name, request.settings()) as folder:
            return run_design(request, folder, executor, observer or Unobserved(), overlap=overlap)


@pytest.fixture
def designs(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("methods", Densities.name, Densities, "tests")
    return Designs(dataset, tmp_path)
