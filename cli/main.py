"""The command line: the application, its commands, and the handling of errors.

Commands import heavy modules when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from ..errors import AmsbenchError
from .data import data_app
from .design import design_command
from .generate import evaluate_command, generate_command, picture_command
from .leaderboards import figures_command, page_command, table_command
from .metrics import metrics_command, new_metric_command
from .plugins import datasets_command, info_command, methods_command, new_method_command
from .progress import say
from .run import run_command, sweep_command
from .speed import bench_command
from .submit import compact_command, submit_command, verify_command
from .train import anneal_command, train_command

COMMANDS: dict[str, Callable[..., None]] = {
    "run": run_command,
    "sweep": sweep_command,
    "table": table_command,
    "page": page_command,
    "figures": figures_command,
    "submit": submit_command,
    "verify": verify_command,
    "compact": compact_command,
    "train": train_command,
    "anneal": anneal_command,
    "generate": generate_command,
    "design": design_command,
    "evaluate": evaluate_command,
    "picture": picture_command,
    "datasets": datasets_command,
    "methods": methods_command,
    "new-method": new_method_command,
    "metrics": metrics_command,
    "new-metric": new_metric_command,
    "info": info_command,
    "bench": bench_command,
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark generative models of amorphous materials, and make glass structures with chosen properties.",
)

app.add_typer(data_app, name="data")


for name, command in COMMANDS.items():
    app.command(name)(command)


def _without_exits(command: Callable[..., None]) -> Callable[..., None]:
    """The command, where a ``sys.exit`` becomes an AmsbenchError: no code of this package has one, but plug-ins may."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except SystemExit as error:
            raise AmsbenchError(
                f"a plug-in ended the command by sys.exit({error.code!r}) before it was done; remove that from its code"
            ) from error

    return call


for group in (app, data_app):
    for registered in group.registered_commands:
        if registered.callback is not None:
            registered.callback = _without_exits(registered.callback)


DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk that is full, broken or read-only."""

NAME_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EINVAL)
"""Errors of a name that cannot be that of a file, or of a file that this user may not read."""


class _MessageStream(io.TextIOWrapper):
    """Standard error whose messages are lost, and not the work that they are about, where it cannot be written.

    That is so if it goes to a file on a full disk, or to a terminal or program that is gone.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def main() -> None:
    """Run the command line; an AmsbenchError becomes one sentence on standard error and exit code 2."""
    os.environ.setdefault("KMP_WARNINGS", "off")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal without σ or ±, and names of files with any bytes, spoil a character and not the command
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:  # and not that of a test
        sys.stderr = _MessageStream(
            sys.stderr.buffer, sys.stderr.encoding, sys.stderr.errors, line_buffering=True
        )
    # job schedulers stop a command by SIGTERM: as after Ctrl-C, worker processes end and partial files are removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except AmsbenchError as error:
        say(f"amsbench: {error}")
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not _memory_is_full(error):
            raise
        from ..benchmark.system.files import reason_of

        say(
            f"amsbench: there is not enough memory ({reason_of(error)}); give fewer or smaller structures, or fewer "
            "--cores"
        )
        sys.exit(2)
    except OSError as error:
        if error.errno in NAME_ERRORS and error.filename:
            say(f"amsbench: {error.filename} cannot be used: {error.strerror}; give another file or folder")
            sys.exit(2)
        if error.errno not in DISK_ERRORS:
            raise
        where = f" {error.filename}" if error.filename else ""
        say(
            f"amsbench: cannot write{where}: {error.strerror}; make room, or choose folders that you may write to "
            "(TMPDIR is that of temporary files)"
        )
        sys.exit(2)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:
        if end.code == 130:  # typer's exit code for an interrupted command
            _stopped()
        raise


def _memory_is_full(error: Exception) -> bool:
    """Whether an error says that memory could not be allocated: Python's and numpy's, or torch's, which has no type for
    it on a processor."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("DefaultCPUAllocator", "out of memory")
    )


def _stopped() -> NoReturn:
    say(
        "amsbench: stopped; given again, data build, train, anneal, generate, run, sweep and design go on, other "
        "commands start anew"
    )
    sys.exit(130)
