"""``amsbench bench``: speed of this machine's computing paths, as one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import AmsbenchError
from ..speed.report import format_header, format_label, format_time, format_unit, table_of
from .options import Cores, Device, names_in, use_cores
from .progress import say

if TYPE_CHECKING:
    import torch

    from ..speed.timing import Row

GROUPS = {
    "network": "every path through the network, forward and training step",
    "neighbours": "neighbour lists",
    "generation": "10,000 structures of a-Si in 1 step and in 250",
    "training": "training steps with their data",
    "curves": "g(r) and P(theta)",
    "files": "writing structures",
    "start": "a command from start to end",
}
"""Groups of measurements and their descriptions, in the order of measurement."""


def bench_command(
    device: Device = "auto",
    cores: Cores = None,
    presets: Annotated[str, typer.Option(help="Network presets, comma separated.")] = "wide,standard",
    only: Annotated[
        str | None, typer.Option(help=f"Only these, comma separated: {', '.join(GROUPS)}.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output-file", "-o", help="Also write everything to this .json file.")
    ] = None,
) -> None:
    """Measure the speed of every computing path of this machine and print one table.

    Takes about two minutes on a processor and less than ten on a GPU. Other work on the machine changes the times.
    """
    import torch

    from ..benchmark.system.devices import pick_device
    from ..benchmark.system.files import check_writable, write_text
    from ..leaderboards.tables.text_table import render
    from ..speed.network import network_presets
    from ..speed.timing import machine, peaks

    groups = tuple(GROUPS) if only is None else _checked_names("group", only, list(GROUPS))
    networks = _checked_names("preset", presets, network_presets())
    chosen = torch.device(pick_device(device))
    if output_file is not None:
        if output_file.is_dir():
            raise AmsbenchError(f"--output-file {output_file} is a folder; give the name of a .json file")
        check_writable(output_file.parent)
    use_cores(cores)

    facts = machine(chosen)
    say("measuring: the peak of matrix products, now and after every group")
    peak, rows = peaks(chosen), []
    for maker in makers(groups, networks, chosen):
        for row in maker():
            say(f"{row.group}: {format_label(row)}, {format_time(row.seconds)}{format_unit(row)}")
            rows.append(row)
        peak = {name: max(value, peak[name]) for name, value in peaks(chosen).items()}
    if output_file is not None:
        measured = {"environment": facts, "peaks": peak, "rows": [row.as_json(peak) for row in rows]}
        write_text(output_file, json.dumps(measured, indent=1, allow_nan=False) + "\n")
        say(f"Everything as JSON: {output_file}")
    print("\n".join(format_header(facts, peak)), end="\n\n")
    print(render(table_of(rows, peak)))


def makers(
    groups: Sequence[str], networks: Sequence[str], device: torch.device
) -> Iterator[Callable[[], Iterator[Row]]]:
    """Functions that measure the given groups, in the order of GROUPS, one function per network preset."""
    import torch

    from ..speed import network, pipeline

    by_group: dict[str, list[Callable[[], Iterator[Row]]]] = {
        "network": [partial(network.network_rows, name, device) for name in networks],
        "neighbours": [partial(network.neighbour_rows, device)],
        "generation": [partial(pipeline.generation_rows, device)],
        "training": [partial(pipeline.training_rows, device)],
        "curves": [partial(pipeline.curve_rows, torch.get_num_threads())],
        "files": [pipeline.file_rows],
        "start": [partial(pipeline.start_rows, device)],
    }
    for group in GROUPS:
        if group in groups:
            say(f"measuring: {GROUPS[group]}")
            yield from by_group[group]


def _checked_names(what: str, text: str, choices: list[str]) -> tuple[str, ...]:
    """Names in a comma-separated list, each once; AmsbenchError for a name not in ``choices`` and for an empty list."""
    from ..benchmark.registry import near_matches

    names = tuple(dict.fromkeys(names_in(text)))
    for name in names:
        if name not in choices:
            raise AmsbenchError(f"unknown {what} '{name}'; {near_matches(name, choices)}")
    if not names:
        raise AmsbenchError(f"'{text}' names no {what}; known: {', '.join(choices)}")
    return names
