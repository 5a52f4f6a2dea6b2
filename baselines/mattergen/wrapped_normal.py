"""Wrapped-normal noise on fractional coordinates, as in MatterGen (arXiv 2312.03687, supplementary information).

Each fractional coordinate f of an atom gets independent noise, wrapped into the cell:

    f_t = f_0 + sigma eps  (mod 1)          sigma(t) = 0.01 * 500^t * N^(-1/3)

with N atoms in the cell, so that the noise in angstrom, sigma times the length of a lattice vector, is the same for
cells of any size at the same density: 0.027 to 13.4 A in liquid silicon. Along each axis the density of f_t is a normal
distribution wrapped around the circle of length 1; the axes are independent, also in a skewed cell. The target of the
network is the score of this density times sigma, which is -eps for small sigma and tends to 0 for large sigma, where
the density is uniform in the cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...benchmark.interface.structures import Structures

SWITCH = 0.4
"""Sigma from which on the Fourier series of the wrapped normal is used. There both sums are exact to 1e-13."""

IMAGES = 4
"""Number of images on each side in the direct sum, and of terms in the Fourier series."""

LARGEST_STEP = 0.5
"""Largest step of the Langevin corrector, in fractional coordinates squared. The standard deviation of its noise is 1,
a whole cell, which makes the position uniform to 1e-8; a larger step has the same effect and loses digits."""


def wrap(fractions: Tensor) -> Tensor:
    """Fractional coordinates wrapped into [0, 1)."""
    return fractions - fractions.floor()


def scaled_score(displacement: Tensor, sigma: Tensor) -> Tensor:
    """sigma d/dx log sum_k exp(-(x + k)^2 / (2 sigma^2)) of displacements x in fractional coordinates.

    This is the score of the wrapped normal times sigma. Below SWITCH it is computed by the sum over images; from there
    on, where the contributions of the images cancel, by the Fourier series of the density,
    1 + 2 sum_m exp(-2 pi^2 m^2 sigma^2) cos(2 pi m x).

    displacement [...]: of any magnitude
    sigma: positive, broadcast to the shape of the displacement
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
    """Diffusion of the positions and the steps of the reverse process, in fractional coordinates [n, 3].

    Standard deviations sigma are [n, 1].

    least, most: sigma at t = 0 and t = 1 of a cell with one atom
    """

    least: float = 0.01
    most: float = 5.0

    def sigma(self, t: Tensor, structures: Structures) -> Tensor:
        """Standard deviation [n, 1] of the noise of a fractional coordinate at times t [s, 1]."""
        of_cell = structures.counts.to(t.dtype)[:, None] ** (-1 / 3)
        return (self.least * (self.most / self.least) ** t * of_cell)[structures.batch]

    def corrupt(self, clean: Tensor, eps: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy coordinates and the target of the network, the score of their density times sigma, both [n, 3]."""
        return wrap(clean + sigma * eps), scaled_score(sigma * eps, sigma)

    def ancestral_step(self, x: Tensor, scaled: Tensor, sigma: Tensor, after: Tensor, z: Tensor) -> Tensor:
        """Coordinates after one ancestral step from the noise level ``sigma`` down to ``after``.

        The step draws from the posterior for the clean coordinates that the score implies. At ``after`` = 0 it
        returns these coordinates without noise.

        scaled [n, 3]: score times sigma
        z [n, 3]: standard normal
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
        """Coordinates after one step of Langevin dynamics at the noise level ``sigma`` (arXiv 2011.13456, Algorithm 4).

        For normally distributed data the variance converges to 1 + snr^2 times the correct one.

        snr: ratio of the drift to the noise of a step; together with the norms of z and of the score in each structure
            it determines the step size. The original averages the norms over a batch, so that a sample depends on the
            other structures in the batch
        counted [n]: 1 for atoms that contribute to the norms, else 0
        """
        score = scaled / sigma
        squares = torch.stack([(v**2).sum(1) * counted for v in (z, score)])
        norms = squares.new_zeros(2, len(structures)).index_add_(1, structures.batch, squares)
        steps = 2 * snr**2 * norms[0] / norms[1].clamp(min=torch.finfo(norms.dtype).tiny)
        step = steps.clamp(max=LARGEST_STEP)[structures.batch][:, None]
        return wrap(x + step * score + torch.sqrt(2 * step) * z)
