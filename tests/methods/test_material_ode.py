"""Material ODE: shortest displacements between data and noise."""

import torch


def test_displacements_of_material_ode_are_shortest(silicon, small_batch):
    from amsbench.benchmark.interface.structures import minimum_image

    batch = small_batch(1, 0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(batch.positions), 3, generator=generator, dtype=torch.float64) * 8
    short = minimum_image(vectors, batch)
    fractions = torch.einsum("ni,nij->nj", short, torch.linalg.inv(batch.cells)[batch.batch])
    assert float(fractions.abs().max()) <= 0.5 + 1e-9
    lattice = torch.einsum("ni,nij->nj", vectors - short, torch.linalg.inv(batch.cells)[batch.batch])
    torch.testing.assert_close(lattice, lattice.round(), rtol=0, atol=1e-9)
