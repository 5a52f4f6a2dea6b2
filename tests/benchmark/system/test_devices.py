"""Choice of a computing device by its name."""

import pytest
import torch

from amsbench.benchmark.system.devices import device_name, pick_device, processor_name
from amsbench.errors import AmsbenchError


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that the machine has this number of GPUs."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_every_gpu_of_the_machine_can_be_chosen(gpus):
    gpus(2)
    assert [pick_device(name) for name in ("auto", "cuda", "cuda:0", "cuda:1", "cpu")] == [
        "cuda",
        "cuda",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(AmsbenchError, match="no device 'cuda:2' here; use cuda:0, cuda:1 or cpu"):
        pick_device("cuda:2")


def test_without_a_gpu(gpus):
    gpus(0)
    assert pick_device("auto") == "cpu"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(AmsbenchError, match=f"no CUDA device is available here for '{name}'"):
            pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "CPU", "cuda:1 "])
def test_unknown_devices(name):
    with pytest.raises(AmsbenchError, match=f"unknown device '{name}'; known: auto, cpu, cuda"):
        pick_device(name)


def test_the_cpu_has_the_name_of_the_processor():
    assert device_name("cpu") == processor_name()
