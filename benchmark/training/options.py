"""Options of a training, and its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import AmsbenchError
from ..system.arguments import number, whole_number


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Length of a training, optimiser (Adam with cosine decay, clipped gradients), validation and seed.

    samples_seen: structures seen in all, with repetition; None for a training that ends after ``minutes``
    minutes: wall-clock time after which the training ends, instead of ``samples_seen``
    final_lr_fraction: learning rate at the end over the largest one
    max_grad_norm: gradients are scaled down to this norm
    ema_decay: decay of the moving average of the weights, per step, after its warm-up
    validate_every: structures seen between two validations (each writes the resume state and the checkpoints)
    Raises AmsbenchError unless exactly one of ``samples_seen`` and ``minutes`` is given, and for values out of range.
    """

    samples_seen: int | None = None
    minutes: float | None = None
    batch_size: int = 4
    learning_rate: float = 1e-3
    final_lr_fraction: float = 0.02
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
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
        for name in ("batch_size", "validate_every", "validation_samples"):
            whole_number(getattr(self, name), name, least=1)
        whole_number(self.seed, "the seed", least=0)
        for name, most in (("learning_rate", math.inf), ("max_grad_norm", math.inf), ("ema_decay", 1.0)):
            number(getattr(self, name), name, above=0, most=most)
        if self.final_lr_fraction != 0:
            number(self.final_lr_fraction, "final_lr_fraction", above=0, most=1)

    @property
    def steps(self) -> int:
        """Optimiser steps in all, of a training with ``samples_seen``."""
        assert self.samples_seen is not None
        return max(1, math.ceil(self.samples_seen / self.batch_size))

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the training that is done, 0 to 1, after ``step`` steps and ``seconds`` of wall-clock time."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        return step / self.steps


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of a training after a step.

    fraction: part of the training that is done, 0 to 1
    validation: validation loss, None where the step did not end with a validation
    seconds: wall-clock time of the training, earlier runs of a resumed one included
    """

    step: int
    fraction: float
    losses: dict[str, float]
    validation: float | None
    seconds: float
