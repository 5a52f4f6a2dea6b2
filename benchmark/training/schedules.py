"""Learning rate and progress of the losses over a training."""

from __future__ import annotations

import math

from .options import TrainingOptions

WARM_UP = 100
"""Steps over which the learning rate rises from the start of a training."""


def learning_rate(options: TrainingOptions, fraction: float, step: int) -> float:
    """Learning rate of the next step.

    fraction: part of this training, or of this stage, that is done, 0 to 1
    step: steps before it, those of the stage it branched off included
    """
    final = options.final_lr_fraction
    factor = {
        "cosine": final + (1 - final) * 0.5 * (1 + math.cos(math.pi * fraction)),
        "constant": 1.0,
        "decay": 1 - (1 - final) * fraction,
    }[options.schedule]
    return options.learning_rate * factor * min(1.0, (step + 1) / WARM_UP)


def loss_progress(options: TrainingOptions, fraction: float) -> float:
    """Progress that losses with a schedule read, 0 to 1.

    A training at a constant rate has no planned end, and its steps must not depend on the present one: its losses are
    those of the end of their schedule from the start, as in the decay after it.
    """
    return fraction if options.schedule == "cosine" else 1.0
