"""Descriptors of the generated structures beside those of the training set, and the cost of generation.

A target can be met by structures of another density or composition than the training set's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...benchmark.interface.evaluation_plan import steps_text
from ...metrics.metric import Quantity
from .. import reported_values
from .formatting import decimal
from .quantities import ENERGY_DEVIATION, FRACTION, SPREAD, elements_in, quantities
from .records import TRAINING_SET, ComparisonRecords, Values
from .result_numbers import COST
from .table_spec import Column, Row, TableSpec, as_duration, as_fixed
from .text_table import EMPTY

_FIRST = (
    "density",
    "density_deviation",
    "energy_per_atom",
    ENERGY_DEVIATION,
    "relaxed_density_deviation",
    "relaxed_energy_per_atom_deviation",
    "right_substance",
    "copies",
    "duplicates",
    "environment_distance",
    "minimum_distance",
    "largest_force",
    "atoms",
)
"""Order of the first descriptors in the table; all others follow in their stored order."""

_JUDGEMENTS = (
    "σ: median deviation from the data of the same composition, in standard deviations of the data, as generated or "
    "relaxed. Right substance: composition, density and energy within the limits of the data. Copies, duplicates: of "
    "training structures, of others of the set. Distance of environments: median distance of the fingerprint of an "
    "atom's surroundings to the nearest one in the training set."
)

_CHARGES = (
    "Charges are formal. Distance of compositions: mean over the elements of the Wasserstein distance between the "
    "fractions of an element in these structures and in the training set, in the first row for the held-out ones; "
    "a target of composition moves it."
)


def descriptor_spec(records: ComparisonRecords) -> TableSpec:
    """A row for the training set and one per result: composition, density, distances, energy, cost."""
    comparison = records.comparison
    rows = [Row(labels=(TRAINING_SET,), values={"": values}) for values in records.training_sets]
    for entry in (*comparison.entries, *comparison.non_learned):
        for steps in entry.results:
            values = records.values(entry.label, steps)
            if values is not None:
                label = ", ".join(filter(None, [entry.label, steps_text(steps), values.step_label]))
                rows.append(Row(labels=(label,), values={"": values}))
    per = f"time per {reported_values.COUNTS[comparison.key.kind]:,}"
    cost = (
        Column(head=per, quantity=COST, statistic="seconds_scaled", text=as_duration),
        Column(head="network evaluations", quantity=COST, statistic="evaluations", decimals=0),
    )
    charges = any(
        values.number("composition_distance", "mean") is not None for values in records.training_sets
    )
    judged = any(block.values.number("right_substance", "mean") is not None for block in records.blocks)
    return TableSpec(
        title=f"Descriptors and cost: {comparison.label}",
        label_heads=("structures",),
        columns=(*descriptor_columns(records), *cost),
        rows=tuple(rows),
        step_labels=False,
        caption=(
            "Means over the structures (energy and force: medians; density ± standard deviation), energy and "
            "force under the potential that made the data, structures as generated. A property follows "
            "density and composition: a target met by structures of another composition or density than the "
            "training set's is not met.",
            *([_JUDGEMENTS] if judged else []),
            *([_CHARGES] if charges else []),
        ),
        records=(records,),
    )


def descriptor_columns(records: ComparisonRecords) -> tuple[Column, ...]:
    """A column per descriptor that any result has; heads, factors and decimals are the metrics' own."""
    stored: dict[str, None] = {}
    for result in records.results:
        stored |= dict.fromkeys([*result.training_descriptors, *result.descriptors])
    elements = elements_in(stored)
    declared = quantities(records.comparison.key.dataset, elements)
    spreads = {name + SPREAD for name in stored}
    names = [name for name in stored if not name.startswith(FRACTION) and name not in spreads]
    ordered = [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST)]
    columns = list(_composition_columns(elements, declared))
    for name in ordered:
        columns += _columns_of(declared.get(name, Quantity(name=name, head=name)))
    return tuple(columns)


def _columns_of(quantity: Quantity) -> list[Column]:
    """The mean (or median), and behind it the standard deviation over structures where it is stored."""
    mean = Column(
        quantity=quantity.name,
        statistic=quantity.summary,
        head=quantity.head,
        decimals=quantity.decimals,
        factor=quantity.factor,
    )
    spread = Column(
        quantity=quantity.name,
        statistic="standard_deviation",
        decimals=quantity.decimals,
        factor=quantity.factor,
        optional=True,
        before=" ± ",
    )
    return [mean, spread]


def _composition_columns(elements: Sequence[str], declared: Mapping[str, Quantity]) -> list[Column]:
    """Of two elements their ratio, of more the share of each."""
    if len(elements) == 2:
        return [
            Column(
                quantity=FRACTION + elements[0],
                statistic="mean",
                head=f"{elements[0]}:{elements[1]}",
                decimals=3,
                text=_ratio_to(FRACTION + elements[1]),
            )
        ]
    shares = [
        declared.get(
            FRACTION + element,
            Quantity(name=FRACTION + element, head=f"{element} (%)", factor=100, decimals=1),
        )
        for element in elements
    ]
    return [
        Column(
            quantity=share.name,
            statistic=share.summary,
            head=share.head,
            decimals=share.decimals,
            factor=share.factor,
            text=as_fixed,
        )
        for share in shares
        if len(elements) > 2
    ]


def _ratio_to(other: str) -> Callable[[Values, Column], str]:
    """The text of a mean divided by the mean of another quantity, such as Si:O."""

    def text(values: Values, column: Column) -> str:
        first, second = values.number(column.quantity, "mean"), values.number(other, "mean")
        return EMPTY if first is None or not second else decimal(first / second, column.decimals)

    return text
