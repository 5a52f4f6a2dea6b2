"""Tables of inverse design (Tables 2 and 3 of the paper): obtained property against its target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...benchmark.interface.evaluation_plan import steps_text
from ...benchmark.runs.results import Result, ResultFiles
from ..comparisons import comparisons_of, with_unit
from .captions import WORST, conditions, paper_note, short_conditions, steps_note, ties_note
from .descriptors import descriptor_spec
from .formatting import coverage_text, fixed_decimal, fixed_interval, percent
from .hits import has_hits, hits_column, hits_spec
from .non_learned import non_learned_specs
from .protocol_overview import grouped, overview_spec
from .records import ComparisonRecords, Values, records_of
from .structural import curve_specs
from .table_spec import Column, Level, Row, TableSpec, as_decimal, as_fixed, lay_out, spec_by_steps
from .text_table import EMPTY, Table

LEAST_RANKED = 8
"""Least number of measured structures with which a rank correlation is shown."""

TRAINING_MEAN = Level(label="training mean", statistic="training_mean_mae")
BEST = f"MAE over all requests ({WORST})"
BEST_SHORT = "MAE over all requests"


def inverse_design_tables(
    results: Iterable[Result],
    *,
    with_paper: bool = False,
    detail: bool = False,
    metrics: Sequence[str] = (),
    files: ResultFiles | None = None,
) -> list[Table]:
    """Errors of inverse design: one table for all targets of a protocol, or one per property.

    metrics: names of further metrics whose tables are shown without ``detail`` too
    files: where the files beside the results lie
    with_paper: the paper's values as further columns of the errors, where it reports the property
    detail: further tables with rank correlations, intervals, penalised errors, curves that were measured, descriptors
        and cost, reasons of failures and non-learned baselines, and the full conditions in the captions
    AmsbenchError where there are no inverse-design results.
    """
    specs: list[TableSpec] = []
    for group in grouped(comparisons_of(results, "inverse-design", files)):
        records = [records_of(comparison, with_paper=with_paper) for comparison in group]
        overview = (
            None if with_paper and not detail else overview_spec(records, overview_columns, detail=detail)
        )
        specs += [] if overview is None else [overview]
        for item in records:
            if detail:
                specs += _detailed(item, with_paper)
            elif not item.comparison.entries:
                specs += non_learned_specs(item, _non_learned_columns(item))
            elif overview is None:
                specs += [
                    _errors(item, name, with_paper=with_paper, detail=False) for name in _properties(item)
                ]
            if metrics and not detail:
                specs += curve_specs(item, metrics) if item.comparison.entries else []
                specs.append(descriptor_spec(item))
    return [lay_out(spec) for spec in specs]


def _detailed(records: ComparisonRecords, with_paper: bool) -> list[TableSpec]:
    """All tables of one comparison."""
    specs = []
    for name in _properties(records) if records.comparison.entries else ():
        specs.append(_errors(records, name, with_paper=with_paper, detail=True))
        if any(_is_ranked(values, name) for values in _measured_values(records)):
            specs.append(_correlations(records, name))
        specs += [_intervals(records, name), _penalised(records, name)]
    specs += [hits for hits in [hits_spec(records)] if hits is not None]
    specs += curve_specs(records, None) if records.comparison.entries else []
    specs += non_learned_specs(records, _non_learned_columns(records))
    specs.append(descriptor_spec(records))
    return [*specs, *_failures(records)]


def _properties(records: ComparisonRecords) -> tuple[str, ...]:
    return tuple(records.comparison.key.targets)


def _measured_values(records: ComparisonRecords) -> list[Values]:
    """The numbers of every result of a trained model."""
    return [
        values
        for entry in records.comparison.entries
        for steps in entry.results
        if (values := records.values(entry.label, steps)) is not None
    ]


def as_percent(values: Values, column: Column) -> str:
    text = as_fixed(values, column)
    return text if text == EMPTY else f"{text}%"


def as_coverage(values: Values, column: Column) -> str:
    measured, requested = (values.number(column.quantity, name) for name in ("measured", "requested"))
    return "" if measured is None or requested is None else coverage_text(measured, requested)


def as_correlation(values: Values, column: Column) -> str:
    """``0.93``, with two decimals however small the number; - where too few structures were measured."""
    value = values.number(column.quantity, column.statistic)
    if value is None or not _is_ranked(values, column.quantity):
        return EMPTY
    return fixed_decimal(value, column.decimals)


def _is_ranked(values: Values, name: str) -> bool:
    measured = values.number(name, "measured")
    return values.number(name, "spearman") is not None and (measured or 0) >= LEAST_RANKED


def error_columns(name: str, *, head: str = "", part: str = "", starred: bool = False) -> tuple[Column, ...]:
    """MAE / RMSE / MAPE and the share of measured structures where it is not all of them."""
    return (
        Column(quantity=name, statistic="mae", head=head, part=part, starred=starred),
        Column(quantity=name, statistic="rmse", part=part),
        Column(quantity=name, statistic="mape", decimals=1, text=as_percent, part=part),
        Column(quantity=name, statistic="coverage", text=as_coverage, before=" ", part=part),
    )


def as_measured_part(values: Values, column: Column) -> str:
    """``2.74 of 78%``: the error over the structures that could be measured, where these are not all."""
    measured, requested = (values.number(column.quantity, name) for name in ("measured", "requested"))
    if not requested or measured is None or measured == requested:
        return ""
    if not measured:
        return "nothing measured"
    return f"{as_decimal(values, column)} of {percent(measured, requested)}"


def overview_columns(name: str, head: str, part: str = "") -> tuple[Column, ...]:
    """``5.21 (2.74 of 78%), r 0.15``."""
    errors = (
        Column(quantity=name, statistic="penalised_mae", head=head, part=part),
        Column(quantity=name, statistic="mae", text=as_measured_part, before=" ", pattern="({})", part=part),
    )
    rank = Column(
        quantity=name,
        statistic="spearman",
        text=as_correlation,
        optional=True,
        before=", ",
        pattern="r {}",
        part=part,
    )
    return (*errors, rank)


def _non_learned_columns(records: ComparisonRecords) -> tuple[Column, ...]:
    columns = tuple(column for name in _properties(records) for column in overview_columns(name, name))
    return (*columns, hits_column("hits")) if has_hits(records) else columns


def _errors(records: ComparisonRecords, name: str, *, with_paper: bool, detail: bool) -> TableSpec:
    comparison = records.comparison
    columns = error_columns(name, starred=True)
    failing = any(as_coverage(values, columns[-1]) for values in _measured_values(records))
    meaning = (
        f"Cells: MAE / RMSE / MAPE% of the obtained {name} against its target, over the structures that "
        "could be measured" + (", with their share where it is not all of them." if failing else ".")
    )
    if detail:
        caption = [
            *conditions(comparison),
            meaning,
            "(All): trained on all design properties of the dataset, (Target): on the conditioning properties only.",
            "Training mean: MAE of always answering the mean of the training set.",
            *ties_note(records, (name,), BEST, detail=True),
            *steps_note(comparison),
        ]
    else:
        caption = [
            meaning,
            *ties_note(records, (name,), BEST_SHORT, detail=False),
            short_conditions(comparison),
        ]
    note = paper_note(records, (name,), "its own measurements of the property", with_paper)
    return spec_by_steps(
        records,
        f"Inverse design, {with_unit(comparison.key.dataset, name)}",
        columns,
        levels=(TRAINING_MEAN,),
        caption=[*caption, *note],
        reported=name,
    )


def _correlations(records: ComparisonRecords, name: str) -> TableSpec:
    """Spearman correlation, and that of shuffled targets as a control."""
    columns = (
        Column(
            quantity=name,
            statistic="spearman",
            text=as_correlation,
            interval_text=fixed_interval,
            limits=("spearman_low", "spearman_high"),
        ),
        Column(
            quantity=name,
            statistic="shuffled_correlation",
            text=as_correlation,
            interval_text=fixed_interval,
            limits=("shuffled_low", "shuffled_high"),
            optional=True,
            before="; ",
        ),
    )
    return spec_by_steps(
        records,
        f"Rank correlation, {name}",
        columns,
        caption=[
            f"Cells: Spearman correlation of the obtained {name} with its target [95 % bootstrap interval]; "
            "then the same structures against shuffled targets, mean [95 % interval] of the permutations.",
            f"Over the structures that could be measured; - where these are fewer than {LEAST_RANKED}, or targets or "
            "values are all the same.",
        ],
    )


def _intervals(records: ComparisonRecords, name: str) -> TableSpec:
    columns = tuple(
        Column(quantity=name, statistic=error, limits=(f"{error}_low", f"{error}_high"))
        for error in ("mae", "rmse")
    )
    return spec_by_steps(
        records,
        f"MAE and RMSE with intervals, {with_unit(records.comparison.key.dataset, name)}",
        columns,
        caption=["Cells: MAE / RMSE [95 % bootstrap interval], over the structures that could be measured."],
    )


def _penalised(records: ComparisonRecords, name: str) -> TableSpec:
    columns = (
        Column(
            quantity=name,
            statistic="penalised_mae",
            limits=("penalised_mae_low", "penalised_mae_high"),
            starred=True,
        ),
        Column(quantity=name, statistic="shuffled_mae"),
    )
    return spec_by_steps(
        records,
        f"MAE over all requests, {with_unit(records.comparison.key.dataset, name)}",
        columns,
        levels=(TRAINING_MEAN,),
        caption=[
            f"Cells: MAE over all requests ({WORST}) [95 % bootstrap interval] / MAE of the measured structures "
            "against shuffled targets.",
            *ties_note(records, (name,), "MAE over all requests", detail=True),
        ],
    )


def _failures(records: ComparisonRecords) -> list[TableSpec]:
    """Why structures could not be measured: a row per result, property and reason; no table without failures."""
    comparison = records.comparison
    rows = []
    for entry in comparison.entries:
        for steps, result in entry.results.items():
            for name, reasons in result.failures.items():
                for reason, number in reasons.items():
                    values = Values(
                        numbers={("failures", "count"): number, ("failures", "of"): result.key.count}
                    )
                    labels = (f"{entry.label}, {steps_text(steps)}", name, reason)
                    rows.append(Row(labels=labels, values={"": values}))
    if not rows:
        return []
    return [
        TableSpec(
            title=f"Failures: {comparison.label}",
            label_heads=("structures", "property", "reason"),
            columns=(
                Column(head="failed", quantity="failures", statistic="count", decimals=0),
                Column(quantity="failures", statistic="of", text=_as_count, before=" of "),
            ),
            rows=tuple(rows),
            caption=("Structures whose property could not be measured.",),
            records=(records,),
        )
    ]


def _as_count(values: Values, column: Column) -> str:
    return f"{values.number(column.quantity, column.statistic):,.0f}"
