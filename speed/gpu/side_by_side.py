"""Trainings side by side as processes on one GPU, whose files are copied to the output folder as they are written.

A process that is killed at its limit leaves complete files: they are replaced by renaming.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...benchmark.execution.cores import available_cores
from ...benchmark.system.files import check_writable, write_atomically, write_text
from ...leaderboards.tables.text_table import Table, render
from .plan import PlannedTraining, case_of, names_of
from .training import OUTCOME, SPECIFICATION

LARGEST_FILE = 16 * 2**20 - 1
"""Largest file that comes back, bytes."""
VALIDATION_SECONDS, MOST_SAMPLES, FIRST_SAMPLES = 60, 200_000, 20_000
"""Time between validations where the speed is known from a check, the most structures between them, and their number
where it is not."""
LOOK_SECONDS = 2.0
LOG_LINES = 25
"""Last lines of the messages of each training in the file of logs."""


def train_side_by_side(
    plan: Sequence[PlannedTraining],
    output: Path,
    *,
    folder: Path,
    minutes: float,
    device: str,
    checked: Mapping[str, Any],
) -> bool:
    """Run the trainings of a plan for ``minutes`` in all; print a table; return whether all have a checkpoint.

    output: gets ``<name>.safetensors`` and ``<name>-resume.pt`` of each training, ``summary.json`` and ``logs.txt``
    folder: place of the trainings' own files, emptied before
    checked: content of the ``check.json`` of this kit, which has the fastest kernels and the speed; may be empty
    """
    end = time.time() + 60 * minutes
    check_writable(output)
    shutil.rmtree(folder, ignore_errors=True)
    check_writable(folder)
    names = names_of(tuple(plan))
    processes = {
        name: _started(planned, folder / name, end=end, device=device, checked=checked, count=len(plan))
        for name, planned in zip(names, plan, strict=True)
    }
    copied: dict[Path, int] = {}
    try:
        while any(process.poll() is None for process in processes.values()) and time.time() < end:
            _copy_new(folder, output, names, copied)
            time.sleep(min(LOOK_SECONDS, max(0.0, end - time.time())))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        outcomes = _copy_new(folder, output, names, copied)
    print(render(_table(outcomes)))
    return all((output / f"{name}.safetensors").is_file() for name in names)


def _started(
    planned: PlannedTraining,
    folder: Path,
    *,
    end: float,
    device: str,
    checked: Mapping[str, Any],
    count: int,
) -> subprocess.Popen[bytes]:
    """The process of one training, with its share of the processor's cores."""
    folder.mkdir(parents=True)
    rates = checked.get("samples_per_second", {})
    # in a check each training has the GPU for itself
    rate = rates.get(case_of(planned.method, planned.dataset, planned.set), 0.0) / count
    every = max(planned.batch_size, min(MOST_SAMPLES, int(rate * VALIDATION_SECONDS) or FIRST_SAMPLES))
    specification = {
        "training": planned.as_json(),
        "end": end,
        "device": device,
        "validate_every": every,
    }
    write_text(folder / SPECIFICATION, json.dumps(specification))
    threads = str(max(1, available_cores() // count))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "amsbench.speed.gpu", "one", str(folder)]
    with open(folder / "messages.txt", "wb") as messages:
        return subprocess.Popen(
            command,
            env=environment | checked.get("environment", {}),
            stdout=messages,
            stderr=subprocess.STDOUT,
        )


def _copy_new(
    folder: Path, output: Path, names: Sequence[str], copied: dict[Path, int]
) -> dict[str, dict[str, Any]]:
    """Copy the files that have changed since the last call, and return the outcomes of the trainings."""
    outcomes = {}
    for name in names:
        outcome: dict[str, Any] = {"state": "no message yet", "validations": []}
        if (folder / name / OUTCOME).is_file():
            outcome = json.loads((folder / name / OUTCOME).read_text(encoding="utf-8"))
        left_out = [
            target
            for source, target in (("best.safetensors", ".safetensors"), ("resume.pt", "-resume.pt"))
            if not _copied(folder / name / source, output / f"{name}{target}", copied)
        ]
        outcomes[name] = outcome | ({"too large to come back": left_out} if left_out else {})
    write_text(output / "summary.json", json.dumps(outcomes, indent=1) + "\n")
    write_text(output / "logs.txt", "\n".join(_log(folder / name, name) for name in names))
    return outcomes


def _copied(source: Path, target: Path, copied: dict[Path, int]) -> bool:
    """Copy a file if it is new; False if it is too large."""
    try:
        facts = source.stat()
    except FileNotFoundError:
        return True
    if facts.st_size > LARGEST_FILE:
        return False
    if copied.get(source) != facts.st_mtime_ns:
        write_atomically(target, lambda temporary: _copy(source, temporary))
        copied[source] = facts.st_mtime_ns
    return True


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _log(folder: Path, name: str) -> str:
    """The log of a training and the end of its messages."""
    parts = [f"== {name}"]
    for file, lines in (("log.csv", None), ("messages.txt", LOG_LINES)):
        if (folder / file).is_file():
            text = (folder / file).read_text(encoding="utf-8", errors="replace").splitlines()
            parts += text if lines is None else text[-lines:]
    return "\n".join(parts) + "\n"


def _table(outcomes: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, outcome in outcomes.items():
        losses = [loss for _, loss in outcome["validations"]]
        rows.append((
            name,
            outcome["state"],
            f"{outcome.get('samples_seen', 0):,}",
            f"{outcome.get('samples_per_second', 0.0):,.1f}",
            f"{losses[0]:.6g}" if losses else "-",
            f"{min(losses):.6g}" if losses else "-",
            f"{losses[-1]:.6g}" if losses else "-",
        ))  # fmt: skip
    errors = tuple(
        f"{name}: {outcome['error'].strip().splitlines()[-1]}"
        for name, outcome in outcomes.items()
        if "error" in outcome
    )
    return Table(
        title="Trainings side by side",
        columns=("training", "state", "structures", "per second", "first", "best", "last"),
        rows=tuple(rows),
        caption=("first, best, last: validation losses of the moving average.", *errors),
        records=(),
    )
