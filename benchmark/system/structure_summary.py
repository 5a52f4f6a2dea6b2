"""One line about a set of structures: how many, of what, in which cells, and how many of them are copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...metrics.descriptors import GRAMS_PER_CM3

if TYPE_CHECKING:
    from ase import Atoms


def summary_line(
    source: str,
    frames: Sequence[Atoms],
    files: Sequence[str],
    formats: Sequence[str],
    faults: Mapping[int, str],
    copies: Mapping[int, int],
    left_out: Sequence[str],
) -> str:
    """Text such as "Read 3 structures from a.xyz (extxyz): Si8O16; cell 7.16 x 7.16 x 7.16 A, 2.17 g/cm^3; no copies".

    faults: reasons why structures cannot be measured, by their numbers; cells and density are those of the others
    copies: numbers of structures that are the same as an earlier one; left_out: files that were not read
    """
    names = dict.fromkeys(files)
    sound = [frame for k, frame in enumerate(frames) if k not in faults]
    of_files = f" ({len(names)} files)" if len(names) > 1 else ""
    parts = [
        f"Read {counted(len(frames), 'structure')} from {source}{of_files} as {', '.join(formats)}: "
        f"{_composition(frames)}",
        *([_cells(sound)] if sound else []),
        _copies(copies, len(frames)),
    ]
    if faults:
        parts.append(f"{len(faults)} cannot be measured")
    if left_out:
        parts.append(f"not read: {_listed(left_out)}")
    return "; ".join(parts)


def counted(number: int, noun: str) -> str:
    """``1 structure``, ``3 structures``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _composition(frames: Sequence[Atoms]) -> str:
    formulas = list(dict.fromkeys(frame.symbols.formula.format("metal") for frame in frames))
    if len(formulas) == 1:
        return formulas[0] or "no atoms"
    counts = [len(frame) for frame in frames]
    elements = sorted({symbol for frame in frames for symbol in frame.symbols})
    atoms = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    return f"{len(formulas)} compositions of {', '.join(elements)}, {atoms} atoms"


def _cells(frames: Sequence[Atoms]) -> str:
    """Edges of the cells and the mean mass density."""
    lengths = np.array([frame.cell.lengths() for frame in frames])
    low, high = lengths.min(axis=0), lengths.max(axis=0)
    edges = [
        f"{a:.4g}" if f"{a:.4g}" == f"{b:.4g}" else f"{a:.4g} to {b:.4g}"
        for a, b in zip(low, high, strict=True)
    ]
    volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])
    masses = np.array([frame.get_masses().sum() for frame in frames])
    density = float(np.mean(GRAMS_PER_CM3 * masses / volumes))
    return f"cell edges {' x '.join(edges)} A, {density:.4g} g/cm^3"


def _copies(copies: Mapping[int, int], count: int) -> str:
    if not copies:
        return "no copies"
    first = min(copies)
    return f"only {count - len(copies)} different (structure {first} is a copy of structure {copies[first]})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
