"""Compositions of the multi-element glasses: network formers, modifiers, and oxygen for neutrality."""

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
"""Fractions of the formers are multiples of a sixth of all formers."""
MODIFIER_PARTS = 4
"""Fractions of the modifiers are multiples of a fourth of MOST_MODIFIERS."""
MOST_MODIFIERS = Fraction(2, 5)
"""Largest fraction of the cations that are modifiers."""
SIZES_TRIED = 12
"""Largest distance of the number of cations from the exact one in the search for a neutral cell."""


@dataclass(frozen=True)
class Composition:
    """Exact fractions of the cations in the order of FORMERS and MODIFIERS; their sum is 1."""

    cations: tuple[Fraction, ...]

    @property
    def charge(self) -> Fraction:
        """Formal charge per cation (e), balanced by half as many O."""
        return sum(
            (part * VALENCE[element] for part, element in zip(self.cations, ELEMENTS, strict=False)),
            Fraction(0),
        )

    @property
    def fractions(self) -> dict[str, float]:
        """Fractions of all atoms, oxygen included, by element, 0 for absent elements."""
        atoms = 1 + self.charge / 2
        parts = (*self.cations, self.charge / 2)
        return {element: float(part / atoms) for element, part in zip(ELEMENTS, parts, strict=True)}

    def atoms(self, count: int) -> dict[str, int]:
        """Atoms of each element in the neutral cell whose total number of atoms is closest to ``count``.

        Raises ValueError if ``count`` is too small for the composition.
        """
        exact = count / float(1 + self.charge / 2)
        tried = range(max(1, round(exact) - SIZES_TRIED), round(exact) + SIZES_TRIED + 1)
        neutral = [counts for cations in tried if (counts := self._neutral(cations)) is not None]
        if not neutral:
            raise ValueError(f"{count} atoms are too few for a neutral cell of {self}")
        return min(neutral, key=lambda counts: abs(sum(counts.values()) - count))

    def _neutral(self, cations: int) -> dict[str, int] | None:
        """Atoms by element for this number of cations, O included; None if no cell is neutral or an element is lost."""
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
    """All ways to write ``parts`` as a sum of ``kinds`` numbers from 0 on, in order."""
    return (shares for shares in product(range(parts + 1), repeat=kinds) if sum(shares) == parts)


def compositions() -> list[Composition]:
    """All 9,240 compositions in a fixed order."""
    formers = list(_shares(FORMER_PARTS, len(FORMERS)))
    # the last share is dropped, because there may be fewer modifiers than MOST_MODIFIERS
    modifiers = [shares[:-1] for shares in _shares(MODIFIER_PARTS, len(MODIFIERS) + 1)]
    items = []
    for shares in modifiers:
        parts = [MOST_MODIFIERS * k / MODIFIER_PARTS for k in shares]
        left = 1 - sum(parts, Fraction(0))
        items += [Composition((*(left * k / FORMER_PARTS for k in former), *parts)) for former in formers]
    return items


def sampling_weights(lithium: np.ndarray, rich: float, share: float) -> np.ndarray:
    """Probabilities [n] of drawing each composition, with a total of ``share`` for those above ``rich`` percent Li.

    lithium [n]: lithium contents in percent of all atoms
    """
    high = lithium > rich
    return np.where(high, share / max(high.sum(), 1), (1 - share) / max((~high).sum(), 1))
