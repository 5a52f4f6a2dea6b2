"""Progress bars and messages of the command line, on standard error."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

FEWER_COLUMNS = (
    "The table is wider than the terminal and printed in parts; 'amsbench table' shows fewer columns with --methods or "
    "--samplers."
)
"""What a command says below a table in parts."""


def say(text: str) -> None:
    """Print a message on standard error, so that standard output holds results only."""
    print(text, file=sys.stderr, flush=True)


def terminal_width() -> int | None:
    """Columns of the terminal of standard output; None if standard output is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Context with rich's progress bars on standard error; they vanish at its end."""
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
    """Observer of a run: prints one line per finished result and shows a bar for the current one."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("starting", total=None)
        self._label = ""

    def trial_started(self, trial: Any, number: int, total: int, known: bool) -> None:
        from ..benchmark.interface.evaluation_plan import steps_text

        self._label = f"[{number}/{total}] {trial.plan.name}, {trial.sampler}" + (
            f", {steps_text(trial.steps)}" if trial.steps else ""
        )
        if known:
            self._label += ", there already"
        self._bars.update(self._task, description=self._label, completed=0, total=None)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._bars.update(self._task, description=f"{self._label}: {stage}", completed=done, total=total)

    def finished(self, text: str) -> None:
        self._bars.console.print(f"{self._label}: {text}", highlight=False, soft_wrap=True)
