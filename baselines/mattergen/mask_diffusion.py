"""Masked diffusion of species: D3PM with an absorbing state (arXiv 2107.03006), as in MatterGen.

An atom that is not masked at time s is masked at a later time t with probability 1 - (1 - t)/(1 - s), and a masked atom
stays masked: at t an atom has kept its species with probability alpha_bar = 1 - t. Among the atoms that are masked at t
a share (t - s)/t was not masked at s < t, for steps of any length. A network that predicts the probabilities of the
clean species at every t can therefore be used with any sequence of times from 1 to 0. At s = 0 no atom is masked. The
network has no logit for the mask, so that a step never draws it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class MaskDiffusion:
    """Masked diffusion of ``kinds`` species, ghosts included; the species index of a masked atom is ``kinds``.

    Shapes: species [n], times [n, 1], logits [n, kinds].
    """

    kinds: int

    @property
    def mask(self) -> int:
        return self.kinds

    def one_hot(self, species: Tensor, dtype: torch.dtype) -> Tensor:
        """One-hot species [n, kinds + 1]; the last column is the mask."""
        return functional.one_hot(species, self.kinds + 1).to(dtype)

    def corrupt(self, species: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Noisy species [n] at time t, from clean species and uniform random numbers u [n, 1]."""
        return species.masked_fill((u < t)[:, 0], self.mask)

    def posterior(self, noisy: Tensor, probabilities: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Probabilities [n, kinds + 1] of the species at s < t, given the species ``noisy`` at t.

        probabilities [n, kinds]: predicted probabilities of the clean species
        """
        back = (t - s) / t
        masked = torch.cat([back * probabilities, 1 - back], dim=-1)
        return torch.where((noisy == self.mask)[:, None], masked, self.one_hot(noisy, masked.dtype))

    def step(self, noisy: Tensor, logits: Tensor, t: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """Species [n] at s < t, drawn from the posterior with uniform random numbers u [n, 2]."""
        bounds = torch.softmax(logits, dim=-1).cumsum(-1)
        # scaled by the last bound, which rounding can leave below 1, so that every number lies within the bounds
        drawn = (bounds <= u[:, 1:] * bounds[:, -1:]).sum(-1)
        back = (noisy == self.mask) & (u[:, :1] < (t - s) / t)[:, 0]
        return torch.where(back, drawn, noisy)

    def losses(
        self, logits: Tensor, species: Tensor, noisy: Tensor, t: Tensor, s: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Kullback-Leibler divergence and cross entropy of each atom, both [n], of the hybrid loss (D3PM, Eq. 5).

        The divergence is between the posteriors at s of the true species and of the predicted ones.
        """
        entropy = functional.cross_entropy(logits, species, reduction="none")
        # the posteriors of a masked atom differ only in the probabilities of the species if it is unmasked
        back = ((t - s) / t)[:, 0] * (noisy == self.mask)
        return back * entropy, entropy
