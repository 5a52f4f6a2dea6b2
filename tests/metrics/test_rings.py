"""Ring sizes against crystals and polygons, and the symmetries of a ring statistic."""

import time

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal

from amsbench.errors import AmsbenchError
from amsbench.metrics.rings import guttman_rings


def ideal_cristobalite():
    """Diamond silicon with an O in the middle of every bond: 8 SiO2, bonds of 1.55 A."""
    return crystal(
        ["Si", "O"], [(0, 0, 0), (1 / 8, 1 / 8, 1 / 8)], spacegroup=227, cellpar=[7.16] * 3 + [90] * 3
    )


def quartz():
    return crystal(
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4133, 0.2672, 0.7855)],
        spacegroup=154,
        cellpar=[4.9137, 4.9137, 5.4047, 90, 90, 120],
    )


def defective_cristobalite(repeat=(3, 3, 3), seed=3):
    """Rattled cristobalite without a tenth of its O atoms: rings of many sizes, and dangling bonds."""
    rng = np.random.default_rng(seed)
    atoms = ideal_cristobalite() * repeat
    oxygens = np.flatnonzero(atoms.numbers == 8)
    del atoms[rng.choice(oxygens, size=len(oxygens) // 10, replace=False)]
    atoms.positions += rng.normal(scale=0.08, size=(len(atoms), 3))
    return atoms


def polygon(n_silicon, cell=30.0, centre=15.0):
    """One regular ring of alternating Si and O with bonds of 1.6 A."""
    angles = np.arange(2 * n_silicon) * np.pi / n_silicon
    radius = 0.8 / np.sin(np.pi / (2 * n_silicon))
    positions = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) * radius + centre
    return Atoms(["Si", "O"] * n_silicon, positions=positions, cell=[cell] * 3, pbc=True)


def test_cristobalite_has_two_six_rings_per_silicon_and_no_others():
    rings = guttman_rings(ideal_cristobalite())
    assert rings.sizes.tolist() == [6] * 16
    assert rings.mean_size == 6.0
    assert rings.failure is None


def test_quartz_has_one_six_ring_per_silicon():
    # The vertex symbol of the qtz net is 6.6.6_2.6_2.8_7.8_7: six corners of six-rings at every Si, and six corners in
    # each ring, make one ring per Si. The rings are larger than the cell.
    rings = guttman_rings(quartz())
    assert rings.sizes.tolist() == [6] * 3


@pytest.mark.parametrize("n_silicon", [2, 3, 5, 8, 16])
def test_a_lone_polygon_is_one_ring_of_its_size(n_silicon):
    rings = guttman_rings(polygon(n_silicon))
    assert rings.sizes.tolist() == [n_silicon]


def test_a_ring_across_the_cell_boundary_counts():
    assert guttman_rings(polygon(5, centre=0.3)).sizes.tolist() == [5]


def test_edge_sharing_tetrahedra_make_a_two_ring_although_the_silicons_nearly_touch():
    # Si-Si is 2.26 A, below 1.3 times the sum of the radii: with Si-Si bonds the rings would be triangles.
    rings = guttman_rings(polygon(2))
    assert rings.sizes.tolist() == [2]


def test_a_ring_larger_than_the_largest_size_is_not_found():
    rings = guttman_rings(polygon(9), max_size=8)
    assert rings.mean_size is None
    assert rings.failure == "no rings of at most 8 Si atoms"


@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_a_chain_that_wraps_round_the_cell_is_no_ring(repeat):
    chain = Atoms(
        "SiOSiO",
        positions=[(0, 0, 0), (1.6, 0, 0), (3.2, 0, 0), (4.8, 0, 0)],
        cell=[6.4, 15, 15],
        pbc=True,
    ) * (repeat, 1, 1)
    rings = guttman_rings(chain)
    assert rings.mean_size is None
    assert rings.failure == "no rings of at most 16 Si atoms"


def test_equal_shortest_paths_all_count():
    # Two Si with three bridging O: three two-rings, two of them through each bond.
    angles = np.arange(3) * 2 * np.pi / 3
    oxygens = np.stack([0 * angles, 1.2 * np.cos(angles), 1.2 * np.sin(angles)], axis=1)
    atoms = Atoms("Si2O3", positions=[(-1.1, 0, 0), (1.1, 0, 0), *oxygens], cell=[20] * 3, pbc=True)
    rings = guttman_rings(atoms)
    assert rings.sizes.tolist() == [2, 2, 2]


def test_the_mean_is_over_rings_and_not_over_bonds():
    # A three-ring and a five-ring far apart; the mean over their 6 and 10 bonds would be 4.25.
    atoms = polygon(3, centre=7.0) + polygon(5, centre=22.0)
    assert guttman_rings(atoms).mean_size == 4.0


def test_order_translation_and_wrapping_do_not_matter():
    atoms = defective_cristobalite((2, 2, 1))
    expected = guttman_rings(atoms)
    rng = np.random.default_rng(0)

    moved = atoms[rng.permutation(len(atoms))]
    moved.translate([3.3, -1.7, 0.9])
    moved.wrap()
    # By lattice vectors, so far that the translations between atoms are large.
    moved.positions += rng.integers(-2000, 2000, size=(len(moved), 3)) @ moved.cell.array
    rings = guttman_rings(moved)
    assert rings.sizes.tolist() == expected.sizes.tolist()


def test_another_choice_of_lattice_vectors_does_not_matter():
    atoms = defective_cristobalite((2, 1, 1))
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]]) @ atoms.cell.array, scale_atoms=False)
    assert guttman_rings(skewed).sizes.tolist() == guttman_rings(atoms).sizes.tolist()


@pytest.mark.parametrize("repeat", [(2, 1, 1), (1, 3, 1), (2, 2, 2)])
@pytest.mark.parametrize("make", [quartz, lambda: defective_cristobalite((1, 1, 1), seed=5)])
def test_a_supercell_multiplies_the_rings_and_keeps_the_means(make, repeat):
    atoms = make()
    small, large = guttman_rings(atoms), guttman_rings(atoms * repeat)
    assert large.sizes.tolist() == np.repeat(small.sizes, np.prod(repeat)).tolist()
    assert large.mean_size == pytest.approx(small.mean_size)


def test_agrees_with_sovapy_where_no_ring_reaches_round_the_cell():
    # sovapy does not distinguish periodic images. A chain round this cell has 12 Si, so smaller rings must agree.
    from sovapy.computation.rings import enumerate_guttman_ring

    # Additional O between second-neighbour Si cause rings of many sizes, odd ones included.
    atoms = defective_cristobalite((3, 3, 3))
    atoms.set_cell(atoms.cell * 0.85, scale_atoms=True)
    first, second, vectors = neighbor_list("ijD", atoms[atoms.numbers == 14], 4.5)
    silicon = atoms.positions[atoms.numbers == 14]
    far = np.flatnonzero((np.linalg.norm(vectors, axis=1) > 3.6) & (first < second))
    for pair in np.random.default_rng(1).choice(far, size=30, replace=False):
        atoms.append(Atom("O", silicon[first[pair]] + vectors[pair] / 2))
    rings = guttman_rings(atoms)
    assert rings.sizes.max() < 12
    assert {2, 4, 5, 6} <= set(rings.sizes.tolist())

    distances = atoms.get_all_distances(mic=True)
    silicon = atoms.numbers == 14
    first, second = np.nonzero(np.triu((distances < 2.301) & (silicon[:, None] != silicon[None, :])))
    nodes = np.arange(len(atoms))

    class Silent:
        def log(self, *_):
            pass

    bonds = np.stack([first, second], axis=1)
    theirs = enumerate_guttman_ring(nodes, nodes, bonds, messenger=Silent())
    unique = {frozenset(int(node) for node in ring) for ring in theirs}
    assert sorted(len(ring) // 2 for ring in unique) == rings.sizes.tolist()


def test_isolated_atoms_fail_with_a_reason():
    atoms = Atoms("SiO2", positions=[(0, 0, 0), (5, 0, 0), (0, 5, 0)], cell=[12] * 3, pbc=True)
    rings = guttman_rings(atoms)
    assert rings.mean_size is None
    assert rings.failure == "no Si-O bonds"
    assert guttman_rings(Atoms("Si2", positions=[(0, 0, 0), (2, 0, 0)], cell=[9] * 3, pbc=True)).failure
    assert guttman_rings(Atoms(cell=[9] * 3, pbc=True)).failure == "no Si-O bonds"


def test_a_collapsed_structure_fails_quickly():
    positions = np.random.default_rng(0).uniform(0, 1.0, size=(165, 3))
    atoms = Atoms(["Si"] * 55 + ["O"] * 110, positions=positions, cell=[13.6] * 3, pbc=True)
    start = time.perf_counter()
    rings = guttman_rings(atoms)
    assert time.perf_counter() - start < 2.0
    assert rings.mean_size is None
    assert "Si-O bonds, more than the 12" in rings.failure


def test_too_many_shortest_rings_of_a_bond_are_a_failure():
    rings = guttman_rings(ideal_cristobalite(), max_paths=2)
    assert rings.failure == "a bond has more than 2 equal shortest rings"


def test_random_positions_are_handled():
    rng = np.random.default_rng(2)
    atoms = Atoms(["Si"] * 55 + ["O"] * 110, positions=rng.random((165, 3)) * 11, cell=[11] * 3, pbc=True)
    rings = guttman_rings(atoms)
    assert rings.failure is None
    assert 2 <= rings.sizes.min() <= rings.sizes.max() <= 16


def test_positions_that_are_not_finite_are_refused():
    atoms = ideal_cristobalite()
    atoms.positions[3, 1] = np.nan
    with pytest.raises(AmsbenchError, match="not finite"):
        guttman_rings(atoms)


def test_a_periodic_structure_without_a_cell_is_refused():
    with pytest.raises(AmsbenchError, match="without volume"):
        guttman_rings(Atoms("SiO", positions=[(0, 0, 0), (1.6, 0, 0)], pbc=True))


def test_speed_on_a_sample_of_the_dataset_size(benchmark):
    atoms = defective_cristobalite((2, 2, 2))  # 176 atoms
    assert benchmark(guttman_rings, atoms).failure is None
