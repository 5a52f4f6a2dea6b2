"""Distances between sets of compositions, and formal charges, against analytic values."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.metrics.composition import fraction_distance, net_charge

CHARGES = {"Li": 1, "Si": 4, "O": -2}


def test_the_distance_of_shifted_fractions_is_the_shift():
    first = np.random.default_rng(0).uniform(0.2, 0.4, 50)
    ours, theirs = np.stack([first, 1 - first], 1), np.stack([first + 0.05, 0.95 - first], 1)
    assert fraction_distance(ours, theirs) == pytest.approx(0.05)
    assert fraction_distance(ours, np.random.default_rng(1).permutation(ours)) == pytest.approx(
        0.0, abs=1e-12
    )


def test_the_same_mean_is_not_the_same_distribution():
    """All fractions 1/2 against half of them 1/4 and half 3/4: the distance is 1/4."""
    ours = np.full((10, 2), 0.5)
    theirs = np.array([[0.25, 0.75], [0.75, 0.25]] * 5)
    assert fraction_distance(ours, theirs) == pytest.approx(0.25)


def test_structures_without_atoms_are_left_out():
    ours, empty = np.full((3, 2), 0.5), np.full((1, 2), np.nan)
    assert fraction_distance(np.concatenate([ours, empty]), ours) == 0.0
    assert np.isnan(fraction_distance(empty, ours))


def test_charges_add_up():
    assert net_charge(Atoms("SiO2Li2O"), CHARGES) == 0
    assert net_charge(Atoms("SiO2Li3"), CHARGES) == 3
    assert net_charge(bulk("LiO", "rocksalt", a=4.0), CHARGES) == -1
    assert net_charge(Atoms(), CHARGES) == 0
