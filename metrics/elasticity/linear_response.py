"""Elastic constants from the Hessian at an energy minimum: Born term minus non-affine correction.

C = (d2E/de2 - Xi^T H^-1 Xi) / V, with the Hessian H of the energy with respect to the positions and the forces on the
atoms per strain, Xi (Lutsko, J. Appl. Phys. 65, 2991 (1989); Lemaitre and Maloney, J. Stat. Phys. 123, 415 (2006)).
This is the zero-strain limit of ``finite_strain``. A finite strain can cause rearrangements of atoms, frequent in
glasses that were quenched fast, so that its result depends on the strain and on the minimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from scipy.sparse import csr_array

STEP = 1e-4
"""Displacement of the central differences of the gradients, A."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Row and column of the Voigt components xx, yy, zz, yz, xz, xy."""


@dataclass(frozen=True, kw_only=True)
class EnergyTerm:
    """Sum over m interactions, each a function of the vectors from an atom to k others (1 in pairs, 2 in angles).

    centres [m]: index of the atom at which the vectors of an interaction start
    ends [m, k]: indices of the atoms at which they end
    shifts [m, k, 3]: lattice translations of the images of these atoms
    function: maps vectors [m, k, 3] in A to energies [m] in eV and their gradients [m, k, 3] in eV/A
    """

    centres: np.ndarray
    ends: np.ndarray
    shifts: np.ndarray
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @cached_property
    def differences(self) -> csr_array:
        """Sparse matrix [m k, atoms] whose product with the positions is end minus centre, without translations."""
        # Products with this matrix and its transpose are three times as fast as indexing and sums by index, and a
        # relaxation evaluates vectors and forces hundreds of times.
        rows = np.arange(self.ends.size)
        centres = np.repeat(self.centres, self.ends.shape[1])
        size = int(max(self.centres.max(initial=-1), self.ends.max(initial=-1))) + 1
        indices = np.concatenate([rows, rows]), np.concatenate([self.ends.ravel(), centres])
        return csr_array((np.repeat([1.0, -1.0], len(rows)), indices), shape=(len(rows), size))

    def vectors(self, atoms: Atoms) -> np.ndarray:
        """Vectors from centres to ends [m, k, 3], A."""
        between = self.differences @ atoms.positions[: self.differences.shape[1]]
        return (between + self.shifts.reshape(-1, 3) @ atoms.cell.array).reshape(self.shifts.shape)

    def evaluate(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces [n, 3] (eV/A) and virial dE/d(strain) [3, 3] (eV)."""
        vectors = self.vectors(atoms)
        energies, gradient = self.function(vectors)
        forces = np.zeros((len(atoms), 3))
        forces[: self.differences.shape[1]] -= self.differences.T @ gradient.reshape(-1, 3)
        return float(energies.sum()), forces, vectors.reshape(-1, 3).T @ gradient.reshape(-1, 3)

    def second_derivatives(self, vectors: np.ndarray) -> np.ndarray:
        """Second derivatives of each energy with respect to its vectors [m, k, 3, k, 3], eV/A^2."""
        m, k, _ = vectors.shape
        second = np.empty((m, k, 3, k, 3))
        for end in range(k):
            for axis in range(3):
                displacement = np.zeros((1, k, 3))
                displacement[0, end, axis] = STEP
                gradient_above = self.function(vectors + displacement)[1]
                gradient_below = self.function(vectors - displacement)[1]
                second[:, end, axis] = (gradient_above - gradient_below) / (2 * STEP)
        return second


def stiffness(atoms: Atoms, terms: Sequence[EnergyTerm]) -> np.ndarray | None:
    """Stiffness C [6, 6] in GPa, Voigt order xx, yy, zz, yz, xz, xy; None if the structure is not at a minimum.

    atoms: structure relaxed together with its cell; its stress is assumed to be zero
    """
    from ase.units import GPa
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    born, forces, hessian = _derivatives(atoms, terms)
    try:
        displacements = cho_solve(cho_factor(hessian), forces)
    except LinAlgError:
        # The Hessian is not positive definite.
        return None
    return np.asarray((born - forces.T @ displacements) / (atoms.get_volume() * GPa))


def softest_mode(atoms: Atoms, terms: Sequence[EnergyTerm]) -> np.ndarray:
    """Mode of the lowest eigenvalue of the Hessian [n, 3], unit norm, atom 0 fixed; at a saddle it points downhill."""
    from scipy.linalg import eigh

    hessian = _derivatives(atoms, terms)[2]
    mode = eigh(hessian, subset_by_index=[0, 0])[1][:, 0]
    return np.concatenate([np.zeros(3), mode]).reshape(-1, 3)


def _derivatives(atoms: Atoms, terms: Sequence[EnergyTerm]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second derivatives d2E/de2 [6, 6], d2E/(dx de) [3n - 3, 6] and d2E/dx2 [3n - 3, 3n - 3], without atom 0.

    Energies in eV, strains e in Voigt order, positions x in A.
    """
    # Atom 0 is fixed, because a common translation of all atoms does not change the energy.
    n = len(atoms)
    hessian, mixed, born = np.zeros((n, 3, n, 3)), np.zeros((n, 3, 6)), np.zeros((6, 6))
    for term in terms:
        vectors = term.vectors(atoms)
        second = term.second_derivatives(vectors)
        # dv / de [m, k, 3, 6]: a strain changes v to v + e v.
        by_strain = np.zeros((*vectors.shape, 6))
        for component, (row, column) in enumerate(VOIGT):
            by_strain[..., row, component] += vectors[..., column] / 2
            by_strain[..., column, component] += vectors[..., row] / 2
        gradient_by_strain = np.einsum("mkalb,mlbc->mkac", second, by_strain, optimize=True)
        born += np.einsum("mkad,mkac->dc", by_strain, gradient_by_strain, optimize=True)
        # Atoms that a vector depends on, its index k, and its derivative: 1 for its end, -1 for its centre.
        dependences = [(term.ends[:, k], k, 1.0) for k in range(term.ends.shape[1])]
        dependences += [(term.centres, k, -1.0) for k in range(term.ends.shape[1])]
        for atom, k, sign in dependences:
            mixed += segment_sum(atom, sign * gradient_by_strain[:, k].reshape(-1, 18), n).reshape(n, 3, 6)
            for other, other_k, other_sign in dependences:
                blocks = sign * other_sign * second[:, k, :, other_k].reshape(-1, 9)
                hessian += segment_sum(atom * n + other, blocks, n * n).reshape(n, n, 3, 3).swapaxes(1, 2)
    return born, mixed.reshape(3 * n, 6)[3:], hessian.reshape(3 * n, 3 * n)[3:, 3:]


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Lengths [...] of vectors [..., 3]."""
    # Several times as fast as numpy's norm along an axis.
    return np.sqrt(np.einsum("...a,...a->...", vectors, vectors))


def segment_sum(at: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sums [count, c] of the rows of ``values`` [m, c] that have the same index in ``at`` [m]."""
    return np.stack([np.bincount(at, column, count) for column in values.T], axis=1)
