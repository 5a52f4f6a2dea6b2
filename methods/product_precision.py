"""Matrix products of the baselines' networks in bfloat16 on hardware that supports it, as in the EGNN kernels.

Weights, positions, distances, sums over neighbours and outputs stay in float32; float64 stays float64. The environment
variables that keep the kernels' products in float32 also apply here: AMSBENCH_NATIVE_LEVEL with one
of its levels without bfloat16 on a processor, AMSBENCH_TRITON=float32 on a GPU.

On a CPU a product is compiled for each new number of rows, which takes as long as the product itself, and every batch
has a different number of atoms and edges. Products are therefore padded with empty rows up to the next multiple of a
round number (``padded_row_count``; tests/speed/test_speed_baselines.py).
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
"""Compute capability of the oldest GPUs that Triton supports with bfloat16 products."""


@lru_cache(maxsize=1)
def _processor_has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 products; otherwise torch emulates them, slower than float32."""
    # absent in older versions of torch
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def product_type(example: Tensor) -> str:
    """Number type of the products of a network with weights like ``example``: ``bfloat16`` or that of the weights."""
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
"""Numbers of rows are padded to multiples of these; for two glasses a thirtieth of the rows is empty."""


def padded_row_count(count: int, multiple: int, example: Tensor) -> int:
    """Number of rows with which to compute ``count`` atoms or edges in a network with weights like ``example``.

    The next multiple of ``multiple`` if products are compiled, otherwise ``count``.
    """
    if example.device.type != "cpu" or product_type(example) != "bfloat16":
        return count
    return -(-count // multiple) * multiple


def with_empty_rows(values: Tensor, rows: int) -> Tensor:
    """Values [rows, ...]: values [n, ...] followed by zeros."""
    if len(values) == rows:
        return values
    return torch.cat([values, values.new_zeros(rows - len(values), *values.shape[1:])])


def fast_products(example: Tensor) -> torch.autocast:
    """A context in which layers multiply in the type that ``product_type`` names for their input."""
    kind = example.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=product_type(example) == "bfloat16")


def backend(network: nn.Module) -> str:
    """Name of the code that evaluates a network, for the record of a result: ``torch`` or ``torch bfloat16``."""
    number_type = product_type(next(network.parameters()))
    return f"torch {number_type}" if number_type == "bfloat16" else "torch"
