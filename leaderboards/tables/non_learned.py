"""Structures made without a model: the scores that a generative model has to surpass, and their cost."""

from __future__ import annotations

from collections.abc import Sequence

from .. import reported_values
from .records import ComparisonRecords
from .result_numbers import COST
from .table_spec import Column, Row, TableSpec, as_duration


def non_learned_specs(records: ComparisonRecords, columns: Sequence[Column]) -> list[TableSpec]:
    """The table of a comparison's non-learned baselines; none where there are none.

    columns: the scores to show
    """
    comparison = records.comparison
    rows = tuple(
        Row(labels=(entry.label,), values={column.part: values for column in columns})
        for entry in comparison.non_learned
        for steps in entry.results
        if (values := records.values(entry.label, steps)) is not None
    )
    if not rows:
        return []
    machines = sorted(
        {result.environment.device for entry in comparison.non_learned for result in entry.results.values()}
    )
    cost = [
        Column(head=head, quantity=COST, statistic=statistic, text=as_duration)
        for head, statistic in (
            ("processor time per structure", "seconds_per_structure"),
            (f"per {reported_values.COUNTS[comparison.key.kind]:,}", "seconds_scaled"),
        )
    ]
    return [
        TableSpec(
            title=f"Non-learned baselines: {comparison.label}",
            label_heads=("",),
            columns=(*columns, *cost),
            rows=rows,
            step_labels=False,
            caption=(
                "Structures made without a model, which have no targets: the scores that a generative model has to "
                f"surpass. Time of one core ({', '.join(machines)}), also where several worked.",
            ),
            records=(records,),
        )
    ]
