"""Tables of structural errors (Table 1 of the paper): RMSD of mean curves and generation time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...benchmark.evaluation.evaluate import STANDARD_CURVES
from ...benchmark.runs.results import Result, ResultFiles
from ..comparisons import comparisons_of
from .captions import (
    conditions,
    left_out_note,
    paper_note,
    short_conditions,
    steps_note,
    ties_note,
    times_note,
)
from .descriptors import descriptor_spec
from .non_learned import non_learned_specs
from .quantities import ENERGY_DEVIATION, curve_metric
from .records import ComparisonRecords, records_of
from .result_numbers import COST
from .table_spec import Column, Level, TableSpec, as_duration, as_fixed, lay_out, spec_by_steps
from .text_table import Table

LEVELS = (
    Level(label="noise floor", statistic="floor"),
    Level(label="random positions", statistic="ceiling"),
)
FLOOR = "the RMSD expected of as many structures of a perfect generator"
LEVELS_SENTENCE = f"Noise floor: {FLOOR}; random positions: an ideal gas in the same cells."
ENERGY_NOTE = (
    "σ: median deviation of the energies per atom from the data, in standard deviations of the data; mean curves can "
    "be right where energies are not."
)


def structural_tables(
    results: Iterable[Result],
    *,
    with_paper: bool = False,
    detail: bool = False,
    metrics: Sequence[str] = (),
    files: ResultFiles | None = None,
) -> list[Table]:
    """Errors of mean curves with the generation time, one table per dataset and set of conditions.

    metrics: names of further metrics whose tables are shown without ``detail`` too
    files: where the files beside the results lie
    with_paper: the paper's values as further columns, where it reports the dataset
    detail: further tables with non-learned baselines, intervals, noise-corrected errors, Wasserstein distances,
        descriptors and cost, and the full conditions in the captions
    AmsbenchError where there are no structural results.
    """
    specs: list[TableSpec] = []
    for comparison in comparisons_of(results, "structural", files):
        records = records_of(comparison, with_paper=with_paper)
        heads = " / ".join(f"{curve_metric(name).head} RMSD" for name in standard_curves(records))
        if comparison.entries:
            specs.append(_errors(records, with_paper=with_paper, detail=detail))
        if detail or not comparison.entries:
            specs += non_learned_specs(records, _curve_columns(records, head=heads))
        if comparison.entries:
            further = [name for name in metrics if name not in standard_curves(records)]
            specs += curve_specs(records, None if detail else further)
        if detail or any(name not in records.curves for name in metrics):
            specs.append(descriptor_spec(records))
    return [lay_out(spec) for spec in specs]


def curve_specs(records: ComparisonRecords, names: Sequence[str] | None) -> list[TableSpec]:
    """Tables of the RMSD of each curve that was measured, of those of ``names`` or, with distances, of all (None)."""
    if names is None:
        return [_intervals(records, name) for name in records.curves] + _wasserstein(records)
    return [_intervals(records, name) for name in names if name in records.curves]


def standard_curves(records: ComparisonRecords) -> tuple[str, ...]:
    """The curves of the first table: the standard ones, or all where none of these was measured.

    Each other curve has a table of its own among the detailed ones.
    """
    standard = tuple(name for name in STANDARD_CURVES if name in records.curves)
    return standard or records.curves


def rmsd_column(name: str, *, head: str = "", starred: bool = False) -> Column:
    """The RMSD of a curve as its metric declares it."""
    return Column(
        quantity=name, statistic="rmsd", head=head, decimals=curve_metric(name).decimals, starred=starred
    )


def _curve_columns(
    records: ComparisonRecords, *, head: str = "", starred: bool = False
) -> tuple[Column, ...]:
    names = standard_curves(records)
    return tuple(rmsd_column(name, head=head if name == names[0] else "", starred=starred) for name in names)


def energy_column(part: str = "") -> Column:
    """``, 15.2 σ``: the median deviation of the energies per atom from those of the data, behind the errors."""
    return Column(
        quantity=ENERGY_DEVIATION,
        statistic="median",
        decimals=1,
        text=as_fixed,
        optional=True,
        before=", ",
        pattern="{} σ",
        part=part,
    )


def energy_note(records: Iterable[ComparisonRecords]) -> str:
    """What σ is, with a space before it; empty where no result has the deviation of its energies."""
    blocks = [block for item in records for block in item.blocks]
    is_shown = any(block.values.number(ENERGY_DEVIATION, "median") is not None for block in blocks)
    return f" {ENERGY_NOTE}" if is_shown else ""


def error_columns(records: ComparisonRecords) -> tuple[Column, ...]:
    """RMSD of the standard curves, the deviation of the energies, and the generation time in brackets."""
    seconds = Column(quantity=COST, statistic="seconds_scaled", text=as_duration, before=" ", pattern="({})")
    return (*_curve_columns(records, starred=True), energy_column(), seconds)


def _errors(records: ComparisonRecords, *, with_paper: bool, detail: bool) -> TableSpec:
    comparison = records.comparison
    heads = " / ".join(f"{curve_metric(name).head} RMSD" for name in standard_curves(records))
    ties = ties_note(records, standard_curves(records), "error", detail=detail) + left_out_note(comparison)
    energy = energy_note([records])
    if detail:
        caption = [
            *conditions(comparison),
            f"Cells: {heads} (time of one core, or of the GPU, for the generation of 10,000 structures).",
            LEVELS_SENTENCE + energy,
            *ties,
            *steps_note(comparison),
        ]
    else:
        reference = comparison.entries[0].first.structural
        against = f" against the {reference.reference} split" if reference else ""
        caption = [
            f"Cells: {heads}{against} (time of one core, or of the GPU, for the generation of 10,000 structures"
            f"{times_note(comparison)}); noise floor: {FLOOR}; random positions: an ideal gas.{energy}",
            *ties,
            short_conditions(comparison),
        ]
    return spec_by_steps(
        records,
        "Structure",
        error_columns(records),
        levels=LEVELS,
        caption=[*caption, *paper_note(records, standard_curves(records), "its training set", with_paper)],
        reported=standard_curves(records)[0],
    )


def _intervals(records: ComparisonRecords, name: str) -> TableSpec:
    metric = curve_metric(name)
    # the distances of the standard curves have a table of their own
    distance = metric.distance_unit is not None and name not in STANDARD_CURVES
    further = Column(
        quantity=name,
        statistic="wasserstein",
        decimals=metric.distance_decimals,
        before="; ",
    )
    unit = f"; then the Wasserstein-1 distance ({metric.distance_unit})" if distance else ""
    return spec_by_steps(
        records,
        f"{metric.head} RMSD with intervals",
        (
            Column(
                quantity=name,
                statistic="rmsd",
                decimals=metric.decimals,
                starred=True,
                limits=("low", "high"),
            ),
            Column(quantity=name, statistic="corrected", decimals=metric.decimals, before=", "),
            *([further] if distance else []),
        ),
        levels=LEVELS,
        caption=[
            f"Cells: {metric.head} RMSD [95 % bootstrap interval over structures], and what is left of it "
            f"when the noise floor is taken off in quadrature{unit}.",
            *ties_note(records, (name,), "error", detail=True),
        ],
    )


def _wasserstein(records: ComparisonRecords) -> list[TableSpec]:
    """The distances of the standard curves that are distributions; no table where none is."""
    metrics = [curve_metric(name) for name in records.curves if name in STANDARD_CURVES]
    metrics = [metric for metric in metrics if metric.distance_unit is not None]
    if not metrics:
        return []
    columns = tuple(
        Column(quantity=metric.name, statistic="wasserstein", decimals=metric.distance_decimals)
        for metric in metrics
    )
    units = " / ".join(f"of the {metric.head} ({metric.distance_unit})" for metric in metrics)
    caption = [f"Cells: Wasserstein-1 distance from the reference {units}."]
    return [spec_by_steps(records, "Wasserstein-1 distances", columns, levels=(), caption=caption)]
