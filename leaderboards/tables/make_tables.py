"""The leaderboards as tables in the form of the paper's: step counts as rows, trained models as columns."""

from __future__ import annotations

from collections.abc import Iterable

from ...benchmark.registry import near_matches
from ...benchmark.runs.results import Result
from ...errors import AmsbenchError
from .inverse_design import inverse_design_tables
from .structural import structural_tables
from .text_table import FORMATS, Table, render

__all__ = [
    "FORMATS",
    "KINDS",
    "Table",
    "chosen",
    "inverse_design_tables",
    "render",
    "structural_tables",
    "tables_of",
]

_MAKERS = {"structural": structural_tables, "inverse-design": inverse_design_tables}
KINDS = tuple(_MAKERS)


def chosen(
    cells: Iterable[Result], methods: Iterable[str] | None = None, samplers: Iterable[str] | None = None
) -> list[Result]:
    """The cells of some methods and samplers, of all where None; AmsbenchError for a name that no cell has."""
    left = list(cells)
    for what, asked in (("method", methods), ("sampler", samplers)):
        if asked is None:
            continue
        names = list(asked)
        known = sorted({getattr(cell.key, what) for cell in left})
        for name in names:
            if name not in known:
                raise AmsbenchError(
                    f"there is no result of {what} '{name}' here; {near_matches(name, known)}"
                )
        left = [cell for cell in left if getattr(cell.key, what) in names]
    return left


def tables_of(
    cells: Iterable[Result], kind: str | None = None, *, with_paper: bool = False, detail: bool = False
) -> list[Table]:
    """The tables of one kind, or of every kind that there are results of.

    kind: ``structural``, ``inverse-design`` or None for both
    Raises AmsbenchError where there are no such results, and for an unknown kind.
    """
    every = list(cells)
    if kind is not None and kind not in _MAKERS:
        raise AmsbenchError(f"unknown kind of table '{kind}'; known: {', '.join(KINDS)}")
    kinds = [kind] if kind else [name for name in KINDS if any(cell.key.kind == name for cell in every)]
    if not kinds:
        raise AmsbenchError(
            "there are no results to make a table of; run 'amsbench run' first or give another --results"
        )
    return [table for name in kinds for table in _MAKERS[name](every, with_paper=with_paper, detail=detail)]
