"""Computing devices of this machine: choice, names, synchronisation."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

import torch

from ...errors import AmsbenchError

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def device_name(device: torch.device | str) -> str:
    """Model name of a GPU or of the processor. Times of two devices are comparable only if these names are equal."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


@cache
def processor_name() -> str:
    """Model name and instruction set of the processor, such as ``AMD EPYC 9R14, x86_64``.

    Family, model and stepping numbers follow the name where the system gives them, because virtual machines often
    report one name for several models.
    """
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    entries: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        entries.setdefault(name.strip(), value.strip())
    model = entries.get("model name") or platform.processor() or "unknown processor"
    numbers = [entries.get(name) for name in ("cpu family", "model", "stepping")]
    exact = f" ({'/'.join(map(str, numbers))})" if all(numbers) else ""
    return f"{model}{exact}, {platform.machine()}"


def pick_device(name: str | torch.device) -> str:
    """Torch name of the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:<number>``.

    ``auto`` is ``cuda`` if there is a GPU, else ``cpu``. Raises AmsbenchError for other names and for a GPU that this
    machine does not have.
    """
    name = str(name)
    if not _DEVICE.fullmatch(name):
        raise AmsbenchError(f"unknown device '{name}'; known: auto, cpu, cuda, cuda:0, cuda:1, ...")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if gpus else "cpu"
    if name == "cpu":
        return name
    if not gpus:
        raise AmsbenchError(f"no CUDA device is available here for '{name}'; use the device cpu")
    index = torch.device(name).index or 0
    if index >= gpus:
        devices = ", ".join(f"cuda:{k}" for k in range(gpus))
        raise AmsbenchError(f"there is no device '{name}' here; use {devices} or cpu")
    return name


def pick_devices(names: str) -> tuple[str, ...]:
    """Torch names of one device, or of several GPUs with their numbers, such as ``cuda:0,cuda:1``.

    Raises AmsbenchError as ``pick_device`` does, for a device that is named twice, and for several that are not GPUs.
    """
    parts = [part.strip() for part in str(names).split(",")]
    devices = [pick_device(part) for part in parts]
    if len(devices) == 1:
        return tuple(devices)
    if any(not part.startswith("cuda:") for part in parts):
        raise AmsbenchError(
            f"several devices are GPUs with their numbers, such as cuda:0,cuda:1, not '{names}'"
        )
    if len(set(devices)) < len(devices):
        raise AmsbenchError(f"a device is named twice in '{names}'; name each once")
    return tuple(devices)


def synchronise(device: torch.device) -> None:
    """Wait until all operations queued on a GPU are done; return at once for the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
