"""Records of a design: judged rounds, the structures in them, and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

CONDITIONS = ("measured", "right_substance", "within_tolerance", "novel")
"""Conditions of a hit, in the order in which they are examined; one that needs no examination any more is False."""


@dataclass(frozen=True, kw_only=True)
class DesignCosts:
    """What a design has cost.

    generation_seconds: of processors, or of the GPU, for all generated structures
    measuring_seconds: of processors, for measurements and judgement
    wall_seconds: elapsed time, over all processes that worked on it
    """

    generation_seconds: float = 0.0
    measuring_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __add__(self, other: DesignCosts) -> DesignCosts:
        return DesignCosts(
            generation_seconds=self.generation_seconds + other.generation_seconds,
            measuring_seconds=self.measuring_seconds + other.measuring_seconds,
            wall_seconds=self.wall_seconds + other.wall_seconds,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedRound:
    """A round of structures that were generated together, measured and judged.

    first: number of the first structure in the design
    asked: values that the model was given, by property
    frames: as generated, on the grid; relaxed: None where there is none
    rows: measurements, ``CONDITIONS`` and ``hit`` of each structure
    """

    first: int
    asked: Mapping[str, float]
    frames: Sequence[Atoms]
    relaxed: Sequence[Atoms | None]
    rows: Sequence[Mapping[str, Any]]
    costs: DesignCosts

    def differences(self, name: str) -> np.ndarray:
        """Obtained minus asked values of a property, of the structures of the right substance: [at most s]."""
        obtained = [float(row[name]) for row in self.rows if row["right_substance"]]
        values = np.array(obtained, dtype=float)
        return np.asarray(values[np.isfinite(values)] - self.asked[name])

    @property
    def hits(self) -> list[int]:
        """Places of the hits in the round."""
        return [k for k, row in enumerate(self.rows) if row["hit"]]


def tried(rounds: Sequence[JudgedRound]) -> int:
    """Number of structures in rounds."""
    return sum(len(one.rows) for one in rounds)


def hit_count(rounds: Sequence[JudgedRound]) -> int:
    """Number of hits in rounds."""
    return sum(len(one.hits) for one in rounds)


def obtained_values(rounds: Sequence[JudgedRound], name: str) -> np.ndarray:
    """Measured values of a property in rounds: of structures of the right substance, or of all if there is none."""
    rows = [row for one in rounds for row in one.rows]
    values = [float(row[name]) for row in rows if row["right_substance"]]
    if not np.isfinite(values).any():
        values = [float(row[name]) for row in rows]
    array = np.array(values, dtype=float)
    return np.asarray(array[np.isfinite(array)])


def table_of(rounds: Sequence[JudgedRound], targets: Mapping[str, float]) -> pd.DataFrame:
    """One row per tried structure: number, round, targets, asked values, measurements, conditions of a hit."""
    import pandas as pd

    rows = [
        {
            "structure": one.first + k,
            "round": number,
            **{f"target_{name}": value for name, value in targets.items()},
            **{f"asked_{name}": value for name, value in one.asked.items()},
            **row,
        }
        for number, one in enumerate(rounds)
        for k, row in enumerate(one.rows)
    ]
    return pd.DataFrame(rows)


def nearest(
    rounds: Sequence[JudgedRound], targets: Mapping[str, float], tolerances: Mapping[str, float]
) -> tuple[int, int] | None:
    """Round and place of the structure nearest to the targets in units of the tolerances; None if none was measured.

    Hits come first, then structures of the right substance.
    """
    best, place = (False, False, -math.inf), None
    for number, one in enumerate(rounds):
        for k, row in enumerate(one.rows):
            far = max(abs(float(row[name]) - value) / tolerances[name] for name, value in targets.items())
            rank = bool(row["hit"]), bool(row["right_substance"]), -far
            if math.isfinite(far) and rank > best:
                best, place = rank, (number, k)
    return place
