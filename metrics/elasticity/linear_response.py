"""Elastic constants without a strain: the second derivatives of the energy, and what the atoms answer.

C = (d2E/de2 - Xi^T H^-1 Xi) / V, with the second derivatives H of the energy in the positions and the forces on the
atoms per strain, Xi (Lutsko, J. Appl. Phys. 65, 2991 (1989); Lemaitre and Maloney, J. Stat. Phys. 123, 415 (2006)).
A finite strain also sees the rearrangements that it causes, of which a glass that was quenched fast has many, so that
what it gives depends on the strain and on the minimiser. This is its limit at the minimum that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from scipy.sparse import csr_array

STEP = 1e-4
"""A; displacement of the central differences of the gradients."""
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, kw_only=True)
class EnergyTerm:
    """A term of the energy: a function of the vectors from one atom to one other (pairs) or two (angles), summed up.

    centres [m]: the atoms that the vectors start from
    ends [m, k]: the atoms where they end
    shifts [m, k, 3]: how many cells away from its own place the image of an end is that is meant
    function: vectors [m, k, 3] in A -> energies [m] in eV and their gradients [m, k, 3] in eV/A
    """

    centres: np.ndarray
    ends: np.ndarray
    shifts: np.ndarray
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @cached_property
    def differences(self) -> csr_array:
        """The matrix [m k, atoms] that takes the place of a centre from that of an end.

        A relaxation asks for vectors and forces hundreds of times; its product and that with its transpose are
        three times as fast as indexing and sums by index.
        """
        rows = np.arange(self.ends.size)
        centres = np.repeat(self.centres, self.ends.shape[1])
        size = int(max(self.centres.max(initial=-1), self.ends.max(initial=-1))) + 1
        places = np.concatenate([rows, rows]), np.concatenate([self.ends.ravel(), centres])
        return csr_array((np.repeat([1.0, -1.0], len(rows)), places), shape=(len(rows), size))

    def vectors(self, atoms: Atoms) -> np.ndarray:
        """[m, k, 3], A."""
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
        """d2E / dv dv' [m, k, 3, k, 3], eV/A^2."""
        m, k, _ = vectors.shape
        found = np.empty((m, k, 3, k, 3))
        for end in range(k):
            for axis in range(3):
                moved = np.zeros((1, k, 3))
                moved[0, end, axis] = STEP
                ahead, behind = self.function(vectors + moved)[1], self.function(vectors - moved)[1]
                found[:, end, axis] = (ahead - behind) / (2 * STEP)
        return found


def stiffness(atoms: Atoms, terms: Sequence[EnergyTerm]) -> np.ndarray | None:
    """C [6, 6] in GPa, Voigt order xx, yy, zz, yz, xz, xy; None where the structure is not at a minimum.

    atoms: relaxed with their cell; their stress is taken to be zero
    """
    from ase.units import GPa
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    born, forces, hessian = _derivatives(atoms, terms)
    try:
        moved = cho_solve(cho_factor(hessian), forces)
    except LinAlgError:
        return None
    return np.asarray((born - forces.T @ moved) / (atoms.get_volume() * GPa))


def softest_mode(atoms: Atoms, terms: Sequence[EnergyTerm]) -> np.ndarray:
    """The displacements [n, 3] of unit length that cost least, the first atom at rest: at a saddle the way down."""
    from scipy.linalg import eigh

    hessian = _derivatives(atoms, terms)[2]
    mode = eigh(hessian, subset_by_index=[0, 0])[1][:, 0]
    return np.concatenate([np.zeros(3), mode]).reshape(-1, 3)


def _derivatives(atoms: Atoms, terms: Sequence[EnergyTerm]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d2E/de2 [6, 6], and without the first atom d2E/(dx de) [3n - 3, 6] and d2E/dx2 [3n - 3, 3n - 3].

    Moving all atoms together costs nothing: the first one stays.
    """
    n = len(atoms)
    hessian, answer, born = np.zeros((n, 3, n, 3)), np.zeros((n, 3, 6)), np.zeros((6, 6))
    for term in terms:
        vectors = term.vectors(atoms)
        second = term.second_derivatives(vectors)
        # dv / d(strain) [m, k, 3, 6]: a strain turns v into v + e v
        strained = np.zeros((*vectors.shape, 6))
        for component, (row, column) in enumerate(VOIGT):
            strained[..., row, component] += vectors[..., column] / 2
            strained[..., column, component] += vectors[..., row] / 2
        on_strain = np.einsum("mkalb,mlbc->mkac", second, strained, optimize=True)
        born += np.einsum("mkad,mkac->dc", strained, on_strain, optimize=True)
        # a vector grows with its end and shrinks with its centre
        movers = [(term.ends[:, k], k, 1.0) for k in range(term.ends.shape[1])]
        movers += [(term.centres, k, -1.0) for k in range(term.ends.shape[1])]
        for at, k, sign in movers:
            answer += segment_sum(at, sign * on_strain[:, k].reshape(-1, 18), n).reshape(n, 3, 6)
            for other, its_k, its_sign in movers:
                blocks = sign * its_sign * second[:, k, :, its_k].reshape(-1, 9)
                hessian += segment_sum(at * n + other, blocks, n * n).reshape(n, n, 3, 3).swapaxes(1, 2)
    return born, answer.reshape(3 * n, 6)[3:], hessian.reshape(3 * n, 3 * n)[3:, 3:]


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Of vectors [..., 3], several times as fast as numpy's norm along an axis."""
    return np.sqrt(np.einsum("...a,...a->...", vectors, vectors))


def segment_sum(at: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sums [count, c] of the rows of values [m, c] that have the same number in at [m]."""
    return np.stack([np.bincount(at, column, count) for column in values.T], axis=1)
