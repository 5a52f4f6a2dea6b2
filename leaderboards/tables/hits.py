"""Table of hits of inverse design: requests answered by a usable structure, and what one of them costs."""

from __future__ import annotations

from .formatting import duration, percent
from .records import ComparisonRecords, Values
from .result_numbers import HITS
from .table_spec import Column, Row, TableSpec
from .text_table import EMPTY

MEANING = (
    "A hit is a structure whose properties could all be measured and are within half a standard deviation of the "
    "training labels from their targets, whose composition, density and energy are those of the data, and which is no "
    "copy of a training structure or of another structure of the set."
)


def has_hits(records: ComparisonRecords) -> bool:
    """Whether any result of the comparison has hit scores."""
    return any(block.values.number(HITS, "requested") is not None for block in records.blocks)


def hits_column(head: str, part: str = "") -> Column:
    """``31% at 12 s``: the share of hits, and the seconds of cores or GPU that the generation of one takes."""
    return Column(head=head, quantity=HITS, statistic="hits", text=as_hits, part=part)


def as_hits(values: Values, column: Column) -> str:
    text, seconds = as_hit_share(values, column), values.number(HITS, "seconds_per_hit")
    return text if seconds is None else f"{text} at {duration(seconds)}"


def hits_spec(records: ComparisonRecords) -> TableSpec | None:
    """A row per entry and step count: the conditions of a hit, hits with their interval, and their cost.

    None where no result has hit scores.
    """
    if not has_hits(records):
        return None
    comparison = records.comparison
    rows = []
    for entry in (*comparison.entries, *comparison.non_learned):
        for steps in entry.results:
            values = records.values(entry.label, steps)
            if values is not None and values.number(HITS, "requested") is not None:
                rows.append(Row(labels=(entry.label, str(steps) if steps else EMPTY), values={"": values}))
    heads = {
        "measured": "measured",
        "right_substance": "right substance",
        "novel": "novel",
        "within_tolerance": "within tolerance",
    }
    columns = (
        *(
            Column(head=head, quantity=HITS, statistic=name, text=as_hit_share)
            for name, head in heads.items()
        ),
        Column(
            head="hits",
            quantity=HITS,
            statistic="hits",
            text=as_hit_share,
            limits=("share_low", "share_high"),
            interval_text=percent_interval,
        ),
        Column(head="time per hit", quantity=HITS, statistic="seconds_per_hit", text=as_hit_time),
        Column(
            head="with measurement", quantity=HITS, statistic="seconds_per_hit_measured", text=as_hit_time
        ),
    )
    return TableSpec(
        title=f"Hits: {comparison.label}",
        label_heads=("structures", "steps"),
        columns=columns,
        rows=tuple(rows),
        step_labels=False,
        caption=(
            MEANING,
            "Shares are of all requested structures, with the 95 % interval of the hits (Wilson); time per hit: that "
            "of one core, or of the GPU, for the generation of all structures, divided by the hits; with measurement: "
            "with the relaxations and measurements that it takes to find the hits.",
        ),
        records=(records,),
    )


def as_hit_share(values: Values, column: Column) -> str:
    """``31%``: a number of hits, or of structures that meet one of their conditions, of all requests."""
    number, requested = values.number(HITS, column.statistic), values.number(HITS, "requested")
    return EMPTY if number is None or not requested else percent(number, requested)


def percent_interval(low: float | None, high: float | None, decimals: int) -> str:
    """`` [20, 43]``: the interval of a share in percent, or nothing where there is none."""
    return "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"


def as_hit_time(values: Values, column: Column) -> str:
    """The time per hit; - where there is no hit."""
    value = values.number(HITS, column.statistic)
    return EMPTY if value is None else duration(value)
