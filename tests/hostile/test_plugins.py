"""Samplers that return what they should not, and files of methods with changed lines."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark import registry
from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.method import Method
from amsbench.benchmark.interface.sampler import Sampler
from amsbench.benchmark.plugin_file import register_method_file
from amsbench.benchmark.scaffold import write_package

RANDOM = st.randoms(use_true_random=True)
ATOMS = [20, 31]


class Returning(Method):
    """A method that returns what ``change`` makes of its start."""

    name = "returning"
    title = "for tests"
    samplers = (Sampler(name="any", title="for tests"),)
    cutoff = 3.0
    change = None

    def __init__(self, task):
        super().__init__(task, {})
        self.weight = torch.nn.Parameter(torch.zeros(1))

    @classmethod
    def default_config(cls, network, task):
        return {}

    def training_loss(self, batch, noise, *, teacher, progress):
        raise NotImplementedError

    def sample(self, start, steps, sampler, noise):
        return self.change(start)


def changed_field(random, start):
    """The start with one field replaced."""
    name = random.choice(["positions", "cells", "species", "batch", "counts"])
    value = getattr(start, name)
    match random.choice(["none", "type", "shape", "value", "fewer", "numpy"]):
        case "none":
            return replace(start, **{name: None})
        case "type":
            return replace(start, **{name: value.to(random.choice([torch.int32, torch.bool, torch.float64]))})
        case "shape":
            return replace(
                start, **{name: random.choice([value[None], value.flatten()[:1], value.reshape(-1, 1)])}
            )
        case "value":
            numbers = [-1, 2, 3, 2**62, float("nan"), float("inf"), 1e30, 0]
            number = random.choice(
                numbers if value.is_floating_point() else [n for n in numbers if isinstance(n, int)]
            )
            return replace(start, **{name: torch.full_like(value, number)})
        case "fewer":
            return replace(start, **{name: value[:-1]})
    return replace(start, **{name: value.numpy()})


@given(random=RANDOM)
def test_what_samplers_return(random, silica, right_or_refused):
    method = Returning(silica)
    other = random.choice([None, 0, "structures", [], (1, 2), torch.zeros(3)])
    method.change = lambda start: other if random.random() < 0.2 else changed_field(random, start)
    cells = np.stack([np.eye(3) * 9.0] * 2)
    found = right_or_refused(
        lambda: generate_structures(method, cells=cells, counts=np.array(ATOMS), steps=1), "returning"
    )
    assert found is None or len(found.frames) == 2


def test_a_sampler_may_move_the_cell(silica):
    method = Returning(silica)
    method.change = lambda start: replace(start, cells=start.cells * 1.1)
    cells = np.stack([np.eye(3) * 9.0] * 2)
    found = generate_structures(method, cells=cells, counts=np.array(ATOMS), steps=1)
    assert np.allclose(found.frames[0].cell.lengths(), 9.9)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("method")
    write_package("method", "mean-flow", folder / "package")
    return Source((folder / "package" / "amsbench_mean_flow.py").read_text())


class Source(str):
    """The file of a method, with a short text of its own, because Hypothesis prints the arguments of an example."""

    def __repr__(self):
        return f"<{len(self.splitlines())} lines>"


@given(random=RANDOM)
def test_files_of_methods(random, source, right_or_refused, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_LOCAL", {})
    lines = source.splitlines()
    words = [
        "",
        "raise KeyError",
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "x = 1 / 0",
        "(",
        "\0",
        "\udcff",
        "pass",
    ]
    for _ in range(random.randint(1, 3)):
        k = random.randrange(len(lines))
        match random.choice(["replace", "remove", "repeat", "insert", "name"]):
            case "replace":
                lines[k] = random.choice(words)
            case "remove":
                del lines[k]
            case "repeat":
                lines.insert(k, lines[k])
            case "insert":
                lines.insert(k, random.choice(words))
            case "name":
                names = ['""', "None", "3", '"../x"', '"a b"', '"x" * 400', '"a\\nb"', '"amshortcut"', "[]"]
                lines = [
                    f"    name = {random.choice(names)}" if line.startswith("    name =") else line
                    for line in lines
                ]
    path = tmp_path / "mean_flow.py"
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    name = right_or_refused(lambda: register_method_file(str(path)), str(path))
    assert name is None or name in registry.names("methods")
