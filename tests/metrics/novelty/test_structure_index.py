"""Copies are seen, whole or in part, moved in every way; independent structures are not taken for copies."""

import numpy as np
import pytest
from ase.build import bulk

from amsbench.errors import AmsbenchError
from amsbench.metrics.novelty.structure_index import (
    StructureIndex,
    TypedStructure,
    duplicate_groups,
)

CLASSES = (0, 1)
COPY = 0.7


def glass(seed, edge=12.0, atoms=110):
    """Random positions that are 1.5 Å apart, a third of them of species 0: disorder with a first shell."""
    rng = np.random.default_rng(seed)
    positions = np.zeros((0, 3))
    while len(positions) < atoms:
        trial = rng.random(3) * edge
        apart = (positions - trial + edge / 2) % edge - edge / 2
        if not len(positions) or (apart**2).sum(1).min() > 1.5**2:
            positions = np.vstack([positions, trial])
    species = np.array([0, 1, 1] * atoms)[:atoms]
    return TypedStructure(positions=positions, cell=edge * np.eye(3), species=species)


@pytest.fixture(scope="module")
def index():
    return StructureIndex([glass(seed) for seed in range(6)], CLASSES)


def moved(structure, *, rotation=None, shift=0.0, jitter=0.0, order=None, seed=0):
    rng = np.random.default_rng(seed)
    rotation = np.eye(3) if rotation is None else rotation
    positions = structure.positions + jitter * rng.normal(size=structure.positions.shape) + shift
    order = np.arange(len(positions)) if order is None else order
    return TypedStructure(
        positions=(positions @ rotation.T)[order],
        cell=structure.cell @ rotation.T,
        species=structure.species[order],
    )


def orthogonal(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shift": np.array([3.7, -20.0, 1.1])},
        {"rotation": orthogonal(1)},
        {"rotation": -orthogonal(1)},
        {"order": np.random.default_rng(5).permutation(110)},
        {"jitter": 0.05},
        {"jitter": 0.05, "rotation": orthogonal(2), "shift": 5.0},
    ],
    ids=["itself", "shifted", "rotated", "reflected", "reordered", "displaced", "all"],
)
def test_copies_are_seen(index, changes):
    result = index.resemblance(moved(glass(3), **changes))
    assert result.largest_overlap > 0.95
    assert result.most_similar == 3


def test_a_copy_in_a_supercell_is_seen(index):
    original = glass(2)
    shifts = original.cell[0] * np.arange(2)[:, None]
    twice = TypedStructure(
        positions=np.concatenate([original.positions + shift for shift in shifts]),
        cell=original.cell * np.array([[2.0], [1.0], [1.0]]),
        species=np.tile(original.species, 2),
    )
    assert index.resemblance(twice).largest_overlap == pytest.approx(1.0)


def test_half_a_copy_is_seen(index):
    original, other = glass(4), glass(40)
    # the left half of one and the right half of another structure
    halves = [part.positions[:, 0] < 6.0 for part in (original, other)]
    mixed = TypedStructure(
        positions=np.concatenate([original.positions[halves[0]], other.positions[~halves[1]]]),
        cell=original.cell,
        species=np.concatenate([original.species[halves[0]], other.species[~halves[1]]]),
    )
    assert index.resemblance(mixed).largest_overlap > COPY


def test_independent_structures_are_no_copies(index):
    overlaps = [index.resemblance(glass(seed)).largest_overlap for seed in range(100, 106)]
    assert max(overlaps) < 0.5


def test_exchanged_elements_are_no_copy(index):
    original = glass(1)
    exchanged = TypedStructure(positions=original.positions, cell=original.cell, species=1 - original.species)
    assert index.resemblance(exchanged).largest_overlap < COPY


def test_environments_of_a_displaced_copy_are_as_far_as_the_displacements(index):
    distances = [
        index.resemblance(moved(glass(0), jitter=jitter)).environment_distance for jitter in (0, 0.02, 0.05)
    ]
    assert distances[0] == pytest.approx(0.0, abs=1e-4)
    # the distance of two atoms that move by a normal distribution of width w in each direction varies by w sqrt(2)
    assert distances[1] == pytest.approx(0.02 * np.sqrt(2), rel=0.3)
    assert distances[2] == pytest.approx(0.05 * np.sqrt(2), rel=0.3)


def test_a_structure_of_other_elements_resembles_nothing(index):
    foreign = glass(0)
    result = index.resemblance(
        TypedStructure(positions=foreign.positions, cell=foreign.cell, species=np.full(110, 0))
    )
    assert result.largest_overlap < COPY
    only_first = StructureIndex([glass(0)], CLASSES)
    gas = TypedStructure(positions=np.zeros((0, 3)), cell=np.eye(3) * 9, species=np.zeros(0, dtype=int))
    assert only_first.resemblance(gas).largest_overlap == 0.0
    assert only_first.resemblance(gas).environment_distance is None


def test_crystals_of_one_material_are_copies_whatever_their_cells():
    def typed(atoms):
        return TypedStructure(
            positions=atoms.positions, cell=atoms.cell.array, species=np.zeros(len(atoms), dtype=int)
        )

    silicon = StructureIndex([typed(bulk("Si", "diamond", 5.43, cubic=True))], (0,))
    result = silicon.resemblance(typed(bulk("Si", "diamond", 5.43) * (3, 2, 2)))
    assert result.largest_overlap == pytest.approx(1.0)
    assert result.environment_distance == pytest.approx(0.0, abs=1e-4)


def test_duplicates_are_given_to_the_first_of_their_group():
    structures = [
        glass(0),
        glass(1),
        moved(glass(0), rotation=orthogonal(3)),
        moved(glass(0), shift=2.0),
        glass(2),
    ]
    assert duplicate_groups(structures, CLASSES, COPY) == [0, 1, 0, 0, 4]
    assert duplicate_groups(structures[:1], CLASSES, COPY) == [0]
    assert duplicate_groups([], CLASSES, COPY) == []


@pytest.mark.parametrize("count", [2, 7, 8, 9])
def test_all_of_many_copies_belong_to_the_first(count):
    assert duplicate_groups([glass(3)] * count, CLASSES, COPY) == [0] * count


def test_duplicates_are_seen_among_many_others():
    different = [glass(seed) for seed in range(9)]
    mixed = [*different, moved(glass(0), rotation=orthogonal(1)), glass(20), moved(glass(8), shift=1.0)]
    assert duplicate_groups(mixed, CLASSES, COPY) == [*range(9), 0, 10, 8]


def test_a_large_index_keeps_some_environments_of_every_structure(monkeypatch):
    from amsbench.metrics.novelty import structure_index

    monkeypatch.setattr(structure_index, "ENVIRONMENTS", 90)
    few = StructureIndex([glass(seed) for seed in range(6)], CLASSES)
    for seed in (0, 5):
        assert few.resemblance(moved(glass(seed), rotation=orthogonal(seed))).largest_overlap > 0.95


def test_an_index_needs_structures():
    with pytest.raises(AmsbenchError, match="at least one structure"):
        StructureIndex([], CLASSES)
