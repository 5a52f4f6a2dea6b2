"""The critic of environments: symmetries, whose gradients its two losses have, pairs, and that it moves a generator."""

from dataclasses import replace

import pytest
import torch

from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.environments import critic as critic_module
from amsbench.methods.environments.critic import EnvironmentCritic, critic_losses, critic_shape
from amsbench.methods.environments.distances import REACH

SILICA = ("Si", "O")


def glass(structures=2, edge=7.0, atoms=18, seed=0, elements=2) -> Structures:
    """Atoms at random places of cubes, in float64."""
    generator = torch.Generator().manual_seed(seed)
    cells = edge * torch.eye(3, dtype=torch.float64).repeat(structures, 1, 1)
    start = Structures.empty_cells(
        cells, torch.full((structures,), atoms), torch.zeros(structures, 0).double()
    )
    fractions = torch.rand(structures * atoms, 3, generator=generator, dtype=torch.float64)
    return replace(start, positions=edge * fractions, species=torch.arange(structures * atoms) % elements)


def noise_of(batch: Structures) -> BatchNoise:
    generator = torch.Generator().manual_seed(0)
    return BatchNoise(len(batch.positions), len(batch), generator, dtype=batch.positions.dtype)


def critic_of(elements, properties: int = 0) -> EnvironmentCritic:
    torch.manual_seed(0)
    return EnvironmentCritic(elements, properties).double()


def outputs(critic: EnvironmentCritic, structures: Structures) -> torch.Tensor:
    return critic(critic.environments(structures), torch.full((len(structures), 2), 0.4).double())


@pytest.mark.parametrize("elements", [("Si",), SILICA])
def test_outputs_do_not_depend_on_translation_rotation_or_image_and_follow_the_order(elements):
    x, critic = glass(elements=len(elements)), critic_of(elements)
    expected = outputs(critic, x)
    assert float(expected.detach().std()) > 1e-4
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)).double())
    images = torch.randint(-2, 3, x.positions.shape).double() @ x.cells[0]
    moved = replace(x, positions=(x.positions + images + 0.3) @ q, cells=x.cells @ q)
    assert torch.allclose(outputs(critic, moved), expected, atol=1e-9)
    order = torch.cat([torch.randperm(18), 18 + torch.randperm(18)])
    permuted = replace(x, positions=x.positions[order], species=x.species[order])
    assert torch.allclose(outputs(critic, permuted), expected[order], atol=1e-9)


def test_an_output_knows_the_environments_beside_the_next_atom():
    """A chain of Si and O, 1.6 A apart: what lies beyond the radius of an environment is known by the bonds."""
    positions = torch.tensor([[1.6 * k, 0, 0] for k in range(15)]).double()
    chain = glass(structures=1, edge=60.0, atoms=15)
    chain = replace(chain, positions=positions, species=torch.arange(15) % 2)
    bent = positions.clone()
    bent[14, 1] += 1.0
    assert float((positions[14] - positions[9]).norm()) > REACH
    critic = critic_of(SILICA)
    with torch.no_grad():
        changes = (outputs(critic, chain.with_positions(bent)) - outputs(critic, chain)).abs()
    assert float(changes[9]) > 1e-9
    assert float(changes[0]) < 1e-12


def test_each_loss_has_the_gradients_of_one_side():
    critic, data = critic_of(SILICA, properties=1), glass(seed=1)
    targets = torch.tensor([[0.5, 1.0], [0.0, 0.0]]).double()
    positions = glass(seed=2).positions.clone().requires_grad_()
    made = data.with_positions(positions)
    losses = critic_losses(critic, made, data, noise_of(data), t=0.4, targets=targets)
    parameters = list(critic.parameters())
    (no,) = torch.autograd.grad(losses["critic"], positions, retain_graph=True, allow_unused=True)
    none = torch.autograd.grad(losses["adversary"], parameters, retain_graph=True, allow_unused=True)
    assert no is None
    assert set(none) == {None}
    assert all(
        float(g.abs().max()) > 0 for g in torch.autograd.grad(losses["critic"], parameters, retain_graph=True)
    )
    assert float(torch.autograd.grad(losses["adversary"], positions)[0].abs().max()) > 0


def test_the_gradient_of_the_positions_is_that_of_finite_differences():
    critic, data = critic_of(SILICA), glass(seed=1)
    x = glass(seed=2)
    critic_losses(critic, x, data, noise_of(data), t=0.2, targets=data.properties)  # moments of the data
    state = {name: value.clone() for name, value in critic.state_dict().items()}

    def adversary(positions):
        critic.load_state_dict(state)
        return critic_losses(
            critic, x.with_positions(positions), data, noise_of(data), t=0.2, targets=data.properties
        )["adversary"]

    positions = x.positions.clone().requires_grad_()
    adversary(positions).backward()
    step = 1e-6
    for seed in range(4):
        direction = torch.randn(positions.shape, generator=torch.Generator().manual_seed(seed)).double()
        ends = [float(adversary(x.positions + sign * step * direction)) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float((positions.grad * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_atoms_are_paired_within_their_element_and_once():
    critic = critic_of(SILICA)
    made = critic.environments(glass(seed=1))
    real = critic.environments(replace(glass(seed=2), species=torch.tensor([0] * 10 + [1] * 26)))
    first, second = critic_module._pairs(made, real, torch.rand(36, 2), 2)
    assert len(first) == 10 + 18
    assert torch.equal(made.species[first], real.species[second])
    assert len(set(first.tolist())) == len(set(second.tolist())) == 28


def test_missing_neighbours_and_atoms_at_one_point_have_finite_losses():
    alone = glass(structures=2, edge=40.0, atoms=1)
    together = glass(structures=2, edge=9.0, atoms=4)
    together = together.with_positions(torch.zeros_like(together.positions))
    for x in (alone, together):
        positions = x.positions.clone().requires_grad_()
        losses = critic_losses(
            critic_of(SILICA), x.with_positions(positions), x, noise_of(x), t=1.0, targets=x.properties
        )
        sum(losses.values()).backward()
        assert bool(torch.isfinite(positions.grad).all())


def test_ghosts_alone_have_no_loss_but_that_of_the_data():
    data = glass()
    nothing = replace(data, species=torch.full_like(data.species, len(SILICA)))
    losses = critic_losses(critic_of(SILICA), nothing, data, noise_of(data), t=1.0, targets=data.properties)
    assert float(losses["adversary"].detach()) == 0
    assert bool(torch.isfinite(losses["critic"]))


@pytest.mark.parametrize("elements", [("Si",), SILICA, ("Si", "Li", "Al", "O")])
def test_environments_have_room_for_every_element(elements):
    critic = critic_of(elements)
    atoms = critic.environments(glass(elements=len(elements)))
    assert atoms.distances.shape == (36, critic.width)
    assert torch.equal(atoms.species, torch.arange(36) % len(elements))
    assert all(0 < critic_shape(symbol, elements).bonded <= critic.bonds for symbol in elements)


def test_moments_are_those_of_the_data():
    critic, sets = critic_of(SILICA), [glass(seed=k) for k in range(3)]
    for data in sets:
        critic.learn_moments(critic.environments(data))
    rows = torch.cat([critic.environments(data).distances[::2] for data in sets])
    assert torch.allclose(critic.mean[0], rows.mean(0), atol=1e-9)


def test_bonds_of_a_generator_become_those_of_the_data():
    """Dimers 1.9 A long with a parameter for their length; those of the data have 1.6 A."""
    torch.manual_seed(0)
    cells = 12.0 * torch.eye(3).repeat(16, 1, 1)
    start = Structures.empty_cells(cells, torch.full((16,), 2), torch.zeros(16, 0))
    start = replace(start, species=torch.arange(32) % 2)

    def dimers(length) -> Structures:
        ends = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]).repeat(16, 1)
        return start.with_positions(3.0 + ends * length)

    critic, length = EnvironmentCritic(SILICA, 0), torch.tensor(1.9, requires_grad=True)
    optimizers = [torch.optim.Adam(critic.parameters(), lr=3e-3), torch.optim.Adam([length], lr=1e-2)]
    for step in range(150):
        noise = BatchNoise(32, 16, torch.Generator().manual_seed(step))
        losses = critic_losses(critic, dimers(length), dimers(1.6), noise, t=0.1, targets=start.properties)
        for optimizer in optimizers:
            optimizer.zero_grad()
        sum(losses.values()).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert float(length.detach()) == pytest.approx(1.6, abs=0.06)
