"""Random numbers for sampling, drawn on the GPU by a Triton kernel, so that no step waits for the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor


# Triton would otherwise compile another kernel for calls or sizes that 16 divides, in the middle of a sampling
@triton.jit(do_not_specialize=["call", "total"])
def random_numbers(
    out,  # [n, width]
    seeds,  # [s]
    offsets,  # [s + 1] first row of each structure
    batch,  # [n] structure of each row
    call,
    total,
    width,
    BLOCK: tl.constexpr,
    NORMAL: tl.constexpr,
):
    """Philox-4x32-10 numbers (Salmon et al., SC 2011); the counter is the row within the structure, column and call."""
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = k < total
    atom = k // width
    s = tl.load(batch + atom, mask=valid, other=0)
    counter = (atom - tl.load(offsets + s, mask=valid, other=0)) * width + k % width
    zero = counter.to(tl.uint32) * 0
    a, b, _, _ = tl.philox(
        tl.load(seeds + s, mask=valid, other=0), counter.to(tl.uint32), zero + call, zero, zero
    )
    u = tl.uint_to_uniform_float(a)
    if NORMAL:
        u, _ = tl.pair_uniform_to_normal(u, tl.uint_to_uniform_float(b))
    tl.store(out + k, u, mask=valid)


class DeviceNoise:
    """One random stream per structure like ``StructureNoise``, drawn on the device; the numbers themselves differ."""

    def __init__(
        self,
        counts: Sequence[int],
        seeds: Sequence[int],
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if len(counts) != len(seeds):
            raise ValueError(f"{len(counts)} structures but {len(seeds)} seeds")
        self._arguments = (counts, seeds, device, dtype)
        self._dtype = dtype
        self._seeds = torch.tensor(seeds, dtype=torch.int64, device=device)
        self._calls = 0
        sizes = torch.tensor(counts, dtype=torch.int64)
        self._atoms, self._structures = _rows(sizes, device), _rows(torch.ones_like(sizes), device)

    def restarted(self) -> DeviceNoise:
        return DeviceNoise(*self._arguments)

    def normal_atoms(self, width: int) -> Tensor:
        return self._draw(*self._atoms, width, normal=True)

    def uniform_atoms(self, width: int) -> Tensor:
        return self._draw(*self._atoms, width, normal=False)

    def normal_structures(self, width: int) -> Tensor:
        return self._draw(*self._structures, width, normal=True)

    def uniform_structures(self, width: int) -> Tensor:
        return self._draw(*self._structures, width, normal=False)

    def _draw(self, offsets: Tensor, batch: Tensor, width: int, normal: bool) -> Tensor:
        out = torch.empty(len(batch), width, device=self._seeds.device)
        self._calls += 1
        if out.numel():
            with torch.cuda.device_of(out):  # Triton launches on the current device, wherever the tensors are
                random_numbers[(math.ceil(out.numel() / 512),)](
                    out,
                    self._seeds,
                    offsets,
                    batch,
                    self._calls,
                    out.numel(),
                    width,
                    BLOCK=512,
                    NORMAL=normal,
                )
        return out.to(self._dtype)


@lru_cache
def problem(device: torch.device) -> str | None:
    """Reason why Triton cannot run on a device (such as a missing C compiler), or None; tested by drawing a number."""
    try:
        DeviceNoise([1], [0], device).uniform_structures(1)
    except Exception as raised:  # Triton, its compilers and the driver each raise their own
        return f"triton cannot run on {device}: {raised}".splitlines()[0]
    return None


def _rows(sizes: Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """First row of each structure and the end of the last [s + 1], and the structure of each row [n]."""
    owners = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).to(device), owners.to(device)
