"""Molecular dynamics and the definitions of ``asi`` and ``asio2``, in runs of a fraction of a picosecond."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.geometry import get_distances

from amsbench.benchmark.datasets import asi, asio2
from amsbench.benchmark.datasets.asi import AmorphousSilicon
from amsbench.benchmark.datasets.asio2 import AmorphousSilica
from amsbench.benchmark.datasets.definition import RelaxationFailure, SimulationFailed
from amsbench.benchmark.datasets.molecular_dynamics import molecular_dynamics, random_packing
from amsbench.errors import AmsbenchError
from amsbench.metrics.elasticity.finite_strain import elastic_constants, relax
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import STILLINGER_WEBER_SILICON, TERSOFF_SILICA

EDGE_OF_CRISTOBALITE = 7.16
SILICA_UNITS = ["Si"] * 9 + ["O"] * 18


def cristobalite(edge: float = EDGE_OF_CRISTOBALITE) -> Atoms:
    """Ideal high cristobalite: silicon on a diamond lattice, an oxygen in the middle of each bond."""
    silicon = bulk("Si", "diamond", a=edge, cubic=True)
    vectors = silicon.get_all_distances(mic=True, vector=True)
    lengths = np.linalg.norm(vectors, axis=-1)
    rows, columns = np.nonzero(np.triu(np.isclose(lengths, edge * 3**0.5 / 4, atol=1e-3)))
    oxygen = silicon.positions[rows] + vectors[rows, columns] / 2
    crystal = silicon + Atoms("O" * len(oxygen), positions=oxygen)
    crystal.wrap()
    return crystal


def test_a_packing_has_no_overlaps_and_the_volume_asked_for() -> None:
    packing = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(1))
    radii = covalent_radii[packing.numbers]
    assert packing.get_volume() == pytest.approx(4 * (4 / 3 * np.pi * radii**3).sum())
    _, distances = get_distances(packing.positions, cell=packing.cell, pbc=True)
    np.fill_diagonal(distances, np.inf)
    assert (distances >= radii[:, None] + radii[None, :]).all()
    same = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(1))
    other = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(2))
    np.testing.assert_array_equal(packing.positions, same.positions)
    assert not np.allclose(packing.positions, other.positions)


def test_a_packing_that_cannot_be_says_so() -> None:
    # Spheres fill at most 74 % of space.
    with pytest.raises(SimulationFailed, match="no free place"):
        random_packing(SILICA_UNITS, 1.2, np.random.default_rng(1))


def test_dynamics_follow_from_the_seed_alone() -> None:
    ends = []
    for seed in (1, 1, 2):
        with molecular_dynamics(bulk("Si", cubic=True) * 2, STILLINGER_WEBER_SILICON, time_step=0.002) as run:
            run.set_velocities(1000.0, seed)
            run.npt(1000.0, 1000.0, 0.1)
            ends.append(run.snapshot().positions)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2])


def test_minimising_reaches_the_crystal() -> None:
    atoms = bulk("Si", "diamond", a=5.431, cubic=True) * 2
    atoms.rattle(0.05, seed=3)
    with molecular_dynamics(atoms, STILLINGER_WEBER_SILICON, time_step=0.001) as run:
        run.minimise(force=1e-6, max_steps=1000)
        assert run.energy() == pytest.approx(-4.3366, abs=1e-4)
        assert run.snapshot().get_volume() == pytest.approx(atoms.get_volume())


def test_a_crystal_kept_cold_has_not_forgotten_itself() -> None:
    with molecular_dynamics(bulk("Si", cubic=True) * 2, STILLINGER_WEBER_SILICON, time_step=0.002) as run:
        run.set_velocities(300.0, 1)
        run.track_displacement()
        run.npt(300.0, 300.0, 0.4)
        displacement = run.displacement()
    assert 0 < displacement < 0.1
    with pytest.raises(SimulationFailed, match="depends on its crystal"):
        asi._check_melted(displacement)


def test_a_run_that_blows_up_is_a_failed_simulation() -> None:
    start = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(4))
    with molecular_dynamics(start, TERSOFF_SILICA, time_step=0.02) as run:
        run.set_velocities(5000.0, 1)
        with pytest.raises(SimulationFailed, match="LAMMPS stopped"):
            run.npt(5000.0, 5000.0, 4.0)


def test_snapshots_come_at_the_spacing_asked_for() -> None:
    with molecular_dynamics(bulk("Si", cubic=True) * 2, STILLINGER_WEBER_SILICON, time_step=0.002) as run:
        run.set_velocities(2000.0, 5)
        snapshots = run.npt_snapshots(2000.0, 3, 0.05)
    assert len(snapshots) == 3
    moves = [np.abs(b.positions - a.positions).max() for a, b in pairwise(snapshots)]
    assert min(moves) > 0.05
    for snapshot in snapshots:
        assert snapshot.pbc.all()
        lengths = snapshot.cell.lengths()
        np.testing.assert_allclose(lengths, lengths[0])


def test_the_pressure_of_a_heated_ideal_gas() -> None:
    """Atoms without collisions have the pressure (n - 1) k T / V at zero net momentum; 1 eV/A^3 = 1.602e6 bar."""
    gas = Atoms("Si64", positions=12.0 * np.indices((4, 4, 4)).reshape(3, -1).T, cell=[48.0] * 3, pbc=True)
    with molecular_dynamics(gas, STILLINGER_WEBER_SILICON, time_step=0.001, thermostat=0.02) as run:
        run.set_velocities(300.0, 3)
        run.nvt(300.0, 300.0, 0.013)  # so that the steps gone by are no multiple of the period of the means
        temperatures, pressures = run.heating_curve(300.0, 900.0, 0.3, 10)
    wanted = 63 * 8.617333e-5 * temperatures / 48.0**3 * 1.602177e6
    np.testing.assert_allclose(pressures, wanted, rtol=1e-3)
    assert temperatures[0] == pytest.approx(330, rel=0.15)
    assert temperatures[-1] == pytest.approx(870, rel=0.15)


def test_a_drop_has_room_around_it_and_elements_move_apart() -> None:
    start = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(4))
    with molecular_dynamics(start, TERSOFF_SILICA, time_step=0.0005, pressure=1.0, barostat=0.5) as run:
        run.minimise(force=0.1, max_steps=200)
        before = run.snapshot()
        run.give_room(2.0)
        after = run.snapshot()
        np.testing.assert_allclose(after.cell.lengths(), 2 * before.cell.lengths())
        shift = after.positions - before.positions
        np.testing.assert_allclose(shift, np.broadcast_to(before.cell.lengths() / 2, shift.shape), atol=1e-6)
        run.set_velocities(3000.0, 1)
        run.track_displacement()
        run.nvt(3000.0, 3000.0, 0.05)
        squares = run.displacements()
        assert set(squares) == {"Si", "O"}
        # the whole drifts by masses there and by numbers here
        assert squares["Si"] / 3 + squares["O"] * 2 / 3 == pytest.approx(run.displacement(), rel=0.02)
        assert squares["O"] > squares["Si"] > 0


def test_silicon_melts_to_the_density_of_the_liquid(monkeypatch):
    monkeypatch.setitem(asi.DURATIONS, "reduced", {"heat": 0.3, "melt": 4.0, "cool": 0.6, "hold": 0.6})
    snapshots = AmorphousSilicon().simulate("reduced", 11, 2)
    assert [len(snapshot) for snapshot in snapshots] == [256, 256]
    for snapshot in snapshots:
        # 0.0517 atoms per A^3 of the equilibrated liquid, a few percent of fluctuation in 256 atoms.
        assert len(snapshot) / snapshot.get_volume() == pytest.approx(0.0517, rel=0.05)
        distances = snapshot.get_all_distances(mic=True)
        neighbours = ((distances > 0) & (distances < 3.0)).sum(axis=1).mean()
        # Diamond has 4 and fcc 12 neighbours; the liquid 5.2.
        assert neighbours == pytest.approx(5.2, abs=0.4)


def test_silica_is_stoichiometric_and_of_a_size_that_follows_from_the_seed(monkeypatch):
    monkeypatch.setitem(asio2.MELT, "reduced", ((5000.0, 3500.0, 0.05),))
    monkeypatch.setattr(asio2, "ANNEAL", 0.05)
    monkeypatch.setattr(asio2, "FORMULA_UNITS", (5, 9))
    (glass,) = AmorphousSilica().simulate("reduced", 1, 1)
    (same,) = AmorphousSilica().simulate("reduced", 1, 1)
    silicon = (glass.numbers == 14).sum()
    assert 5 <= silicon <= 9
    assert len(glass) == 3 * silicon
    np.testing.assert_array_equal(glass.positions, same.positions)


def test_an_evaporated_melt_is_a_failed_simulation(monkeypatch):
    monkeypatch.setitem(asio2.MELT, "reduced", ((5000.0, 5000.0, 0.02),))
    monkeypatch.setattr(asio2, "ANNEAL", 0.01)
    monkeypatch.setattr(asio2, "FORMULA_UNITS", (5, 5))
    monkeypatch.setattr(asio2, "VOLUME_FACTOR", 20.0)
    with pytest.raises(SimulationFailed, match="evaporated"):
        AmorphousSilica().simulate("reduced", 1, 1)


def test_cristobalite_has_six_rings_and_positive_moduli() -> None:
    crystal = cristobalite()
    measured = AmorphousSilica().measure(crystal)
    assert measured.failures == {}
    assert measured.values["ring_size"] == 6
    assert measured.values["shear_modulus"] > 0
    assert measured.values["youngs_modulus"] > 0


def test_the_modulus_of_a_silica_network_does_not_depend_on_the_strain() -> None:
    crystal = cristobalite()
    crystal.rattle(0.02, seed=9)
    with LammpsCalculator(TERSOFF_SILICA) as calculator:
        relaxed = relax(crystal, calculator)
        found = [
            elastic_constants(relaxed.atoms, calculator, components=(3, 4, 5), strain=strain).c44
            for strain in (0.005, 0.01)
        ]
    assert found[0] > 0
    assert found[0] == pytest.approx(found[1], rel=0.02)


def test_only_the_properties_asked_for_are_measured(monkeypatch):
    def never(*arguments):
        raise AssertionError("the moduli were not asked for")

    monkeypatch.setattr(asio2, "moduli", never)
    measured = AmorphousSilica().measure(cristobalite(), ["ring_size"])
    assert measured.values == {"ring_size": 6}
    with pytest.raises(AmsbenchError, match="no property 'hardness'"):
        AmorphousSilica().measure(cristobalite(), ["hardness"])


def test_what_cannot_be_measured_has_a_reason() -> None:
    silica = AmorphousSilica()
    names = {"shear_modulus", "youngs_modulus", "ring_size"}
    overlapping = cristobalite()
    overlapping.positions[1] = overlapping.positions[0] + [0.5, 0, 0]
    assert silica.measure(overlapping).failures == dict.fromkeys(names, "atoms overlap")
    assert silica.measure(overlapping).values == {}
    assert silica.measure(Atoms(cell=[5] * 3, pbc=True)).failures == dict.fromkeys(names, "no atoms")
    silicon = bulk("Si", "diamond", a=5.431, cubic=True)
    assert silica.measure(silicon, ["ring_size"]).failures == {"ring_size": "no Si-O bonds"}


def test_a_relaxation_that_does_not_end_is_a_reason(monkeypatch):
    from amsbench.metrics.elasticity import finite_strain

    real = finite_strain.relax
    monkeypatch.setattr(finite_strain, "relax", lambda *a, **k: real(*a, **{**k, "max_steps": 1}))
    glass = random_packing(SILICA_UNITS, 4.0, np.random.default_rng(6))
    measured = AmorphousSilica().measure(glass, ["shear_modulus"])
    assert measured.failures == {"shear_modulus": "relaxation did not converge"}
    assert measured.relaxed == RelaxationFailure(reason="relaxation did not converge")


def test_energies_are_those_of_the_generating_potential() -> None:
    energy, force = AmorphousSilicon().energy(bulk("Si", "diamond", a=5.431, cubic=True))
    assert energy == pytest.approx(-4.3366, abs=1e-4)
    assert force < 1e-6
    energy, force = AmorphousSilica().energy(cristobalite())
    # Munetoh's potential binds its silica polymorphs by about 6.6 to 6.8 eV per atom.
    assert -7 < energy < -6


@pytest.mark.parametrize("definition", [AmorphousSilicon(), AmorphousSilica()])
@pytest.mark.parametrize("recipe", ["paper", "reduced"])
def test_protocols_are_plain_data(definition, recipe):
    import json

    protocol = definition.simulation_recipe(recipe)
    assert json.loads(json.dumps(protocol)) == protocol
    assert sum(definition.split_fractions) == pytest.approx(1)
    assert set(definition.design_properties) <= {item.name for item in definition.properties}


def test_the_paper_recipes_have_the_paper_durations() -> None:
    silicon = AmorphousSilicon().simulation_recipe("paper")
    # 500 K at 1e12 K/s are 500 ps.
    assert [silicon[f"{stage}_ps"] for stage in ("heat", "melt", "cool", "hold")] == [200, 300, 500, 300]
    assert silicon["snapshots_per_melt"] == 1
    silica = AmorphousSilica().simulation_recipe("paper")
    assert silica["melt_from_k_to_k_for_ps"] == [[3500, 3500, 2000]]
    assert silica["anneal_ps"] == 10
    low, high = silica["atoms"]
    assert low % 3 == high % 3 == 0
    assert 80 <= low < 83
    assert 247 < high <= 250
