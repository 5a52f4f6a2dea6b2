"""Which results may stand in one table, and in which column: numbers of different conditions are never mixed.

A board holds the cells that share dataset, protocol, sample count, targets, cells and metrics. Within it a
column is one trained model with one sampler. Two checkpoints, seeds or precisions of a method are two
columns; another protocol, dataset file or count is another board. Nothing is left out because something newer
exists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..benchmark import registry
from ..benchmark.runs.results import NO_STEPS, Result, ResultKey
from ..benchmark.training.budgets import BUDGETS
from ..errors import AmsbenchError
from . import reported_values


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One trained model with one sampler; ``cells`` by step count, fewest first."""

    label: str
    cells: dict[int, Result]

    @property
    def first(self) -> Result:
        return next(iter(self.cells.values()))

    @property
    def method(self) -> str:
        return self.first.key.method

    def step_label(self, steps: int) -> str:
        """The mode of a cell where the step count changes what a step of this column is, else nothing.

        AMShortcut's cells of many steps are always labelled: they are its SDE, not its shortcut.
        """
        mode = self.cells[steps].step_label
        usual = mode.startswith("shortcut") if self.method == "amshortcut" else mode == self.first.step_label
        return "" if usual else mode


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cells that may be compared with each other.

    columns: models, which take steps
    yardsticks: what takes none
    budget: ``budget_label`` of every model
    """

    label: str
    budget: str = ""
    columns: tuple[Entry, ...]
    yardsticks: tuple[Entry, ...] = ()

    @property
    def key(self) -> ResultKey:
        """The key of one of the cells; what makes a board is the same in all of them."""
        return (self.columns or self.yardsticks)[0].first.key

    @property
    def cells(self) -> list[Result]:
        """Those of the models."""
        return [cell for column in self.columns for cell in column.cells.values()]

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(sorted({steps for column in self.columns for steps in column.cells}))


def boards(cells: Iterable[Result], kind: str) -> list[Comparison]:
    """The cells of one kind (``structural`` or ``inverse-design``) in boards and columns.

    AmsbenchError where there are none, or where two different results claim the same key.
    """
    every = list(cells)
    chosen = [cell for cell in every if cell.key.kind == kind]
    if not chosen:
        raise AmsbenchError(
            f"no {kind} results among the {len(every)} cells found; "
            f"run 'amsbench run' on a dataset with a {kind} comparison, or give another folder with --results"
        )
    groups: dict[tuple[str, str], list[Result]] = {}
    yardsticks: dict[str, list[Result]] = {}
    for cell in _unique(chosen):
        identity = _board_identity(cell)
        if cell.key.steps == NO_STEPS:
            yardsticks.setdefault(identity, []).append(cell)
        else:
            groups.setdefault((identity, budget_label(cell)), []).append(cell)
    for identity in yardsticks.keys() - {identity for identity, _ in groups}:
        groups[identity, ""] = []  # nothing but yardsticks
    # a yardstick has no training: it stands beside models of every budget
    boarded = sorted(
        ((group, yardsticks.get(identity, []), budget) for (identity, budget), group in groups.items()),
        key=lambda board: _board_order((board[0] or board[1])[0].key, board[2]),
    )
    firsts = [(group or others)[0] for group, others, _ in boarded]
    labels = disambiguate_labels(
        [
            _board_label(first.key) + (f", {budget}" if budget else "")
            for first, (*_, budget) in zip(firsts, boarded, strict=True)
        ],
        [_conditions(first) for first in firsts],
    )
    return [
        Comparison(label=label, budget=budget, columns=_columns(group), yardsticks=_columns(others))
        for label, (group, others, budget) in zip(labels, boarded, strict=True)
    ]


def budget_label(cell: Result) -> str:
    """What stands in the title of tables where every model had the same budget; nothing for best efforts."""
    options = cell.training.get("options") or {}
    if options.get("samples_seen") == BUDGETS["fixed"] and cell.training.get("init_from") is None:
        return f"fixed budget of {BUDGETS['fixed']:,} structures seen in training"
    return ""


def disambiguate_labels(labels: Sequence[str], facts: Sequence[dict[str, str]]) -> list[str]:
    """Labels made unique: those that occur more than once get the facts in which they differ."""
    often = Counter(labels)
    made = []
    for label, own in zip(labels, facts, strict=True):
        if often[label] > 1:
            rivals = [other for name, other in zip(labels, facts, strict=True) if name == label]
            differing = [name for name in own if len({other[name] for other in rivals}) > 1]
            label = ", ".join([label, *(f"{name} {own[name]}" for name in differing)])
        made.append(label)
    return made


def targets_text(key: ResultKey) -> str:
    """``shear_modulus 10 to 50 GPa, li_concentration 15 %``."""
    texts = []
    for name, (first, last) in key.targets.items():
        values = f"{first:g}" if first == last else f"{first:g} to {last:g}"
        texts.append(" ".join(filter(None, [name, values, unit_of(key.dataset, name)])))
    return ", ".join(texts)


def unit_of(dataset: str, name: str) -> str:
    """Unit of a property: from the dataset plug-in, or from the paper where that is not installed."""
    if dataset in registry.names("datasets"):
        return registry.load("datasets", dataset)().property_named(name).unit
    return next((reported.unit for reported in reported_values.reported_errors(dataset, name)), "")


def _unique(cells: Sequence[Result]) -> list[Result]:
    """The cells without repetitions (one folder may hold a copy of another's cells)."""
    found: dict[str, Result] = {}
    for cell in cells:
        known = found.setdefault(cell.key.digest, cell)
        if known != cell:
            raise AmsbenchError(
                f"two different results are called {cell.key.stem}; "
                "keep one of the two files in the results folder"
            )
    return list(found.values())


_OF_A_COLUMN = {"method", "checkpoint_hash", "sampler", "sampler_version", "steps", "precision", "seed"}
"""Parts of a key that may differ within a board; all others are the same."""


def _board_identity(cell: Result) -> str:
    return repr((cell.key.model_dump(exclude=_OF_A_COLUMN), cell.structural and cell.structural.reference))


def _conditions(cell: Result) -> dict[str, str]:
    """What tells boards of one label apart, in words."""
    key = cell.key
    return {
        "dataset file": key.dataset_hash[:8],
        "metrics": key.metrics_version,
        "targets": targets_text(key),
        "cube": "none" if key.cube is None else f"{key.cube:g} Å",
        "reference": cell.structural.reference if cell.structural else "none",
    }


def _board_label(key: ResultKey) -> str:
    protocol = f"protocol {key.protocol} version {key.protocol_version}"
    return f"{key.dataset}, {key.plan}, {protocol}, {key.count:,} structures"


def _board_order(key: ResultKey, budget: str) -> tuple:
    conditions = key.protocol, key.dataset_hash, key.metrics_version
    return key.dataset, key.plan, -key.count, *conditions, budget, key.digest


def _columns(cells: Sequence[Result]) -> tuple[Entry, ...]:
    groups: dict[tuple, list[Result]] = {}
    for cell in cells:
        key = cell.key
        sampler = key.sampler, key.sampler_version
        identity = key.method, *sampler, cell.trained_on, key.checkpoint_hash, key.precision, key.seed
        groups.setdefault(identity, []).append(cell)
    samplers = {(cell.key.method, cell.key.sampler) for cell in cells}
    several = {method for method, number in Counter(m for m, _ in samplers).items() if number > 1}
    ordered = sorted(groups.values(), key=lambda group: _column_order(group[0]))
    labels = disambiguate_labels(
        [_column_label(group[0], group[0].key.method in several) for group in ordered],
        [
            {
                "checkpoint": group[0].key.checkpoint_hash[:8],
                "precision": group[0].key.precision,
                "seed": str(group[0].key.seed),
                "sampler version": str(group[0].key.sampler_version),
            }
            for group in ordered
        ],
    )
    return tuple(
        Entry(label=label, cells={c.key.steps: c for c in sorted(group, key=lambda c: c.key.steps)})
        for label, group in zip(labels, ordered, strict=True)
    )


def _column_label(cell: Result, several_samplers: bool) -> str:
    """``material-sde ancestral (All)``: the paper's own sampler goes without saying."""
    key = cell.key
    usual = reported_values.SAMPLERS.get(key.method)
    named = several_samplers if usual is None else key.sampler != usual
    training = training_label(cell)
    return key.method + (f" {key.sampler}" if named else "") + (f" ({training})" if training else "")


def training_label(cell: Result) -> str:
    """``All``: trained on all design properties; ``Target``: trained on those asked for only.

    Any other set of properties is spelled out; a model trained on none has no label.
    """
    trained = set(cell.trained_on)
    if not trained:
        return ""
    if cell.key.dataset in registry.names("datasets"):
        design = registry.load("datasets", cell.key.dataset).design_properties
        if trained == set(design):
            return "All"
    if trained == set(cell.conditioned_on):
        return "Target"
    return "trained on " + ", ".join(sorted(trained))


def _column_order(cell: Result) -> tuple:
    key = cell.key
    known = reported_values.METHODS
    rank = known.index(key.method) if key.method in known else len(known)
    unusual = key.sampler != reported_values.SAMPLERS.get(key.method, key.sampler)
    model = rank, key.method, training_label(cell)
    return *model, unusual, key.sampler, -key.sampler_version, key.checkpoint_hash, key.seed, key.precision
