"""Checks of structures: what none can be measured by, units, copies, and numbers in their ``info``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ...metrics.neighbours.neighbour_list import neighbour_list

if TYPE_CHECKING:
    from ase import Atoms

THINNEST_CELL = 1.0
"""Smallest height of a cell, angstrom; neighbour searches in thinner cells do not terminate."""
LEAST_VOLUME = 1.0
"""Smallest volume per atom, A^3; that of diamond is 5.7."""
FARTHEST = 1e6
"""Largest distance of an atom from the origin, and largest part of a lattice vector, angstrom; farther positions have
lost significant digits, and neighbour searches in larger cells crash."""
BOND_RANGE = (0.4, 1.5)
"""Smallest and largest distance of nearest neighbours over the sum of their covalent radii. It is 0.8 to 1.15 in solids
and liquids; in bohr it is 1.9 times as much, in nm a tenth. Noble gases are not judged."""
_NOBLE_GASES = (2, 10, 18, 36, 54, 86)


def fault_of(frame: Atoms, *, may_be_empty: bool = False) -> str | None:
    """Why a structure cannot be measured, such as "has no atoms"; None if it can.

    may_be_empty: whether a cell without atoms has no fault, if it is one
    """
    if len(frame) == 0 and not may_be_empty:
        return "has no atoms"
    if not frame.numbers.all():
        return "has an atom of no element (X); give every atom its element"
    cell = frame.cell.array
    if not (np.isfinite(frame.positions).all() and np.isfinite(cell).all()):
        return "has positions or a cell that are not finite numbers"
    periodic = int(frame.pbc.sum())
    if not np.any(cell):
        return "has no periodic cell; give its lattice vectors, as amorphous samples are periodic"
    if periodic < 3:
        return (
            f"is periodic along {periodic} of its 3 lattice vectors only; amorphous samples are periodic along all, "
            'pbc="T T T" in extended XYZ'
        )
    return _fault_of_cell(frame)


def _fault_of_cell(frame: Atoms) -> str | None:
    cell = frame.cell.array
    with np.errstate(over="ignore", invalid="ignore"):
        crosses = np.array([np.cross(cell[k - 2], cell[k - 1]) for k in range(3)])
        volume = abs(float(cell[0] @ crosses[0]))
        height = volume / max(float(np.linalg.norm(crosses, axis=1).max()), 1e-300)
    if not 0 < volume < math.inf or not math.isfinite(height):
        return (
            f"has a cell without a sensible volume, {cell.tolist()}; give three lattice vectors in angstrom"
        )
    if height < THINNEST_CELL:
        return (
            f"has a cell with a height of {height:.3g} A, less than an atom; give lattice vectors that are longer or "
            "less skewed, in angstrom"
        )
    if volume < LEAST_VOLUME * len(frame):
        return f"has {volume / len(frame):.3g} A^3 per atom, less than any solid; give the cell in angstrom"
    if np.abs(cell).max() > FARTHEST:
        return f"has a lattice vector of more than {FARTHEST:g} A; give the cell in angstrom"
    if np.abs(frame.positions).max(initial=0.0) > FARTHEST:
        return f"has an atom more than {FARTHEST:g} A from the origin; wrap its atoms into the cell"
    return None


def bond_ratio(frame: Atoms) -> float:
    """Median over atoms of the distance to the nearest neighbour, over the sum of the two covalent radii.

    Infinite if most atoms have no neighbour within ``BOND_RANGE[1]``. For a structure without a fault.
    """
    from ase.data import covalent_radii

    radii = covalent_radii[frame.numbers]
    largest = BOND_RANGE[1] * 2 * float(radii.max())
    # in a dense clump every atom has all others as neighbours: shorter cutoffs first
    for cutoff in (0.1 * largest, 0.5 * largest, largest):
        receivers, senders, shifts = neighbour_list(
            frame.get_positions(wrap=True), frame.cell.array[None], np.array([len(frame)]), cutoff
        )
        positions = frame.get_positions(wrap=True)
        distances = np.linalg.norm(positions[receivers] - positions[senders] - shifts, axis=1)
        nearest = np.full(len(frame), math.inf)
        np.minimum.at(nearest, receivers, distances / (radii[receivers] + radii[senders]))
        if np.isfinite(nearest).mean() > 0.5:
            break
    ratio = float(np.median(nearest))
    return ratio if ratio <= BOND_RANGE[1] else math.inf


def check_units(frames: Sequence[Atoms], source: str) -> None:
    """Raise AmsbenchError if the nearest neighbours in every structure are too far or too close for angstrom.

    Some of such structures are bad structures; where all are, the file is in other units.
    """
    judged = [frame for frame in frames if not np.isin(frame.numbers, _NOBLE_GASES).all()]
    least, most = BOND_RANGE
    ratios = []
    for frame in judged:
        ratios.append(bond_ratio(frame))
        if least <= ratios[-1] <= most:
            return
    if not ratios:
        return
    if min(ratios) > most:
        raise AmsbenchError(
            f"in {source} most atoms have no neighbour within {most} bond lengths; are positions and cell in angstrom "
            "(1 bohr is 0.529 A)?"
        )
    raise AmsbenchError(
        f"in {source} most atoms are closer to another than {least} bond lengths; are positions in angstrom, neither "
        "in nm nor as fractions of the cell?"
    )


def copies_in(frames: Sequence[Atoms]) -> dict[int, int]:
    """Numbers of structures that are the same as an earlier one, with the number of that one.

    Same elements, cell to 1e-4 A, and positions within the cell to 1e-4 of its edges, in the same order.
    """
    earlier: dict[str, int] = {}
    copies: dict[int, int] = {}
    for k, frame in enumerate(frames):
        digest = hashlib.sha256(frame.numbers.tobytes())
        with np.errstate(invalid="ignore", over="ignore"):
            digest.update((np.round(frame.cell.array, 4) + 0.0).tobytes())
            fractions = frame.positions
            if abs(np.linalg.det(frame.cell.array)) > 0:
                exact = np.linalg.solve(frame.cell.array.T, frame.positions.T).T
                fractions = np.mod(
                    np.round(1e4 * exact), 1e4
                )  # whole numbers, so that periods differ by nothing
        digest.update((fractions + 0.0).tobytes())
        first = earlier.setdefault(digest.hexdigest(), k)
        if first != k:
            copies[k] = first
    return copies


def number_in(frame: Atoms, key: str, name: str, advice: str) -> float:
    """The number under a key of a structure's ``info``, NaN as it stands there.

    name: of the structure, for messages; advice: what to do where there is no such key
    Raises AmsbenchError if it is not there, if it is no single number (text, array, true or false), and if it is
    beyond single precision.
    """
    if key not in frame.info:
        keys = ", ".join(map(str, frame.info)) or "nothing"
        raise AmsbenchError(f"{name} has no '{key}' in its info, which holds {keys}; {advice}")
    value: Any = frame.info[key]
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise AmsbenchError(f"{name} has a '{key}' that is no number: {str(value)[:40]!r}; write one number")
    with np.errstate(over="ignore"):
        if np.isinf(np.float32(value)):
            raise AmsbenchError(f"{name} has an infinite '{key}', {value}; write a finite number")
    return float(value)
