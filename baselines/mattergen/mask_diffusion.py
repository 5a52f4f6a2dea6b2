"""Diffusion of species into a mask: D3PM with an absorbing state (arXiv 2107.03006), as MatterGen has it.

An atom that has its species at time s is masked at a later time t with probability 1 - (1 - t)/(1 - s), and stays so:
at t it has kept its species with probability alpha_bar = 1 - t. Of the atoms that are masked at t a share (t - s)/t was
not yet so at s < t, whatever the length of the step; a network that knows the probabilities of the clean species at
every t thus serves any path of times from 1 to 0. At s = 0 no mask is left. The network has no logit for the mask, so
that none can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class MaskDiffusion:
    """The process on ``kinds`` species, ghosts included; a masked atom has the index ``kinds``.

    Species are [n], times [n, 1], logits [n, kinds].
    """

    kinds: int

    @property
    def mask(self) -> int:
        return self.kinds

    def one_hot(self, species: Tensor, dtype: torch.dtype) -> Tensor:
        """Species, masked or not, as [n, kinds + 1]."""
        return functional.one_hot(species, self.kinds + 1).to(dtype)

    def corrupt(self, species: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Species at time t, of clean ones and uniform numbers u [n, 1]."""
        return species.masked_fill((u < t)[:, 0], self.mask)

    def posterior(self, noisy: Tensor, probabilities: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Probabilities [n, kinds + 1] of the species at s < t of atoms that are ``noisy`` at t.

        probabilities [n, kinds]: of the clean species
        """
        back = (t - s) / t
        masked = torch.cat([back * probabilities, 1 - back], dim=-1)
        return torch.where((noisy == self.mask)[:, None], masked, self.one_hot(noisy, masked.dtype))

    def step(self, noisy: Tensor, logits: Tensor, t: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """A draw from the posterior, of uniform numbers u [n, 2]."""
        bounds = torch.softmax(logits, dim=-1).cumsum(-1)
        # the last bound may be a rounding error below 1, and no number may lie beyond it
        drawn = (bounds <= u[:, 1:] * bounds[:, -1:]).sum(-1)
        back = (noisy == self.mask) & (u[:, :1] < (t - s) / t)[:, 0]
        return torch.where(back, drawn, noisy)

    def losses(
        self, logits: Tensor, species: Tensor, noisy: Tensor, t: Tensor, s: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both parts of the hybrid loss, for each atom [n]: the Kullback-Leibler divergence between the posteriors at s
        of the true species and of the predicted ones, and the cross entropy of the prediction (D3PM, Eq. 5)."""
        entropy = functional.cross_entropy(logits, species, reduction="none")
        # the posteriors of a masked atom differ only in which species comes back
        back = ((t - s) / t)[:, 0] * (noisy == self.mask)
        return back * entropy, entropy
