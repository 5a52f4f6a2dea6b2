"""Bundled datasets: documented properties, known physics, and values of the paper."""

import numpy as np
import pytest
from ase.units import GPa

from amsbench.benchmark.datasets import inspection
from amsbench.benchmark.datasets.storage import bundled_path, load_dataset, load_dataset_file
from amsbench.metrics.distribution_functions import Curves, adf, rdf
from amsbench.metrics.elasticity.finite_strain import relax
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import TERSOFF_SILICA
from amsbench.metrics.structural_errors import FrozenCurve, curve_rmsd, ideal_gas


@pytest.fixture(scope="module")
def asi():
    return load_dataset("asi")


@pytest.fixture(scope="module")
def curves(asi):
    """Curves of 90 test and 164 training structures from all melts."""
    splits = {"test": asi.subset(asi.indices("test")[::8]), "train": asi.subset(asi.indices("train")[::20])}
    return {name: {"rdf": rdf(part), "adf": adf(part)} for name, part in splits.items()}


def test_asi_is_large_enough_and_split_by_melt(asi):
    assert len(asi) >= 4000
    assert len(np.unique(asi.groups)) >= 40
    melts = [set(asi.split(split).groups.tolist()) for split in ("train", "validation", "test")]
    assert not melts[0] & melts[1]
    assert not melts[0] & melts[2]
    assert not melts[1] & melts[2]
    assert all(len(groups) >= 3 for groups in melts)
    assert inspection.verify(bundled_path("asi"))["samples"] == len(asi)


def test_asi_is_liquid_silicon(asi, curves):
    assert set(asi.counts.tolist()) == {256}
    density = asi.counts / np.abs(np.linalg.det(asi.cells.astype(float)))
    assert density.mean() == pytest.approx(0.0517, rel=0.02)
    test = curves["test"]["rdf"]
    g = test.mean
    assert test.grid[g.argmax()] == pytest.approx(2.58, abs=0.08)
    # neighbours within 3 A: the integral of g
    r, width = test.grid, test.grid[1] - test.grid[0]
    inside = r < 3.0
    neighbours = (4 * np.pi * r[inside] ** 2 * g[inside]).sum() * width * density.mean()
    assert neighbours == pytest.approx(5.2, abs=0.2)
    assert g[r < 1.8].max() < 0.01


def test_random_positions_score_as_in_the_paper(asi, curves):
    """After one step, all multi-step methods of the paper's Table 1 have RMSDs of 0.68 to 0.70 and 0.0026 to 0.0029."""
    test = curves["test"]
    # many cells: the innermost bins of g(r) hold few pairs of an ideal gas, and their noise adds to the RMSD
    rows = np.tile(asi.indices("test"), 2)
    gas = ideal_gas(asi.cells[rows].astype(float), asi.counts[rows])
    assert curve_rmsd(rdf(gas).mean, test["rdf"].mean) == pytest.approx(0.70, abs=0.02)
    assert curve_rmsd(adf(gas).mean, test["adf"].mean) == pytest.approx(0.00285, abs=0.0001)


def test_unseen_melts_score_the_noise_floor(asi, curves):
    """Structures of the training melts stand for a perfect generator: they are independent of the held-out melts."""
    groups = asi.groups[asi.indices("test")[::8]]
    random = np.random.default_rng(0)
    for name in ("rdf", "adf"):
        frozen = FrozenCurve.from_curves(curves["test"][name], groups)
        values = curves["train"][name].values
        for count in (4, 16):
            draws = [random.choice(len(values), size=count, replace=False) for _ in range(100)]
            squares = [curve_rmsd(values[draw].mean(axis=0), frozen.mean) ** 2 for draw in draws]
            # the held-out melts are one set of nine, so that their own error is drawn once
            assert np.sqrt(np.mean(squares)) == pytest.approx(frozen.floor(count), rel=0.1), (name, count)


def test_the_noise_floor_holds_for_any_choice_of_held_out_melts(asi):
    curves, random = adf(asi), np.random.default_rng(1)
    groups = np.unique(asi.groups)
    rows = {group: np.flatnonzero(asi.groups == group) for group in groups}
    for count in (12, len(groups) - 9):
        squares, floors = [], []
        for _ in range(60):
            order = random.permutation(groups)
            held_out = np.concatenate([rows[group] for group in order[:9]])
            frozen = FrozenCurve.from_curves(
                Curves(grid=curves.grid, values=curves.values[held_out]), asi.groups[held_out]
            )
            generated = [random.choice(rows[group]) for group in order[9 : 9 + count]]  # one of each melt
            squares.append(curve_rmsd(curves.values[generated].mean(axis=0), frozen.mean) ** 2)
            floors.append(frozen.floor(count) ** 2)
        assert np.mean(floors) == pytest.approx(np.mean(squares), rel=0.06)


def test_snapshots_of_a_melt_are_independent(asi):
    """Curves of snapshots scatter about the mean of their melt as much as about the mean of all melts."""
    train = asi.split("train")
    groups = np.unique(train.groups)[:8]
    values = []
    for group in groups:
        rows = np.flatnonzero(train.groups == group)[:40]
        values.append(rdf(train.subset(rows)).values)
    within = np.mean([v.var(axis=0, ddof=1).mean() for v in values])
    between = np.var([v.mean(axis=0) for v in values], axis=0, ddof=1).mean()
    # for independent snapshots the means of 40 scatter with 1/40 of the variance; allow a factor of four
    assert between < 4 * within / 40


def test_asio2_is_silica_with_labels():
    asio2 = load_dataset("asio2")
    assert inspection.verify(bundled_path("asio2"))["samples"] == len(asio2)
    for k in range(len(asio2)):
        kinds = asio2.species[asio2.offsets[k] : asio2.offsets[k + 1]]
        assert np.bincount(kinds).tolist() == [len(kinds) // 3, 2 * len(kinds) // 3]
    assert asio2.counts.min() >= 81
    assert asio2.counts.max() <= 249
    modulus, young, rings = asio2.properties.T
    assert np.isfinite(asio2.properties).mean() > 0.95
    assert np.nanmean(modulus) == pytest.approx(24, abs=2)
    assert np.nanmean(rings) == pytest.approx(5.05, abs=0.15)
    density = inspection.mass_density(asio2)
    assert density.mean() == pytest.approx(2.33, abs=0.08)
    # stiffer where denser, and E between 2 G and 3 G as for any isotropic solid of Poisson ratio 0 to 0.5
    measured = np.isfinite(modulus)
    assert np.corrcoef(modulus[measured], density[measured])[0, 1] > 0.6
    assert 2.0 < np.nanmean(young) / np.nanmean(modulus) < 3.0


def test_a_label_is_what_the_calculators_give():
    """Labels are reproduced from the stored coordinates, which are rounded to 16 bits."""
    asio2 = load_dataset("asio2")
    smallest = int(asio2.counts.argmin())
    found = asio2.definition.measure(asio2.atoms(smallest), ("shear_modulus", "ring_size"))
    assert found.failures == {}
    assert found.values["shear_modulus"] == pytest.approx(asio2.properties[smallest, 0], rel=0.05)
    assert found.values["ring_size"] == pytest.approx(asio2.properties[smallest, 2], rel=1e-5)


def test_the_atoms_of_a_strained_glass_relax_again():
    """With affine strains alone, without relaxation of the atoms, a glass is several times too stiff."""
    asio2 = load_dataset("asio2")
    smallest = int(asio2.counts.argmin())
    with LammpsCalculator(TERSOFF_SILICA) as calculator:
        relaxed = relax(asio2.atoms(smallest), calculator).atoms
        constants = []
        for i, j, component in ((1, 2, 3), (0, 2, 4), (0, 1, 5)):
            stresses = []
            for shear in (0.01, -0.01):
                deformation = np.eye(3)
                deformation[[i, j], [j, i]] = shear / 2
                strained = relaxed.copy()
                strained.set_cell(relaxed.cell.array @ deformation, scale_atoms=True)
                strained.calc = calculator
                stresses.append(strained.get_stress()[component])
            constants.append((stresses[0] - stresses[1]) / 0.02 / GPa)
    assert np.mean(constants) > 4 * asio2.properties[smallest, 0]


def test_the_large_silica_set_continues_the_small_one():
    asio2, large = load_dataset("asio2"), load_dataset_file(bundled_path("asio2_large"))
    count, atoms = len(asio2), int(asio2.counts.sum())
    assert len(large) > count
    # what is a test glass of one is no training glass of the other
    np.testing.assert_array_equal(large.splits[:count], asio2.splits)
    np.testing.assert_array_equal(large.groups[:count], asio2.groups)
    np.testing.assert_array_equal(large.positions[:atoms], asio2.positions)
    assert not set(large.groups[count:]) & set(asio2.groups)
