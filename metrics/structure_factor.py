"""The static structure factor S(q): from the pair distribution of each structure, and directly from its atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AmsbenchError
from .distribution_functions import Curves, rdf
from .metric import CurveMetric
from .neighbours.packed import pack

if TYPE_CHECKING:
    from ase import Atoms

    from .neighbours.packed import StructureInput

R_MAX, R_BINS = 10.0, 500
"""Largest distance (Å, periodic images included) and bins of g(r). A peak of S(q) is then about 0.5 / Å wide."""

Q_MIN, Q_MAX, Q_BINS = 0.6, 12.0, 114
"""Range (1/Å) and number of points of S(q). Below 2 pi / R_MAX the window of the transform dominates."""


def structure_factor_from_pairs(
    r: ArrayLike, g: ArrayLike, density: ArrayLike, q: ArrayLike, *, r_max: float
) -> np.ndarray:
    """S(q) [s, k] = 1 + 4 pi rho int_0^r_max r^2 (g(r) - 1) sin(qr) / (qr) W(r) dr, by the midpoint rule.

    r [bins] in Å: centres of the bins of g [s, bins]; density [s]: atoms per Å^3; q [k] in 1/Å, above 0
    W(r) = sin(pi r / r_max) / (pi r / r_max) is the window of Lorch, which suppresses the ripples that the end of g(r)
    at r_max would cause and widens peaks to about 5 / r_max instead.
    """
    r, q = np.asarray(r, dtype=np.float64), np.asarray(q, dtype=np.float64)
    values = np.atleast_2d(np.asarray(g, dtype=np.float64))
    rho = np.atleast_1d(np.asarray(density, dtype=np.float64))
    if values.shape != (len(rho), len(r)):
        raise AmsbenchError(
            f"g(r) of shape {values.shape} needs {len(r)} bins and a density for each curve, got {len(rho)} densities"
        )
    if not (q > 0).all():
        raise AmsbenchError("S(q) from a pair distribution needs q above 0; give 0.1 or more (1/Å)")
    width = r[1] - r[0]
    # numpy's sinc(x) is sin(pi x) / (pi x)
    kernel = np.sinc(np.outer(r, q) / np.pi) * (np.sinc(r / r_max) * r**2 * width)[:, None]
    return 1.0 + 4.0 * np.pi * rho[:, None] * ((values - 1.0) @ kernel)


def structure_factor_of_atoms(atoms: Atoms, q_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors' lengths [k] (1/Å) and S(q) [k] = |sum_j exp(i q r_j)|^2 / n at all q of the cell up to ``q_max``.

    The q are the reciprocal lattice vectors of the periodic cell, one of q and -q each, without 0; AmsbenchError for
    no atoms or a cell without volume.
    """
    if len(atoms) == 0 or abs(np.linalg.det(atoms.cell.array)) == 0.0:
        raise AmsbenchError("S(q) needs a structure with atoms in a cell with a volume")
    reciprocal = 2.0 * np.pi * np.linalg.inv(atoms.cell.array).T
    fractional = np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T
    # the largest index along an axis follows from the length of that axis: q a = 2 pi h
    limits = np.floor(q_max * np.linalg.norm(atoms.cell.array, axis=1) / (2.0 * np.pi)).astype(int)
    phases = [
        np.exp(2j * np.pi * np.outer(np.arange(-limit, limit + 1), fractional[:, axis]))
        for axis, limit in enumerate(limits)
    ]
    lengths, intensities = [], []
    last = np.arange(-limits[2], limits[2] + 1)
    for h in range(limits[0] + 1):
        for k in range(-limits[1], limits[1] + 1):
            amplitude = phases[2] @ (phases[0][h + limits[0]] * phases[1][k + limits[1]])
            vectors = h * reciprocal[0] + k * reciprocal[1] + last[:, None] * reciprocal[2]
            length = np.linalg.norm(vectors, axis=1)
            # one of each pair of opposite vectors
            chosen = (length <= q_max) & ((h > 0) | (k > 0) | ((k == 0) & (last > 0)))
            lengths.append(length[chosen])
            intensities.append(np.abs(amplitude[chosen]) ** 2 / len(atoms))
    return np.concatenate(lengths), np.concatenate(intensities)


class StructureFactor(CurveMetric):
    """S(q) of all atoms with equal weights, 0.6 to 12 / Å in 114 points, from g(r) up to 10 Å with Lorch's window."""

    name = "sq"
    title = "static structure factor S(q), 0.6 to 12 / Å"
    unit = ""
    head = "S(q)"
    axis = "q (1/Å)"
    decimals = 4
    rationale = (
        "What X-ray and neutron diffraction measure. It weighs order at medium range, such as the first sharp "
        "diffraction peak of silica near 1.5 / Å, more than g(r) below 5 Å does. Atoms have equal weights here, not "
        "the scattering lengths of an experiment."
    )
    evidence = (
        "The transform of g(r) and the direct sum over atoms agree on a liquid; a crystal has its Bragg peaks where "
        "its reciprocal lattice has them, of the height that follows from its number of atoms; an ideal gas gives 1 "
        "(tests/metrics/test_structure_factor.py)."
    )

    def curves(self, structures: StructureInput) -> Curves:
        packed = pack(structures)
        pairs = rdf(packed, r_max=R_MAX, bins=R_BINS)
        volumes = np.abs(np.linalg.det(np.asarray(packed.cells, dtype=np.float64)))
        density = np.asarray(packed.counts, dtype=np.float64) / volumes
        q = Q_MIN + (np.arange(Q_BINS) + 0.5) * (Q_MAX - Q_MIN) / Q_BINS
        return Curves(
            grid=q, values=structure_factor_from_pairs(pairs.grid, pairs.values, density, q, r_max=R_MAX)
        )
