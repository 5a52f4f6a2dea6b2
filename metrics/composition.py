"""How near the compositions of generated structures are to those of a dataset: element fractions and charge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import wasserstein_distance

if TYPE_CHECKING:
    from ase import Atoms


def fraction_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean over the elements of the Wasserstein-1 distance between two distributions of an element's fraction.

    ours [n, e], theirs [m, e]: share of each element in each structure; 0 for the same distributions, in the unit
    of the fractions. Unlike the distance of the mean fractions it also sees that every structure has the mean.
    StructureInput that are not finite (without atoms) are left out; NaN where that leaves none.
    """
    ours, theirs = (values[np.isfinite(values).all(axis=1)] for values in (ours, theirs))
    if not len(ours) or not len(theirs):
        return float("nan")
    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(ours.T, theirs.T, strict=True)]))


def net_charge(atoms: Atoms, charges: Mapping[str, int]) -> int:
    """Sum of the formal charges of all atoms, e."""
    return sum(charges[symbol] for symbol in atoms.symbols)
