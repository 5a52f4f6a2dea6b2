"""Log of a training: a CSV file with one row per validation."""

from __future__ import annotations

import csv
from pathlib import Path

from ..system.files import write_atomically, writing

_COLUMNS = ("step", "samples_seen", "seconds", "rate", "loss", "validation", "losses")


def append_row(
    path: Path,
    step: int,
    samples_seen: int,
    seconds: float,
    rate: float,
    losses: dict[str, float],
    validation: float,
) -> None:
    """Append a row to the log; a new file gets its header first."""
    new = not path.exists()
    with writing(path), open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(_COLUMNS)
        parts = " ".join(f"{name}={value:.6g}" for name, value in losses.items())
        writer.writerow(
            [
                step,
                samples_seen,
                f"{seconds:.1f}",
                f"{rate:.3e}",
                f"{losses['loss']:.6g}",
                f"{validation:.6g}",
                parts,
            ]
        )


def truncate_log(path: Path, step: int) -> None:
    """Delete the rows of steps after ``step``, which a resumed training does again, and what is no whole row.

    A kill or a full disk may leave a part of a row at the end.
    """
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(_COLUMNS)]
    kept = [list(_COLUMNS), *(row for row in rows if row[0].isdecimal() and int(row[0]) <= step)]

    def write(target: Path) -> None:
        with open(target, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)

    write_atomically(path, write)
