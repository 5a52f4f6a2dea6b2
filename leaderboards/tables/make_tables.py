"""Tables of results in the form of the paper's: step counts as rows, trained models as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...benchmark.registry import near_matches
from ...benchmark.runs.results import Result, ResultFiles
from ...errors import AmsbenchError
from .inverse_design import inverse_design_tables
from .structural import structural_tables
from .text_table import Table

_MAKERS = {"structural": structural_tables, "inverse-design": inverse_design_tables}
KINDS = tuple(_MAKERS)


def chosen(
    results: Iterable[Result],
    methods: Iterable[str] | None = None,
    samplers: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    protocols: Iterable[str] | None = None,
) -> list[Result]:
    """The results with these names, of all where None; AmsbenchError for a name that no result has."""
    remaining = list(results)
    choices = {"method": methods, "sampler": samplers, "dataset": datasets, "protocol": protocols}
    for field, requested in choices.items():
        if requested is None:
            continue
        names = list(requested)
        available = sorted({getattr(result.key, field) for result in remaining})
        for name in names:
            if name not in available:
                raise AmsbenchError(
                    f"there is no result of {field} '{name}' here; {near_matches(name, available)}"
                )
        remaining = [result for result in remaining if getattr(result.key, field) in names]
    return remaining


def tables_of(
    results: Iterable[Result],
    kind: str | None = None,
    *,
    with_paper: bool = False,
    detail: bool = False,
    metrics: Sequence[str] = (),
    files: ResultFiles | None = None,
) -> list[Table]:
    """The tables of one kind, or of every kind that there are results of: one per comparison, or all with ``detail``.

    kind: ``structural``, ``inverse-design`` or None for both
    metrics: names of further metrics whose tables are shown without ``detail`` too
    files: where the files beside the results lie, which paired tests of the differences between results need
    AmsbenchError where there are no such results, and for an unknown kind.
    """
    every = list(results)
    if kind is not None and kind not in _MAKERS:
        raise AmsbenchError(f"unknown kind of table '{kind}'; known: {', '.join(KINDS)}")
    kinds = [kind] if kind else [name for name in KINDS if any(result.key.kind == name for result in every)]
    if not kinds:
        raise AmsbenchError(
            "there are no results to make a table of; run 'amsbench run' first or give another --results"
        )
    return [
        table
        for name in kinds
        for table in _MAKERS[name](every, with_paper=with_paper, detail=detail, metrics=metrics, files=files)
    ]
