"""Multi-element glasses: evaporation temperature, drawn compositions, and a short simulation."""

import numpy as np
import pytest
from ase import Atoms

from amsbench.benchmark.datasets import meg
from amsbench.benchmark.datasets.definition import SimulationFailed, plans_of
from amsbench.benchmark.datasets.meg import MultiElementGlass, boiling_point, kink, random_composition
from amsbench.benchmark.datasets.meg_compositions import VALENCE
from amsbench.benchmark.datasets.molecular_dynamics import random_packing
from amsbench.metrics.potentials.potential import EvaluationFailed


def heated(random, boiling, slope=0.5, noise=150.0):
    """Pressures (bar) like those of 200 atoms of silica: flat with scatter, rising above the boiling point."""
    temperatures = np.linspace(2200, 9000, 68) + random.normal(0, 80, 68)
    line = -100 + 0.03 * temperatures + slope * np.maximum(0, temperatures - boiling)
    return temperatures, line + random.normal(0, noise, 68)


@pytest.mark.parametrize("boiling", [3500, 5600, 7500])
def test_the_kink_is_found_through_the_scatter(boiling):
    random = np.random.default_rng(boiling)
    found = [kink(*heated(random, boiling)) for _ in range(20)]
    assert np.mean(found) == pytest.approx(boiling, rel=0.05)
    assert np.std(found) < 0.08 * boiling
    assert kink(*heated(random, boiling, noise=0.0)) == pytest.approx(boiling, abs=40)


def test_a_melt_that_does_not_boil_says_so():
    temperatures = np.linspace(2200, 9000, 68)
    with pytest.raises(SimulationFailed, match="no temperature of evaporation"):
        kink(temperatures, -0.1 * np.maximum(0, temperatures - 5000))


def test_a_phosphate_boils_before_silica():
    """Evaporation temperatures of 4,200 K and 5,600 K, with 200 atoms and 60 ps."""
    cells = (["Li"] * 12 + ["P"] * 12 + ["O"] * 36, ["Si"] * 20 + ["O"] * 40)
    starts = [random_packing(symbols, 4.0, np.random.default_rng(1)) for symbols in cells]
    phosphate, silica = (boiling_point(start, 8.0, 1) for start in starts)
    assert phosphate < silica - 500


def test_one_in_five_reduced_glasses_is_rich_in_lithium():
    random = np.random.default_rng(0)
    lithium = np.array([100 * random_composition("reduced", random).fractions["Li"] for _ in range(400)])
    assert np.mean(lithium > meg.LITHIUM_RICH) == pytest.approx(0.2, abs=0.06)
    assert lithium.min() == 0
    uniform = [random_composition("paper", random).fractions["Li"] for _ in range(400)]
    assert 100 * np.mean(uniform) == pytest.approx(1.96, abs=0.5)


def test_some_reduced_glasses_are_spread_evenly_over_a_gap_in_lithium():
    everywhere = MultiElementGlass()
    assert everywhere.definition_for(239) is everywhere
    assert everywhere.definition_for(272) is everywhere
    inside = everywhere.definition_for(240)
    assert type(everywhere.definition_for(271)) is type(inside) is not type(everywhere)
    random = np.random.default_rng(0)
    lithium = np.array([100 * inside.composition("reduced", random).fractions["Li"] for _ in range(400)])
    assert lithium.min() >= 8.0
    assert lithium.max() <= 13.0
    assert np.histogram(lithium, [8, 9, 10, 11, 12, 13])[0].min() > 20
    of_paper = [100 * inside.composition("paper", random).fractions["Li"] for _ in range(100)]
    assert np.mean(of_paper) < 4
    assert "lithium_gap" in everywhere.simulation_recipe("reduced")
    assert "lithium_gap" not in everywhere.simulation_recipe("paper")


def test_a_glass_is_neutral_and_follows_from_its_seed(monkeypatch):
    monkeypatch.setitem(meg.SIZE, "reduced", 60)
    monkeypatch.setattr(meg, "boiling_point", lambda *arguments: 5000.0)
    monkeypatch.setitem(meg.MELT, "reduced", (0.2, 0.4))
    monkeypatch.setitem(meg.QUENCH_RATE, "reduced", 20_000.0)
    monkeypatch.setitem(meg.HOLD, "reduced", 0.1)
    monkeypatch.setattr(meg, "SETTLING", 0.1)
    monkeypatch.setattr(meg, "DIFFUSED", 0.05)
    (glass,) = MultiElementGlass().simulate("reduced", 3, 1)
    (same,) = MultiElementGlass().simulate("reduced", 3, 1)
    assert sum(VALENCE[symbol] for symbol in glass.get_chemical_symbols()) == 0
    np.testing.assert_array_equal(glass.positions, same.positions)
    assert len(glass) / glass.get_volume() > meg.LEAST_DENSITY
    monkeypatch.setattr(meg, "DIFFUSED", 50.0)
    with pytest.raises(SimulationFailed, match="an element moved by"):
        MultiElementGlass().simulate("reduced", 3, 1)


def test_lithium_is_counted_and_overlaps_have_no_moduli():
    atoms = Atoms("Li2SiO4", positions=2.5 * np.eye(7, 3) * np.arange(1, 8)[:, None], cell=[20] * 3, pbc=True)
    glass = MultiElementGlass()
    assert glass.measure(atoms, ["li_concentration"]).values == {"li_concentration": pytest.approx(200 / 7)}
    found = glass.measure(atoms)  # atoms 4 to 7 are all at the origin
    assert set(found.values) == {"li_concentration"}
    assert found.failures == dict.fromkeys(("youngs_modulus", "shear_modulus"), "atoms overlap")
    assert glass.measure(atoms[:0]).failures["li_concentration"] == "no atoms"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_a_bad_model_makes_is_measured_or_has_a_reason(seed):
    """Random elements at random positions at least 1.05 A apart: forces of hundreds of eV/A in much too small cells."""
    random = np.random.default_rng(seed)
    edge, places = (8.0, 8.0, 5.0)[seed], []
    while len(places) < 30:
        place = random.uniform(0, edge, 3)
        if all(np.linalg.norm((place - q + edge / 2) % edge - edge / 2) > 1.05 for q in places):
            places.append(place)
    atoms = Atoms(random.choice(list(VALENCE), 30), positions=places, cell=[edge] * 3, pbc=True)
    glass = MultiElementGlass()
    found = glass.measure(atoms)
    assert found.values.keys() | found.failures.keys() == {item.name for item in glass.properties}
    assert all(np.isfinite(value) for value in found.values.values())
    if edge > 5:
        assert np.isfinite(glass.energy(atoms)).all()
    else:
        with pytest.raises(EvaluationFailed, match="Neighbor list overflow"):
            glass.energy(atoms)
    atoms.positions[3] = np.nan
    with pytest.raises(EvaluationFailed):
        glass.energy(atoms)


def test_the_papers_comparisons():
    """Plans for Young's modulus with 15 % Li and for the shear modulus; 1,338 atoms and ghosts in cubes of 23 A."""
    young, shear = plans_of(MultiElementGlass(), "paper")
    targets = young.target_values()
    assert targets["youngs_modulus"][[0, -1]].tolist() == [20.0, 160.0]
    assert set(targets["li_concentration"]) == {15.0}
    assert shear.targets == {"shear_modulus": (10.0, 70.0)}
    assert young.cube == shear.cube == 23.0
    assert int(MultiElementGlass.ghost_density * 23.0**3) == 1338
