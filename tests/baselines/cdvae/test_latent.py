"""The latent: divergence from N(0, 1), inputs of the encoder, and optimisation to targets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.distributions import Normal, kl_divergence

from amsbench.baselines.cdvae.latent import (
    Encoder,
    PropertyHead,
    divergence,
    drawn_latent,
    latent_for_targets,
)
from amsbench.baselines.triplet_network import TripletConfig
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import add_ghosts

SMALL = TripletConfig(hidden=16, blocks=2, cutoff=4.0, neighbours=40, radial=6, angular=3, triplet=4)


def gaussians(rows=3, width=5):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return mean, torch.randn(rows, width, generator=generator, dtype=torch.float64)


def test_divergence_is_that_of_normal_distributions():
    mean, log_variance = gaussians()
    exact = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), exact)
    zero = torch.zeros(2, 4)
    assert torch.equal(divergence(zero, zero), torch.zeros(2))


def test_divergence_is_the_mean_of_what_draws_tell_apart():
    """The divergence equals the mean of log q(z) / p(z) over draws of z, within five standard errors."""
    mean, log_variance = gaussians(rows=1)
    rows = 200_000
    noise = BatchNoise(0, rows, torch.Generator().manual_seed(1), dtype=torch.float64)
    z = drawn_latent(mean.expand(rows, -1), log_variance.expand(rows, -1), noise)
    told = Normal(mean, (log_variance / 2).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    told = told.sum(1)
    allowed = 5 * float(told.std()) / rows**0.5
    assert float(told.mean()) == pytest.approx(float(divergence(mean, log_variance)[0]), abs=allowed)


def test_gradients_flow_through_draws():
    mean, log_variance = (value.requires_grad_() for value in gaussians())
    noise = BatchNoise(0, 3, torch.Generator().manual_seed(1), dtype=torch.float64)
    z = drawn_latent(mean, log_variance, noise)
    z.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(log_variance.grad, (z - mean).detach() / 2)


@pytest.fixture
def silica_encoder(silica):
    torch.manual_seed(0)
    return Encoder(silica, SMALL, 6).double()


def test_encoder_sees_atoms_and_the_share_of_ghosts(silica_encoder, small_batch):
    """The latent depends on the number of ghosts, but not on their positions."""
    batch = small_batch(2, 2, dtype=torch.float64)
    few, again, many = (
        add_ghosts(batch, density, 2, torch.Generator().manual_seed(seed))
        for density, seed in ((0.11, 0), (0.11, 1), (0.13, 0))
    )
    assert (few.positions - again.positions).abs().max() > 0.1
    with torch.no_grad():
        first, second, third = (torch.cat(silica_encoder(b), 1) for b in (few, again, many))
    assert torch.equal(first, second)
    assert bool(((third - first).abs().amax(1) > 1e-5).all())


def test_encoder_is_invariant(silica_encoder, small_batch):
    batch = add_ghosts(small_batch(2, 2, dtype=torch.float64), 0.11, 2, torch.Generator().manual_seed(0))
    matrix = -torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix())
    turned = replace(batch, positions=batch.positions @ matrix + 1.3, cells=batch.cells @ matrix)
    random, (middle, total) = np.random.default_rng(0), batch.offsets[1:].tolist()
    order = np.concatenate([random.permutation(middle), middle + random.permutation(total - middle)])
    shuffled = replace(batch, positions=batch.positions[order], species=batch.species[order])
    with torch.no_grad():
        wanted = torch.cat(silica_encoder(batch), 1)
        for other in (turned, shuffled):
            torch.testing.assert_close(torch.cat(silica_encoder(other), 1), wanted, rtol=0, atol=1e-10)
    assert (wanted[0] - wanted[1]).abs().max() > 1e-4


def test_absent_labels_have_no_error():
    torch.manual_seed(0)
    head = PropertyHead(4, 8, 2).double()
    z = torch.randn(3, 4, dtype=torch.float64)
    targets = torch.tensor([[0.5, 0.0], [0.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    given = torch.tensor([[True, False], [False, True], [False, False]])
    with torch.no_grad():
        found, guess = head.loss(z, targets, given), head(z)
        torch.testing.assert_close(found, ((guess[0, 0] - 0.5) ** 2 + (guess[1, 1] + 1) ** 2) / 2)
        torch.testing.assert_close(head.loss(z, targets + 9.0 * ~given, given), found)
        assert float(head.loss(z, targets, torch.zeros_like(given))) == 0.0


def linear_head(weight) -> PropertyHead:
    """Properties that are linear in z."""
    head = PropertyHead(weight.shape[1], 4, weight.shape[0]).double()
    head.layers = torch.nn.Linear(*reversed(weight.shape), bias=False).double()
    head.layers.weight.data = weight
    return head


def test_latent_goes_to_the_targets_asked_for():
    """With the properties z_1 and z_2 - z_3 the targets are reached, and the other components of z are unchanged."""
    head = linear_head(torch.tensor([[1.0, 0, 0, 0], [0, 1, -1, 0]], dtype=torch.float64))
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [0.0, 0.0]], dtype=torch.float64)
    given = torch.tensor([[True, False], [True, True], [False, False]])
    before = z.clone()
    with torch.no_grad():
        found = latent_for_targets(head, z, targets, given, 500, 2e-2)
    torch.testing.assert_close(head(found)[given].detach(), targets[given], rtol=0, atol=0.01)
    assert torch.equal(z, before)
    assert torch.equal(found[0, 1:], z[0, 1:])
    assert torch.equal(found[1, 3], z[1, 3])
    assert torch.equal(found[2], z[2])
    # the property is z_2 - z_3: Adam takes as much from one as it gives to the other
    torch.testing.assert_close(found[1, 1] + found[1, 2], z[1, 1] + z[1, 2], rtol=0, atol=1e-6)
    alone = latent_for_targets(head, z[1:2], targets[1:2], given[1:2], 500, 2e-2)
    torch.testing.assert_close(found[1:2], alone, rtol=0, atol=1e-12)
    assert all(parameter.grad is None for parameter in head.parameters())
    assert not found.requires_grad


def test_first_step_of_the_latent_is_adams():
    """The first step is the rate times the sign of the gradient, whatever its magnitude."""
    head = linear_head(torch.tensor([[3.0, -0.2]], dtype=torch.float64))
    z, given = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    found = latent_for_targets(head, z, torch.ones(1, 1, dtype=torch.float64), given, 1, 1e-3)
    torch.testing.assert_close(found, torch.tensor([[1e-3, -1e-3]]).double(), rtol=1e-6, atol=0)
    assert torch.equal(latent_for_targets(head, z, torch.ones(1, 1).double(), given, 0, 1e-3), z)
