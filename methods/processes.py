"""Noise processes of the material differential equation, and the steps that undo them.

Time runs from 1 (noise) to 0 (data). Positions are variance exploding, element embeddings variance preserving
with a cosine schedule (arXiv 2603.29812, Eq. 9):

    X_t = X_0 + sigma_X(t) eps_X                       sigma_X(t) = s_X t
    E_t = cos(pi t / 2) E_0 + sigma_E(t) eps_E         sigma_E(t) = s_E sin(pi t / 2)

The paper writes sigma both for the marginal standard deviation and for the diffusion coefficient. Here
g^2 = d(sigma^2)/dt - 2 f sigma^2, for which the reverse process has the marginals above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

S_X = 1.7
"""Largest standard deviation of the positions, angstrom (paper, B.2)."""
S_E = 1.5
"""Largest standard deviation of the element embeddings (paper, B.2)."""
T_MAX = 0.99
"""Time at which the Euler-Maruyama step evaluates f_E and g_E, which diverge at t = 1."""

HALF_PI = math.pi / 2


@dataclass(frozen=True, kw_only=True)
class PositionProcess:
    """Variance-exploding process of the positions; the network predicts eps, the velocity is scale * eps.

    Times are [..., 1] beside positions [..., 3].
    """

    scale: float = S_X

    def corrupt(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """X_t from clean positions and standard normal noise."""
        return x + self.scale * t * eps

    def diffuse(self, x: Tensor, s: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """A draw of X_t given X_s, for t > s."""
        return x + self.scale * torch.sqrt(t**2 - s**2) * z

    def ode_step(self, x: Tensor, eps: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Probability-flow ODE from t down to s: dX/dt = scale * eps, so an average eps makes it exact."""
        return x - self.scale * (t - s) * eps

    def ancestral_step(
        self, x: Tensor, eps: Tensor, t: Tensor, s: Tensor, z: Tensor, unknown: Tensor | float = 0.0
    ) -> Tensor:
        """A draw of X_s given X_t, from the posterior for the X_0 that eps implies; no noise at s = 0.

        unknown: variance of the true noise around eps, per component. The posterior for a single X_0 is too narrow by
            this share of (scale t (1 - s^2 / t^2))^2 (arXiv 2201.06503, Theorem 1)
        """
        forgotten = 1 - (s / t) ** 2
        mean = x - self.scale * t * forgotten * eps
        variance = s**2 * forgotten + torch.where(s > 0, unknown * (t * forgotten) ** 2, 0.0)
        return mean + self.scale * torch.sqrt(variance) * z

    def euler_maruyama_step(self, x: Tensor, eps: Tensor, t: Tensor, s: Tensor, z: Tensor) -> Tensor:
        """The paper's step (Eq. 2) of the reverse SDE with g^2 = 2 scale^2 t: adds noise in the last step too."""
        dt = t - s
        return x - 2 * self.scale * dt * eps + self.scale * torch.sqrt(2 * t * dt) * z


@dataclass(frozen=True, kw_only=True)
class LinearElementProcess:
    """Straight lines E_t = E_0 + t u of material ODE between data and the prior N(0, scale^2) (paper, Eq. 7)."""

    scale: float = S_E

    def species_log_likelihood(self, e: Tensor, t: Tensor) -> Tensor:
        """As ``ElementProcess.species_log_likelihood``."""
        return (1 - t) * e / (self.scale * t) ** 2

    def velocity_from_clean(self, e: Tensor, clean: Tensor, t: Tensor, dt: Tensor) -> Tensor:
        """The expected u for the expected E_0 ``clean``; lines are straight, so that dt does not matter."""
        return (e - clean) / t

    def implied_clean(self, e: Tensor, v: Tensor, t: Tensor, dt: Tensor) -> Tensor:
        """The ``clean`` of ``velocity_from_clean``."""
        return e - t * v


@dataclass(frozen=True, kw_only=True)
class ElementProcess:
    """Variance-preserving cosine process of the element embeddings.

    The network predicts the velocity v = dE/dt = -(pi/2) sin E_0 + (pi/2) s_E cos eps_E, which is finite at
    every t and depends on E_0 at t = 1, unlike eps. Times are [..., 1] beside [..., K].
    """

    scale: float = S_E

    def corrupt(self, e: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """E_t from clean one-hot embeddings and standard normal noise."""
        return torch.cos(HALF_PI * t) * e + self.scale * torch.sin(HALF_PI * t) * eps

    def diffuse(self, e: Tensor, s: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """A draw of E_t given E_s, for t > s."""
        ratio, variance = self._transition(s, t)
        return ratio * e + torch.sqrt(variance) * z

    def _transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Factor and variance with which E_t follows from E_s, for t > s."""
        ratio = torch.cos(HALF_PI * t) / torch.cos(HALF_PI * s)
        variance = torch.sin(HALF_PI * t) ** 2 - ratio**2 * torch.sin(HALF_PI * s) ** 2
        return ratio, self.scale**2 * variance.clamp(min=0)

    def velocity(self, e: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """dE_t/dt along the path of a pair (E_0, eps)."""
        return HALF_PI * (self.scale * torch.cos(HALF_PI * t) * eps - torch.sin(HALF_PI * t) * e)

    def clean(self, e: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """E_0 implied by E_t and its velocity."""
        return torch.cos(HALF_PI * t) * e - torch.sin(HALF_PI * t) * v / HALF_PI

    def noise(self, e: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """eps implied by E_t and its velocity."""
        return (torch.sin(HALF_PI * t) * e + torch.cos(HALF_PI * t) * v / HALF_PI) / self.scale

    def species_log_likelihood(self, e: Tensor, t: Tensor) -> Tensor:
        """Log-likelihood of each one-hot E_0 given E_t, up to a constant."""
        sigma = self.scale * torch.sin(HALF_PI * t)
        return torch.cos(HALF_PI * t) * e / sigma**2

    def velocity_from_clean(self, e: Tensor, clean: Tensor, t: Tensor, dt: Tensor) -> Tensor:
        """Average velocity over [t - dt, t] of the flow whose expected E_0 is ``clean`` all the way.

        For dt = 0 it is the velocity at t. The flow obeys d(E / sin)/dt = -(pi/2) E[E_0 | E_t] / sin^2, so the
        average over any interval has such a ``clean``, a weighted mean of those along it: it stays a distribution
        over the species for any step size.
        """
        along_e = torch.cos(HALF_PI * (t - dt / 2)) * torch.sinc(dt / 4)
        return HALF_PI / torch.sin(HALF_PI * t) * (along_e * e - torch.sinc(dt / 2) * clean)

    def implied_clean(self, e: Tensor, v: Tensor, t: Tensor, dt: Tensor) -> Tensor:
        """The ``clean`` of ``velocity_from_clean``."""
        along_e = torch.cos(HALF_PI * (t - dt / 2)) * torch.sinc(dt / 4)
        return (along_e * e - torch.sin(HALF_PI * t) / HALF_PI * v) / torch.sinc(dt / 2)

    def velocity_from_noise(self, e: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The probability-flow drift for a predicted eps (paper-literal output); t is held at T_MAX."""
        held = t.clamp(max=T_MAX)
        return HALF_PI * (self.scale * eps / torch.cos(HALF_PI * held) - torch.tan(HALF_PI * held) * e)

    def ode_step(self, e: Tensor, v: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Probability-flow ODE from t down to s; exact where v is the average velocity over [s, t]."""
        return e - (t - s) * v

    def ancestral_step(self, e: Tensor, v: Tensor, t: Tensor, s: Tensor, z: Tensor) -> Tensor:
        """A draw from the posterior of E_s given E_t and the E_0 that v implies; no noise at s = 0."""
        var_t, var_s = (self.scale * torch.sin(HALF_PI * t)) ** 2, (self.scale * torch.sin(HALF_PI * s)) ** 2
        ratio, var_ts = self._transition(s, t)
        mean = ratio * var_s / var_t * e + torch.cos(HALF_PI * s) * var_ts / var_t * self.clean(e, v, t)
        return mean + torch.sqrt(var_ts * var_s / var_t) * z

    def euler_maruyama_step(self, e: Tensor, v: Tensor, t: Tensor, s: Tensor, z: Tensor) -> Tensor:
        """The paper's step (Eq. 2): f = -(pi/2) tan(pi t/2), g^2 = pi s_E^2 tan(pi t/2), held at T_MAX."""
        dt = t - s
        tangent = torch.tan(HALF_PI * t.clamp(max=T_MAX))
        score = -self.noise(e, v, t) / (self.scale * torch.sin(HALF_PI * t))
        g2 = 2 * HALF_PI * self.scale**2 * tangent
        return e + dt * (HALF_PI * tangent * e + g2 * score) + torch.sqrt(g2 * dt) * z
