"""Checkpoints with changed bytes, headers and weights are refused, or are the method that they say they are."""

import json
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from amsbench.benchmark.generation.generate import generate_structures
from amsbench.benchmark.interface.method import method_class
from amsbench.benchmark.training.checkpoints import digest_of, load_checkpoint, released_path

RANDOM = st.randoms(use_true_random=True)


class Original(NamedTuple):
    """A released checkpoint; its own text is short, because Hypothesis prints the arguments of an example."""

    name: str
    header: dict
    tensors: dict

    def __repr__(self):
        return f"<{self.name}>"


@pytest.fixture(scope="module", params=["material-ode", "cdvae"])
def original(request):
    with safe_open(released_path(request.param, "asi"), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Original(request.param, json.loads(file.metadata()["amsbench"]), tensors)


def sampled(checkpoint):
    """One structure in one step. Its positions need not be numbers: evaluation counts such ones as failures."""
    cells, counts = np.eye(3)[None] * 14.0, np.array([16])
    assert len(generate_structures(checkpoint.method, cells=cells, counts=counts, steps=1).frames) == 1


def written(path, header, tensors):
    """A file whose digest fits its content, as somebody would write it on purpose."""
    header = {**header, "digest": digest_of(header, tensors)} if isinstance(header, dict) else header
    path.write_bytes(save(tensors, metadata={"amsbench": json.dumps(header)}))
    return path


@given(random=RANDOM)
def test_changed_bytes(random, changes, right_or_refused, tmp_path):
    content = released_path("material-ode", "asi").read_bytes()
    path = tmp_path / "changed.safetensors"
    path.write_bytes(changes.bytes(random, content))
    found = right_or_refused(lambda: load_checkpoint(path), str(path))
    assert (
        found is None
        or found.content_hash == load_checkpoint(released_path("material-ode", "asi")).content_hash
    )


@given(random=RANDOM)
def test_changed_headers(random, original, changes, right_or_refused, tmp_path):
    name, header, tensors = original
    small = {key: value for key, value in header.items() if key != "record"}
    changed = changes.json(random, small)
    if isinstance(changed, dict):
        changed = {"record": header["record"], **changed}
    path = written(tmp_path / "changed.safetensors", changed, tensors)
    found = right_or_refused(lambda: load_checkpoint(path, cls=method_class(name)))
    if found is not None:
        right_or_refused(lambda: sampled(found))


@given(random=RANDOM)
def test_changed_weights(random, original, right_or_refused, tmp_path):
    name, header, tensors = original
    tensors = dict(tensors)
    one = random.choice(sorted(tensors))
    tensor = tensors[one]
    change = random.choice(
        ["drop", "rename", "shape", "float16", "float64", "int64", "infinite", "huge", "empty"]
    )
    match change:
        case "drop":
            del tensors[one]
        case "rename":
            tensors[one + "x"] = tensors.pop(one)
        case "shape":
            tensors[one] = tensor.flatten()[:-1].clone() if tensor.numel() > 1 else torch.zeros(2, 2)
        case "float16" | "float64" | "int64":
            tensors[one] = tensor.to(getattr(torch, change))
        case "infinite":
            tensors[one] = torch.full_like(tensor, torch.inf if tensor.is_floating_point() else 2**31 - 1)
        case "huge":
            tensors[one] = torch.full_like(tensor, 1e30 if tensor.is_floating_point() else 2**31 - 1)
        case "empty":
            tensors[one] = torch.zeros(0)
    path = written(tmp_path / "changed.safetensors", header, tensors)
    found = right_or_refused(lambda: load_checkpoint(path, cls=method_class(name)))
    if found is not None:
        right_or_refused(lambda: sampled(found))
