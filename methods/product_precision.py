"""Matrix products of the baselines' networks in bfloat16 where the hardware has them, as in the kernels of the others.

Weights, positions, distances, sums over neighbours and everything that a network gives back stay in float32; float64
stays float64. The variables that keep the kernels' products in float32 do so here too: AMSBENCH_NATIVE_LEVEL with one
of its levels without bfloat16 on a processor, AMSBENCH_TRITON=float32 on a GPU.

On a processor such a product is compiled for the number of its rows when that is new, which takes as long as the
product, and every batch has another number of atoms and edges. So they are computed with some empty rows more, up to
the next multiple of a round number (``padded_row_count``; tests/speed/test_speed_baselines.py).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

PRODUCT_LEVELS = ("plain", "avx2", "avx512", "bf16", "amx")

BFLOAT16 = PRODUCT_LEVELS[3:]

CAPABILITY = (8, 0)
"""Compute capability of the oldest GPUs that Triton supports and that multiply bfloat16."""


@lru_cache(maxsize=1)
def _processor_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16; without, torch only imitates it, slower than float32."""
    # only later versions of torch have it
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known:
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def product_type(example: Tensor) -> str:
    """``bfloat16``, or the type that the tensor has, for a network whose weights are like this one."""
    if example.dtype != torch.float32:
        return str(example.dtype).removeprefix("torch.")
    if example.is_cuda:
        exact = os.environ.get("AMSBENCH_TRITON") == "float32"
        able = torch.cuda.get_device_capability(example.device) >= CAPABILITY
    else:
        exact = os.environ.get("AMSBENCH_NATIVE_LEVEL", "") not in ("", *BFLOAT16)
        able = example.device.type == "cpu" and _processor_has_bfloat16()
    return "bfloat16" if able and not exact else "float32"


ATOM_ROWS, EDGE_ROWS = 32, 512
"""Numbers of rows come in multiples of these; the empty ones are a thirtieth of what two glasses take."""


def padded_row_count(count: int, multiple: int, example: Tensor) -> int:
    """With how many rows to compute ``count`` atoms or edges for a network whose weights are like ``example``: the next
    multiple of ``multiple`` where products are compiled, else as many as there are."""
    if example.device.type != "cpu" or product_type(example) != "bfloat16":
        return count
    return -(-count // multiple) * multiple


def with_empty_rows(values: Tensor, rows: int) -> Tensor:
    """values [n, ...] -> [rows, ...], 0 in what is added."""
    if len(values) == rows:
        return values
    return torch.cat([values, values.new_zeros(rows - len(values), *values.shape[1:])])


def fast_products(example: Tensor) -> torch.autocast:
    """A context in which layers multiply in the type that ``product_type`` names for their input."""
    kind = example.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=product_type(example) == "bfloat16")


def backend(network: nn.Module) -> str:
    """What computes a network, for the record of a result: ``torch``, or ``torch bfloat16``."""
    found = product_type(next(network.parameters()))
    return f"torch {found}" if found == "bfloat16" else "torch"
