"""BMP-shrm, term by term, against values of an independent implementation (tables for the Morse term)."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from amsbench.metrics.potentials.bmp_shrm import BMP_SHRM, CHARGES, BMPShrm
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator

TERMS = {"coul": "coul/dsf", "table": "pedone", "buck": "buck", "nb3b": "nb3b/screened"}


@pytest.fixture(scope="module")
def reference():
    return json.loads((Path(__file__).parent.parent / "data" / "bmp_shrm_reference.json").read_text())


@pytest.fixture
def structure(reference):
    """123 atoms of all eleven elements in a skewed cell."""
    return Atoms(reference["symbols"], positions=reference["positions"], cell=reference["cell"], pbc=True)


def computed(potential, atoms):
    with LammpsCalculator(potential) as calculator:
        calculator.calculate(atoms)
        return calculator.results


@pytest.mark.parametrize("term", TERMS)
def test_each_term(term, reference, structure):
    result, expected = computed(BMPShrm(terms=(TERMS[term],)), structure), reference["lammps"][term]
    # The reference interpolates the Morse term in tables, to 1e-6 eV per atom.
    exact = term != "table"
    assert result["energy"] == pytest.approx(
        expected["energy_eV"], abs=1e-9 if exact else 1e-6 * len(structure)
    )
    assert np.linalg.norm(result["forces"], axis=1).max() == pytest.approx(expected["fmax"], rel=1e-6)
    stress = expected["stress_voigt_eV_A3"]
    np.testing.assert_allclose(result["stress"], stress, rtol=0, atol=1e-12 if exact else 1e-6)


def test_the_sum(reference, structure):
    result, expected = computed(BMP_SHRM, structure), reference["lammps"]["total"]
    assert result["energy"] == pytest.approx(expected["energy_eV"], abs=1e-6 * len(structure))
    np.testing.assert_allclose(result["forces"], expected["forces"], rtol=0, atol=3e-5)
    np.testing.assert_allclose(result["stress"], expected["stress_voigt_eV_A3"], rtol=0, atol=1e-6)
    assert set(reference["symbols"]) == set(CHARGES)


def test_forces_are_the_gradient_of_the_energy(structure):
    """-dE/dx by central differences along ten random displacements too small to reach a discontinuity."""
    forces = computed(BMP_SHRM, structure)["forces"]
    random = np.random.default_rng(0)
    with LammpsCalculator(BMP_SHRM) as calculator:
        for _ in range(10):
            direction = random.normal(size=forces.shape)
            direction /= np.linalg.norm(direction)
            energies = []
            for sign in (1, -1):
                moved = structure.copy()
                moved.positions += sign * 1e-5 * direction
                calculator.calculate(moved)
                energies.append(calculator.results["energy"])
            slope = -(energies[0] - energies[1]) / 2e-5
            assert slope == pytest.approx(float((forces * direction).sum()), abs=2e-3)


def test_the_hash_is_of_the_parameters():
    assert BMP_SHRM.sha256 == BMPShrm().sha256
    assert BMP_SHRM.sha256 != BMPShrm(terms=("coul/dsf", "pedone")).sha256
