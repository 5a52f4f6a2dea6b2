"""Distribution functions against ASE, enumeration, crystals and the ideal gas."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry.rdf import CellTooSmall, get_rdf
from ase.neighborlist import NeighborList, PrimitiveNeighborList

from amsbench.errors import AmsbenchError
from amsbench.metrics.curve_metrics import AngularDistribution, RadialDistribution
from amsbench.metrics.distribution_functions import adf, curves_in_chunks, radial_and_angular, rdf
from amsbench.metrics.neighbours import neighbour_list
from amsbench.metrics.neighbours.packed import PackedStructures, pack
from amsbench.metrics.structural_errors import curve_rmsd, ideal_gas, wasserstein

native = pytest.mark.skipif(not neighbour_list.info()["built"], reason=neighbour_list.info()["reason"])


def random_packing(n=64, cell=None, closest=2.1, seed=0, symbols="Si"):
    """A liquid-like structure: random points pushed apart until few are closer than ``closest`` (A)."""
    # The final displacement moves distances away from the edges of bins, where rounding would choose the bin.
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * (n / 0.05) ** (1 / 3) if cell is None else np.asarray(cell, dtype=float)
    atoms = Atoms([symbols] * n, positions=rng.random((n, 3)) @ cell, cell=cell, pbc=True)
    for _ in range(30):
        vectors = atoms.get_all_distances(mic=True, vector=True)
        distance = np.linalg.norm(vectors, axis=2) + 10 * np.eye(n)
        push = np.clip(closest - distance, 0, None)[..., None] * vectors / distance[..., None]
        atoms.positions -= 0.4 * push.sum(axis=1)
    atoms.positions += rng.normal(scale=0.05, size=(n, 3))
    return atoms


def silicon():
    return bulk("Si", "diamond", a=5.431, cubic=True) * (2, 2, 2)


SKEWED = [[13.0, 0.0, 0.0], [5.5, 12.0, 0.0], [-4.0, 3.5, 12.5]]


def replicated_distances(atoms, cutoff, images):
    """Distances from every atom to all images of all atoms, by enumeration of the images."""
    shifts = np.stack(np.meshgrid(*[np.arange(-images, images + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = (atoms.positions[None] + (shifts @ atoms.cell.array)[:, None]).reshape(-1, 3)
    distances = np.linalg.norm(atoms.positions[:, None] - points[None], axis=2)
    return distances[(distances > 1e-9) & (distances <= cutoff)]


def ase_angles(atoms, r_cut):
    """Bond angles (degrees) as in the paper, for each atom and each pair of its neighbours."""
    ase_list = NeighborList(
        [r_cut / 2] * len(atoms),
        skin=0.0,
        self_interaction=False,
        bothways=True,
        primitive=PrimitiveNeighborList,
    )
    ase_list.update(atoms)
    angles = []
    for i in range(len(atoms)):
        j, offsets = ase_list.get_neighbors(i)
        legs = atoms.positions[j] + offsets @ atoms.cell.array - atoms.positions[i]
        legs /= np.linalg.norm(legs, axis=1)[:, None]
        for a in range(len(j)):
            for b in range(a + 1, len(j)):
                angles.append(np.degrees(np.arccos(np.clip(legs[a] @ legs[b], -1, 1))))
    return np.array(angles)


@pytest.mark.parametrize(
    "atoms",
    [
        random_packing(64, seed=1),
        random_packing(100, cell=np.diag([10.2, 14.0, 12.5]), seed=2),
        random_packing(96, cell=SKEWED, seed=3),
    ],
    ids=["cubic", "orthorhombic", "skewed"],
)
def test_rdf_equals_ase(atoms):
    expected, centres = get_rdf(atoms, 5.0, 100)
    curves = rdf([atoms])
    np.testing.assert_allclose(curves.values[0], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(curves.grid, centres, rtol=1e-14)


def test_rdf_equals_ase_at_another_range_and_binning():
    atoms = random_packing(64, seed=4)
    np.testing.assert_allclose(
        rdf([atoms], r_max=4.2, bins=37).values[0], get_rdf(atoms, 4.2, 37)[0], rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("cell", [np.eye(3) * 4.31, [[4.01, 0, 0], [3.1, 3.0, 0], [-1.5, 2.0, 3.7]]])
def test_rdf_counts_every_image_in_cells_where_ase_refuses(cell):
    atoms = random_packing(4, cell=cell, seed=5)
    with pytest.raises(CellTooSmall):
        get_rdf(atoms, 5.0, 100)
    distances = replicated_distances(atoms, 5.0, images=5)
    counted = np.bincount(np.ceil(distances / 0.05).astype(int), minlength=101)[1:]
    edges = np.linspace(0, 5, 101)
    ideal = 4 / atoms.cell.volume * 4 / 3 * np.pi * np.diff(edges**3)
    np.testing.assert_allclose(rdf([atoms]).values[0], counted / 4 / ideal, rtol=1e-12)


def test_rdf_does_not_change_with_the_supercell():
    atoms = random_packing(12, seed=6)
    np.testing.assert_allclose(rdf([atoms]).values, rdf([atoms * (2, 1, 3)]).values, rtol=1e-9, atol=1e-9)


def test_rdf_of_diamond_silicon_has_its_three_shells():
    curves = rdf([silicon()])
    a = 5.431
    density = 8 / a**3
    within = curves.values[0] * density * 4 / 3 * np.pi * np.diff(np.linspace(0, 5, 101) ** 3)
    shells = {
        int(np.ceil(r / 0.05)) - 1: count
        for r, count in [(np.sqrt(3) / 4 * a, 4), (a / np.sqrt(2), 12), (np.sqrt(11) / 4 * a, 12)]
    }
    for index, count in shells.items():
        assert within[index] == pytest.approx(count)
    assert within.sum() == pytest.approx(28)


def test_rdf_of_an_ideal_gas_is_one():
    # The relative error of a bin is one over the square root of its expected number of pairs.
    n, length, structures = 100, 12.5, 400
    gas = ideal_gas(np.tile(np.eye(3) * length, (structures, 1, 1)), np.full(structures, n))
    g = rdf(gas).mean
    expected_pairs = (
        structures * n * (n - 1) / 2 / length**3 * 4 / 3 * np.pi * np.diff(np.linspace(0, 5, 101) ** 3)
    )
    deviation = (g - (n - 1) / n) * np.sqrt(expected_pairs)
    assert np.abs(deviation).max() < 5
    assert 0.8 < deviation.std() < 1.2


def test_atoms_at_the_same_point_are_in_no_bin_as_in_ase():
    atoms = Atoms("Si3", positions=[(0, 0, 0), (0, 0, 0), (2.2, 0, 0)], cell=[12] * 3, pbc=True)
    assert np.isfinite(rdf([atoms]).values).all()
    assert np.count_nonzero(rdf([atoms]).values) == 1
    assert np.isfinite(adf([atoms]).values).all()


@pytest.mark.parametrize(
    "atoms",
    [
        random_packing(64, seed=7),
        random_packing(96, cell=SKEWED, seed=8),
        random_packing(3, cell=[[3.9, 0, 0], [1.4, 4.0, 0], [0.3, -1.2, 4.1]], seed=9),
    ],
    ids=["cubic", "skewed", "smaller than the cutoff"],
)
def test_adf_equals_angles_from_ase_neighbours(atoms):
    angles = ase_angles(atoms, 3.0)
    expected, _ = np.histogram(angles, bins=180, range=(0, 180))
    np.testing.assert_allclose(adf([atoms]).values[0], expected / len(angles), rtol=1e-12, atol=1e-15)


def test_adf_of_diamond_silicon_is_the_tetrahedral_angle():
    values = adf([silicon()]).values[0]
    assert values[109] == pytest.approx(1.0)
    assert values.sum() == pytest.approx(1.0)


def test_adf_of_simple_cubic_has_right_and_straight_angles():
    values = adf([bulk("Po", "sc", a=2.7)]).values[0]
    assert values[179] == pytest.approx(3 / 15)
    # arccos(0) lies on the edge between two bins.
    assert values[89] + values[90] == pytest.approx(12 / 15)


def test_adf_of_an_ideal_gas_is_a_sine():
    gas = ideal_gas(np.tile(np.eye(3) * 14, (300, 1, 1)), np.full(300, 150))
    curves = adf(gas)
    edges = np.radians(np.arange(181))
    expected = -np.diff(np.cos(edges)) / 2
    assert curve_rmsd(curves.mean, expected) < 0.01 * expected.max()


def test_adf_without_angles_is_zero():
    pair = Atoms("Si2", positions=[(0, 0, 0), (2, 0, 0)], cell=[12] * 3, pbc=True)
    assert (adf([pair, silicon()]).values[0] == 0).all()
    assert adf([pair, silicon()]).values[1].sum() == pytest.approx(1.0)


def test_adf_of_a_collapsed_structure_is_found_in_blocks(monkeypatch):
    from amsbench.metrics import distribution_functions

    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    atoms = random_packing(40, cell=np.eye(3) * 4.0, closest=0.0)
    whole = adf([atoms]).values
    monkeypatch.setattr(distribution_functions, "_ANGLES_AT_ONCE", 1000)
    np.testing.assert_array_equal(adf([atoms]).values, whole)
    monkeypatch.setattr(distribution_functions, "_ANGLES_AT_ONCE", 1)
    np.testing.assert_array_equal(adf([atoms]).values, whole)


@native
@pytest.mark.parametrize("level", neighbour_list.SEARCH_LEVELS)
def test_native_curves_are_those_of_vesin_and_numpy(monkeypatch, level):
    """The counts are equal because no distance or angle lies on the edge of a bin."""
    if level not in neighbour_list.LIBRARY.available_levels:
        pytest.skip(f"this processor has no {level}")
    packings = [
        random_packing(64, seed=1),
        random_packing(150, seed=2),
        random_packing(96, cell=SKEWED, seed=3),
        random_packing(4, cell=[[4.01, 0, 0], [3.1, 3.0, 0], [-1.5, 2.0, 3.7]], seed=5),
        random_packing(40, cell=np.eye(3) * 4.0, closest=0.0),  # collapsed
        random_packing(2, cell=[[-1.1, 0.3, 0.0], [0.2, 3.0, 0.1], [0.4, 0.1, 2.9]], closest=0.0),
        Atoms(cell=[9] * 3, pbc=True),
        Atoms("Si", cell=[2.9] * 3, pbc=True),
        Atoms("Si3", positions=[(0, 0, 0), (0, 0, 0), (12.2, 0, 0)], cell=[12] * 3, pbc=True),
    ]
    packings[1].positions += np.random.default_rng(0).integers(-9, 10, (150, 3)) @ packings[1].cell.array
    gas = ideal_gas(np.array([np.eye(3) * 27.0, SKEWED]), np.array([1000, 50]), seed=4)
    for structures, r_max, r_cut in ((packings, 5.0, 3.0), (gas, 5.0, 3.0), (packings, 2.5, 3.5)):
        packed = pack(structures)
        monkeypatch.setenv("AMSBENCH_NATIVE", "0")
        expected = radial_and_angular(packed, r_max, 100, r_cut, 180)
        monkeypatch.setenv("AMSBENCH_NATIVE", "1")
        monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", level)
        for native_values, values in zip(
            radial_and_angular(packed, r_max, 100, r_cut, 180), expected, strict=True
        ):
            np.testing.assert_allclose(native_values, values, rtol=1e-12, atol=1e-12)
        monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "")


@native
@pytest.mark.parametrize(
    ("crystal", "neighbours_within_5", "bonds"),
    [
        (silicon(), 4 + 12 + 12, 4),
        (bulk("Po", "sc", a=2.7), 6 + 12 + 8, 6),
        (bulk("Cu", "fcc", a=3.6, cubic=True) * (3, 3, 3), 12 + 6 + 24, 12),
    ],
    ids=["diamond", "simple cubic", "face-centred cubic"],
)
def test_no_pair_and_no_angle_of_a_crystal_is_lost(crystal, neighbours_within_5, bonds):
    """Rounding may choose the bin of a distance or angle on an edge, but none may be missing."""
    packed = PackedStructures.from_atoms([crystal])
    shells, angles = neighbour_list.distribution_counts(packed, r_max=5.0, shells=100, r_cut=3.0, bins=180)
    assert shells.sum() == neighbours_within_5 * len(crystal)
    assert angles.sum() == bonds * (bonds - 1) // 2 * len(crystal)


@native
def test_a_collapsed_structure_costs_the_native_path_no_memory(monkeypatch):
    """400 atoms within 0.01 A have 32 million angles."""
    monkeypatch.setenv("AMSBENCH_NATIVE", "1")
    rng = np.random.default_rng(0)
    atoms = Atoms("Si400", positions=rng.random((400, 3)) * 0.01, cell=[15] * 3, pbc=True)
    values = adf([atoms]).values[0]
    assert values.sum() == pytest.approx(1.0)
    assert rdf([atoms]).values[0].nonzero()[0].tolist() == [0]


def test_curves_ignore_order_translation_and_wrapping():
    atoms = random_packing(60, cell=SKEWED, seed=10)
    rng = np.random.default_rng(0)
    moved = atoms[rng.permutation(60)]
    moved.translate([2.1, -7.3, 0.4])
    moved.positions += rng.integers(-30, 30, size=(60, 3)) @ atoms.cell.array
    for function in (rdf, adf):
        np.testing.assert_allclose(function([moved]).values, function([atoms]).values, atol=1e-12)


def test_packed_arrays_give_the_same_as_atoms():
    structures = [random_packing(n, seed=n) for n in (30, 8, 51)]
    packed = PackedStructures.from_atoms(structures)
    for function in (rdf, adf):
        np.testing.assert_array_equal(function(packed).values, function(structures).values)


def test_both_curves_at_once_are_the_curves_one_by_one():
    """Both curves are equal to those computed separately, also if r_cut is larger than r_max."""
    packed = pack([random_packing(n, seed=n) for n in (30, 8, 51, 40, 12)])
    for r_max, r_cut in ((5.0, 3.0), (2.5, 3.5)):
        radial, angular = radial_and_angular(packed, r_max, 100, r_cut, 180)
        np.testing.assert_allclose(radial, rdf(packed, r_max=r_max).values, atol=1e-12)
        np.testing.assert_allclose(angular, adf(packed, r_cut=r_cut).values, atol=1e-12)


def test_chunks_in_an_executor_change_nothing():
    structures = [random_packing(n, seed=n) for n in (30, 8, 51, 40, 12)]
    with ThreadPoolExecutor(1) as executor:
        for given in (structures, pack(structures)):
            shared = curves_in_chunks(adf, given, executor=executor, chunk=2)
            np.testing.assert_array_equal(shared.values, adf(structures).values)
            np.testing.assert_array_equal(shared.grid, adf(structures).grid)


def test_structures_have_equal_weight_in_the_mean():
    # The 64 atoms of diamond have 384 equal angles, the single atom of simple cubic has 15 angles.
    both = adf([silicon(), bulk("Po", "sc", a=2.7)])
    assert both.mean[109] == pytest.approx(0.5)


def test_the_metrics_have_the_binning_of_the_paper():
    for metric, last, bins in ((RadialDistribution(), 5.0, 100), (AngularDistribution(), 180.0, 180)):
        curves = metric.curves([silicon()])
        assert curves.values.shape == (1, bins)
        assert curves.grid[-1] + curves.grid[0] == pytest.approx(last)
    (angles,) = AngularDistribution().curves([silicon()]).values.nonzero()[1:]
    assert set(angles) == {109}  # neighbours within 3 A alone: those of the second shell would add others


def test_generated_like_the_reference_scores_the_floor_and_a_gas_the_ceiling():
    structures = [random_packing(40, seed=seed) for seed in range(16)]
    gas = ideal_gas(np.array([atoms.cell.array for atoms in structures[8:]]), np.full(8, 40))
    for curve in (rdf, adf):
        reference, generated = curve(structures[:8]).mean, curve(structures[8:])
        error = curve_rmsd(generated.mean, reference)
        assert error < (0.5 if curve is rdf else 1.0) * curve_rmsd(curve(gas).mean, reference)
        assert curve_rmsd(reference, reference) == wasserstein(reference, reference, generated.grid) == 0


def test_mistakes_are_named():
    with pytest.raises(AmsbenchError, match=r"structure 1 .*pbc"):
        rdf([silicon(), Atoms("Si2", positions=[(0, 0, 0), (2, 0, 0)])])
    with pytest.raises(AmsbenchError, match="do not fit together"):
        PackedStructures(positions=np.zeros((5, 3)), cells=np.zeros((2, 3, 3)), counts=np.array([2, 2]))
    broken = silicon()
    broken.positions[0, 0] = np.inf
    with pytest.raises(AmsbenchError, match="not finite"):
        adf([broken])
    with pytest.raises(AmsbenchError, match="at least one"):
        _ = rdf([]).mean
    assert rdf([]).values.shape == (0, 100)


def test_empty_structures_have_zero_curves():
    empty = Atoms(cell=[10] * 3, pbc=True)
    for curve in (rdf, adf):
        values = curve([empty, silicon()]).values
        assert (values[0] == 0).all()
        assert values[1].max() > 0


def test_much_faster_than_ase():
    length = (256 / 0.0555) ** (1 / 3)
    packed = ideal_gas(np.tile(np.eye(3) * length, (10, 1, 1)), np.full(10, 256))
    atoms = Atoms("Si256", positions=packed.positions[:256], cell=packed.cells[0], pbc=True)

    def shortest(work):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    # Ten structures here against one of ASE; the measured ratio per structure is 40.
    assert shortest(lambda: get_rdf(atoms, 5.0, 100)) > shortest(lambda: rdf(packed))


def test_speed_of_both_curves(benchmark):
    length = (256 / 0.0555) ** (1 / 3)
    gas = ideal_gas(np.tile(np.eye(3) * length, (50, 1, 1)), np.full(50, 256))
    _, angular = benchmark(radial_and_angular, gas, 5.0, 100, 3.0, 180)
    np.testing.assert_allclose(angular.sum(axis=1), 1.0)
