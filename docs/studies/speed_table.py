"""Prints the table of docs/speed.md from two measurements of one machine.

    amsbench bench --cores 1 --output-file ONE.json
    amsbench bench --output-file ALL.json
    python docs/studies/speed_table.py ONE.json ALL.json

One row per path; rows that only one of the measurements has are left blank in the other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

UNITS = {"call": "", "run": "", "structure": "/structure", "atom": "/atom"}
SCALES = (("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def time_text(seconds: float, unit: str) -> str:
    """Three digits of a time in its natural unit; hours from one on."""
    name, scale = next(((name, scale) for name, scale in SCALES if seconds >= scale), SCALES[-1])
    return f"{seconds / scale:.3g} {name}{UNITS[unit]}"


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of a measurement by group and path, without shares that are part of a name."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    names = [row["path"].partition(",")[0] if "% of it" in row["path"] else row["path"] for row in rows]
    return {(row["group"], name): row for row, name in zip(rows, names, strict=True)}


def cells(row: dict[str, Any] | None) -> list[str]:
    """Time, ratio and share of the peak."""
    if row is None:
        return ["", "", ""]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
    share = "" if row["share"] is None else f"{100 * row['share']:.0f} %"
    return [time_text(row["seconds"], row["unit"]), ratio, share]


def main(one: Path, several: Path) -> None:
    first, second = rows_of(one), rows_of(several)
    lines, last = [], ""
    for group, path in dict.fromkeys([*second, *first]):
        if "one thread" in path or "the paper's GPU" in path:
            continue
        lines.append(
            [
                group if group != last else "",
                path,
                *cells(first.get((group, path))),
                *cells(second.get((group, path))),
            ]
        )
        last = group
    heads = ["what", "path", "one thread", "ratio", "of peak", "all cores", "ratio", "of peak"]
    print(tabulate(lines, heads, "pipe", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
