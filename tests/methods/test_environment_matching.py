"""Local environments and their discrepancy: symmetries, gradients, missing neighbours, unbiased kernels, targets."""

from dataclasses import replace

import pytest
import torch

import amsbench
from amsbench.benchmark.datasets.dataset import samples_of, task_of
from amsbench.benchmark.interface.structures import Structures
from amsbench.methods.environments import distances
from amsbench.methods.environments.discrepancy import environment_discrepancy, target_similarity
from amsbench.methods.environments.distances import REACH, environment_shape, environments

SILICA = ("Si", "O")


def glass(structures=2, edge=7.0, atoms=18, seed=0, elements=2) -> Structures:
    """Atoms at random places of skewed cells, in float64."""
    generator = torch.Generator().manual_seed(seed)
    cell = edge * torch.eye(3, dtype=torch.float64)
    cell[1, 0] = 0.2 * edge
    start = Structures.empty_cells(
        cell.repeat(structures, 1, 1), torch.full((structures,), atoms), torch.zeros(structures, 0).double()
    )
    fractions = torch.rand(structures * atoms, 3, generator=generator, dtype=torch.float64)
    species = torch.arange(structures * atoms) % elements
    return replace(start, positions=fractions @ cell, species=species)


def silica_set(first: int, count: int) -> Structures:
    from torch_geometric.data import Batch

    dataset = amsbench.load_dataset("asio2")
    samples = samples_of(dataset.split("train"), task_of(dataset, ()))[first : first + 2 * count : 2]
    return Structures.from_data(Batch.from_data_list(samples))


@pytest.mark.parametrize("elements", [("Si",), SILICA])
def test_gradients_are_those_of_finite_differences(elements):
    data, x = glass(seed=1, elements=len(elements)), glass(seed=2, elements=len(elements))

    def loss(positions):
        return environment_discrepancy(x.with_positions(positions), data, elements)

    positions = x.positions.clone().requires_grad_()
    loss(positions).backward()
    step = 1e-6
    for seed in range(4):
        direction = torch.randn(positions.shape, generator=torch.Generator().manual_seed(seed)).double()
        slope = (loss(x.positions + step * direction) - loss(x.positions - step * direction)) / (2 * step)
        assert float((positions.grad * direction).sum()) == pytest.approx(float(slope), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("elements", [("Si",), SILICA])
def test_environments_do_not_depend_on_translation_rotation_order_or_image(elements):
    x = glass(elements=len(elements))
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)).double())
    order = torch.cat([torch.randperm(18), 18 + torch.randperm(18)])
    images = torch.randint(-2, 3, x.positions.shape).double() @ x.cells[0]
    moved = replace(x, positions=(x.positions + images + 0.3) @ q, cells=x.cells @ q)
    permuted = replace(x, positions=x.positions[order], species=x.species[order])
    for symbol, expected in environments(x, elements).items():
        assert torch.allclose(environments(moved, elements)[symbol].distances, expected.distances, atol=1e-9)
        rows = environments(permuted, elements)[symbol].distances
        assert torch.allclose(rows.sort(0).values, expected.distances.sort(0).values, atol=1e-12)


def test_a_small_cell_has_the_environments_of_its_repetition():
    """Two of the same cells side by side are the same material; 3.5 A is less than the radius of an environment."""
    x = glass(structures=1, edge=3.5, atoms=3, elements=2)
    twice = replace(
        x,
        positions=torch.cat([x.positions, x.positions + x.cells[0, 2]]),
        cells=x.cells * torch.tensor([1.0, 1.0, 2.0]).double()[:, None],
        species=x.species.repeat(2),
        batch=x.batch.repeat(2),
        counts=2 * x.counts,
    )
    for symbol, part in environments(x, SILICA).items():
        assert torch.allclose(
            environments(twice, SILICA)[symbol].distances, part.distances.repeat(2, 1), atol=1e-9
        )


def test_missing_neighbours_count_as_at_the_end_of_the_environment():
    x = glass(structures=1, edge=40.0, atoms=2, elements=1)
    x = x.with_positions(torch.tensor([[0.0, 0, 0], [2.5, 0, 0]]).double())
    (part,) = environments(x, ("Si",)).values()
    assert part.distances[:, 0].tolist() == pytest.approx([2.5, 2.5])
    assert bool((part.distances[:, 1:14] == REACH).all())
    # nothing jumps where the last neighbour leaves
    for gap in (REACH - 1e-7, REACH + 1e-7):
        apart = x.with_positions(torch.tensor([[0.0, 0, 0], [gap, 0, 0]]).double())
        (part,) = environments(apart, ("Si",)).values()
        assert torch.allclose(part.distances[:, :14], torch.full((2, 14), REACH).double(), atol=1e-6)
        assert torch.allclose(part.distances[:, 14:], torch.full((2, 10), REACH / 2).double(), atol=1e-5)


def test_atoms_at_one_point_have_finite_gradients():
    x = glass(elements=1)
    positions = x.positions.clone()
    positions[1] = positions[0]
    positions.requires_grad_()
    environment_discrepancy(x.with_positions(positions), glass(seed=5, elements=1), ("Si",)).backward()
    assert bool(torch.isfinite(positions.grad).all())


def test_ghosts_have_no_part():
    x = glass()
    ghosts = glass(seed=9)
    both = replace(
        x,
        positions=torch.cat(
            [x.positions[:18], ghosts.positions[:18], x.positions[18:], ghosts.positions[18:]]
        ),
        species=torch.cat([x.species[:18], torch.full((18,), 2), x.species[18:], torch.full((18,), 2)]),
        batch=torch.arange(2).repeat_interleave(36),
        counts=2 * x.counts,
    )
    for symbol, part in environments(both, SILICA).items():
        assert torch.equal(part.distances, environments(x, SILICA)[symbol].distances)
    both.positions.requires_grad_()
    environment_discrepancy(both, glass(seed=1), SILICA).backward()
    assert both.positions.grad[both.species == 2].abs().max() == 0
    assert both.positions.grad[both.species < 2].abs().max() > 0


def test_an_element_of_one_structure_is_left_out():
    x = glass(elements=1)
    species = torch.zeros_like(x.species)
    species[0] = 1
    alone = replace(x, species=species)
    assert torch.isfinite(environment_discrepancy(alone, alone, SILICA))
    nothing = replace(x, species=torch.full_like(species, 2))
    assert float(environment_discrepancy(nothing, glass(), SILICA)) == 0


def test_shapes_follow_the_classes_of_the_elements():
    assert environment_shape("Si", ("Si",)) == environment_shape("Cu", ("Cu", "Zr"))
    centre = environment_shape("Li", ("Si", "Li", "O"))
    assert [(set(names), count) for names, count, _ in centre.shells] == [
        ({"anion"}, 6),
        ({"former"}, 4),
        ({"modifier"}, 3),
    ]
    assert environment_shape("O", SILICA).bonded == 2


def test_discrepancy_is_unbiased_and_grows_with_displacement():
    """Over disjoint parts of the training set the mean is 0 within its error; displaced atoms exceed it."""
    size, pairs = 4, 10
    sets = [(silica_set(16 * k, size), silica_set(16 * k + 1, size)) for k in range(pairs)]
    values = torch.stack([environment_discrepancy(x, y, SILICA) for x, y in sets])
    assert abs(float(values.mean())) < 3 * float(values.std()) / pairs**0.5
    last = float(values.mean())
    for amplitude in (0.05, 0.1, 0.2, 0.4):
        moved = []
        for k, (x, y) in enumerate(sets[:4]):
            noise = torch.randn(x.positions.shape, generator=torch.Generator().manual_seed(k))
            moved.append(
                environment_discrepancy(x.with_positions(x.positions + amplitude * noise), y, SILICA)
            )
        value = float(torch.stack(moved).mean())
        assert value > last + 3 * float(values.std()) / 2
        last = value


def test_similarity_sees_values_and_presence_of_targets():
    absent = float("nan")
    weights = target_similarity(
        torch.tensor([[1.0, absent], [1.0, absent], [3.0, absent], [1.0, 2.0]]), torch.tensor([2.0, 5.0])
    )
    assert weights[0, 1] == 1
    assert float(weights[0, 2]) == pytest.approx(0.5 + 0.5 * torch.tensor(-0.5).exp().item())
    assert weights[0, 3] == 0.5  # other targets are present
    assert torch.equal(weights, weights.T)


def test_environments_that_are_exchanged_between_targets_have_a_discrepancy():
    """All environments together are those of the data, but not for every target; only weights of targets see it."""
    first, second, third, fourth = (silica_set(k, 3) for k in (0, 20, 40, 60))

    def wide(x):
        return replace(x, positions=1.08 * x.positions, cells=1.08 * x.cells)

    def joined(x, y):
        return replace(
            x,
            positions=torch.cat([x.positions, y.positions]),
            cells=torch.cat([x.cells, y.cells]),
            species=torch.cat([x.species, y.species]),
            batch=torch.cat([x.batch, 3 + y.batch]),
            counts=torch.cat([x.counts, y.counts]),
        )

    data, right, wrong = joined(first, wide(second)), joined(third, wide(fourth)), joined(wide(fourth), third)
    similarity = target_similarity(torch.tensor([[0.0]] * 3 + [[9.0]] * 3), torch.tensor([1.0]))
    assert abs(float(environment_discrepancy(right, data, SILICA, similarity))) < 0.02
    assert float(environment_discrepancy(wrong, data, SILICA, similarity)) > 0.03


def test_of_many_atoms_a_random_part_is_compared(monkeypatch):
    """The mean over parts is the discrepancy of all atoms; elements keep their weights."""
    y = silica_set(0, 3)
    n = len(y.positions)
    x = y.with_positions(y.positions + 0.2 * torch.randn(n, 3, generator=torch.Generator().manual_seed(0)))
    expected = float(environment_discrepancy(x, y, SILICA))
    orders = [torch.rand(n, generator=torch.Generator().manual_seed(k)) for k in range(24)]
    assert float(environment_discrepancy(x, y, SILICA, order=orders[0])) == expected  # all of so few
    monkeypatch.setattr(distances, "MOST_ATOMS", 60)
    parts = torch.stack([environment_discrepancy(x, y, SILICA, order=order) for order in orders])
    assert len(environments(x, SILICA, orders[0])["O"]) == 60
    assert float(parts.std()) > 0
    assert abs(float(parts.mean()) - expected) < 4 * float(parts.std()) / len(orders) ** 0.5
