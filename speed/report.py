"""Measurements of speed as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..leaderboards.tables.text_table import Table
    from .timing import Row


def format_header(facts: Mapping[str, Any], peak: Mapping[str, float]) -> list[str]:
    """Lines above the table: versions, device, active kernels, peaks."""
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
    """The measurements as a table, with the name of each group in its first row."""
    from ..leaderboards.tables.text_table import Table

    lines, last_group = [], None
    for row in rows:
        gflops, share, limit = row.against(peak).values()
        lines.append((
            "" if row.group == last_group else row.group,
            format_label(row),
            format_time(row.seconds) + format_unit(row),
            "-" if row.ratio is None else format_digits(row.ratio),
            "-" if gflops is None else format_digits(gflops),
            "-" if share is None else f"{100 * share:.1f} %",
            "-" if limit is None else format_time(limit),
            "-" if row.error is None else f"{row.error:.1e}",
        ))  # fmt: skip
        last_group = row.group
    return Table(
        title="Speed",
        columns=("what", "path", "time", "ratio", "GFLOP/s", "of peak", "limit", "error"),
        rows=tuple(lines),
        caption=(
            "time: the best round of each path, with the paths of a group in turns; of training steps the mean. "
            "'from N': extrapolated from N.",
            "ratio: speed relative to the first row of the group. error: relative deviation from its output.",
            "GFLOP/s: operations of the cheapest form of the function, the same for all paths. of peak: their "
            "share of the measured peak of the type of the path's products. limit: time at that peak.",
        ),
        records=(),
    )


def format_label(row: Row) -> str:
    """Name of the path, with the number of measured structures or steps if the time is extrapolated."""
    return row.path if row.part is None else f"{row.path} (from {row.part:,})"


def format_unit(row: Row) -> str:
    """``/atom`` or ``/structure`` for times per atom or structure, otherwise empty."""
    return f"/{row.unit}" if row.unit in ("atom", "structure") else ""


def format_time(seconds: float) -> str:
    """A time with three digits in a suitable unit: 3.60 h, 132 s, 1.25 ms, 210 ns."""
    for unit, size in (("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size * (1.5 if unit == "h" else 1.0):
            return f"{format_digits(seconds / size)} {unit}"
    return f"{format_digits(seconds * 1e9)} ns"


def format_digits(value: float) -> str:
    """A number with three digits, or with all digits before the decimal point."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
