"""Masked diffusion against explicit transition matrices, and independence of the sequence of times."""

from itertools import pairwise

import pytest
import torch

from amsbench.baselines.mattergen.mask_diffusion import MaskDiffusion

KINDS, STEPS = 3, 12
MASKS = MaskDiffusion(kinds=KINDS)
UNEVEN = [1.0, 0.83, 0.5, 0.47, 0.2, 0.01, 0.0]


def transition(k: int) -> torch.Tensor:
    """Q_k of D3PM, from step k - 1 to k of STEPS: masks with probability 1 / (STEPS - k + 1)."""
    matrix = torch.eye(KINDS + 1, dtype=torch.float64)
    masked = 1 / (STEPS - k + 1)
    matrix[:KINDS] *= 1 - masked
    matrix[:KINDS, KINDS] = masked
    return matrix


def composed(first: int, last: int) -> torch.Tensor:
    """Transition matrix from step ``first`` to step ``last``."""
    matrix = torch.eye(KINDS + 1, dtype=torch.float64)
    for k in range(first + 1, last + 1):
        matrix = matrix @ transition(k)
    return matrix


def times(value: float, n: int = 1) -> torch.Tensor:
    return torch.full((n, 1), value, dtype=torch.float64)


def uniform(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("after", "before"), [(1, 0), (2, 1), (7, 3), (12, 0), (12, 11), (11, 4)])
def test_posterior_is_bayes_rule_on_composed_matrices(after, before):
    to_before, step, to_after = composed(0, before), composed(before, after), composed(0, after)
    for clean in range(KINDS):
        for noisy in range(KINDS + 1):
            if to_after[clean, noisy] == 0:
                continue
            wanted = to_before[clean] * step[:, noisy] / to_after[clean, noisy]
            given = torch.zeros(1, KINDS, dtype=torch.float64)
            given[0, clean] = 1
            found = MASKS.posterior(torch.tensor([noisy]), given, times(after / STEPS), times(before / STEPS))
            torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [3, 9, 12])
def test_noise_has_the_probabilities_of_the_composed_matrix(k):
    n = 30_000
    species = torch.arange(n) % KINDS
    noisy = MASKS.corrupt(species, times(k / STEPS, n), uniform(n, 1))
    for kind in range(KINDS):
        counts = torch.bincount(noisy[species == kind], minlength=KINDS + 1)
        assert (counts / (n / KINDS)).tolist() == pytest.approx(composed(0, k)[kind].tolist(), abs=0.02)


def test_a_step_draws_from_the_posterior():
    n, t, s = 60_000, 0.8, 0.3
    logits = torch.tensor([0.3, -1.2, 0.9], dtype=torch.float64).repeat(n, 1)
    noisy = torch.where(torch.arange(n) < n // 3, 1, MASKS.mask)
    found = MASKS.step(noisy, logits, times(t, n), times(s, n), uniform(n, 2))
    assert bool((found[: n // 3] == 1).all())
    wanted = MASKS.posterior(noisy[-1:], torch.softmax(logits[:1], -1), times(t), times(s))[0]
    counts = torch.bincount(found[n // 3 :], minlength=KINDS + 1) / (2 * n // 3)
    assert counts.tolist() == pytest.approx(wanted.tolist(), abs=0.01)


@pytest.mark.parametrize("path", [[1.0, 0.0], UNEVEN, [1 - k / 11 for k in range(12)]])
def test_times_at_which_atoms_come_back_are_uniform_whatever_the_steps(path):
    n = 40_000
    state = torch.full((n,), MASKS.mask)
    logits = torch.zeros(n, KINDS, dtype=torch.float64)
    for k, (t, s) in enumerate(pairwise(path)):
        masked = state == MASKS.mask
        after = MASKS.step(state, logits, times(t, n), times(s, n), uniform(n, 2, seed=k))
        assert torch.equal(after[~masked], state[~masked])
        back = masked & (after != MASKS.mask)
        assert float(back.double().mean()) == pytest.approx(t - s, abs=0.01)
        state = after
    counts = torch.bincount(state, minlength=KINDS + 1) / n
    assert counts.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=0.012)


def test_no_mask_is_left_at_the_end_and_none_is_drawn():
    """Float32 extremes: the largest uniform number below 1, and probabilities whose sum rounds to below 1."""
    logits = torch.randn(500, KINDS, generator=torch.Generator().manual_seed(0))
    logits[:2] = torch.tensor([[90.0, -90.0, 0.0], [-90.0, 0.0, 90.0]])
    most = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).repeat(500, 2)
    assert bool((torch.softmax(logits, -1).cumsum(-1)[:, -1] < 1).any())
    for t in (1.0, 0.04, 1 / 3, 1e-5):
        at = torch.full((500, 1), t)
        found = MASKS.step(torch.full((500,), MASKS.mask), logits, at, torch.zeros(500, 1), most)
        assert int(found.max()) < MASKS.mask
        assert found[:2].tolist() == [0, 2]


def test_losses_are_the_divergence_of_the_posteriors_and_the_cross_entropy():
    n, t, s = 8, 0.6, 0.45
    species = torch.arange(n) % KINDS
    noisy = torch.where(torch.arange(n) % 2 == 0, species, MASKS.mask)
    logits = torch.randn(n, KINDS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    predicted = torch.softmax(logits, -1)
    true = MASKS.one_hot(species, torch.float64)[:, :KINDS]
    q, p = (
        MASKS.posterior(noisy, probabilities, times(t, n), times(s, n)) for probabilities in (true, predicted)
    )
    wanted = torch.where(q > 0, q * (q / p.clamp(min=1e-300)).clamp(min=1e-300).log(), 0.0).sum(-1)
    divergence, entropy = MASKS.losses(logits, species, noisy, times(t, n), times(s, n))
    torch.testing.assert_close(divergence, wanted, rtol=0, atol=1e-12)
    assert bool((divergence[1::2] > 1e-3).all())
    torch.testing.assert_close(entropy, -predicted[torch.arange(n), species].log(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", [[1.0, 0.0], UNEVEN])
def test_divergences_along_any_path_add_up_to_the_entropy_of_the_prediction(path):
    """An atom is masked at t with probability t; for a prediction independent of time the sum of divergences
    telescopes."""
    logits = torch.tensor([[0.3, -1.2, 0.9]], dtype=torch.float64)
    total = 0.0
    for t, s in pairwise(path):
        noisy = torch.tensor([MASKS.mask])
        divergence, entropy = MASKS.losses(logits, torch.tensor([1]), noisy, times(t), times(s))
        total += t * float(divergence)
    assert total == pytest.approx(float(entropy), abs=1e-12)
