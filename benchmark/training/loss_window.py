"""Losses of the last steps on the training device, read all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import AmsbenchError


class NotFinite(AmsbenchError):
    """Raised if a loss or gradient is NaN or infinite."""


class LossWindow:
    """Losses of steps that were not read yet.

    Reading a number of a GPU waits for all that it has to do. The losses of ``length`` steps therefore stay on the
    device, and one transfer reads them all.

    output: folder of the training, for messages
    last: losses of the last step that was read
    """

    def __init__(self, length: int, output: Path) -> None:
        self.length, self.output = length, output
        self.last: dict[str, float] = {}
        self._unread: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, losses: Mapping[str, Tensor], gradient: Tensor) -> None:
        """Keep the losses and the norm of the gradient of a step, and read all if there are ``length``."""
        values = {name: value.detach() for name, value in losses.items()}
        self._unread.append((step, values | {"gradient": gradient.detach()}))
        if len(self._unread) >= self.length:
            self.read()

    def read(self) -> None:
        """Read all that is kept; NotFinite names the first loss and step that is NaN or infinite."""
        if not self._unread:
            return
        scalars = [value.float() for _, losses in self._unread for value in losses.values()]
        numbers = iter(torch.stack(scalars).tolist())
        for step, losses in self._unread:
            values = {name: next(numbers) for name in losses}
            check_finite(values, step, self.output)
            values.pop("gradient")
            self.last = values
        self._unread.clear()


def check_finite(values: Mapping[str, float], step: int, output: Path) -> None:
    """Raise NotFinite for the first value that is NaN or infinite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise NotFinite(
                f"the {name} became {value} at step {step} of the training in {output}; "
                "lower the learning rate and start again from the last checkpoint with --init-from"
            )
