"""Checkpoints: round trip, damage, mismatches."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from amsbench.benchmark import registry
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.benchmark.training.checkpoints import (
    check_matches,
    digest_of,
    finished_checkpoint,
    load_checkpoint,
    released_checkpoint,
    released_path,
    save_checkpoint,
)
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut


@pytest.fixture
def saved(silica, tmp_path):
    torch.manual_seed(0)
    config = AMShortcut.default_config("standard", silica)
    config["network"] |= {"hidden": 32, "layers": 2}
    method = AMShortcut(silica, config)
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, method, {"samples_seen": 12})
    return method, path


def test_round_trip_gives_the_same_samples(saved):
    method, path = saved
    loaded = load_checkpoint(path)
    assert loaded.record == {"samples_seen": 12}
    assert loaded.method.task == method.task
    assert loaded.method.config == method.config
    cells = Structures.empty_cells(
        torch.eye(3)[None] * 9, torch.tensor([40]), torch.tensor([[24.0, torch.nan]])
    )
    with torch.no_grad():
        one, two = (
            m.sample(cells, 3, "ode", StructureNoise([40], [1])) for m in (method.eval(), loaded.method)
        )
    torch.testing.assert_close(one.positions, two.positions, rtol=0, atol=0)
    torch.testing.assert_close(one.species, two.species)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"not a checkpoint", lambda b: b""])
def test_damaged_files(saved, damage):
    _, path = saved
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AmsbenchError, match="is not a checkpoint of amsbench or is damaged"):
        load_checkpoint(path)


def test_safetensors_of_something_else(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(AmsbenchError, match="is not a checkpoint of amsbench"):
        load_checkpoint(path)


def test_missing_file(tmp_path):
    with pytest.raises(AmsbenchError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_other_dataset_or_method(saved):
    loaded = load_checkpoint(saved[1])
    check_matches(loaded, "asio2", "amshortcut")
    with pytest.raises(AmsbenchError, match="trained on 'asio2', not on 'asi'"):
        check_matches(loaded, "asi")
    with pytest.raises(AmsbenchError, match="of method 'amshortcut', not 'material-sde'"):
        check_matches(loaded, "asio2", "material-sde")


def test_a_class_with_further_samplers_reads_the_checkpoints_of_its_method(saved, monkeypatch):
    class WithFurtherSamplers(AMShortcut):
        name = "amshortcut-further"
        trained_as = "amshortcut"

    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("methods", "amshortcut-further", WithFurtherSamplers, "here")
    loaded = load_checkpoint_for("amshortcut-further", "asio2", saved[1])
    assert type(loaded.method) is WithFurtherSamplers
    assert loaded.content_hash == load_checkpoint(saved[1]).content_hash
    assert load_checkpoint_for("amshortcut-further", "asi").path == released_path("amshortcut", "asi")
    assert released_checkpoint(WithFurtherSamplers, "no-such-dataset") is None


def write(path, header, tensors):
    """Write a checkpoint file whose digest is right, whatever else it holds."""
    header = header | {"digest": digest_of(header, tensors)}
    save_file(tensors, path, metadata={"amsbench": json.dumps(header)})


def contents(path):
    """Header and weights of a checkpoint file."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["amsbench"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_only_the_checkpoint_of_a_finished_training_is_taken(saved, tmp_path):
    method, _ = saved
    folder = tmp_path / "run"
    assert finished_checkpoint(folder) is None
    folder.mkdir()
    (folder / "resume.pt").write_bytes(b"state")
    with pytest.raises(AmsbenchError, match="run is not finished; give the same 'amsbench train'"):
        finished_checkpoint(folder)
    save_checkpoint(folder / "best.safetensors", method, {"fraction": 0.5})
    save_checkpoint(folder / "last.safetensors", method, {"fraction": 0.75})
    with pytest.raises(AmsbenchError, match=r"run is not finished \(75 % are done\).*--checkpoint .*best"):
        finished_checkpoint(folder)
    save_checkpoint(folder / "last.safetensors", method, {"fraction": 1.0})
    assert finished_checkpoint(folder) == folder / "best.safetensors"


@pytest.mark.parametrize(
    "change",
    [
        {"task": "nonsense"},
        {"task": {"colour": "green"}},
        {"config": {}},
        {"record": None, "task": None},
        {"record": 5},
        {"method": {"name": "material-sde"}},
        {"config": {"property_width": 10**12}},
        {"config": {"network": 7}},
    ],
)
def test_a_header_of_nonsense_is_a_damaged_file(saved, tmp_path, change):
    header, tensors = contents(saved[1])
    if change.get("config"):
        change = {"config": header["config"] | change["config"]}
    write(tmp_path / "b.safetensors", header | change, tensors)
    with pytest.raises(AmsbenchError, match=r"b\.safetensors is not a checkpoint of amsbench or is damaged"):
        load_checkpoint(tmp_path / "b.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(saved, tmp_path, value):
    header, tensors = contents(saved[1])
    name = max(tensors, key=lambda name: tensors[name].numel())
    tensors[name].flatten()[3] = value
    write(tmp_path / "b.safetensors", header, tensors)
    with pytest.raises(
        AmsbenchError, match=rf"b\.safetensors .* is damaged \(the weights {name} are not all finite"
    ):
        load_checkpoint(tmp_path / "b.safetensors")


def test_no_file_with_a_changed_bit_is_read(saved):
    """Most changed bits make a weight another finite number, which no other check can see."""
    content = saved[1].read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    places = np.random.default_rng(0).integers(0, len(content), 60)
    assert (places > header).sum() > 30
    for place in [*places.tolist(), content.index(b'samples_seen\\": 12') + len(b'samples_seen\\": 1')]:
        changed = bytearray(content)
        changed[place] ^= 1
        saved[1].write_bytes(changed)
        with pytest.raises(AmsbenchError, match="is not a checkpoint of amsbench or is damaged"):
            load_checkpoint(saved[1])


@pytest.mark.parametrize("size", [{"hidden": 20_000}, {"layers": 1_000_000}])
def test_a_network_larger_than_its_weights_takes_no_memory_or_time(saved, tmp_path, size):
    """20,000 channels would be 1.6 GB for each layer, and a million layers would take minutes."""
    method, path = saved
    config = {**method.config, "network": {**method.config["network"], **size}}
    header, tensors = contents(path)
    changed = tmp_path / "large.safetensors"
    write(changed, {**header, "config": config}, tensors)
    with pytest.raises(AmsbenchError, match="larger than its weights"):
        load_checkpoint(changed)
