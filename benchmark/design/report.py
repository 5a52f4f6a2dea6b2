"""Sentences and tables about a design, for people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

from .records import JudgedRound, hit_count, nearest, obtained_values, tried
from .request import DesignRequest, DesignTarget

if TYPE_CHECKING:
    from .run import Design

BARS = " ▁▂▃▄▅▆▇█"
BINS = 24
"""Bins of the histogram of obtained values."""
DECIMALS = {
    "relaxed_energy_per_atom": 3,
    "relaxed_density": 3,
    "environment_distance": 3,
    "largest_overlap": 2,
}
HEADS = {
    "relaxed_energy_per_atom": "eV/atom",
    "relaxed_density": "g/cm3",
    "environment_distance": "distance of environments (A)",
    "largest_overlap": "overlap with data",
}


def round_line(request: DesignRequest, rounds: Sequence[JudgedRound]) -> str:
    """What the last of the rounds has asked for and brought, and the nearest structure so far."""
    last = rounds[-1]
    parts = []
    for target in request.targets:
        values = obtained_values([last], target.name)
        obtained = f"{np.median(values):.4g}" if len(values) else "nothing measured"
        parts.append(
            f"{target.name} asked {last.asked[target.name]:.4g}, obtained {obtained} {target.unit} (median)"
        )
    return (
        f"Round {len(rounds) - 1}: {'; '.join(parts)}; {hit_count(rounds)} of {request.count} glasses after "
        f"{tried(rounds)} structures{_best(request, rounds)}"
    )


def _best(request: DesignRequest, rounds: Sequence[JudgedRound]) -> str:
    place = nearest(
        rounds,
        {target.name: target.value for target in request.targets},
        {target.name: target.tolerance for target in request.targets},
    )
    if place is None:
        return ""
    row = rounds[place[0]].rows[place[1]]
    values = ", ".join(f"{row[target.name]:.4g} {target.unit}" for target in request.targets)
    return f", the nearest has {values}"


def glass_table(design: Design) -> list[str]:
    """Lines of a table of the glasses: properties, energy, density, novelty."""
    rows = _glass_cells(design)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def design_html(design: Design) -> str:
    """How the design ended, a table of its glasses, and what they cost, as HTML."""
    heads, *rows = _glass_cells(design)
    parts = [
        f"<p><b>{len(design.frames)} of {design.request.count} glasses</b>: {escape(design.ending.sentence)}.</p>"
    ]
    if rows:
        parts.append(tabulate(rows, heads, "html", disable_numparse=True))
    parts += [f"<p>{escape(line)}.</p>" for line in cost_lines(design)]
    return "".join(parts)


def _glass_cells(design: Design) -> list[list[str]]:
    """Texts of the heads and of a row per glass."""
    targets = design.request.targets
    columns = ["structure", *(target.name for target in targets)]
    columns += [name for name in HEADS if any(name in atoms.info for atoms in design.frames)]
    heads = {**HEADS, **{target.name: f"{target.name} ({target.unit})" for target in targets}}
    rows = [[heads.get(name, name) for name in columns]]
    for atoms in design.frames:
        cells = []
        for name in columns:
            value = atoms.info.get(name)
            cells.append(
                "-"
                if value is None
                else str(value)
                if name == "structure"
                else f"{value:.{DECIMALS.get(name, 2)}f}"
            )
        rows.append(cells)
    return rows


def histogram(design: Design, target: DesignTarget) -> str:
    """One line with the distribution of the obtained values of a property, and where its target lies."""
    values = obtained_values(design.rounds, target.name)
    if not len(values):
        return f"{target.name}: nothing measured"
    low, high = min(values.min(), target.value), max(values.max(), target.value)
    counts, edges = np.histogram(values, bins=BINS, range=(low, high) if low < high else None)
    bars = "".join(BARS[-(-int(count) * (len(BARS) - 1) // max(1, counts.max()))] for count in counts)
    place = int(np.clip(np.searchsorted(edges, target.value, side="right") - 1, 0, BINS - 1))
    return (
        f"{target.name} of {len(values)} structures, {edges[0]:.4g} to {edges[-1]:.4g} {target.unit}: "
        f"{bars[:place]}[{bars[place]}]{bars[place + 1 :]}"
    )


def cost_lines(design: Design) -> list[str]:
    """What was tried, and what each hit cost: generation and measurement apart."""
    costs, rows = design.costs, design.table
    unit = "GPU" if design.request.on_gpu else "processor"
    counts = [
        f"{int(rows[name].sum())} {text}"
        for name, text in (
            ("measured", "measured"),
            ("right_substance", "of the right substance"),
            ("within_tolerance", "within the tolerance"),
            ("hit", "novel (hits)"),
        )
    ]
    lines = [
        f"{len(rows)} structures tried: {', '.join(counts)}",
        f"{costs.generation_seconds:.1f} {unit} seconds of generation, {costs.measuring_seconds:.1f} processor seconds "
        f"of measurement, {costs.wall_seconds:.0f} s elapsed",
    ]
    if design.hits:
        lines.append(
            f"Each hit cost {costs.generation_seconds / design.hits:.1f} {unit} seconds of generation and "
            f"{costs.measuring_seconds / design.hits:.1f} processor seconds of measurement"
        )
    return lines


def correction_lines(design: Design) -> list[str]:
    """How the asked values were shifted, and what share of the structures were hits before and with it."""
    request, rounds = design.request, design.rounds
    shifted = [
        one for one in rounds if any(one.asked[target.name] != target.value for target in request.targets)
    ]
    if not shifted:
        return []
    plain = [one for one in rounds if not any(one is other for other in shifted)]
    last = "; ".join(
        f"{target.name} {rounds[-1].asked[target.name]:.4g} {target.unit} in the place of {target.value:g}"
        for target in request.targets
    )
    shares = [f"{hit_count(part)} of {tried(part)}" for part in (plain, shifted)]
    return [
        f"Corrected for the bias of the model: the last round asked for {last}; hits without correction {shares[0]}, "
        f"with it {shares[1]} (--no-correction switches it off)"
    ]
