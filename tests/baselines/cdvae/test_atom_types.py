"""Types drawn from a composition: numbers of atoms, probabilities, order."""

import pytest
import torch

from amsbench.baselines.cdvae.atom_types import (
    composition_loss,
    fractions_of,
    noisy_type_weights,
    species_of_composition,
)
from amsbench.benchmark.interface.noise import BatchNoise, StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.samplers import sample_one_hot


def cells(sizes) -> Structures:
    return Structures.empty_cells(
        9 * torch.eye(3).repeat(len(sizes), 1, 1), torch.tensor(sizes), torch.zeros(len(sizes), 0)
    )


@pytest.mark.parametrize("sigma", [5.0, 0.3, 0.01])
def test_noisy_types_have_the_probabilities_of_the_paper(sigma):
    """The probabilities are (one-hot + sigma composition) / (1 + sigma) for each true type."""
    composition, atoms = torch.tensor([0.5, 0.3, 0.2, 0.0]), 40_000
    for true in range(4):
        one_hot = torch.eye(4)[true].repeat(atoms, 1)
        weights = noisy_type_weights(one_hot, composition.repeat(atoms, 1), torch.full((atoms, 1), sigma))
        found = sample_one_hot(weights, StructureNoise([atoms], [true])).mean(0)
        wanted = (torch.eye(4)[true] + sigma * composition) / (1 + sigma)
        # five standard errors of a frequency
        allowed = 5 * (wanted * (1 - wanted) / atoms).sqrt() + 1e-7
        assert bool(((found - wanted).abs() <= allowed).all())
        wrong = sigma * (1 - composition[true]) / (1 + sigma)
        assert float(1 - found[true]) == pytest.approx(float(wrong), abs=float(allowed[true]))


def test_numbers_of_a_beginning_are_those_of_the_composition_rounded():
    composition = torch.tensor([[0.21, 0.47, 0.32], [0.0, 1.0, 0.0], [0.05, 0.0, 0.95]])
    sizes = (53, 20, 9)
    start = cells(sizes)
    totals = torch.zeros(3, 3)
    for seed in range(100):
        species = species_of_composition(composition, start, StructureNoise(sizes, [seed, 999, seed + 500]))
        counts = fractions_of(Structures(**(vars(start) | {"species": species})), 3) * start.counts[:, None]
        assert float((counts - composition * start.counts[:, None]).abs().max()) < 1
        totals += counts
    # a number is one of two neighbours: standard error of its mean at most 0.5 / sqrt(100)
    torch.testing.assert_close(totals / 100, composition * start.counts[:, None], rtol=0, atol=0.2)


def test_order_of_a_beginning_is_random():
    """Every atom has a species with the species' probability, whatever its index."""
    composition, start = torch.tensor([[0.25, 0.75]]), cells((8,))
    found = torch.stack(
        [species_of_composition(composition, start, StructureNoise([8], [seed])) for seed in range(1_000)]
    )
    assert (found == 0).double().mean(0).tolist() == pytest.approx([0.25] * 8, abs=0.07)
    # two of eight, without replacement
    both = ((found[:, 0] == 0) & (found[:, 1] == 0)).double().mean()
    assert float(both) == pytest.approx(2 / 8 * 1 / 7, abs=0.03)


def test_a_beginning_depends_on_its_own_structure_alone():
    composition = torch.tensor([[0.4, 0.6], [0.3, 0.7]])
    both = species_of_composition(composition, cells((20, 31)), StructureNoise([20, 31], [1, 2]))
    alone = species_of_composition(composition[1:], cells((31,)), StructureNoise([31], [2]))
    assert torch.equal(both[20:], alone)


def test_composition_loss_is_the_mean_cross_entropy_of_the_atoms(small_batch):
    batch = small_batch(3, 0)
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    expected = []
    for k in range(2):
        own = batch.species[batch.batch == k]
        expected.append(sum(-torch.log_softmax(logits[k], 0)[kind] for kind in own) / len(own))
    found = composition_loss(logits, fractions_of(batch, 3))
    assert float(found) == pytest.approx(float(sum(expected) / 2), rel=1e-5)


def test_composition_loss_is_least_at_the_composition(small_batch):
    fractions = fractions_of(small_batch(3, 0), 3)
    least = composition_loss(fractions.log(), fractions)
    assert float(least) == pytest.approx(float(-(fractions * fractions.log()).sum(1).mean()), rel=1e-5)
    noise = BatchNoise(0, 2, torch.Generator().manual_seed(1))
    for _ in range(5):
        other = composition_loss(fractions.log() + 0.3 * noise.normal_structures(3), fractions)
        assert float(other) > float(least)
