"""Structures of the page are those of the files, with the bonds of crystals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.benchmark.display.structure_data import SCALE, elements_data, structure_data
from amsbench.benchmark.runs.stored_structures import stored_structures
from amsbench.leaderboards.page.structures import samples_of


def bonds_in(data):
    rows = np.array(data["bonds"]).reshape(-1, 5)
    return rows[:, :2], rows[:, 2:] / SCALE


def test_every_atom_of_diamond_has_four_bonds():
    data = structure_data(bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2))
    pairs, vectors = bonds_in(data)
    assert np.bincount(pairs.ravel(), minlength=64).tolist() == [4] * 64
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(5.43 * np.sqrt(3) / 4, abs=0.02)
    assert data["density"] == pytest.approx(2.33, abs=0.01)


def test_bonds_of_an_oxide_join_cations_to_anions_across_the_cell():
    cell = 7.16
    cubic = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    silicon = np.concatenate([cubic, np.add(cubic, 0.25)])
    # ideal beta-cristobalite: an oxygen in the middle of every bond of diamond
    steps = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 8
    oxygen = np.concatenate([np.add(place, steps) for place in cubic])
    atoms = Atoms("Si8O16", scaled_positions=np.concatenate([silicon, oxygen]), cell=[cell] * 3, pbc=True)
    data = structure_data(atoms)
    assert data["symbols"] == ["Si", "O"]
    assert data["formula"] == "Si8O16"
    pairs, vectors = bonds_in(data)
    assert np.bincount(pairs.ravel(), minlength=24).tolist() == [4] * 8 + [2] * 16
    positions = np.array(data["positions"]).reshape(-1, 3) / SCALE
    reached = (positions[pairs[:, 0]] + vectors - positions[pairs[:, 1]]) / cell
    assert np.abs(reached - np.round(reached)).max() < 0.01
    assert np.abs(np.round(reached)).max() == 1


def test_samples_are_the_stored_structures_with_their_values(silica_results, published):
    result = next(r for r in silica_results if ".npz" in r.files)
    samples = samples_of(published, result)
    frames = stored_structures(published, result)
    assert [sample["number"] for sample in samples] == [1, 33, 64]
    for sample in samples:
        atoms = frames[sample["number"] - 1]
        assert sample["atoms"] == len(atoms)
        assert np.array(sample["positions"]).reshape(-1, 3) / SCALE == pytest.approx(
            atoms.positions, abs=0.51 / SCALE
        )
    low, high = result.key.targets["shear_modulus"]
    assert samples[0]["targets"]["shear_modulus"]["target"] == low
    assert samples[-1]["targets"]["shear_modulus"]["target"] == high


def test_results_without_structures_have_no_samples(silica_results, published):
    result = next(r for r in silica_results if ".npz" not in r.files)
    assert samples_of(published, result) == []


def test_elements_have_colours_and_radii():
    assert elements_data({"O", "Si"})["O"] == {"colour": "#ff0d0d", "radius": 0.66}
