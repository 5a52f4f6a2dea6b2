"""What the command line shows while it works: progress bars, sentences, errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


def say(text: str) -> None:
    """A sentence about the work, on standard error, so that standard output holds results alone."""
    print(text, file=sys.stderr, flush=True)


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is, or None where it goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """rich's progress bars on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield bars


class RunBars:
    """Shows a run: one line per finished cell, a bar for the one at work."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("starting", total=None)
        self._label = ""

    def cell(self, trial: Any, number: int, total: int, known: bool) -> None:
        self._label = f"[{number}/{total}] {trial.plan.name}, {trial.sampler}" + (
            f", {trial.steps} steps" if trial.steps else ""
        )
        if known:
            self._bars.console.print(f"{self._label}: there already", highlight=False)
        self._bars.update(self._task, description=self._label, completed=0, total=None)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._bars.update(self._task, description=f"{self._label}: {stage}", completed=done, total=total)

    def finished(self, text: str) -> None:
        self._bars.console.print(f"{self._label}: {text}", highlight=False)
