"""Finished parts of a generation in order, those of a stopped run among them: passed on, stored and summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .batches import Rows
from .partial_results import FinishedPart, PartialResults

if TYPE_CHECKING:
    from ase import Atoms

FrameConsumer = Callable[[list["Atoms"]], None]


@dataclass(kw_only=True)
class Collected:
    """Structures so far, and the seconds of the wall clock and of processors that they took."""

    frames: list[Atoms] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def collected(
    new: Sequence[Rows],
    parts: Iterator[FinishedPart],
    stored: Mapping[Rows, str],
    *,
    targets: Mapping[str, Sequence[float] | np.ndarray] | None,
    partial: PartialResults | None,
    progress: Callable[[int], None] | None,
    sink: FrameConsumer | None,
    keep: bool,
) -> Collected:
    """All structures of a request, with their targets in ``info``.

    new: which structures ``parts`` has, in this order; each is stored in ``partial`` when it comes
    stored: names of the parts that ``partial`` has already
    progress: called with the number of finished structures
    sink: called with the structures of each part
    keep: whether the structures are returned, too
    """
    found = Collected()
    finished = 0
    for rows in sorted([*stored, *new]):
        if rows in stored:
            assert partial
            part = partial.complete_part(stored[rows])
        else:
            part = next(parts)
            if partial:
                partial.write(f"{rows.start:08d}-{rows.stop:08d}", part)
        found.seconds += part.seconds
        found.cpu_seconds += part.cpu_seconds
        for k, frame in enumerate(part.frames, start=rows.start):
            frame.info.update(
                {f"target_{name}": float(values[k]) for name, values in (targets or {}).items()}
            )
        finished += len(part.frames)
        if keep:
            found.frames += part.frames
        if sink:
            sink(part.frames)
        if progress:
            progress(finished)
    return found
