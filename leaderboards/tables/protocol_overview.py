"""All targets of one protocol in one table (the form of the paper's Table 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import reported_values
from ..comparisons import Comparison, with_unit
from .captions import WORST, conditions, times_note
from .formatting import joined
from .hits import has_hits, hits_column
from .quantities import ENERGY_DEVIATION
from .records import ComparisonRecords, Values
from .result_numbers import COST
from .structural import energy_note
from .table_spec import Column, Level, Row, TableSpec, as_duration, as_fixed

_CELLS = (
    f"Cells: MAE of the obtained property over all requests ({WORST}); in brackets the MAE over the structures that "
    "could be measured with their share, where these are not all; r: their rank correlation."
)
_ENERGY = (
    "Energy (σ): median deviation of the energy per atom from the data of the composition, in standard deviations of "
    "the data; of several sets of targets the one furthest from 0."
)
_HITS = "Hits: share of usable answers, and seconds of a core (or the GPU) to generate one."


def grouped(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Comparisons that differ in their targets alone, together; in the order of their first ones."""
    groups: dict[tuple, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(_identity(comparison), []).append(comparison)
    return list(groups.values())


def overview_spec(
    records: Sequence[ComparisonRecords],
    columns_of: Callable[[str, str, str], tuple[Column, ...]],
    *,
    detail: bool,
) -> TableSpec | None:
    """A row per model and step count, a column per property and the targets beside it.

    records: of comparisons that differ in their targets alone
    columns_of: from a property, a head and a part to the columns of its field
    None where there is one property with one set of targets, which has these numbers in its own table.
    """
    every_record = tuple(records)
    records = [item for item in records if item.comparison.entries]
    columns: list[Column] = []
    for item in records:
        label = item.comparison.label
        for name in item.comparison.key.targets:
            columns += columns_of(name, _head(item.comparison, name), label)
        if has_hits(item):
            columns.append(hits_column(f"hits, {item.comparison.key.plan}", label))
    if sum(bool(column.head) for column in columns) < 2:
        return None
    if energy_note(records):
        columns.append(
            Column(
                head="energy (σ)",
                quantity=ENERGY_DEVIATION,
                statistic="median",
                decimals=1,
                text=as_fixed,
                part=ENERGY_DEVIATION,
            )
        )
    first = records[0].comparison
    key = first.key
    time = Column(
        head=f"time per {reported_values.COUNTS[key.kind]:,}",
        quantity=COST,
        statistic="seconds_scaled",
        text=as_duration,
        part=COST,
    )
    return TableSpec(
        title=f"Inverse design: {key.dataset}, protocol {key.protocol} version {key.protocol_version}, "
        f"{key.count:,} structures" + (f", {first.budget}" if first.budget else ""),
        label_heads=("model", "steps"),
        columns=(*columns, time),
        rows=_rows(records),
        levels=(Level(label="training mean", statistic="training_mean_mae"),),
        step_labels=False,
        caption=_caption(records, detail),
        records=every_record,
    )


def _rows(records: Sequence[ComparisonRecords]) -> tuple[Row, ...]:
    """A row per entry and step count, its values by the label of the comparison.

    The time is the mean over these, the deviation of the energy the one furthest from 0.
    """
    entries = [
        (entry.label, steps)
        for item in records
        for entry in item.comparison.entries
        for steps in entry.results
    ]
    labels = list(dict.fromkeys(label for label, _ in entries))
    rows = []
    for label, steps in sorted(set(entries), key=lambda place: (labels.index(place[0]), place[1])):
        values = {
            item.comparison.label: numbers
            for item in records
            if (numbers := item.values(label, steps)) is not None
        }
        seconds = [numbers.number(COST, "seconds_scaled") or 0.0 for numbers in values.values()]
        mean = Values(numbers={(COST, "seconds_scaled"): sum(seconds) / len(seconds)})
        step_label = list(values.values())[-1].step_label
        shared = {COST: mean, ENERGY_DEVIATION: _furthest_energy(list(values.values()))}
        rows.append(Row(labels=(label, joined(str(steps), step_label)), values=values | shared))
    return tuple(rows)


def _furthest_energy(values: Sequence[Values]) -> Values:
    deviations = [numbers.number(ENERGY_DEVIATION, "median") for numbers in values]
    measured = [deviation for deviation in deviations if deviation is not None]
    return Values(numbers={(ENERGY_DEVIATION, "median"): max(measured, key=abs)} if measured else {})


def _caption(records: Sequence[ComparisonRecords], detail: bool) -> tuple[str, ...]:
    first = records[0].comparison
    meanings = [
        _CELLS,
        *([_HITS] if any(map(has_hits, records)) else []),
        *([_ENERGY] if energy_note(records) else []),
    ]
    meaning = " ".join(meanings)
    if detail:
        sentences = dict.fromkeys(sentence for item in records for sentence in conditions(item.comparison))
        return (
            f"{meaning} Training mean: MAE of always answering the mean of the training set. Time: of one core, "
            "or of the GPU, for the generation, mean over the targets.",
            *sentences,
        )
    return (
        meaning,
        "Rows have different numbers of steps, which the second column gives; time: of one core, or of the GPU, "
        f"for the generation{times_note(first)}.",
        f"{first.key.count:,} structures per result, protocol {first.key.protocol}; --detail adds a table per property "
        "with intervals, correlations and failures, descriptors, training and hardware.",
    )


def _head(comparison: Comparison, name: str) -> str:
    """``youngs_modulus (GPa), with li_concentration 15``: a property, and the other targets beside it."""
    others = [
        f"{other} {first:g}" + ("" if first == last else f" to {last:g}")
        for other, (first, last) in comparison.key.targets.items()
        if other != name
    ]
    head = with_unit(comparison.key.dataset, name)
    return f"{head}, with {', '.join(others)}" if others else head


def _identity(comparison: Comparison) -> tuple:
    key = comparison.key
    conditions = key.dataset, key.dataset_hash, key.protocol, key.protocol_version, key.metrics_version
    return *conditions, key.count, key.cube, comparison.budget
