"""Memory and speed of commands as the number of structures grows, and with two workers. The tables of docs/speed.md.

    python docs/studies/many_samples.py run FOLDER
    python docs/studies/many_samples.py table

``run`` gives COMMANDS for COUNTS structures each, on one core, and takes the largest memory of their processes; then a
generation of WORKED structures by one and by two workers of each kind. Files lie in FOLDER (1 GB). The numbers are kept
in many_samples.json beside this file, and a further call computes those that are missing; ``table`` writes the tables.
The machine has to be idle for the times of workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from stored_table import StoredTable, run_study
from tabulate import tabulate

from amsbench.errors import AmsbenchError

COUNTS = (500, 5_000, 50_000)
SMALL_CELL = "9"
"""Edge of the cells of ``generate`` and ``evaluate``, A: 38 atoms, so that there is time for 50,000 of them."""
COMMANDS = {
    "generate": "generate --method amshortcut --dataset asi --steps 1 --cell {cell} --count {count} --cores 1 "
    "--output-file {folder}/{count}.extxyz",
    "evaluate": "evaluate {folder}/{count}.extxyz --dataset asi --cores 1",
    "run": "run --method amshortcut --dataset asi --samplers shortcut --steps 1 --count {count} --cores 1 "
    "--output-dir {folder}/results",
}
WORKED = 2_000
WORKERS = {
    "threads of one process": "--cores {workers}",
    "workers of Dask": "--executor dask --workers {workers}",
}
GENERATION = (
    "generate -m amshortcut -d asi --steps 1 --count {count} {how} --output-file {folder}/{name}.extxyz"
)
MAIN = "from amsbench.cli.main import main; main()"
STORED = StoredTable("many_samples", "speed.md", "many samples")


def measured(command: str, folder: Path) -> dict[str, float]:
    """Wall and processor time in s and largest memory in GB of a command and its processes."""
    began = time.perf_counter()
    with (folder / "messages.txt").open("w") as messages:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *command.split()],
            stdout=messages,
            stderr=messages,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise AmsbenchError(f"amsbench {command} failed: {(folder / 'messages.txt').read_text()}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "gigabytes": used.ru_maxrss / 1e6,
    }


def stored() -> dict[str, dict[str, float]]:
    """Measurements by command and number of structures or workers."""
    return STORED.numbers() or {}


def run(folder: Path) -> None:
    """Measure what is not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {
        f"{name} {count}": command.format(cell=SMALL_CELL, count=count, folder=folder)
        for count in COUNTS
        for name, command in COMMANDS.items()
    }
    for kind, how in WORKERS.items():
        for workers in (1, 2):
            name = f"{kind} {workers}"
            jobs[name] = GENERATION.format(
                count=WORKED, how=how.format(workers=workers), folder=folder, name=name.replace(" ", "-")
            )
    for name, command in jobs.items():
        if name not in stored():
            STORED.store({**stored(), name: measured(command, folder)})
            print(name, stored()[name], file=sys.stderr, flush=True)


def tables(values: dict[str, dict[str, float]]) -> str:
    """Memory and processor time per structure of each command, and the speed of one and two workers."""
    if not values:
        return "Nothing is stored yet."
    heads = ["", *(f"{count:,} structures" for count in COUNTS)]
    lines = []
    for command in COMMANDS:
        found = [(count, values[f"{command} {count}"]) for count in COUNTS]
        lines.append([f"`{command}`, memory", *(f"{row['gigabytes']:.2f} GB" for _, row in found)])
        times = (1e3 * row["cpu_seconds"] / count for count, row in found)
        lines.append([f"`{command}`, time of a structure", *(f"{value:.3g} ms" for value in times)])
    first = tabulate(lines, heads, "github", disable_numparse=True)
    lines = []
    for kind in WORKERS:
        one, two = (values[f"{kind} {workers}"]["seconds"] for workers in (1, 2))
        lines.append([kind, f"{one:.1f} s", f"{two:.1f} s", f"{one / two:.2f}"])
    second = tabulate(lines, ["", "one", "two", "ratio"], "github", disable_numparse=True)
    return f"{first}\n\n{second}"


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run", folder]:
            run(Path(folder).absolute())
        case ["table"]:
            STORED.write(tables(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
