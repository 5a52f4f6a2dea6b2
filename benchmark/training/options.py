"""Options of a training, and what it reports."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Adam with cosine decay, clipped gradients and a moving average of the weights.

    samples_seen: structures seen in all
    ema_decay: decay of the moving average once it has warmed up
    validate_every: structures seen between two validations (each writes the resume state and the checkpoints)
    """

    samples_seen: int
    batch_size: int = 4
    learning_rate: float = 1e-3
    final_lr_fraction: float = 0.02
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    validate_every: int = 2_000
    validation_samples: int = 64
    seed: int = 0

    @property
    def steps(self) -> int:
        return max(1, math.ceil(self.samples_seen / self.batch_size))


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """What a training reports after every step and every validation."""

    step: int
    steps: int
    losses: dict[str, float]
    validation: float | None
    seconds: float
