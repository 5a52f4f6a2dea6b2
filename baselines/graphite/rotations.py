"""Random rotations of training structures, for a network that is not rotation equivariant."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures


def random_rotations(noise: NoiseSource) -> Tensor:
    """Uniformly distributed rotation matrices [s, 3, 3], from unit quaternions uniform on the sphere."""
    w, x, y, z = torch.nn.functional.normalize(noise.normal_structures(4), dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=-1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=-1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def rotated(structures: Structures, rotations: Tensor) -> Structures:
    """The structures with cells and positions rotated by one matrix each, [s, 3, 3]."""
    positions = torch.einsum("ni,nji->nj", structures.positions, rotations[structures.batch])
    return replace(structures, positions=positions, cells=structures.cells @ rotations.transpose(1, 2))
