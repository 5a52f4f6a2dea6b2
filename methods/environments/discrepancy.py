"""Discrepancy between the local environments of generated structures and of data, with gradients of the positions.

The discrepancy of two sets of structures is the squared maximum mean discrepancy of their environments (for generators:
arXiv 1502.02761), for each element by itself:

    MMD^2 = E k(x, x') - 2 E k(x, y) + E k(y, y'),    k(x, y) = sum_b exp(-|x - y| / (b sqrt(dimension)))

A generator that ends in positions is trained with it through these positions; it need not be a shortcut.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...benchmark.interface.structures import Structures
from .distances import Environments, environments

WIDTHS = (0.03, 0.1, 0.3)
"""Widths b of the kernels, A: root mean square of the differences between two environments."""


def target_similarity(properties: Tensor, std: Tensor) -> Tensor:
    """Weights [s, s] of pairs of structures: 1 for equal targets, at least 1/2.

    properties [s, p]: targets, NaN where absent; std [p]: their standard deviations in the data
    The kernel 1/2 + 1/2 exp(-d^2 / 2) [the same targets are present] of targets, d in standard deviations. With it as a
    factor of the kernel of environments, the discrepancy is that of environments together with targets: it is 0 only if
    the environments are right for every target, and not for a mean of all.
    """
    scaled = properties / std
    present = ~torch.isnan(scaled)
    same = (present[:, None] == present[None]).all(-1)
    values = torch.where(present, scaled, torch.zeros_like(scaled))
    squared = ((values[:, None] - values[None]) ** 2).sum(-1)
    return 0.5 + 0.5 * same * torch.exp(-squared / 2)


def environment_discrepancy(
    generated: Structures,
    data: Structures,
    elements: Sequence[str],
    similarity: Tensor | None = None,
    order: Tensor | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy of the environments of two sets of ``s`` structures, a mean over the atoms.

    It is differentiable with respect to the positions of both, and may be negative: its expectation is 0 for sets of
    one distribution. For this, only pairs of atoms of different structures count, since atoms of one structure are not
    independent. An element that fewer than two structures of either set have is left out.

    data: structure k has the targets that structure k of ``generated`` was generated for
    similarity [s, s]: weights of pairs of structures, by default 1
    order [n]: random numbers of the atoms, as of ``environments``, of which both sets have equally many
    """
    s = len(generated)
    weights = generated.positions.new_ones(s, s) if similarity is None else similarity
    weights = weights * (1 - torch.eye(s, dtype=weights.dtype, device=weights.device))
    first, second = (environments(each, elements, order) for each in (generated, data))
    total = generated.positions.new_zeros(())
    atoms = sum(part.atoms for part in second.values())
    for symbol, of_data in second.items():
        of_generated = first[symbol]
        pairs = ((of_generated, of_generated), (of_generated, of_data), (of_data, of_data))
        (within, first_present), (between, both_present), (within_data, second_present) = (
            _mean_kernel(a, b, weights) for a, b in pairs
        )
        # left out without reading the number of pairs, for which the host would wait for the device
        present = first_present & both_present & second_present
        squared = torch.where(present, within - 2 * between + within_data, 0.0)
        total = total + of_data.atoms / max(1, atoms) * squared
    return total


def _mean_kernel(first: Environments, second: Environments, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the kernel over pairs of atoms, with the weights [s, s] of their structures, 0 without pairs; and whether
    there are pairs, a tensor."""
    pair_weights = weights[first.structures][:, second.structures]
    total = pair_weights.sum()
    present = total > 0
    apart = torch.cdist(first.distances, second.distances, compute_mode="donot_use_mm_for_euclid_dist")
    apart = apart / first.distances.shape[1] ** 0.5
    kernel = torch.stack([torch.exp(-apart / width) for width in WIDTHS]).sum(0)
    return (pair_weights * kernel).sum() / torch.where(present, total, 1.0), present
