"""Partial distributions against the total, enumeration of images, ASE's neighbour lists, and crystals."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.errors import AmsbenchError
from amsbench.metrics.distribution_functions import rdf
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.neighbours.packed import pack
from amsbench.metrics.network.element_classes import symbols_of
from amsbench.metrics.network.partial_distributions import partial_adf, partial_rdf
from amsbench.metrics.network.partial_metrics import (
    AnionAnionDistribution,
    FormerAnionDistribution,
    FormerFormerDistribution,
)

CLASSES = tuple(symbols_of(name) for name in ("anion", "former", "modifier"))
SHELLS = 4 / 3 * np.pi * np.diff(np.linspace(0, 5, 101) ** 3)


def neighbours_per_centre(g, others, volume):
    """Numbers of neighbours in each bin that g(r) says, of ``others`` atoms in the cell."""
    return g * others / volume * SHELLS


def shells_of(curve, others, volume):
    """Distances (upper edges of bins) and numbers of neighbours of the shells of a crystal."""
    numbers = neighbours_per_centre(curve, others, volume)
    bins = np.flatnonzero(numbers > 1e-9)
    return [(round(0.05 * (k + 1), 2), round(float(numbers[k]), 6)) for k in bins]


def test_weighted_partials_add_up_to_the_total(search, small_packing, glasses):
    for atoms in (small_packing, *glasses):
        total = np.zeros(100)
        shares = [np.mean(np.isin(atoms.get_chemical_symbols(), list(kind))) for kind in CLASSES]
        for (a, share_a), (b, share_b) in product(zip(CLASSES, shares, strict=True), repeat=2):
            total += share_a * share_b * partial_rdf([atoms], a, b).values[0]
        np.testing.assert_allclose(total, rdf([atoms]).values[0], rtol=1e-12, atol=1e-12)


def test_partials_of_elements_add_up_to_those_of_their_class(small_packing):
    whole = partial_rdf([small_packing], {"Si", "Al"}, {"O"}).values[0]
    silicon = partial_rdf([small_packing], {"Si"}, {"O"}).values[0]
    aluminium = partial_rdf([small_packing], {"Al"}, {"O"}).values[0]
    np.testing.assert_allclose(whole, (2 * silicon + aluminium) / 3, rtol=1e-12)


@pytest.mark.parametrize(("a", "b"), [("Si", "Si"), ("Si", "O"), ("O", "Si"), ("K", "K"), ("K", "Al")])
def test_partials_count_every_image(search, small_packing, a, b):
    atoms = small_packing
    shifts = np.array(list(product(range(-6, 7), repeat=3))) @ atoms.cell.array
    symbols = np.array(atoms.get_chemical_symbols())
    vectors = atoms.positions[None, symbols == b] - atoms.positions[symbols == a][:, None]
    distances = np.linalg.norm(vectors[:, :, None] + shifts, axis=-1)
    distances = distances[(distances > 1e-9) & (distances <= 5.0)]
    counted = np.bincount(np.ceil(distances / 0.05).astype(int), minlength=101)[1:]
    number_a, number_b = np.sum(symbols == a), np.sum(symbols == b)
    expected = counted / (number_a * number_b / atoms.cell.volume * SHELLS)
    np.testing.assert_allclose(partial_rdf([atoms], {a}, {b}).values[0], expected, rtol=1e-12)


def test_shells_of_cristobalite(cristobalite):
    curves = {
        metric.pair: metric().curves([cristobalite]).values[0]
        for metric in (FormerAnionDistribution, FormerFormerDistribution, AnionAnionDistribution)
    }
    a, volume = 7.16, cristobalite.cell.volume
    # Si-O: a sqrt(3) / 8, a sqrt(19) / 8; Si-Si: a sqrt(3) / 4; O-O: a / sqrt(8), a sqrt(6) / 4
    assert shells_of(curves["former", "anion"], 16, volume) == [(1.6, 4.0), (3.95, 12.0)]
    assert shells_of(curves["former", "former"], 8, volume) == [(3.15, 4.0)]
    assert shells_of(curves["anion", "anion"], 16, volume) == [(2.55, 6.0), (4.4, 12.0)]
    for factor, upper in ((3**0.5 / 8, 1.6), (19**0.5 / 8, 3.95), (8**-0.5, 2.55), (6**0.5 / 4, 4.4)):
        assert upper - 0.05 < factor * a < upper


def test_first_shells_of_quartz(quartz):
    """Si-O 1.605 and 1.614 A, O-O 2.61 to 2.65 A, Si-Si 3.06 A (Levien et al. 1980)."""
    volume = quartz.cell.volume
    for metric, others, bounds, number in (
        (FormerAnionDistribution, 6, (1.6, 1.65), 4),
        (AnionAnionDistribution, 6, (2.6, 2.7), 6),
        (FormerFormerDistribution, 3, (3.05, 3.1), 4),
    ):
        shells = shells_of(metric().curves([quartz]).values[0], others, volume)
        first = [count for upper, count in shells if upper < bounds[1] + 0.3]
        assert sum(first) == pytest.approx(number)
        assert bounds[0] <= shells[0][0] <= shells[len(first) - 1][0] <= bounds[1] + 1e-9


def test_rock_salt_has_unlike_neighbours_first():
    salt = bulk("MgO", "rocksalt", a=4.21, cubic=True)
    unlike = partial_rdf([salt], {"Mg"}, {"O"}).values[0]
    assert shells_of(unlike, 4, salt.cell.volume)[:2] == [(2.15, 6.0), (3.65, 8.0)]
    like = partial_rdf([salt], {"O"}, {"O"}).values[0]
    assert shells_of(like, 4, salt.cell.volume) == [(3.0, 12.0), (4.25, 6.0)]


def test_the_partial_of_one_element_is_the_total():
    silicon = bulk("Si", cubic=True) * 2
    np.testing.assert_array_equal(partial_rdf([silicon], {"Si"}, {"Si"}).values, rdf([silicon]).values)


def test_partials_of_an_ideal_gas_are_one():
    random = np.random.default_rng(0)
    gas = [
        Atoms("Si60O120K20", scaled_positions=random.random((200, 3)), cell=[14] * 3, pbc=True)
        for _ in range(100)
    ]
    for (a, number_a), (b, number_b) in (
        ((CLASSES[0], 120), (CLASSES[1], 60)),
        ((CLASSES[1], 60), (CLASSES[1], 59)),
        ((CLASSES[2], 20), (CLASSES[0], 120)),
    ):
        # half of the pairs of one kind are the same pair seen from its other end
        expected = 100 * number_a * number_b / 14**3 * SHELLS / (2 if a == b else 1)
        deviation = (partial_rdf(gas, a, b).mean * (60 / 59 if a == b else 1) - 1) * np.sqrt(expected)
        assert np.abs(deviation[expected > 5]).max() < 5
        assert 0.7 < deviation[expected > 5].std() < 1.3


def test_a_structure_without_one_of_the_kinds_has_zero():
    silicon, empty = bulk("Si", cubic=True), Atoms(cell=[9] * 3, pbc=True)
    assert not partial_rdf([silicon, empty], {"Si"}, {"O"}).values.any()
    assert not partial_adf([silicon, empty], {"Si"}, {"O"}).values.any()
    assert partial_rdf([], {"Si"}, {"O"}).values.shape == (0, 100)
    assert partial_adf([], {"Si"}, {"O"}).values.shape == (0, 180)


def test_kinds_that_overlap_are_refused(small_packing):
    with pytest.raises(AmsbenchError, match="O, Si and Si overlap"):
        partial_rdf([small_packing], {"Si", "O"}, {"Si"})


def test_angles_of_cristobalite(search, cristobalite):
    within = partial_adf([cristobalite], {"Si"}, {"O"}).values[0]
    assert within[109] == pytest.approx(1.0)
    between = partial_adf([cristobalite], {"O"}, {"Si"}).values[0]
    assert between[179] == pytest.approx(1.0)


def test_angles_of_quartz(quartz):
    """O-Si-O 108.8 to 110.5 degrees, Si-O-Si 143.7 degrees (Levien et al. 1980)."""
    within = partial_adf([quartz], {"Si"}, {"O"}).values[0]
    assert within[108:111].sum() == pytest.approx(1.0)
    between = partial_adf([quartz], {"O"}, {"Si"}).values[0]
    assert between[143] == pytest.approx(1.0)


@pytest.mark.parametrize(("centre", "end"), [("former", "anion"), ("anion", "former")])
def test_angles_equal_a_loop_over_bonds(search, glasses, centre, end):
    centres, ends = symbols_of(centre), symbols_of(end)
    for atoms in glasses:
        i, j, vectors, lengths = neighbor_list("ijDd", atoms, 4.0)
        symbols, radii = np.array(atoms.get_chemical_symbols()), covalent_radii[atoms.numbers]
        bonded = np.isin(symbols[i], list(centres)) & np.isin(symbols[j], list(ends))
        bonded &= lengths < 1.3 * (radii[i] + radii[j])
        angles = []
        for atom in range(len(atoms)):
            legs = vectors[bonded & (i == atom)]
            legs /= np.linalg.norm(legs, axis=1, keepdims=True)
            angles += list(np.degrees(np.arccos((legs @ legs.T)[np.triu_indices(len(legs), 1)])))
        expected, _ = np.histogram(angles, bins=180, range=(0, 180))
        values = partial_adf([atoms], centres, ends).values[0]
        np.testing.assert_allclose(values, expected / len(angles), rtol=1e-12, atol=1e-15)
        assert values.sum() == pytest.approx(1.0)


def test_first_peaks_of_silica_glass():
    """Si-O 1.62, O-O 2.63, Si-Si 3.1 A, angles near 109.5 and 150 degrees, as in experiments on silica glass."""
    glass = load_dataset("asio2").subset(np.arange(0, 500, 10))
    for metric, low, high in (
        ("rdf_former_anion", 1.55, 1.80),
        ("rdf_anion_anion", 2.5, 2.9),
        ("rdf_former_former", 3.0, 3.4),
        ("adf_anion_former_anion", 105, 113),
        ("adf_former_anion_former", 135, 160),
    ):
        curves = registry.load_metric(metric, CurveMetric).curves(glass)
        assert low < curves.grid[curves.mean.argmax()] < high, metric


PARTIALS = [name for name in registry.names("metrics") if name.startswith(("rdf_", "adf_"))]


@pytest.mark.parametrize("name", PARTIALS)
def test_partials_do_not_depend_on_the_description_of_a_structure(name, glasses):
    metric, random = registry.load_metric(name, CurveMetric), np.random.default_rng(1)
    glass = glasses[4]
    other = glass[random.permutation(len(glass))]
    other.translate([2.1, -7.3, 0.4])
    other.positions += random.integers(-3, 4, size=(len(other), 3)) @ other.cell.array
    expected = metric.curves([glass]).values
    assert expected.any()
    np.testing.assert_allclose(metric.curves([other]).values, expected, atol=1e-9)
    np.testing.assert_allclose(metric.curves([glass * (1, 2, 1)]).values, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PARTIALS)
def test_datasets_and_packed_structures_give_the_curves_of_their_atoms(name):
    metric, dataset = registry.load_metric(name, CurveMetric), load_dataset("meg").subset(np.arange(130))
    expected = metric.curves(list(dataset)).values
    np.testing.assert_array_equal(metric.curves(dataset).values, expected)
    np.testing.assert_array_equal(metric.curves(pack(list(dataset))).values, expected)
    assert metric.applies_to(dataset.definition)


def test_partials_apply_to_materials_with_their_classes():
    expected = {
        "asi": set(),
        "asio2": {name for name in PARTIALS if "modifier" not in name},
        "meg": set(PARTIALS),
    }
    for name, names in expected.items():
        material = registry.load("datasets", name)()
        applicable = {p for p in PARTIALS if registry.load_metric(p, CurveMetric).applies_to(material)}
        assert applicable == names
