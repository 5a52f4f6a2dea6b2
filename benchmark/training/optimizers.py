"""Optimisers of a training."""

from __future__ import annotations

import torch
from torch import nn

from ...errors import AmsbenchError
from .options import TrainingOptions

HIDDEN_WIDTH = 32
"""Matrices whose smaller side is at least this one act between hidden features. Those of fewer inputs or outputs, such
as times, species and gates, have no spectrum to speak of; Muon is meant for the others alone."""


ADVERSARY_BETAS = (0.0, 0.99)
"""Decay rates of Adam for modules that training alone needs: what a critic should find changes with the generator, so
that gradients of the past mislead it (arXiv 1801.04406)."""


def make_optimizers(method: nn.Module, options: TrainingOptions) -> list[torch.optim.Optimizer]:
    """Adam; with ``muon`` also Muon (arXiv 2502.16982) for the matrices between hidden features.

    Updates of Muon have the root mean square of those of Adam, so that one learning rate serves both. Weights do not
    decay. Raises AmsbenchError where torch has no Muon.
    """
    adversaries = [
        parameter
        for name in getattr(method, "training_only", ())
        if isinstance(module := getattr(method, name, None), nn.Module)
        for parameter in module.parameters()
    ]
    chosen = {id(parameter) for parameter in adversaries}
    hidden = hidden_matrices(method) if options.optimizer == "muon" else []
    hidden = [parameter for parameter in hidden if id(parameter) not in chosen]
    chosen |= {id(parameter) for parameter in hidden}
    others = [parameter for parameter in method.parameters() if id(parameter) not in chosen]
    made: list[torch.optim.Optimizer] = []
    if others:
        made.append(torch.optim.Adam(others, lr=options.learning_rate, fused=True))
    if adversaries:
        made.append(
            torch.optim.Adam(adversaries, lr=options.learning_rate, betas=ADVERSARY_BETAS, fused=True)
        )
    if hidden:
        if not hasattr(torch.optim, "Muon"):
            raise AmsbenchError(
                f"torch {torch.__version__} has no optimizer 'muon'; install torch 2.9 or later, or train with adam"
            )
        made.append(
            torch.optim.Muon(
                hidden, lr=options.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
            )
        )
    return made


def hidden_matrices(method: nn.Module) -> list[torch.Tensor]:
    """The weights of linear layers whose smaller side is at least HIDDEN_WIDTH."""
    weights = [module.weight for module in method.modules() if isinstance(module, nn.Linear)]
    return [weight for weight in dict.fromkeys(weights) if min(weight.shape) >= HIDDEN_WIDTH]
