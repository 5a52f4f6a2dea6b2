"""Random rotations of training structures: uniform, and the same for cells and positions."""

import math

import torch

from amsbench.baselines.graphite.rotations import random_rotations, rotated
from amsbench.benchmark.interface.noise import BatchNoise


def test_rotations_are_uniform():
    """Orthogonal, proper, and with the moments of the uniform distribution: E[R] = 0, E[R_ij R_kl] = d_ik d_jl / 3, and
    E[R_ij R_kl R_mn] = e_ikm e_jln / 6."""
    count = 40_000
    r = random_rotations(BatchNoise(1, count, torch.Generator().manual_seed(0), dtype=torch.float64))
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(r @ r.transpose(1, 2), eye.expand(count, 3, 3), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(count, dtype=torch.float64))
    bound = 5 / math.sqrt(count)
    assert float(r.mean(0).abs().max()) < bound
    second = torch.einsum("sij,skl->ijkl", r, r) / count
    assert float((second - torch.einsum("ik,jl->ijkl", eye, eye) / 3).abs().max()) < bound
    epsilon = torch.zeros(3, 3, 3, dtype=torch.float64)
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        epsilon[a, b, c], epsilon[a, c, b] = 1, -1
    third = torch.einsum("sij,skl,smn->ijklmn", r, r, r) / count
    assert float((third - torch.einsum("ikm,jln->ijklmn", epsilon, epsilon) / 6).abs().max()) < bound


def test_positions_turn_with_their_cell(small_batch):
    batch = small_batch(1, 0, dtype=torch.float64)
    turned = rotated(
        batch, random_rotations(BatchNoise(51, 2, torch.Generator().manual_seed(0), dtype=torch.float64))
    )
    before, after = (
        torch.einsum("ni,nij->nj", s.positions, torch.linalg.inv(s.cells)[s.batch]) for s in (batch, turned)
    )
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(turned.positions.norm(dim=1), batch.positions.norm(dim=1))
    assert (turned.positions - batch.positions).abs().max() > 1
