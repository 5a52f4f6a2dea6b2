"""Chemical composition of structures: distance between two sets of compositions, and formal charge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import wasserstein_distance

if TYPE_CHECKING:
    from ase import Atoms


def fraction_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Wasserstein-1 distance between two distributions of an element's fraction, averaged over the elements.

    ours [n, e], theirs [m, e]: fraction of each element in each structure, 0 to 1

    The distance is in the unit of the fractions and 0 for equal distributions. Structures whose fractions are not
    finite (structures without atoms) are left out; NaN if none remain.
    """
    # The difference of the mean fractions alone would be 0 for a method that always makes the mean composition.
    ours, theirs = (values[np.isfinite(values).all(axis=1)] for values in (ours, theirs))
    if not len(ours) or not len(theirs):
        return float("nan")
    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(ours.T, theirs.T, strict=True)]))


def net_charge(atoms: Atoms, charges: Mapping[str, int]) -> int:
    """Sum of the formal charges of all atoms, e.

    charges: formal charge of each element, e
    """
    return sum(charges[symbol] for symbol in atoms.symbols)
