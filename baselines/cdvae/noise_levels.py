"""Geometric noise levels and annealed Langevin dynamics (arXiv 1907.05600, Algorithm 1), as CDVAE uses them.

For normal data N(m, s^2) the score at level sigma is -(x - m) / (s^2 + sigma^2), and a Langevin step of size
alpha sigma^2 takes mean and variance of the sample to

    mean - m  ->  (1 - a) (mean - m)          a = alpha sigma^2 / (s^2 + sigma^2)
    variance  ->  (1 - a)^2 variance + 2 alpha sigma^2

from which alpha is chosen (tests/baselines/cdvae/test_noise_levels.py tests every number here):

- Atoms at fixed positions, s = 0. With CDVAE's alpha = 1, a = 1: a step forgets all earlier ones, and every path, of 1
  level or of 50, ends at sqrt(2) sigma_L = 0.014 A from the positions. Thermal motion is ten times that, so that it
  does not matter physically. With alpha = 0.2 a step keeps 0.8 of a deviation while sigma shrinks by
  1000^(1 / (L - 1)): below 32 levels a sample cannot follow (25 levels end at 8.5 sigma_L, 10 levels at 113), 50 end
  at 1.6 sigma_L, and 50 levels of 5 steps at 1.08 sigma_L.
- Atoms that move, s = 0.3 A. 50 steps with alpha = 1 end with a spread that is 11 % too wide, 100 with 5.6 %, 250 with
  2.2 % and the original's 5,000 with 0.2 %; with alpha = 0.2 it is 76, 25, 8.6 and 0.4 %. So alpha = 1
  is better wherever the difference matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...benchmark.interface.noise import NoiseSource
from ...errors import AmsbenchError


@dataclass(frozen=True, kw_only=True)
class GeometricLevels:
    """``count`` noise levels from ``first`` down to ``last``, in a geometric series.

    CDVAE has 50: for positions from 10 A to 0.01 A, for types from 5 to 0.01. Raises AmsbenchError for levels that do
    not fall.
    """

    first: float
    last: float
    count: int

    def __post_init__(self) -> None:
        if not (self.first > self.last > 0 and self.count >= 1):
            raise AmsbenchError(
                f"noise levels from {self.first:g} to {self.last:g} in {self.count} do not fall; "
                "the first has to be above the last, the last above 0, and there has to be at least one"
            )

    def values(self, count: int | None = None) -> Tensor:
        """The levels [count] in float64. Another count spans the same range; a single level is ``last``."""
        count = count or self.count
        exponents = torch.linspace(0, 1, count, dtype=torch.float64) if count > 1 else torch.ones(1).double()
        return self.first * (self.last / self.first) ** exponents

    def path(self, steps: int) -> list[float]:
        """The level of each of ``steps`` Langevin steps, which are the network evaluations.

        Up to ``count`` steps, as many levels over the whole range, one step each. Beyond, all levels with equal numbers
        of steps (100 steps: 50 levels of 2); remaining steps are spread evenly over the levels, including the last.
        """
        levels = self.values(min(steps, self.count))
        ends = torch.arange(len(levels) + 1) * steps // len(levels)
        return torch.repeat_interleave(levels, ends.diff()).tolist()

    def sample(self, noise: NoiseSource) -> Tensor:
        """A level for each structure of a training batch, all equally likely: [s, 1]."""
        u = noise.uniform_structures(1)
        chosen = (u * self.count).long().clamp(max=self.count - 1)
        return self.values().to(u)[chosen]


def langevin_step(x: Tensor, scaled_score: Tensor, sigma: float, z: Tensor, alpha: float = 1.0) -> Tensor:
    """x + alpha sigma^2 score + sqrt(2 alpha) sigma z, one step of Langevin dynamics at level ``sigma`` (angstrom).

    scaled_score [n, 3]: sigma times the score, what a network without noise level puts out before CDVAE's division
        by sigma; the expected -eps where x = x_0 + sigma eps
    alpha: step size in units of sigma^2. The original's 1e-4 (sigma / sigma_L)^2 A^2 at sigma_L = 0.01 A is 1
    """
    return x + alpha * sigma * scaled_score + (2 * alpha) ** 0.5 * sigma * z
