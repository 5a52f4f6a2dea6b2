"""The compositions of the multi-element glasses: network formers, modifiers, and the oxygen that makes them neutral."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

FORMERS = ("Si", "P", "Al")
MODIFIERS = ("Li", "Be", "K", "Ca", "Ti", "Ba", "Zn")
ELEMENTS = (*FORMERS, *MODIFIERS, "O")
VALENCE = {"Si": 4, "P": 5, "Al": 3, "Li": 1, "Be": 2, "K": 1, "Ca": 2, "Ti": 4, "Ba": 2, "Zn": 2, "O": -2}
"""Formal charges, e."""
FORMER_PARTS = 6
"""Formers share their part of the cations in sixths."""
MODIFIER_PARTS = 4
"""Every modifier has so many fourths of the modifiers' largest part."""
MOST_MODIFIERS = Fraction(2, 5)
"""Largest part of the cations that are modifiers."""
SIZES_TRIED = 12
"""Numbers of cations about the wanted one that are looked at for a neutral cell."""


@dataclass(frozen=True)
class Composition:
    """Shares of the cations, exact, in the order of FORMERS and MODIFIERS; they add up to 1."""

    cations: tuple[Fraction, ...]

    @property
    def charge(self) -> Fraction:
        """Formal charge per cation, which half as many O balance."""
        return sum(
            (part * VALENCE[element] for part, element in zip(self.cations, ELEMENTS, strict=False)),
            Fraction(0),
        )

    @property
    def fractions(self) -> dict[str, float]:
        """Shares of all atoms by element, oxygen included, elements that are absent too."""
        atoms = 1 + self.charge / 2
        parts = (*self.cations, self.charge / 2)
        return {element: float(part / atoms) for element, part in zip(ELEMENTS, parts, strict=True)}

    def atoms(self, count: int) -> dict[str, int]:
        """Numbers of atoms of each element, charge neutral, as near to ``count`` in all as that allows.

        Raises ValueError for fewer atoms than the composition can be made of.
        """
        wanted = count / float(1 + self.charge / 2)
        tried = range(max(1, round(wanted) - SIZES_TRIED), round(wanted) + SIZES_TRIED + 1)
        found = [counts for cations in tried if (counts := self._neutral(cations)) is not None]
        if not found:
            raise ValueError(f"{count} atoms are too few for a neutral cell of {self}")
        return min(found, key=lambda counts: abs(sum(counts.values()) - count))

    def _neutral(self, cations: int) -> dict[str, int] | None:
        """The nearest whole numbers of so many cations, with O; None where no number of O is neutral or one is lost."""
        exact = [part * cations for part in self.cations]
        counts = [int(value) for value in exact]
        for k in sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])[: cations - sum(counts)]:
            counts[k] += 1
        charge = sum(VALENCE[element] * n for element, n in zip(ELEMENTS, counts, strict=False))
        if charge % 2 or any(part and not n for part, n in zip(self.cations, counts, strict=True)):
            return None
        return dict(zip(ELEMENTS, (*counts, charge // 2), strict=True))

    def __str__(self) -> str:
        return " ".join(
            f"{element}{float(part):.3g}"
            for element, part in zip(ELEMENTS, self.cations, strict=False)
            if part
        )


def _shares(parts: int, kinds: int) -> Iterator[tuple[int, ...]]:
    """All ways to give ``parts`` to ``kinds`` of takers."""
    return (given for given in product(range(parts + 1), repeat=kinds) if sum(given) == parts)


def compositions() -> list[Composition]:
    """All 9,240, in a fixed order."""
    formers = list(_shares(FORMER_PARTS, len(FORMERS)))
    # the last taker is nobody: modifiers need not fill their part
    modifiers = [given[:-1] for given in _shares(MODIFIER_PARTS, len(MODIFIERS) + 1)]
    found = []
    for given in modifiers:
        parts = [MOST_MODIFIERS * k / MODIFIER_PARTS for k in given]
        left = 1 - sum(parts, Fraction(0))
        found += [Composition((*(left * k / FORMER_PARTS for k in former), *parts)) for former in formers]
    return found


def sampling_weights(lithium: np.ndarray, rich: float, share: float) -> np.ndarray:
    """Probabilities [n] of drawing each composition, those above ``rich`` percent Li together with ``share``.

    lithium [n]: percent of all atoms
    """
    high = lithium > rich
    return np.where(high, share / max(high.sum(), 1), (1 - share) / max((~high).sum(), 1))
