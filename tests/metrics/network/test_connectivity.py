"""Coordination, bridging anions and rings: crystals, chains, glasses against a loop over ASE's neighbour lists."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.errors import AmsbenchError
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.neighbours.packed import pack
from amsbench.metrics.network.connectivity import (
    AnionCoordination,
    BondHistogram,
    BridgingAnions,
    ElementalCoordination,
    FormerCoordination,
    RingSizes,
)
from amsbench.metrics.network.element_classes import symbols_of
from amsbench.metrics.structural_errors import ideal_gas

HISTOGRAMS = ("coordination_former_anion", "coordination_anion_former", "coordination_former_former", "qn")


def histogram(metric, atoms):
    """Shares by number, without those that are zero."""
    curves = metric.curves([atoms])
    return {
        int(x): pytest.approx(value) for x, value in zip(curves.grid, curves.values[0], strict=True) if value
    }


def chain(rungs):
    """Single chain of tetrahedra with two dangling anions, or two chains joined by rungs, with one each."""
    bridge, dangling = [(1.6, 0, 0)], [(0, 0, 1.6), (0, 0, -1.6)]
    if not rungs:
        positions = [(0, 0, 0), *bridge, *dangling]
        return Atoms("SiO3", positions=positions, cell=[3.2, 12, 12], pbc=True)
    both = [np.add((0, y, 0), part) for y in (0, 3.2) for part in ((0, 0, 0), *bridge, dangling[0])]
    return Atoms("SiO2SiO2O", positions=[*both, (0, 1.6, 0)], cell=[3.2, 14, 12], pbc=True)


def test_silica_crystals_are_fully_connected(search, cristobalite, quartz):
    for atoms in (cristobalite, quartz):
        assert histogram(FormerCoordination(), atoms) == {4: 1.0}
        assert histogram(AnionCoordination(), atoms) == {2: 1.0}
        assert histogram(BridgingAnions(), atoms) == {4: 1.0}
        assert histogram(RingSizes(), atoms) == {6: 1.0}


def test_chains_have_fewer_bridges(search):
    single, double = chain(rungs=False), chain(rungs=True)
    assert histogram(BridgingAnions(), single) == {2: 1.0}
    assert histogram(FormerCoordination(), single) == {4: 1.0}
    assert histogram(AnionCoordination(), single) == {1: 2 / 3, 2: 1 / 3}
    assert histogram(BridgingAnions(), double) == {3: 1.0}
    assert histogram(AnionCoordination(), double) == {1: 2 / 5, 2: 3 / 5}


def test_a_dangling_bond_shows_in_every_histogram(cristobalite):
    """Without one O two Si have three bonds and bridges, and every other atom keeps its own."""
    oxygen = int(np.flatnonzero(cristobalite.numbers == 8)[0])
    del cristobalite[oxygen]
    assert histogram(FormerCoordination(), cristobalite) == {3: 1 / 4, 4: 3 / 4}
    assert histogram(BridgingAnions(), cristobalite) == {3: 1 / 4, 4: 3 / 4}
    assert histogram(AnionCoordination(), cristobalite) == {2: 1.0}


def test_modifiers_are_no_part_of_the_network(cristobalite):
    sodium = Atoms("Na2", positions=[(3.58, 3.58, 0.1), (0.2, 3.58, 3.58)])
    assert histogram(BridgingAnions(), cristobalite + sodium) == {4: 1.0}


def test_diamond_is_fourfold(search):
    assert histogram(ElementalCoordination(), bulk("Si", "diamond", a=5.43)) == {4: 1.0}
    assert histogram(ElementalCoordination(), bulk("C", "diamond", a=3.567)) == {4: 1.0}
    assert histogram(ElementalCoordination(), bulk("Ge", "diamond", a=5.658)) == {4: 1.0}


def test_more_bonds_than_the_histogram_has_are_in_its_last_bin():
    dense = bulk("Si", "fcc", a=3.0) * 2  # 12 neighbours at 2.12 A and 6 at 3.0 A
    dense.set_cell(dense.cell * 0.99, scale_atoms=True)
    assert histogram(ElementalCoordination(), dense) == {12: 1.0}


@pytest.mark.parametrize("metric", [FormerCoordination(), AnionCoordination(), BridgingAnions()])
def test_histograms_equal_a_loop_over_bonds(search, glasses, metric: BondHistogram):
    for atoms in glasses:
        symbols, radii = np.array(atoms.get_chemical_symbols()), covalent_radii[atoms.numbers]
        centres = np.isin(symbols, list(symbols_of(metric.centre)))
        ends = np.isin(symbols, list(symbols_of(metric.end)))
        i, j, lengths = neighbor_list("ijd", atoms, 4.0)
        bonded = centres[i] & ends[j] & (lengths < 1.3 * (radii[i] + radii[j]))
        neighbours = [j[bonded & (i == atom)].tolist() for atom in np.flatnonzero(centres)]
        bonds_of_end = np.bincount(j[bonded], minlength=len(atoms))
        numbers = [
            sum(bonds_of_end[end] > 1 for end in mine) if isinstance(metric, BridgingAnions) else len(mine)
            for mine in neighbours
        ]
        expected = np.bincount(numbers, minlength=13) / centres.sum()
        np.testing.assert_allclose(metric.curves([atoms]).values[0], expected, atol=1e-12)


def test_liquid_silicon_has_the_coordination_of_its_pair_distribution():
    liquid = load_dataset("asi").subset(np.arange(0, 4480, 80))
    curves = ElementalCoordination().curves(liquid)
    assert curves.mean @ curves.grid == pytest.approx(5.2, abs=0.2)  # within 3 A, tests/benchmark/datasets
    assert np.count_nonzero(curves.mean > 0.05) >= 4


def test_aluminium_is_in_the_network_of_meg():
    """The reason why it counts as a former: about four anions, like Si and P."""
    glasses = load_dataset("meg")
    frames = [atoms for atoms in glasses if "Al" in atoms.symbols]
    for atoms in frames:
        del atoms[[a.index for a in atoms if a.symbol in ("Si", "P")]]
    curves = FormerCoordination().curves(frames)
    assert curves.mean @ curves.grid == pytest.approx(4.1, abs=0.1)


def test_ring_sizes_hold_the_property_ring_size():
    glass = load_dataset("asio2").subset(np.arange(5))
    curves = RingSizes().curves(glass)
    column = glass.property_names.index("ring_size")
    np.testing.assert_allclose(curves.values @ curves.grid, glass.properties[:, column], rtol=1e-5)


def test_structures_without_a_network_have_zero_histograms():
    empty, oxygen = Atoms(cell=[9] * 3, pbc=True), Atoms("O", cell=[9] * 3, pbc=True)
    for name in (*HISTOGRAMS, "ring_sizes"):
        metric = registry.load_metric(name, CurveMetric)
        assert not metric.curves([empty]).values.any()
        assert len(metric.curves([])) == 0
    assert histogram(AnionCoordination(), oxygen) == {0: 1.0}
    assert not RingSizes().curves([oxygen]).values.any()


@pytest.mark.parametrize("name", [*HISTOGRAMS, "ring_sizes"])
def test_histograms_do_not_depend_on_the_description_of_a_structure(name, glasses):
    metric, random = registry.load_metric(name, CurveMetric), np.random.default_rng(1)
    glass = glasses[1]
    other = glass[random.permutation(len(glass))]
    other.translate([2.1, -7.3, 0.4])
    other.positions += random.integers(-3, 4, size=(len(other), 3)) @ other.cell.array
    expected = metric.curves([glass]).values
    assert expected.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(metric.curves([other, glass]).values, [*expected, *expected], atol=1e-12)
    np.testing.assert_allclose(metric.curves(pack([glass, other])).values, [*expected, *expected], atol=1e-12)
    if name != "ring_sizes":  # many structures are measured in parts
        np.testing.assert_allclose(metric.curves([glass] * 230).values, np.repeat(expected, 230, axis=0))


def test_points_without_species_have_no_rings():
    gas = ideal_gas(np.eye(3)[None] * 9, np.array([3]))
    for metric in (RingSizes(), FormerCoordination()):
        with pytest.raises(AmsbenchError, match="without atomic numbers"):
            metric.curves(gas)


def test_histograms_apply_to_materials_with_such_bonds():
    expected = {
        "asi": {"coordination_former_former"},
        "asio2": {"coordination_former_anion", "coordination_anion_former", "qn", "ring_sizes"},
        "meg": {"coordination_former_anion", "coordination_anion_former", "qn"},
    }
    for dataset, names in expected.items():
        material = registry.load("datasets", dataset)()
        metrics = [registry.load_metric(name, CurveMetric) for name in (*HISTOGRAMS, "ring_sizes")]
        assert {metric.name for metric in metrics if metric.applies_to(material)} == names
