"""What a table shows, as data, and the one function that lays it out.

A table has a row per step count with an entry in each printed column (the form of the paper), or a row per entry and
step count with a quantity in each printed column. In both, the text of a field is made by ``Column`` from numbers of
the tidy records: a further number in a table is one ``Column`` more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .formatting import decimal, duration, fixed_decimal, interval, joined
from .records import TIED, ComparisonRecords, Values, all_rows
from .text_table import EMPTY, Table

STAR = "*"


def as_decimal(values: Values, column: Column) -> str:
    value = values.number(column.quantity, column.statistic)
    return decimal(None if value is None else column.factor * value, column.decimals)


def as_fixed(values: Values, column: Column) -> str:
    """The number with exactly ``column.decimals`` decimals."""
    value = values.number(column.quantity, column.statistic)
    return EMPTY if value is None else fixed_decimal(column.factor * value, column.decimals)


def as_duration(values: Values, column: Column) -> str:
    return duration(values.number(column.quantity, column.statistic))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number as it is shown, alone or with others in one field.

    quantity, statistic: which number of the records
    head: of the printed column, with unit; a column without head shares the field of the one before it
    factor: shown / stored value
    text: how the text is made of the numbers; empty text is left out
    limits, interval_text: statistics of the interval that follows in brackets, and how it is written
    starred: whether * marks the best of a row and all tied with it
    optional: left out, not shown as -, where there is no number
    before: what separates it from the number before it in the same field
    pattern: what stands around the text
    part: which of the row's sets of values it is of
    """

    quantity: str
    statistic: str
    head: str = ""
    decimals: int = 2
    factor: float = 1.0
    text: Callable[[Values, Column], str] = as_decimal
    limits: tuple[str, str] | None = None
    interval_text: Callable[[float | None, float | None, int], str] = interval
    starred: bool = False
    optional: bool = False
    before: str = " / "
    pattern: str = "{}"
    part: str = ""

    def render(self, values: Values) -> str:
        """The text in a field; empty where the column is optional and has no number."""
        text = self.text(values, self)
        if not text or (self.optional and text == EMPTY):
            return ""
        star = STAR if self.starred and values.number(self.quantity, TIED) else ""
        limits = ""
        if self.limits is not None and text != EMPTY:
            low, high = (values.number(self.quantity, limit) for limit in self.limits)
            limits = self.interval_text(low, high, self.decimals)
        return self.pattern.format(f"{text}{star}{limits}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: the texts of its label columns, and its values by entry (or by ``Column.part``)."""

    labels: tuple[str, ...]
    values: Mapping[str, Values]


@dataclass(frozen=True, kw_only=True)
class Level:
    """A further row of reference values, such as the noise floor, that hardly depend on the step count.

    statistic: shown for each quantity of the table that has it
    """

    label: str
    statistic: str


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """A table as data.

    label_heads: heads of the label columns
    entries: labels of the entries that are printed columns, each field with all of ``columns``; None: the columns are
        the printed ones
    step_labels: whether a field ends with the kind of step where it is not the usual one
    caption: sentences
    records: comparisons of the numbers behind the table
    """

    title: str
    label_heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    entries: tuple[str, ...] | None = None
    levels: tuple[Level, ...] = ()
    step_labels: bool = True
    caption: tuple[str, ...]
    records: tuple[ComparisonRecords, ...]


def lay_out(spec: TableSpec) -> Table:
    """The table of a specification."""
    printed = _printed_columns(spec)
    rows = [
        (*row.labels, *(_field(spec, columns, row.values.get(part)) for _, part, columns in printed))
        for row in spec.rows
    ]
    for level in spec.levels:
        blanks = [EMPTY] * (len(spec.label_heads) - 1)
        texts = [_level_text(spec, level, part, columns) for _, part, columns in printed]
        rows.append((level.label, *blanks, *texts))
    return Table(
        title=spec.title,
        columns=(*spec.label_heads, *(head for head, _, _ in printed)),
        rows=tuple(rows),
        caption=spec.caption,
        records=all_rows(spec.records),
    )


def spec_by_steps(
    records: ComparisonRecords,
    title: str,
    columns: tuple[Column, ...],
    *,
    caption: Sequence[str],
    levels: tuple[Level, ...] = (),
    reported: str | None = None,
) -> TableSpec:
    """A table with a row per step count and a printed column per entry.

    reported: quantity of which the paper's values are printed columns too; None: of none
    """
    entries = tuple(entry.label for entry in records.comparison.entries)
    if reported is not None:
        entries = (*entries, *records.reported_entries(reported))
    counts = sorted({steps for entry in entries for steps in records.steps_of(entry)})
    rows = []
    for steps in counts:
        numbers = {entry: records.values(entry, steps) for entry in entries}
        rows.append(
            Row(
                labels=(str(steps),),
                values={entry: values for entry, values in numbers.items() if values is not None},
            )
        )
    return TableSpec(
        title=f"{title}: {records.comparison.label}",
        label_heads=("steps",),
        columns=columns,
        rows=tuple(rows),
        entries=entries,
        levels=levels,
        caption=tuple(caption),
        records=(records,),
    )


Printed = tuple[str, str, tuple[Column, ...]]
"""Head, part of the row's values, and the columns that share the field."""


def _printed_columns(spec: TableSpec) -> list[Printed]:
    if spec.entries is not None:
        return [(entry, entry, spec.columns) for entry in spec.entries]
    groups: list[list[Column]] = []
    for column in spec.columns:
        if column.head:
            groups.append([column])
        else:
            groups[-1].append(column)
    return [(group[0].head, group[0].part, tuple(group)) for group in groups]


def _field(spec: TableSpec, columns: Sequence[Column], values: Values | None) -> str:
    shown = {column.quantity for column in columns}
    if values is None or not any(quantity in shown for quantity, _ in values.numbers):
        return EMPTY
    texts = [(column.before, text) for column in columns if (text := column.render(values))]
    if [text for _, text in texts] in ([], [EMPTY]):
        return EMPTY
    field = texts[0][1] + "".join(before + text for before, text in texts[1:])
    return joined(field, values.step_label if spec.step_labels else "")


def _level_text(spec: TableSpec, level: Level, part: str, columns: Sequence[Column]) -> str:
    """The level of each quantity in the field, from lowest to highest where it differs between rows."""
    texts = {}
    for column in columns:
        numbers = [
            number
            for row in spec.rows
            if part in row.values
            and (number := row.values[part].number(column.quantity, level.statistic)) is not None
        ]
        if numbers and column.quantity not in texts:
            low, high = decimal(min(numbers), column.decimals), decimal(max(numbers), column.decimals)
            texts[column.quantity] = low if low == high else f"{low} to {high}"
    return " / ".join(texts.values()) or EMPTY
