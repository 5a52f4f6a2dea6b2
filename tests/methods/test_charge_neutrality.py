"""Charge neutrality: tilted probabilities without expected charge, and the best neutral choice of species."""

from itertools import product

import numpy as np
import pytest
import torch

from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.charge_neutrality import neutral_probabilities, neutral_species

CHARGES = torch.tensor([4.0, 1.0, 5.0, -2.0, 0.0], dtype=torch.float64)


def of_sizes(*sizes):
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return Structures(
        positions=torch.zeros(len(batch), 3, dtype=torch.float64),
        species=torch.zeros(len(batch), dtype=torch.long),
        batch=batch,
        cells=torch.eye(3, dtype=torch.float64).repeat(len(sizes), 1, 1),
        counts=torch.tensor(sizes),
        properties=torch.zeros(len(sizes), 0, dtype=torch.float64),
    )


def probabilities(atoms, seed, sharpness=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(atoms, 5, generator=generator, dtype=torch.float64), dim=-1)


def charges_of(shares, structures):
    sums = torch.zeros(len(structures), dtype=torch.float64)
    return sums.index_add(0, structures.batch, shares @ CHARGES)


def test_tilted_probabilities_have_no_expected_charge():
    structures, p = of_sizes(30, 7), probabilities(37, 0)
    found = neutral_probabilities(p, CHARGES, structures)
    assert charges_of(p, structures).abs().min() > 1
    torch.testing.assert_close(charges_of(found, structures), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(found.sum(1), torch.ones(37, dtype=torch.float64))


def test_the_tilt_is_the_least_change_of_relative_entropy():
    """Other probabilities without expected charge have a larger relative entropy to the original ones."""
    structures, p = of_sizes(12), probabilities(12, 1)
    found = neutral_probabilities(p, CHARGES, structures)

    def entropy(q):
        return float((q * (q / p).log()).sum())

    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        change = 0.1 * float(found.min()) * torch.randn(12, 5, generator=generator, dtype=torch.float64)
        change -= change.mean(1, keepdim=True)
        change -= (
            float((change @ CHARGES).sum())
            * (CHARGES - CHARGES.mean())
            / (12 * float(((CHARGES - CHARGES.mean()) * CHARGES).sum()))
        )
        other = found + change
        assert bool((other > 0).all())
        assert float((other @ CHARGES).sum()) == pytest.approx(0, abs=1e-9)
        assert entropy(other) > entropy(found)


def test_neutral_probabilities_stay_and_certain_ones_cannot_move():
    structures = of_sizes(3)
    neutral = torch.eye(5, dtype=torch.float64)[[0, 3, 3]]
    torch.testing.assert_close(neutral_probabilities(neutral, CHARGES, structures), neutral)
    charged = torch.eye(5, dtype=torch.float64)[[0, 0, 3]]
    torch.testing.assert_close(neutral_probabilities(charged, CHARGES, structures), charged)


def test_what_guidance_left_below_zero_counts_as_zero():
    structures, p = of_sizes(6), probabilities(6, 3)
    p[:, 0] = -0.2
    found = neutral_probabilities(p, CHARGES, structures)
    assert bool((found[:, 0] == 0).all())
    assert charges_of(found, structures).abs().max() < 1e-9


@pytest.mark.parametrize("sharpness", [1.0, 20.0])
def test_the_best_neutral_choice_is_that_of_a_full_search(sharpness):
    structures = of_sizes(6, 5)
    for seed in range(20):
        scores = probabilities(11, seed, sharpness)
        found = neutral_species(scores, CHARGES, structures)
        for rows in (slice(0, 6), slice(6, 11)):
            part = scores[rows].numpy()
            choices = np.array(list(product(range(5), repeat=len(part))))
            choices = choices[CHARGES.numpy()[choices].sum(1) == 0]
            best = part[np.arange(len(part)), choices].sum(1).max()
            chosen = found[rows].numpy()
            assert CHARGES.numpy()[chosen].sum() == 0
            assert part[np.arange(len(part)), chosen].sum() == pytest.approx(best, abs=1e-12)


def test_a_structure_that_is_neutral_keeps_its_species():
    scores = torch.eye(5, dtype=torch.float64)[[0, 3, 3, 1, 1, 3]] + 0.1 * probabilities(6, 4)
    assert neutral_species(scores, CHARGES, of_sizes(6)).tolist() == [0, 3, 3, 1, 1, 3]


def test_far_from_neutral_large_structures_are_mended():
    scores = probabilities(1300, 5, 3.0)
    scores[:, 0] += 1.0
    found = neutral_species(scores, CHARGES, of_sizes(1300))
    assert CHARGES[found].sum() == 0


def test_an_untrained_method_generates_neutral_structures_and_can_be_told_not_to(silica):
    from dataclasses import replace

    from amsbench.methods.material_ode import MaterialODE
    from amsbench.methods.material_sde import MaterialSDE

    task = replace(silica, formal_charges=(4, -2))
    cells = Structures(
        positions=torch.zeros(120, 3),
        species=torch.zeros(120, dtype=torch.long),
        batch=torch.arange(2).repeat_interleave(60),
        cells=9.0 * torch.eye(3).repeat(2, 1, 1),
        counts=torch.tensor([60, 60]),
        properties=torch.full((2, 2), torch.nan),
    )
    charges = np.array([4, -2, 0])
    for kind, sampler in ((MaterialSDE, "guided"), (MaterialSDE, "ancestral"), (MaterialODE, "ode")):
        net = {}
        for neutral in (True, False):
            torch.manual_seed(0)
            config = kind.default_config("standard", task) | {"neutral": neutral}
            config["network"] = config["network"] | {"hidden": 16, "layers": 1}
            made = kind(task, config).sample(cells, 3, sampler, StructureNoise([60, 60], [1, 2]))
            net[neutral] = [int(charges[made.species[made.batch == k]].sum()) for k in range(2)]
        assert net[True] == [0, 0]
        assert net[False] != [0, 0]
    assert MaterialSDE.default_config("standard", task)["neutral"]
    assert not MaterialSDE.default_config("paper", task)["neutral"]
    assert not MaterialSDE.default_config("standard", silica)["neutral"]
