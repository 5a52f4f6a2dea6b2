"""The noisy state that a denoiser reads, and what it predicts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..benchmark.interface.structures import Structures


@dataclass(frozen=True, kw_only=True)
class State:
    """A noisy sample: structures with noisy positions, and element embeddings [n, K] (None: one element only).

    estimate: an earlier estimate of the sample without noise, for networks with self-conditioning; None without one
    """

    structures: Structures
    elements: Tensor | None
    estimate: State | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Output of the network per atom: positions [n, 3], elements [n, K] or None."""

    positions: Tensor
    elements: Tensor | None
