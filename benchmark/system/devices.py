"""The devices of this machine: choosing one, its name, waiting for it."""

from __future__ import annotations

import platform

import torch

from ...errors import AmsbenchError


def device_name(device: torch.device | str) -> str:
    """The name of a GPU, or the kind of the processor."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU"


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
