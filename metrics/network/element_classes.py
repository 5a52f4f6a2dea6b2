"""Classes of elements in a glass: anions, network formers and modifiers, whatever the elements of a material.

Names by class mean the same in every material: ``former-anion`` is Si-O in silica, and Si-O, P-O and Al-O together in
an aluminophosphosilicate glass.

- Network formers are the cations of oxides that form glasses by themselves (W. H. Zachariasen, J. Am. Chem. Soc. 54,
  3841, 1932), carbon, and aluminium.
- Al is an intermediate (K.-H. Sun, J. Am. Ceram. Soc. 30, 277, 1947): Al2O3 forms no glass alone, but in other glasses
  Al is part of the network where a modifier balances its charge. It is a former here, as in the recipe of ``meg``. In
  its glasses Al has 4.1 oxygen neighbours on average, like Si and P, and unlike any modifier at the same distance.
- Modifiers are all other elements. Among them are the other intermediates of ``meg`` (Be, Ti, Zn), which its recipe
  exchanges for alkali and alkaline earth elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ..neighbours.packed import SupportsPacking

ElementClass = Literal["anion", "former", "modifier"]

ANIONS = frozenset({"O", "F", "Cl", "Br", "I", "S", "Se", "Te", "N"})

FORMERS = frozenset({"Si", "P", "Al", "B", "Ge", "As", "Sb", "C"})


def element_class(symbol: str) -> ElementClass:
    """Class of an element by its chemical symbol."""
    if symbol in ANIONS:
        return "anion"
    return "former" if symbol in FORMERS else "modifier"


def symbols_of(of_class: ElementClass) -> frozenset[str]:
    """Chemical symbols of all elements of a class."""
    from ase.data import chemical_symbols

    return frozenset(symbol for symbol in chemical_symbols[1:] if element_class(symbol) == of_class)


def classes_in(elements: Iterable[str]) -> frozenset[ElementClass]:
    """Classes that occur among the elements of a material."""
    return frozenset(element_class(symbol) for symbol in elements)


def atoms_of(packed: SupportsPacking, symbols: Collection[str]) -> np.ndarray:
    """Whether each atom [n] is of one of these elements; AmsbenchError for structures without species."""
    from ase.data import atomic_numbers

    if packed.numbers is None:
        raise AmsbenchError(
            "packed structures without atomic numbers have no partial distributions; give them 'numbers' or pass Atoms"
        )
    return np.isin(packed.numbers, [atomic_numbers[symbol] for symbol in symbols])
