"""S(q) by two methods for an ideal gas, a liquid and crystals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.errors import AmsbenchError
from amsbench.metrics.distribution_functions import rdf
from amsbench.metrics.structural_errors import ideal_gas
from amsbench.metrics.structure_factor import (
    StructureFactor,
    structure_factor_from_pairs,
    structure_factor_of_atoms,
)


def direct(frames, q_max, edges):
    """Mean of S(q) over the wave vectors of all structures, in shells between ``edges``."""
    parts = [structure_factor_of_atoms(atoms, q_max) for atoms in frames]
    q, s = (np.concatenate(values) for values in zip(*parts, strict=True))
    shell = np.digitize(q, edges) - 1
    inside = (shell >= 0) & (shell < len(edges) - 1)
    total = np.bincount(shell[inside], weights=s[inside], minlength=len(edges) - 1)
    return total / np.bincount(shell[inside], minlength=len(edges) - 1)


@pytest.fixture(scope="module")
def liquid():
    silicon = load_dataset("asi")
    return [silicon.atoms(k) for k in range(0, 4480, 280)]


def test_both_ways_agree_on_a_liquid(liquid):
    """The direct sum has no window, so that the transform has a large range and both are averaged over the same
    shells."""
    edges = np.arange(1.0, 10.01, 0.5)
    q = np.linspace(1.0, 10.0, 181)
    r_max = 20.0
    pairs = rdf(liquid, r_max=r_max, bins=1000)
    density = np.array([len(atoms) / atoms.get_volume() for atoms in liquid])
    smooth = structure_factor_from_pairs(pairs.grid, pairs.values, density, q, r_max=r_max).mean(axis=0)
    # a shell has wave vectors in proportion to q^2
    weights = q**2
    shells = np.digitize(q, edges) - 1
    averaged = np.array(
        [np.average(smooth[shells == k], weights=weights[shells == k]) for k in range(len(edges) - 1)]
    )
    found = direct(liquid, 10.0, edges)
    assert found.min() < 0.1
    assert found.max() > 1.25
    # the window widens the steep side of the first peak, where the two differ most
    assert np.abs(averaged - found).mean() < 0.02
    assert np.abs(averaged - found).max() < 0.1


def test_an_ideal_gas_has_no_structure():
    gas = ideal_gas(np.tile(np.eye(3) * 15.0, (200, 1, 1)), np.full(200, 100), seed=1)
    curves = StructureFactor().curves(gas)
    assert curves.values.shape == (200, 114)
    np.testing.assert_allclose(curves.mean, 1.0, atol=0.1)


@pytest.mark.parametrize(("structure", "a", "first"), [("fcc", 4.0, (1, 1, 1)), ("diamond", 5.43, (1, 1, 1))])
def test_bragg_peaks_of_crystals(structure, a, first):
    """Amplitudes add up in phase at the reciprocal lattice vectors of the crystal, and cancel between them."""
    crystal = bulk("Si", structure, a=a, cubic=True) * (3, 3, 3)
    q, s = structure_factor_of_atoms(crystal, 6.0)
    basis = {"fcc": 1, "diamond": 2}[structure]
    position = 2 * np.pi * np.linalg.norm(first) / a
    at_first = s[np.isclose(q, position)]
    # |1 + exp(i pi (h + k + l) / 2)|^2 / 2 of the two atoms of diamond is 1 for (111)
    height = len(crystal) * {1: 1.0, 2: 0.5}[basis]
    assert at_first.max() == pytest.approx(height, rel=1e-9)
    assert s[q < position - 1e-6].max() == pytest.approx(0.0, abs=1e-9)
    # systematic absences: (200) of diamond
    if structure == "diamond":
        assert s[np.isclose(q, 4 * np.pi / a)].max() == pytest.approx(0.0, abs=1e-9)
    assert s.max() == pytest.approx(len(crystal) if structure == "fcc" else height * 2, rel=1e-9)


def test_the_transform_has_the_peaks_of_a_crystal_in_their_places():
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    pairs, q = rdf([crystal], r_max=20.0, bins=1000), np.linspace(0.6, 6.0, 271)
    density = [len(crystal) / crystal.get_volume()]
    s = structure_factor_from_pairs(pairs.grid, pairs.values, density, q, r_max=20.0)[0]
    peaks = q[1:-1][(s[1:-1] > s[:-2]) & (s[1:-1] > s[2:]) & (s[1:-1] > 1.5)]
    for indices in ((1, 1, 1), (2, 2, 0), (3, 1, 1)):
        assert np.abs(peaks - 2 * np.pi * np.linalg.norm(indices) / 5.43).min() < 0.05


def test_a_crystal_is_far_from_a_liquid(liquid):
    metric = StructureFactor()
    reference = metric.curves(liquid[8:]).mean
    half = np.sqrt(np.mean((metric.curves(liquid[:8]).mean - reference) ** 2))
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * (3, 3, 3)
    assert np.sqrt(np.mean((metric.curves([crystal]).mean - reference) ** 2)) > 20 * half


def test_nonsense_is_refused():
    with pytest.raises(AmsbenchError, match="above 0"):
        structure_factor_from_pairs([0.5, 1.5], [[1.0, 1.0]], [0.1], [0.0], r_max=2.0)
    with pytest.raises(AmsbenchError, match="densities"):
        structure_factor_from_pairs([0.5, 1.5], [[1.0, 1.0]], [0.1, 0.1], [1.0], r_max=2.0)
    with pytest.raises(AmsbenchError, match="with atoms"):
        structure_factor_of_atoms(Atoms(cell=[5] * 3, pbc=True), 3.0)
