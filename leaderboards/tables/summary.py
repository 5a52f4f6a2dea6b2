"""The best results of each method: structure and inverse design in few and in many steps, and the cost of hits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...benchmark.interface.evaluation_plan import WIDE, steps_text
from ...benchmark.runs.results import Result
from ..comparisons import Comparison, comparisons_of, with_unit
from .captions import WORST
from .hits import MEANING, has_hits, hits_column
from .quantities import curve_metric
from .records import ComparisonRecords, Values, records_of
from .result_numbers import HITS
from .structural import FLOOR, LEVELS, energy_column, energy_note, standard_curves
from .table_spec import Column, Row, TableSpec, lay_out
from .text_table import Table

FEW_STEPS = 5
"""Most steps that count as few."""
PARTS = {"few": f"at most {FEW_STEPS} steps", "many": f"more than {FEW_STEPS} steps"}
_SUMMARY = "summary"


def summary_tables(results: Iterable[Result]) -> list[Table]:
    """Tables of the best results of each method in few and in many steps: structure, inverse design, and hits."""
    every = list(results)
    kinds = {result.key.kind for result in every}
    tables = []
    if "structural" in kinds:
        tables += [
            lay_out(_structural(records_of(comparison)))
            for comparison in main_comparisons(comparisons_of(every, "structural"))
        ]
    if "inverse-design" in kinds:
        comparisons = main_comparisons(comparisons_of(every, "inverse-design"))
        records = [records_of(comparison) for comparison in comparisons]
        tables.append(lay_out(_inverse_design(records)))
        with_hits = [item for item in records if has_hits(item)]
        if with_hits:
            tables.append(lay_out(_hits(with_hits)))
    return tables


def main_comparisons(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The main comparison of each dataset and plan.

    It has no training budget, the protocol ``standard`` or a larger one where there is one, then the most methods, and
    then the most structures.
    """
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        if comparison.entries:
            groups.setdefault((comparison.key.dataset, comparison.key.plan), []).append(comparison)
    return [max(group, key=_weight) for group in groups.values()]


_LEAST_PROTOCOLS = ("quick", WIDE)
"""Protocols whose results are the main ones only where there are no others, the least first."""


def _weight(comparison: Comparison) -> tuple[bool, int, int, int]:
    """What the main comparison has most of, in the order of importance."""
    methods = _methods([comparison])
    structures = comparison.key.count * len(comparison.results)
    protocol = comparison.key.protocol
    rank = _LEAST_PROTOCOLS.index(protocol) if protocol in _LEAST_PROTOCOLS else len(_LEAST_PROTOCOLS)
    return not comparison.budget, rank, len(methods), structures


def _best(
    records: ComparisonRecords, method: str, quantity: str, statistic: str, is_few: bool
) -> Values | None:
    """The numbers of a method's result with the lowest value, with its step count.

    None where there is no result.
    """
    candidates = [
        (value, steps, values)
        for entry in records.comparison.entries
        if entry.method == method
        for steps in entry.results
        if (steps <= FEW_STEPS) == is_few
        and (values := records.values(entry.label, steps)) is not None
        and (value := values.number(quantity, statistic)) is not None
    ]
    if not candidates:
        return None
    _, steps, values = min(candidates, key=lambda candidate: candidate[:2])
    return Values(numbers={**values.numbers, (_SUMMARY, "steps"): steps})


def _methods(comparisons: Iterable[Comparison]) -> list[str]:
    return list(dict.fromkeys(entry.method for comparison in comparisons for entry in comparison.entries))


def _steps_column(part: str, text: Callable[[Values, Column], str]) -> Column:
    return Column(quantity=_SUMMARY, statistic="steps", text=text, before=" ", pattern="({})", part=part)


def _as_steps(values: Values, column: Column) -> str:
    steps = values.number(column.quantity, column.statistic) or 0
    return steps_text(int(steps))


def _structural(records: ComparisonRecords) -> TableSpec:
    """A row per method; in each part the result of lowest error of the first curve."""
    comparison = records.comparison
    names = standard_curves(records)
    rows = []
    for method in _methods([comparison]):
        best = {part: _best(records, method, names[0], "rmsd", part == "few") for part in PARTS}
        rows.append(
            Row(
                labels=(method,), values={part: values for part, values in best.items() if values is not None}
            )
        )
    columns = []
    for part, head in PARTS.items():
        for name in names:
            column_head = head if name == names[0] else ""
            metric = curve_metric(name)
            columns.append(
                Column(quantity=name, statistic="rmsd", decimals=metric.decimals, head=column_head, part=part)
            )
        columns += [energy_column(part), _steps_column(part, _as_steps)]
    heads = " / ".join(f"{curve_metric(name).head} RMSD" for name in names)
    return TableSpec(
        title=f"Structure: {comparison.label}",
        label_heads=("method",),
        columns=tuple(columns),
        rows=tuple(rows),
        levels=LEVELS,
        step_labels=False,
        caption=(
            f"Cells: {heads} (steps) of the result with the lowest {curve_metric(names[0]).head} RMSD, over all "
            f"samplers; noise floor: {FLOOR}; random positions: an ideal gas.{energy_note([records])}",
            "The columns mix numbers of steps.",
        ),
        records=(records,),
    )


def _inverse_design(records: Sequence[ComparisonRecords]) -> TableSpec:
    """A row per dataset and property and number of steps, a column per method."""
    comparisons = [item.comparison for item in records]
    methods = _methods(comparisons)
    rows = []
    for item in records:
        key = item.comparison.key
        for name in key.targets:
            for part, text in PARTS.items():
                best = {
                    method: _best(item, method, name, "penalised_mae", part == "few") for method in methods
                }
                values = {
                    method: _of_property(numbers, name)
                    for method, numbers in best.items()
                    if numbers is not None
                }
                property_text = f"{with_unit(key.dataset, name)}{_with_others(item.comparison, name)}"
                mean = _training_mean(item, name)
                rows.append(Row(labels=(key.dataset, property_text, text), values={**values, _SUMMARY: mean}))
    columns = []
    for method in methods:
        columns.append(Column(quantity=_SUMMARY, statistic="penalised_mae", head=method, part=method))
        columns.append(_steps_column(method, _as_number))
    mean_column = Column(
        quantity=_SUMMARY, statistic="training_mean_mae", head="training mean", part=_SUMMARY
    )
    counts = sorted({item.comparison.key.count for item in records})
    return TableSpec(
        title="Inverse design",
        label_heads=("dataset", "property", "steps"),
        columns=(*columns, mean_column),
        rows=tuple(rows),
        step_labels=False,
        caption=(
            f"Cells: MAE over all requests ({WORST}) of the best result over all samplers, and its number "
            "of steps; training mean: always answering the mean of the training set. - : no result. "
            f"{' or '.join(f'{count:,}' for count in counts)} structures per result.",
            "The rows mix numbers of steps.",
        ),
        records=tuple(records),
    )


def _hits(records: Sequence[ComparisonRecords]) -> TableSpec:
    """A row per dataset and property, a column per method and non-learned baseline, of the result with most hits."""
    comparisons = [item.comparison for item in records]
    generators = list(
        dict.fromkeys(
            [
                *_methods(comparisons),
                *(entry.method for comparison in comparisons for entry in comparison.non_learned),
            ]
        )
    )
    rows = []
    for item in records:
        key = item.comparison.key
        subject = " and ".join(key.targets)
        best = {name: _most_hits(item, name) for name in generators}
        values = {name: numbers for name, numbers in best.items() if numbers is not None}
        rows.append(Row(labels=(key.dataset, subject), values=values))
    columns = []
    for name in generators:
        columns.append(hits_column(name, part=name))
        columns.append(_steps_column(name, _as_number))
    return TableSpec(
        title="Hits",
        label_heads=("dataset", "targets"),
        columns=tuple(columns),
        rows=tuple(rows),
        step_labels=False,
        caption=(
            f"{MEANING} Cells: share of hits, seconds of a core (or the GPU) to generate one, and number of steps of "
            "the result with the most hits, over all samplers and step counts.",
        ),
        records=tuple(records),
    )


def _most_hits(records: ComparisonRecords, name: str) -> Values | None:
    """The numbers of the result with the largest share of hits, of equal ones that with the fewest steps."""
    comparison = records.comparison
    candidates = [
        (-value, steps, values)
        for entry in (*comparison.entries, *comparison.non_learned)
        if entry.method == name
        for steps in entry.results
        if (values := records.values(entry.label, steps)) is not None
        and (value := values.number(HITS, "share")) is not None
    ]
    if not candidates:
        return None
    _, steps, values = min(candidates, key=lambda candidate: candidate[:2])
    shown = {(_SUMMARY, "steps"): steps} if steps else {}
    return Values(numbers={**values.numbers, **shown})


def _as_number(values: Values, column: Column) -> str:
    value = values.number(column.quantity, column.statistic)
    return "" if value is None else f"{value:g}"


def _of_property(values: Values, name: str) -> Values:
    """The numbers of one property and the step count, under the name that all rows share."""
    numbers = {
        (_SUMMARY, statistic): value
        for (quantity, statistic), value in values.numbers.items()
        if quantity in (name, _SUMMARY)
    }
    return Values(numbers=numbers)


def _training_mean(records: ComparisonRecords, name: str) -> Values:
    entry = records.comparison.entries[0]
    values = records.values(entry.label, next(iter(entry.results)))
    return _of_property(values, name) if values is not None else Values(numbers={})


def _with_others(comparison: Comparison, name: str) -> str:
    others = [other for other in comparison.key.targets if other != name]
    return f", with {', '.join(others)}" if others else ""
