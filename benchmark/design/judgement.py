"""Measurement and judgement of one round: which of its structures are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.design_scores import duplicates, resemblances
from ..evaluation.material_limits import QUANTITIES
from ..evaluation.measurement import MeasuredStructure, MeasurementTask, measurements
from ..evaluation.reference import Reference
from ..evaluation.unmeasurable import UNMEASURABLE
from .records import DesignCosts, JudgedRound
from .request import DesignRequest

if TYPE_CHECKING:
    from ase import Atoms

RELAXED = "relaxed_"
"""Prefix of properties that were measured again on the relaxed structure."""


class Judge:
    """Judges structures as hits of the benchmark, with the tolerances of a request.

    One condition is stricter than in the benchmark: where structures are relaxed, the relaxed one has to be within the
    tolerance, too, since it is what is kept. Its properties are measured again (the size of rings, for example, is that
    of the structure as it is).
    """

    def __init__(self, request: DesignRequest, executor: Executor | None) -> None:
        self.request = request
        self.executor = executor
        self.reference = Reference(request.dataset)
        self.names = tuple(target.name for target in request.targets)
        self.task = MeasurementTask(
            definition=request.dataset.definition, properties=self.names, relaxes=True
        )

    def measured(self, frames: Sequence[Atoms], progress: Callable[[int], None]) -> list[MeasuredStructure]:
        """Measurements of generated structures, in their order."""
        done: list[MeasuredStructure] = []
        for one in measurements(frames, [], self.task, self.executor):
            done.append(one)
            progress(len(done))
        return done

    def judged(
        self,
        frames: Sequence[Atoms],
        measured: Sequence[MeasuredStructure],
        earlier: Sequence[JudgedRound],
        asked: Mapping[str, float],
    ) -> JudgedRound:
        """The round of measured structures; its costs are those of the measurement and judgement alone.

        earlier: all rounds before, with whose hits duplicates are looked for
        """
        began = time.process_time()
        rows = [dict(one.row) for one in measured]
        relaxed = [one.relaxed for one in measured]
        self._conditions(rows)
        candidates = [k for k, row in enumerate(rows) if row["within_tolerance"]]
        confirming = self._confirm(rows, relaxed, candidates)
        candidates = [k for k in candidates if rows[k]["within_tolerance"]]
        self._novelty(rows, frames, relaxed, candidates, earlier)
        for row in rows:
            row["hit"] = row["novel"]
        seconds = sum(one.cpu_seconds for one in measured) + time.process_time() - began
        if self.executor is not None:  # else this process has measured
            seconds += confirming
        return JudgedRound(
            first=sum(len(one.rows) for one in earlier),
            asked=dict(asked),
            frames=list(frames),
            relaxed=relaxed,
            rows=rows,
            costs=DesignCosts(measuring_seconds=seconds),
        )

    def _conditions(self, rows: list[dict[str, Any]]) -> None:
        """Add to each row whether it is measured, of the right substance, and within the tolerances."""
        limits = self.reference.material(relaxed=True).limits
        names = {name for row in rows for name in row if name in QUANTITIES or name.startswith("fraction_")}
        right = limits.right_substance(
            {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in names}
        )
        for k, row in enumerate(rows):
            usable = row["atoms"] > 0 and row.get(UNMEASURABLE) is None
            row["measured"] = bool(usable and all(np.isfinite(row[name]) for name in self.names))
            row["right_substance"] = bool(right[k]) and row["measured"]
            row["within_tolerance"] = row["right_substance"] and self._within(row)

    def _within(self, values: Mapping[str, Any]) -> bool:
        return all(
            abs(float(values[target.name]) - target.value) <= target.tolerance
            for target in self.request.targets
        )

    def _confirm(
        self, rows: list[dict[str, Any]], relaxed: Sequence[Atoms | None], candidates: Sequence[int]
    ) -> float:
        """Measure the relaxed structures of candidates; processor seconds. Those that miss are candidates no more."""
        for row in rows:
            row.update({f"{RELAXED}{name}": np.nan for name in self.names})
        minima = [(k, minimum) for k in candidates if (minimum := relaxed[k]) is not None]
        again = measurements([minimum for _, minimum in minima], [], self.task, self.executor)
        seconds = 0.0
        for (k, _), one in zip(minima, again, strict=True):
            rows[k].update({f"{RELAXED}{name}": float(one.row[name]) for name in self.names})
            rows[k]["within_tolerance"] = self._within(one.row)
            seconds += one.cpu_seconds
        return seconds

    def _novelty(
        self,
        rows: list[dict[str, Any]],
        frames: Sequence[Atoms],
        relaxed: Sequence[Atoms | None],
        candidates: Sequence[int],
        earlier: Sequence[JudgedRound],
    ) -> None:
        """Compare candidates with the training structures, with the hits of earlier rounds, and with each other."""
        for row in rows:
            row.update(novel=False, environment_distance=np.nan, largest_overlap=np.nan, duplicate_of=-1)
        if not candidates:
            return
        material = self.reference.material(relaxed=True)
        columns = resemblances(frames, relaxed, material, np.array(candidates))
        original = [k for k in candidates if columns["largest_overlap"][k] < material.limits.overlap]
        kept = [(one.frames[k], one.relaxed[k], one.first + k) for one in earlier for k in one.hits]
        first = sum(len(one.rows) for one in earlier)
        kept += [(frames[k], relaxed[k], first + k) for k in original]
        if original:
            structures, minima, numbers = map(list, zip(*kept, strict=True))
            firsts = duplicates(structures, minima, material, numbers)[-len(original) :]
            for k, number in zip(original, firsts, strict=True):
                rows[k].update(duplicate_of=int(number), novel=bool(number < 0))
        for k in candidates:
            rows[k].update({name: float(values[k]) for name, values in columns.items()})
