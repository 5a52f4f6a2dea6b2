"""Options of a training, and its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...errors import AmsbenchError
from ..system.arguments import number, whole_number
from .moving_average import WIDEST

SCHEDULES = ("cosine", "constant", "decay")
"""Learning rates over a training after its warm-up (``schedules.learning_rate``)."""

OPTIMIZERS = ("adam", "muon")

LENGTHS = ("samples_seen", "minutes")
"""The options that say when a training ends."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Length of a training, learning rate, optimiser, moving average, validation and seed.

    samples_seen: structures seen in all, with repetition; None for a training that ends after ``minutes``
    minutes: wall-clock time after which the training ends, instead of ``samples_seen``
    schedule: ``cosine`` falls over the whole training; ``constant`` stays, so that the training can be made longer at
        any time; ``decay`` falls linearly, the stage after ``constant`` (``annealing.anneal``)
    final_lr_fraction: learning rate at the end of ``cosine`` and ``decay`` over the largest one
    optimizer: ``adam``, or ``muon`` for the matrices between hidden features and Adam for all else
    max_grad_norm: gradients are scaled down to this norm
    ema_decay: decay of the moving average of the weights, per step, after its warm-up
    ema_width: width of the moving average, instead of ``ema_decay``: its standard deviation over the structures seen in
        units of their number (``moving_average.power_decay``), the same for any batch size
    check_every: steps after which the losses are read and checked, all at once; a GPU does not wait in between
    validate_every: structures seen between two validations (each writes checkpoints and log)
    Raises AmsbenchError unless exactly one of ``samples_seen`` and ``minutes`` is given, and for values out of range.
    """

    samples_seen: int | None = None
    minutes: float | None = None
    batch_size: int = 4
    schedule: str = "cosine"
    learning_rate: float = 1e-3
    final_lr_fraction: float = 0.02
    optimizer: str = "adam"
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    ema_width: float | None = None
    check_every: int = 1
    validate_every: int = 2_000
    validation_samples: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.samples_seen is None) == (self.minutes is None):
            raise AmsbenchError(
                f"a training ends after samples_seen structures or after so many minutes, not {self.samples_seen} and "
                f"{self.minutes}; give one of them"
            )
        if self.minutes is not None:
            number(self.minutes, "the length of a training in minutes", above=0)
        if self.samples_seen is not None:
            whole_number(self.samples_seen, "samples_seen", least=1)
        for name in ("batch_size", "check_every", "validate_every", "validation_samples"):
            whole_number(getattr(self, name), name, least=1)
        whole_number(self.seed, "the seed", least=0)
        for name, most in (("learning_rate", math.inf), ("max_grad_norm", math.inf), ("ema_decay", 1.0)):
            number(getattr(self, name), name, above=0, most=most)
        if self.ema_width is not None:
            number(self.ema_width, "ema_width", above=0, most=WIDEST)
        if self.final_lr_fraction != 0:
            number(self.final_lr_fraction, "final_lr_fraction", above=0, most=1)
        for name, choices in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise AmsbenchError(
                    f"a training has no {name} '{getattr(self, name)}'; give one of: {', '.join(choices)}"
                )

    @property
    def steps(self) -> int:
        """Optimiser steps in all, of a training with ``samples_seen``."""
        assert self.samples_seen is not None
        return max(1, math.ceil(self.samples_seen / self.batch_size))

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the training that is done, 0 to 1, after ``step`` steps and ``seconds`` of wall-clock time."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        return min(1.0, step / self.steps)


def without_length(options: dict[str, Any]) -> dict[str, Any]:
    """The options, as a table, without those that say when the training ends."""
    return {name: value for name, value in options.items() if name not in LENGTHS}


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of a training after a step.

    fraction: part of the training that is done, 0 to 1
    losses: those of the last step that was read (``TrainingOptions.check_every``); empty before the first
    validation: validation loss, None where the step did not end with a validation
    seconds: wall-clock time of the training, earlier runs of a resumed one included
    """

    step: int
    fraction: float
    losses: dict[str, float]
    validation: float | None
    seconds: float
