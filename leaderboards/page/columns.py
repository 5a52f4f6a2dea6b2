"""The columns of the leaderboard of one comparison: hits and their cost first, or the errors of mean curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...benchmark.interface.evaluation_plan import steps_text
from ..comparisons import with_unit
from ..tables.captions import WORST
from ..tables.formatting import fixed_interval, interval, percent
from ..tables.hits import as_hit_share, as_hit_time, percent_interval
from ..tables.inverse_design import as_correlation
from ..tables.quantities import ENERGY_DEVIATION, curve_metric
from ..tables.records import P_VALUE, TIED, ComparisonRecords, Values
from ..tables.result_numbers import COST, HITS
from ..tables.structural import FLOOR, standard_curves
from ..tables.table_spec import Column, as_duration, as_fixed
from ..tables.text_table import EMPTY

Better = Literal["lower", "higher"]
BEFORE_HITS = "Measured before hits were defined; 'amsbench run' measures it again with hits."
NO_HITS = "No structure of this result is a hit, so that one has no finite cost."


@dataclass(frozen=True, kw_only=True)
class PageColumn:
    """One column: the column of the tables that writes its texts, and what a reader can do with it.

    column: the quantity and statistic, and how they are written
    meaning: definition of the number, in one sentence
    better: which end of the scale is the better one
    level: label and statistic of a reference value of the quantity, such as the noise floor
    is_minor: whether narrow screens leave it out
    """

    column: Column
    meaning: str
    better: Better
    level: tuple[str, str] | None = None
    is_minor: bool = False

    def to_json(self, records: ComparisonRecords) -> dict[str, Any]:
        """Head, meaning and scale of the column, with the range of its reference values."""
        return {
            "key": f"{self.column.quantity} {self.column.statistic}",
            "head": self.column.head,
            "meaning": self.meaning,
            "better": self.better,
            "factor": self.column.factor,
            "minor": self.is_minor,
            "level": self._level(records),
        }

    def _level(self, records: ComparisonRecords) -> dict[str, Any] | None:
        if self.level is None:
            return None
        label, statistic = self.level
        numbers = [
            number
            for block in records.blocks
            if (number := block.values.number(self.column.quantity, statistic)) is not None
        ]
        return {"label": label, "low": min(numbers), "high": max(numbers)} if numbers else None

    def cell(self, values: Values, steps: int, records: ComparisonRecords) -> dict[str, Any]:
        """Text of a cell, the interval beside it, the number to sort by, and whether it is tied with the best."""
        column = self.column
        text = column.text(values, column) or EMPTY
        number = values.number(column.quantity, column.statistic)
        cell: dict[str, Any] = {"text": text, "value": None if text == EMPTY else number}
        limits = ""
        if column.limits is not None and text != EMPTY:
            low, high = (values.number(column.quantity, limit) for limit in column.limits)
            limits = column.interval_text(low, high, column.decimals).strip()
            cell["low"], cell["high"] = low, high
        if limits:
            cell["interval"] = limits
        title = _title(column, values, steps, records)
        if title:
            cell["title"] = title
        if column.starred and values.number(column.quantity, TIED):
            cell["tied"] = True
        return cell


def page_columns(records: ComparisonRecords) -> tuple[PageColumn, ...]:
    """The columns of a comparison in their order, by its kind."""
    if records.comparison.key.kind == "structural":
        return (*_curve_columns(records), _ENERGY, _time(records))
    errors, further = _property_columns(records)
    return (*_HITS, *errors, _ENERGY, *further, _time(records))


def _title(column: Column, values: Values, steps: int, records: ComparisonRecords) -> str:
    """What a reader has to know about one cell: why it is empty, or why it counts among the best."""
    if column.quantity == HITS:
        if values.number(HITS, "requested") is None:
            return BEFORE_HITS
        return NO_HITS if column.statistic == "seconds_per_hit" and not values.number(HITS, "hits") else ""
    if not column.starred or not values.number(column.quantity, TIED):
        return ""
    at = steps_text(steps)
    p_value = values.number(column.quantity, P_VALUE)
    if p_value is not None:
        return f"Not distinguishable from the best at {at} (paired bootstrap, corrected p = {p_value:.2g})."
    if steps in records.ties[column.quantity].interval_steps:
        return f"Best at {at}, or its 95 % interval overlaps that of the best."
    return f"Best at {at}."


_HITS = (
    PageColumn(
        column=Column(
            head="Hits",
            quantity=HITS,
            statistic="hits",
            text=as_hit_share,
            limits=("share_low", "share_high"),
            interval_text=percent_interval,
        ),
        meaning="Share of the requests that a usable structure answers, with its 95 % interval (Wilson).",
        better="higher",
    ),
    PageColumn(
        column=Column(head="Time per hit", quantity=HITS, statistic="seconds_per_hit", text=as_hit_time),
        meaning="Seconds of one core, or of the GPU, for the generation of all structures, divided by the hits.",
        better="lower",
    ),
)

_ENERGY = PageColumn(
    column=Column(
        head="Energy (σ)", quantity=ENERGY_DEVIATION, statistic="median", decimals=1, text=as_fixed
    ),
    meaning="Median deviation of the energies per atom from those of the data, in standard deviations of the data.",
    better="lower",
)


def _time(records: ComparisonRecords) -> PageColumn:
    return PageColumn(
        column=Column(
            head="Time per structure", quantity=COST, statistic="seconds_per_structure", text=as_duration
        ),
        meaning="Time of one core, or of the GPU, to generate one structure, warm-up excluded.",
        better="lower",
        is_minor=True,
    )


def _curve_columns(records: ComparisonRecords) -> list[PageColumn]:
    columns = []
    for name in standard_curves(records):
        metric = curve_metric(name)
        columns.append(
            PageColumn(
                column=Column(
                    head=f"{metric.head} RMSD",
                    quantity=name,
                    statistic="rmsd",
                    decimals=metric.decimals,
                    limits=("low", "high"),
                    interval_text=interval,
                    starred=True,
                ),
                meaning=f"Root mean square deviation of the mean curve from the reference: {metric.title}. "
                f"95 % bootstrap interval; noise floor: {FLOOR}.",
                better="lower",
                level=("noise floor", "floor"),
            )
        )
    return columns


def _property_columns(records: ComparisonRecords) -> tuple[list[PageColumn], list[PageColumn]]:
    """The error over all requests of each property; then its other columns, named by it where there are several."""
    key = records.comparison.key
    errors, further = [], []
    for name in key.targets:
        label = with_unit(key.dataset, name)
        of_property = f", {name}" if len(key.targets) > 1 else ""
        errors.append(
            PageColumn(
                column=Column(
                    head=f"Error, {label}",
                    quantity=name,
                    statistic="penalised_mae",
                    limits=("penalised_mae_low", "penalised_mae_high"),
                    starred=True,
                ),
                meaning=f"Mean absolute error over all requests ({WORST}), with its 95 % interval.",
                better="lower",
                level=("training mean", "training_mean_mae"),
            )
        )
        further += [
            PageColumn(
                column=Column(
                    head=f"Measured{of_property}",
                    quantity=name,
                    statistic="coverage",
                    text=_as_measured_share,
                ),
                meaning=f"Share of the structures whose {name} could be measured.",
                better="higher",
                is_minor=True,
            ),
            PageColumn(
                column=Column(
                    head=f"Error of measured{of_property}",
                    quantity=name,
                    statistic="mae",
                    limits=("mae_low", "mae_high"),
                ),
                meaning="Mean absolute error over the structures that could be measured, with its 95 % interval.",
                better="lower",
                is_minor=True,
            ),
            PageColumn(
                column=Column(
                    head=f"Rank correlation{of_property}",
                    quantity=name,
                    statistic="spearman",
                    text=as_correlation,
                    limits=("spearman_low", "spearman_high"),
                    interval_text=fixed_interval,
                ),
                meaning=f"Spearman correlation of the obtained {name} with its target, over the measured structures.",
                better="higher",
                is_minor=True,
            ),
        ]
    return errors, further


def _as_measured_share(values: Values, column: Column) -> str:
    measured, requested = (values.number(column.quantity, name) for name in ("measured", "requested"))
    return EMPTY if measured is None or not requested else percent(measured, requested)
