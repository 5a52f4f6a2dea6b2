"""Wrapped-normal noise on fractional coordinates, as MatterGen has it (arXiv 2312.03687, supplementary information).

Each fractional coordinate f of an atom has noise of its own, wrapped into the cell:

    f_t = f_0 + sigma eps  (mod 1)          sigma(t) = 0.01 * 500^t * N^(-1/3)

with N atoms in the cell, so that the noise in angstrom, sigma times the length of a lattice vector, is the same for
cells of every size and one density: 0.027 to 13.4 A in liquid silicon. Along one axis the density of f_t is a normal
distribution wrapped around the circle of length 1; the axes are independent, in a skewed cell too. What a network is
asked for is the score of that density times sigma, which is -eps for little noise and goes to 0 where the noise fills
the cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...benchmark.interface.structures import Structures

SWITCH = 0.4
"""Sigma from which the Fourier series of a wrapped normal is used. At it both sums are exact to 1e-13."""

IMAGES = 4
"""Images on each side and terms of the Fourier series."""

LARGEST_STEP = 0.5
"""Of the Langevin corrector, in fractional coordinates squared. Its noise then has a standard deviation of a whole
cell, after which an atom is anywhere with equal probability to 1e-8; a larger step does the same and costs digits."""


def wrap(fractions: Tensor) -> Tensor:
    """Into [0, 1)."""
    return fractions - fractions.floor()


def scaled_score(displacement: Tensor, sigma: Tensor) -> Tensor:
    """sigma d/dx log sum_k exp(-(x + k)^2 / (2 sigma^2)) of displacements x in fractional coordinates.

    displacement [...], of any size; sigma: broadcast to it, positive. Up to SWITCH by the sum over images; beyond,
    where images cancel each other, by the Fourier series of the density,
    1 + 2 sum_m exp(-2 pi^2 m^2 sigma^2) cos(2 pi m x).
    """
    near = displacement - displacement.round()
    k = torch.arange(-IMAGES, IMAGES + 1, dtype=near.dtype, device=near.device)
    u = (near[..., None] + k) / sigma[..., None]
    of_images = -(torch.softmax(-0.5 * u**2, dim=-1) * u).sum(-1)

    m = k[IMAGES + 1 :]
    wide = sigma.clamp(min=SWITCH)[..., None]
    weights = 2 * torch.exp(-2 * (math.pi * m * wide) ** 2)
    phase = 2 * math.pi * m * near[..., None]
    slope = -(weights * 2 * math.pi * m * torch.sin(phase)).sum(-1)
    of_series = wide[..., 0] * slope / (1 + (weights * torch.cos(phase)).sum(-1))
    return torch.where(sigma < SWITCH, of_images, of_series)


@dataclass(frozen=True, kw_only=True)
class WrappedProcess:
    """The noise of the positions, and the steps that undo it.

    Everything is in fractional coordinates [n, 3]; sigmas are [n, 1].

    least, most: sigma at t = 0 and t = 1 of a cell with one atom
    """

    least: float = 0.01
    most: float = 5.0

    def sigma(self, t: Tensor, structures: Structures) -> Tensor:
        """Standard deviation [n, 1] of a coordinate's noise at times t [s, 1]."""
        of_cell = structures.counts.to(t.dtype)[:, None] ** (-1 / 3)
        return (self.least * (self.most / self.least) ** t * of_cell)[structures.batch]

    def corrupt(self, clean: Tensor, eps: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy coordinates, and what a network is to say of them: the score of their density times sigma."""
        return wrap(clean + sigma * eps), scaled_score(sigma * eps, sigma)

    def ancestral_step(self, x: Tensor, scaled: Tensor, sigma: Tensor, after: Tensor, z: Tensor) -> Tensor:
        """A draw from noise ``sigma`` down to ``after``, of the posterior for the clean point that the score implies.

        scaled: the score times sigma. At ``after`` = 0 it is the mean of that point, without noise.
        """
        variance = sigma**2 - after**2
        return wrap(x + variance / sigma * scaled + after * torch.sqrt(variance) / sigma * z)

    def langevin_step(
        self,
        x: Tensor,
        scaled: Tensor,
        sigma: Tensor,
        z: Tensor,
        *,
        snr: float,
        structures: Structures,
        counted: Tensor,
    ) -> Tensor:
        """One step of Langevin dynamics at the noise ``sigma`` (arXiv 2011.13456, Algorithm 4).

        snr: ratio of the step's drift to its noise, from which the step follows with the norms of z and of the score
            over the atoms of each structure that are ``counted`` [n], 0 or 1. The original takes the mean of the norms
            in a batch, which makes a sample depend on the others in it.
        Of normal data such steps keep 1 + snr^2 times the right variance, however many are taken.
        """
        score = scaled / sigma
        squares = torch.stack([(v**2).sum(1) * counted for v in (z, score)])
        norms = squares.new_zeros(2, len(structures)).index_add_(1, structures.batch, squares)
        steps = 2 * snr**2 * norms[0] / norms[1].clamp(min=torch.finfo(norms.dtype).tiny)
        step = steps.clamp(max=LARGEST_STEP)[structures.batch][:, None]
        return wrap(x + step * score + torch.sqrt(2 * step) * z)
