"""The interface of samplers, which generate structures with a trained method in any number of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ...errors import AmsbenchError
from .noise import NoiseSource
from .structures import Structures

SampledMethod = TypeVar("SampledMethod", contravariant=True)
"""Class of the methods that a sampler works with."""


@dataclass(frozen=True, kw_only=True)
class Sampler(Generic[SampledMethod]):
    """A named sampler of a method; ``Method.samplers`` lists them.

    A subclass implements ``sample`` and, where they differ, ``label`` and ``evaluations``. A method that implements
    ``Method.sample`` itself lists plain ``Sampler`` objects, which then only describe it.

    name: as in ``--samplers``, such as ``euler-maruyama``
    title: one line for ``amsbench methods NAME``
    version: raise it when the sampler gives other structures for the same checkpoint and seed; stored results of the
        old version are then recomputed
    """

    name: str
    title: str
    version: int = 1

    def label(self, method: SampledMethod, steps: int) -> str:
        """Name of the kind of step in tables, such as ``ODE`` or ``SDE``.

        Samplers of a method with equal labels at a step count must give equal structures there: a run computes only
        one of them.
        """
        return self.name

    def evaluations(self, method: SampledMethod, steps: int) -> int:
        """Network evaluations per structure."""
        return steps

    def sample(self, method: SampledMethod, start: Structures, steps: int, noise: NoiseSource) -> Structures:
        """Generate structures, as ``Method.sample`` describes."""
        raise AmsbenchError(
            f"sampler '{self.name}' has no function sample(method, start, steps, noise); implement it in a subclass of "
            "Sampler, or implement sample(start, steps, sampler, noise) in the method"
        )


AnySampler = Sampler[Any]
