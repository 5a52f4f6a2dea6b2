"""A structure as plain data for a view in three dimensions: atoms, cell and bonds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.descriptors import GRAMS_PER_CM3
from ...metrics.neighbours.packed import pack
from ...metrics.network.bonds import BOND_STRETCH, ELEMENTAL_STRETCH, bonds_between
from ...metrics.network.element_classes import element_class, symbols_of

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 600
"""Larger structures are left out: their spheres would be too many for a telephone."""
SCALE = 100
"""Coordinates are written as whole numbers of 1/SCALE angstrom."""


def is_drawable(atoms: Atoms) -> bool:
    """Whether a structure has atoms, not too many, at finite positions in a cell with a volume."""
    return 0 < len(atoms) <= MOST_ATOMS and bool(
        np.isfinite(atoms.positions).all() and abs(np.linalg.det(atoms.cell.array)) > 0
    )


def structure_data(atoms: Atoms) -> dict[str, Any]:
    """Elements, formula, cell and bonds of one structure; lengths are whole numbers of 1/SCALE angstrom.

    symbols: cations first; species: the place of each atom's element among them
    bonds: the two atoms of each bond, then the vector between them, flat; a bond may leave the cell
    """
    wrapped = atoms.copy()
    wrapped.wrap()
    counts = wrapped.symbols.formula.count()
    symbols = sorted(counts, key=lambda symbol: (element_class(symbol) == "anion", symbol))
    return {
        "formula": "".join(f"{symbol}{counts[symbol]}" for symbol in symbols),
        "atoms": len(wrapped),
        "density": round(GRAMS_PER_CM3 * float(wrapped.get_masses().sum() / wrapped.get_volume()), 3),
        "symbols": symbols,
        "species": [symbols.index(symbol) for symbol in wrapped.get_chemical_symbols()],
        "positions": _whole(wrapped.positions),
        "cell": _whole(wrapped.cell.array),
        "bonds": _bonds(wrapped),
    }


def elements_data(symbols: set[str]) -> dict[str, dict[str, Any]]:
    """Colour and covalent radius (angstrom) of each element, after Jmol and ASE."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    return {
        symbol: {
            "colour": "#" + "".join(f"{round(255 * part):02x}" for part in jmol_colors[number]),
            "radius": round(float(covalent_radii[number]), 2),
        }
        for symbol in sorted(symbols)
        for number in [atomic_numbers[symbol]]
    }


def _whole(lengths: np.ndarray) -> list[int]:
    return [int(number) for number in np.rint(SCALE * lengths).ravel()]


def _bonds(atoms: Atoms) -> list[int]:
    """Bonds between network formers and anions, as the metrics of the network count them; of formers without anions."""
    packed = pack([atoms])
    formers, anions = symbols_of("former"), symbols_of("anion")
    has_anions = bool(anions & set(atoms.get_chemical_symbols()))
    ends, stretch = (anions, BOND_STRETCH) if has_anions else (formers, ELEMENTAL_STRETCH)
    bonds = bonds_between(packed, formers, ends, stretch=stretch)
    chosen = np.flatnonzero(np.isin(atoms.get_chemical_symbols(), sorted(formers | ends)))
    first, second = chosen[bonds.centre], chosen[bonds.end]
    # a bond between two formers is in the list from either side
    once = np.ones(len(first), dtype=bool) if has_anions else first < second
    rows = np.column_stack([first, second, np.rint(SCALE * bonds.vector)]).astype(int)[once]
    return [int(number) for number in rows.ravel()]
