"""The devices of this machine: choosing one, its name, waiting for it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from ...errors import AmsbenchError


def device_name(device: torch.device | str) -> str:
    """The model of a GPU, or that of the processor: times on two devices compare only where these are equal."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


@cache
def processor_name() -> str:
    """The processor's model and instruction set, such as ``AMD EPYC 9R14, x86_64``; models that are not told apart
    by their name alone (virtual machines often hide it) also by their family, model and stepping numbers."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    known: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        known.setdefault(name.strip(), value.strip())
    model = known.get("model name") or platform.processor() or "unknown processor"
    numbers = [known.get(name) for name in ("cpu family", "model", "stepping")]
    exact = f" ({'/'.join(map(str, numbers))})" if all(numbers) else ""
    return f"{model}{exact}, {platform.machine()}"


def pick_device(name: str) -> str:
    """``auto``, ``cpu`` or ``cuda`` as a device that is there."""
    if name not in ("auto", "cpu", "cuda"):
        raise AmsbenchError(f"unknown device '{name}'; known: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise AmsbenchError("no CUDA device is available here; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; a processor has always."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
