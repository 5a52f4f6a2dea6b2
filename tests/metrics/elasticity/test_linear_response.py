"""Elastic constants by linear response against lattices of springs with analytic constants."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

from amsbench.metrics.elasticity.linear_response import EnergyTerm, stiffness
from amsbench.metrics.neighbours.pairs import neighbour_pairs

SPRING = 2.0
"""Spring constant k, eV/A^2."""


def springs(atoms, cutoff, lengths):
    """Springs between all pairs within ``cutoff`` (A), with the rest lengths ``lengths(distances)``."""
    i, j, vectors, distances = neighbour_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, cutoff, full_list=False, quantities="ijDd"
    )
    shifts = np.rint((vectors - atoms.positions[j] + atoms.positions[i]) @ np.linalg.inv(atoms.cell.array))
    rest = lengths(distances)

    def function(vectors):
        r = np.linalg.norm(vectors[:, 0], axis=1)
        return SPRING * (r - rest) ** 2 / 2, (SPRING * (r - rest) / r)[:, None, None] * vectors

    return EnergyTerm(centres=i, ends=j[:, None], shifts=shifts[:, None], function=function)


def test_face_centred_cubic_springs():
    """C11 = 2 k / a and C12 = C44 = k / a with nearest neighbours (Born and Huang)."""
    edge = 4.0
    atoms = bulk("Al", "fcc", a=edge, cubic=True).repeat((2, 1, 1))
    result = stiffness(atoms, [springs(atoms, 0.75 * edge, lambda r: r)])
    expected = np.zeros((6, 6))
    expected[:3, :3] = SPRING / edge / GPa
    np.fill_diagonal(expected, np.repeat([2 * SPRING / edge, SPRING / edge], 3) / GPa)
    np.testing.assert_allclose(result, expected, atol=1e-6 * expected.max())


def test_two_springs_in_series_have_the_constant_of_one():
    """A chain of two different springs along x: the softer one takes more of the strain.

    d2E/de2 is (l1 + l2)^2 k1 k2 / (k1 + k2); without non-affine displacements it would be k1 l1^2 + k2 l2^2.
    """
    lengths, stiff = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    area = 10.0
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [lengths[0], 0, 0]], cell=[lengths.sum(), area, 1.0], pbc=True)

    def chain(vectors):
        along = vectors[:, 0, 0]
        gradient = np.zeros_like(vectors)
        gradient[:, 0, 0] = stiff * (along - lengths)
        # Weak springs along y and z, so that the Hessian is positive definite.
        gradient[:, 0, 1:] = vectors[:, 0, 1:]
        return stiff * (along - lengths) ** 2 / 2 + (vectors[:, 0, 1:] ** 2).sum(1) / 2, gradient

    term = EnergyTerm(
        centres=np.array([0, 1]),
        ends=np.array([[1], [0]]),
        shifts=np.array([[[0.0, 0, 0]], [[1.0, 0, 0]]]),
        function=chain,
    )
    result = stiffness(atoms, [term])
    series = stiff.prod() / stiff.sum()
    assert result[0, 0] * GPa == pytest.approx(series * lengths.sum() / area, rel=1e-6)


def test_forces_and_virial_are_derivatives_of_the_energy():
    random = np.random.default_rng(1)
    atoms = bulk("Al", "fcc", a=4.0, cubic=True)
    atoms.positions += random.normal(scale=0.2, size=atoms.positions.shape)
    term = springs(atoms, 3.4, lambda r: 0.9 * r)
    _, forces, virial = term.evaluate(atoms)
    direction, strain = random.normal(size=forces.shape), random.normal(size=(3, 3))
    ahead, behind = atoms.copy(), atoms.copy()
    ahead.positions += 1e-5 * direction
    behind.positions -= 1e-5 * direction
    slope = (term.evaluate(ahead)[0] - term.evaluate(behind)[0]) / 2e-5
    assert slope == pytest.approx(-(forces * direction).sum(), rel=1e-7)
    for moved, sign in ((ahead, 1), (behind, -1)):
        moved.positions = atoms.positions
        moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * 1e-6 * strain), scale_atoms=True)
    slope = (term.evaluate(ahead)[0] - term.evaluate(behind)[0]) / 2e-6
    assert slope == pytest.approx((virial * strain).sum(), rel=1e-6)


def test_a_structure_that_is_not_at_a_minimum_has_no_constants():
    """Compressed springs along straight lines buckle."""
    atoms = bulk("Al", "sc", a=2.0).repeat(2)
    assert stiffness(atoms, [springs(atoms, 2.1, lambda r: 1.2 * r)]) is None
