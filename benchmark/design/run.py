"""A design run: rounds of generation, measurement and judgement until it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

from ..display.shows_itself import ShowsItself
from ..generation.generate import generate_structures
from ..system.compact_structures import on_grid
from .bias import asked_values
from .endings import Ending, ending_of
from .folder import DesignFolder
from .glasses import glass
from .judgement import Judge
from .records import DesignCosts, JudgedRound, hit_count, nearest, table_of
from .request import DesignRequest

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms


class DesignObserver(Protocol):
    """Interface that receives the progress of a design."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Called with the number of structures ``done`` of a round in the stage ``generating`` or ``measuring``."""

    def round_judged(self, number: int, rounds: Sequence[JudgedRound]) -> None:
        """Called when round ``number``, the last of ``rounds``, is judged; also for rounds of a stopped run."""


class Unobserved:
    """Observer that does nothing."""

    def progress(self, stage: str, done: int, total: int) -> None:
        pass

    def round_judged(self, number: int, rounds: Sequence[JudgedRound]) -> None:
        pass


@dataclass(frozen=True, kw_only=True, eq=False)
class Design(ShowsItself):
    """The result of a design.

    frames: the hits, at most as many as were to be made, in the order in which they were generated, with properties,
        targets and origin in ``info``
    table: one row per tried structure: number, round, targets, asked values, measurements, conditions of a hit
    ending: why it has ended
    costs: of all tried structures
    nearest: the structure nearest to the targets, also if it is no hit; None if nothing could be measured
    hits: number of hits among the tried structures
    request, rounds: what was asked for, and the judged rounds
    """

    html_writer: ClassVar[str] = "benchmark.design.report:design_html"

    frames: list[Atoms]
    table: pd.DataFrame
    ending: Ending
    costs: DesignCosts
    nearest: Atoms | None
    hits: int
    request: DesignRequest
    rounds: tuple[JudgedRound, ...]

    @property
    def complete(self) -> bool:
        """Whether there are as many glasses as were to be made."""
        return self.ending.kind == "complete"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Generated:
    asked: dict[str, float]
    frames: list[Atoms]
    seconds: float


class _Stopped(Exception):
    """Raised within the generation when its structures are needed no more."""


def run_design(
    request: DesignRequest,
    folder: DesignFolder,
    executor: Executor | None,
    observer: DesignObserver,
    *,
    overlap: bool = False,
    as_generated: bool = False,
) -> Design:
    """Make the glasses of a request, going on with what the folder holds.

    executor: runs the measurements; None measures in this process
    overlap: whether this process generates the next round while the executor measures one
    as_generated: whether the glasses are structures as generated, not relaxed ones

    Structure k follows from the request alone, whatever the number of processes and interruptions.
    """
    rounds = _Rounds(request, folder, executor, observer, overlap=overlap).all()
    costs, ahead = _costs(rounds), folder.costs_ahead(len(rounds), on_gpu=request.on_gpu)
    ending = ending_of(request, rounds, costs)
    assert ending is not None
    places = [(number, place) for number, one in enumerate(rounds) for place in one.hits]
    values = {target.name: target.value for target in request.targets}
    best = nearest(rounds, values, {target.name: target.tolerance for target in request.targets})
    return Design(
        frames=[
            glass(request, rounds, *where, relaxed=not as_generated) for where in places[: request.count]
        ],
        table=table_of(rounds, values),
        ending=ending,
        costs=costs + ahead,
        nearest=None if best is None else glass(request, rounds, *best, relaxed=not as_generated),
        hits=hit_count(rounds),
        request=request,
        rounds=tuple(rounds),
    )


def _costs(rounds: Sequence[JudgedRound]) -> DesignCosts:
    return sum((one.costs for one in rounds), DesignCosts())


class _Rounds:
    """Computes rounds, or reads them from the folder."""

    def __init__(
        self,
        request: DesignRequest,
        folder: DesignFolder,
        executor: Executor | None,
        observer: DesignObserver,
        *,
        overlap: bool,
    ) -> None:
        self.request = request
        self.folder = folder
        self.overlap = overlap and executor is not None
        self.observer = observer
        self.judge = Judge(request, executor)
        self._stopped = threading.Event()

    def all(self) -> list[JudgedRound]:
        """The rounds until the ending."""
        rounds: list[JudgedRound] = []
        ahead: Future[_Generated] | None = None
        with ThreadPoolExecutor(1) as thread:
            try:
                while ending_of(self.request, rounds, _costs(rounds)) is None:
                    number = len(rounds)
                    judged = self.folder.judged(number)
                    if judged is None:
                        began = time.perf_counter()
                        generated = self._generate(number, rounds) if ahead is None else ahead.result()
                        ahead = None
                        # the first round is judged before the second is generated, since it shows the bias
                        if self.overlap and 0 < number < self.request.most // self.request.round_size - 1:
                            ahead = thread.submit(self._generate, number + 1, tuple(rounds))
                        judged = self._judged(generated, rounds, ahead, began)
                        self.folder.write(number, judged)
                    rounds.append(judged)
                    self.observer.round_judged(number, rounds)
            except BaseException:
                self._stopped.set()
                raise
        return rounds

    def _generate(self, number: int, rounds: Sequence[JudgedRound]) -> _Generated:
        request, size = self.request, self.request.round_size
        asked = asked_values(request, number, rounds)
        first = number * size
        cells, counts = request.cells(first, size)

        def progress(done: int) -> None:
            if self._stopped.is_set():
                raise _Stopped
            self.observer.progress("generating", done, size)

        generated = generate_structures(
            request.checkpoint.method,
            cells=cells,
            counts=counts,
            targets={name: [value] * size for name, value in asked.items()},
            steps=request.steps,
            sampler=request.sampler,
            seed=request.seed,
            first=first,
            devices=request.checkpoint.devices,
            progress=progress,
            partial=self.folder.generated(number),
        )
        seconds = generated.seconds if generated.cpu_seconds is None else generated.cpu_seconds
        return _Generated(asked=asked, frames=[on_grid(atoms) for atoms in generated.frames], seconds=seconds)

    def _judged(
        self,
        generated: _Generated,
        rounds: Sequence[JudgedRound],
        ahead: Future[_Generated] | None,
        began: float,
    ) -> JudgedRound:
        size = len(generated.frames)
        measured = self.judge.measured(
            generated.frames, lambda done: self.observer.progress("measuring", done, size)
        )
        if ahead is not None:  # the processor time of this process is that of the generation until then
            wait([ahead])
        judged = self.judge.judged(generated.frames, measured, rounds, generated.asked)
        costs = DesignCosts(generation_seconds=generated.seconds, wall_seconds=time.perf_counter() - began)
        return replace(judged, costs=judged.costs + costs)
