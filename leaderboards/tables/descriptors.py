"""What the generated structures are made of, beside the training set.

A target can be met by the wrong substance.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import reported_values
from ..comparisons import Comparison
from .csv_records import Record
from .formatting import decimal, duration
from .step_table import scaled_seconds, step_text
from .text_table import EMPTY, Table

_FACTS = {
    "density": ("density (g/cm³)", 1, 2),
    "minimum_distance": ("shortest distance (Å)", 1, 2),
    "energy_per_atom": ("energy (eV/atom)", 1, 3),
    "largest_force": ("largest force (eV/Å)", 1, 2),
    "atoms": ("atoms", 1, 1),
    "neutral": ("neutral (%)", 100, 0),
    "imbalance": ("charge per atom (e)", 1, 4),
    "composition_distance": ("distance of compositions (%)", 100, 2),
}
"""Head, factor and decimals of what is known to be measured; anything else is shown under its own name."""
_CHARGED = (
    "Charges are formal. Distance of compositions: mean over the elements of the Wasserstein distance between the "
    "fractions of an element in these structures and in the training set, in the first row for the held-out ones; "
    "a target of composition moves it."
)


def substance_table(board: Comparison, records: tuple[Record, ...]) -> Table:
    """One row per result and one for the training set: composition, density, distances, energy, cost."""
    columns = (*board.columns, *board.yardsticks)
    every_cell = [cell for column in columns for cell in column.cells.values()]
    training = {
        str(sorted(cell.training_descriptors.items())): cell.training_descriptors for cell in every_cell
    }
    facts = [_row(known) for known in training.values()]
    lines = [
        (
            ", ".join(filter(None, [column.label, step_text(steps), column.step_label(steps)])),
            cell,
        )
        for column in columns
        for steps, cell in column.cells.items()
    ]
    every = [*facts, *(_row(cell.descriptors) for _, cell in lines)]
    heads = list(dict.fromkeys(head for row in every for head in row))
    per = f"time per {reported_values.COUNTS[board.key.kind]:,}"
    rows = [("training set", *(row.get(head, EMPTY) for head in heads), EMPTY, EMPTY) for row in facts]
    for (label, cell), row in zip(lines, every[len(facts) :], strict=True):
        cost = duration(scaled_seconds(cell)), str(cell.evaluations)
        rows.append((label, *(row.get(head, EMPTY) for head in heads), *cost))
    return Table(
        title=f"Substance and cost: {board.label}",
        columns=("structures", *heads, per, "network evaluations"),
        rows=tuple(rows),
        caption=(
            "Means over the structures (energy and force: medians; density ± standard deviation), energy and "
            "force under the potential that made the data, structures as generated. A property follows "
            "density and composition: a target met by another substance than the training set's is not met.",
            *([_CHARGED] if any("composition_distance" in known for known in training.values()) else []),
        ),
        records=records,
    )


def _row(facts: Mapping[str, float | None]) -> dict[str, str]:
    """Texts by head; two elements are shown as their ratio, more as the share of each."""
    shares = {name.removeprefix("fraction_"): facts[name] for name in facts if name.startswith("fraction_")}
    texts: dict[str, str] = {}
    if len(shares) == 2:
        (first, a), (second, b) = shares.items()
        texts[f"{first}:{second}"] = EMPTY if a is None or not b else decimal(a / b, 3)
    elif len(shares) > 2:
        texts |= {
            f"{symbol} (%)": EMPTY if share is None else f"{100 * share:.1f}"
            for symbol, share in shares.items()
        }
    known = [name for name in _FACTS if name in facts]
    shown = {*_FACTS, "density_std", *(f"fraction_{symbol}" for symbol in shares)}
    further = [name for name in facts if name not in shown]
    for name in known + further:
        head, factor, places = _FACTS.get(name, (name, 1, 3))
        value = facts[name]
        texts[head] = decimal(None if value is None else factor * value, places)
        spread = facts.get("density_std") if name == "density" else None
        if spread is not None:
            texts[head] += f" ± {decimal(spread, 2)}"
    return texts
