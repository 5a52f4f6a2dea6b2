"""``amsbench bench``: how fast this machine runs what amsbench computes, as one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AmsbenchError
from .options import names_in, use_threads
from .progress import say

if TYPE_CHECKING:
    import torch

    from ..leaderboards.tables.text_table import Table
    from ..speed.network import Row

GROUPS = {
    "network": "every path through the network, forward and training step",
    "neighbours": "neighbour lists",
    "generation": "10,000 structures of a-Si in 1 step and in 250",
    "training": "training steps with their data",
    "curves": "g(r) and P(theta)",
    "files": "writing structures",
    "start": "a command from start to end",
}
"""What is measured, in this order."""


def bench(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor cores; all by default.")] = None,
    network: Annotated[str, typer.Option(help="Network presets, comma separated.")] = "wide,standard",
    only: Annotated[
        str | None, typer.Option(help=f"Only these, comma separated: {', '.join(GROUPS)}.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write everything to this .json file.")
    ] = None,
) -> None:
    """Measure how fast this machine computes, by every path it has, and print one table.

    About two minutes on a processor, under ten on a GPU. Other work on the machine slows it down.
    """
    import torch

    from ..benchmark.generation.generate import pick_device
    from ..benchmark.system.files import check_writable, write_text
    from ..leaderboards.tables.text_table import render
    from ..methods.material_method import NETWORKS
    from ..speed.network import machine, peaks

    groups = tuple(GROUPS) if only is None else _known("group", only, list(GROUPS))
    networks = _known("network", network, list(NETWORKS))
    chosen = torch.device(pick_device(device))
    if output is not None:
        if output.is_dir():
            raise AmsbenchError(f"--output {output} is a folder; give the name of a .json file")
        check_writable(output.parent)
    use_threads(threads)

    facts = machine(chosen)
    say("measuring: the peak of matrix products, now and after every group")
    peak, rows = peaks(chosen), []
    for maker in makers(groups, networks, chosen):
        for row in maker():
            say(f"{row.group}: {labelled(row)}, {time_text(row.seconds)}{per(row)}")
            rows.append(row)
        peak = {name: max(value, peak[name]) for name, value in peaks(chosen).items()}
    if output is not None:
        found = {"environment": facts, "peaks": peak, "rows": [row.as_json(peak) for row in rows]}
        write_text(output, json.dumps(found, indent=1, allow_nan=False) + "\n")
        say(f"Everything as JSON: {output}")
    print("\n".join(head(facts, peak)), end="\n\n")
    print(render(table_of(rows, peak)))


def makers(
    groups: Sequence[str], networks: Sequence[str], device: torch.device
) -> Iterator[Callable[[], Iterator[Row]]]:
    """What measures each of the groups, in the order of GROUPS, every network on its own."""
    import torch

    from ..speed import network, pipeline

    known: dict[str, list[Callable[[], Iterator[Row]]]] = {
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
            yield from known[group]


def _known(what: str, text: str, known: list[str]) -> tuple[str, ...]:
    """The names in ``text``, each once; AmsbenchError for one that there is not, and for none at all."""
    from ..benchmark.registry import near_matches

    names = tuple(dict.fromkeys(names_in(text)))
    for name in names:
        if name not in known:
            raise AmsbenchError(f"unknown {what} '{name}'; {near_matches(name, known)}")
    if not names:
        raise AmsbenchError(f"'{text}' names no {what}; known: {', '.join(known)}")
    return names


def head(facts: Mapping[str, Any], peak: Mapping[str, float]) -> list[str]:
    """What stands above the table: versions, device, active paths, peaks."""
    kernel, lists = facts["native network kernel"], facts["native neighbour lists"]
    return [
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        f"device: {facts['device']}; processor: {facts['processor']}, {facts['threads']} threads on "
        f"{facts['cores']} cores",
        f"native network kernel: {kernel['level'] if kernel['active'] else kernel['reason']}; "
        f"native neighbour lists: {lists['level'] if lists['active'] else lists['reason']}; "
        f"triton: {facts['triton kernels']['mode'] or facts['triton kernels']['reason']}",
        "measured peak of matrix products: "
        + ", ".join(f"{name} {value / 1e9:,.0f} GFLOP/s" for name, value in peak.items()),
    ]


def table_of(rows: Iterable[Row], peak: Mapping[str, float]) -> Table:
    """The measurements as a table; a group is named once, at its first row."""
    from ..leaderboards.tables.text_table import Table

    lines, before = [], None
    for row in rows:
        gflops, share, limit = row.against(peak).values()
        lines.append((
            "" if row.group == before else row.group,
            labelled(row),
            time_text(row.seconds) + per(row),
            "-" if row.ratio is None else digits(row.ratio),
            "-" if gflops is None else digits(gflops),
            "-" if share is None else f"{100 * share:.1f} %",
            "-" if limit is None else time_text(limit),
            "-" if row.error is None else f"{row.error:.1e}",
        ))  # fmt: skip
        before = row.group
    return Table(
        title="Speed",
        columns=("what", "path", "time", "ratio", "GFLOP/s", "of peak", "limit", "error"),
        rows=tuple(lines),
        caption=(
            "time: the best round, paths of one kind in turns; of training steps the mean. 'from' so many: the "
            "rest is extrapolated.",
            "ratio: how many times as fast as the first row of its kind. error: relative deviation from it.",
            "GFLOP/s: operations of the function in its cheapest form, whatever a path spends. of peak, limit: "
            "their share of the measured peak for the type of the path's products, and the time at that peak.",
        ),
        records=(),
    )


def labelled(row: Row) -> str:
    """The path, and from how many the time is extrapolated."""
    return row.path if row.part is None else f"{row.path} (from {row.part:,})"


def per(row: Row) -> str:
    return f"/{row.unit}" if row.unit in ("atom", "structure") else ""


def time_text(seconds: float) -> str:
    """Three digits in the unit that suits: 3.60 h, 132 s, 1.25 ms, 210 ns."""
    for unit, size in (("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size * (1.5 if unit == "h" else 1.0):
            return f"{digits(seconds / size)} {unit}"
    return f"{digits(seconds * 1e9)} ns"


def digits(value: float) -> str:
    """A number with three digits, or all of those before its point."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
