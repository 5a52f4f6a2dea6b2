"""The leaderboards as tables in the form of the paper's: step counts as rows, trained models as columns."""

from __future__ import annotations

from collections.abc import Iterable

from ..benchmark.results import ResultCell
from ..errors import AmsbenchError
from .inverse_design import inverse_design_tables
from .structural import structural_tables
from .table import FORMATS, Table, render

__all__ = ["FORMATS", "KINDS", "Table", "inverse_design_tables", "render", "structural_tables", "tables_of"]

_MAKERS = {"structural": structural_tables, "inverse-design": inverse_design_tables}
KINDS = tuple(_MAKERS)


def tables_of(
    cells: Iterable[ResultCell], kind: str | None = None, *, with_paper: bool = False, detail: bool = False
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
