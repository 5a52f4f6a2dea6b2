"""Sources of random numbers for training and sampling.

A generated structure depends on its own seed and not on the other structures of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class NoiseSource(Protocol):
    """Random numbers for a batch of ``s`` structures of ``n`` atoms in all."""

    def normal_atoms(self, width: int) -> Tensor:
        """Standard normal [n, width]."""

    def uniform_atoms(self, width: int) -> Tensor:
        """Uniform in [0, 1): [n, width]."""

    def normal_structures(self, width: int) -> Tensor:
        """Standard normal [s, width]."""

    def uniform_structures(self, width: int) -> Tensor:
        """Uniform in [0, 1): [s, width]."""

    def restarted(self) -> NoiseSource:
        """A new source that repeats the numbers of this one from the start."""


class BatchNoise:
    """Noise of one generator for a whole batch, for training, where only reproducibility matters."""

    def __init__(
        self,
        atoms: int,
        structures: int,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._sizes = (atoms, structures)
        self._generator = generator
        self._device = device
        self._dtype = dtype
        self._initial_state = generator.get_state()

    def restarted(self) -> BatchNoise:
        generator = torch.Generator()
        generator.set_state(self._initial_state)
        return BatchNoise(*self._sizes, generator, self._device, self._dtype)

    def normal_atoms(self, width: int) -> Tensor:
        return self._draw(torch.randn, self._sizes[0], width)

    def uniform_atoms(self, width: int) -> Tensor:
        return self._draw(torch.rand, self._sizes[0], width)

    def normal_structures(self, width: int) -> Tensor:
        return self._draw(torch.randn, self._sizes[1], width)

    def uniform_structures(self, width: int) -> Tensor:
        return self._draw(torch.rand, self._sizes[1], width)

    def uniform_numbers(self, width: int) -> list[float]:
        """The first row of ``uniform_structures`` as numbers, without the way over the device."""
        return self._on_host(torch.rand, self._sizes[1], width)[0].tolist()

    def _draw(self, draw: Callable[..., Tensor], rows: int, width: int) -> Tensor:
        # a copy from pinned memory does not wait for the work that the GPU still has to do
        pinned = torch.device(self._device).type == "cuda" and rows * width > 0
        return self._on_host(draw, rows, width, pin_memory=pinned).to(self._device, non_blocking=pinned)

    def _on_host(self, draw: Callable[..., Tensor], rows: int, width: int, **options: bool) -> Tensor:
        return draw(rows, width, generator=self._generator, dtype=self._dtype, **options)


class PartOfNoise(BatchNoise):
    """The rows of a part of a batch in its noise; decisions for the whole batch are those of the whole noise.

    atoms, structures: rows of the part
    """

    def __init__(self, whole: BatchNoise, atoms: slice, structures: slice) -> None:
        self._whole, self._atoms, self._structures = whole, atoms, structures

    def restarted(self) -> PartOfNoise:
        return PartOfNoise(self._whole.restarted(), self._atoms, self._structures)

    def normal_atoms(self, width: int) -> Tensor:
        return self._whole.normal_atoms(width)[self._atoms]

    def uniform_atoms(self, width: int) -> Tensor:
        return self._whole.uniform_atoms(width)[self._atoms]

    def normal_structures(self, width: int) -> Tensor:
        return self._whole.normal_structures(width)[self._structures]

    def uniform_structures(self, width: int) -> Tensor:
        return self._whole.uniform_structures(width)[self._structures]

    def uniform_numbers(self, width: int) -> list[float]:
        return self._whole.uniform_numbers(width)


class StructureNoise:
    """Noise of one generator per structure, for sampling; a seed gives the same structure in any batch."""

    def __init__(
        self,
        counts: Sequence[int],
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if len(counts) != len(seeds):
            raise ValueError(f"{len(counts)} structures but {len(seeds)} seeds")
        self._counts, self._seeds = [int(count) for count in counts], list(seeds)
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self._device = device
        self._dtype = dtype

    def restarted(self) -> StructureNoise:
        return StructureNoise(self._counts, self._seeds, self._device, self._dtype)

    def normal_atoms(self, width: int) -> Tensor:
        return self._draw(torch.randn, self._counts, width)

    def uniform_atoms(self, width: int) -> Tensor:
        return self._draw(torch.rand, self._counts, width)

    def normal_structures(self, width: int) -> Tensor:
        return self._draw(torch.randn, [1] * len(self._counts), width)

    def uniform_structures(self, width: int) -> Tensor:
        return self._draw(torch.rand, [1] * len(self._counts), width)

    def _draw(self, draw: Callable[..., Tensor], counts: list[int], width: int) -> Tensor:
        # always drawn in float32, so that float64 computations start from the same noise
        parts = [draw(n, width, generator=g) for n, g in zip(counts, self._generators, strict=True)]
        return torch.cat(parts).to(self._device, self._dtype)


def uniform_numbers(noise: NoiseSource, width: int) -> list[float]:
    """The first row of ``noise.uniform_structures(width)``, for decisions that a whole training batch shares."""
    if isinstance(noise, BatchNoise):
        return noise.uniform_numbers(width)
    return noise.uniform_structures(width)[0].tolist()


def structure_noise(counts: Sequence[int], seeds: Sequence[int], device: torch.device) -> NoiseSource:
    """Noise for sampling on a device: drawn on a GPU if Triton works there, else on the CPU."""
    if device.type == "cuda" and find_spec("triton") is not None:
        from .noise_triton import DeviceNoise, problem

        if problem(device) is None:
            return DeviceNoise(counts, seeds, device)
    return StructureNoise(counts, seeds, device)


def structure_seeds(seed: int, first: int, count: int) -> list[int]:
    """Independent seeds of structures ``first`` to ``first + count - 1`` of a run with the seed ``seed``."""
    return [
        int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) >> 1
        for index in range(first, first + count)
    ]
