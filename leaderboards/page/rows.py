"""One comparison as data of the page: its columns, one row per result, and the conditions that hold for all of them."""

from __future__ import annotations

from typing import Any

from ...benchmark.runs.results import NO_STEPS, Result
from ...benchmark.runs.stored_structures import structures_path
from ..comparisons import Comparison, Entry, training_label
from ..figures.plot_style import styles_of
from ..tables.captions import conditions, left_out_note, steps_note
from ..tables.hits import MEANING
from ..tables.records import ComparisonRecords, records_of
from .columns import PageColumn, page_columns

ID_LENGTH = 12
"""Characters of a result's hash by which the page names it."""
DIGITS = 6
"""Digits of the numbers of a row; the texts of its cells are those of the tables."""


def result_id(result: Result) -> str:
    """The short name of a result on the page."""
    return result.key.digest[:ID_LENGTH]


def comparison_data(comparison: Comparison, *, is_main: bool) -> dict[str, Any]:
    """Columns, rows, statistics and conditions of one comparison.

    is_main: whether the page shows it first
    AmsbenchError where a result lacks the scores that its key declares.
    """
    records = records_of(comparison)
    columns = page_columns(records)
    statistics = sorted({name for block in records.blocks for name in block.values.numbers})
    key = comparison.key
    return {
        "label": comparison.label,
        "kind": key.kind,
        "plan": key.plan,
        "protocol": key.protocol,
        "main": is_main,
        "count": key.count,
        "columns": [column.to_json(records) for column in columns],
        "statistics": [list(name) for name in statistics],
        "rows": _rows(records, columns, statistics),
        "conditions": _conditions(comparison),
        "definition": MEANING if key.kind == "inverse-design" else "",
    }


def _rows(
    records: ComparisonRecords, columns: tuple[PageColumn, ...], statistics: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    comparison = records.comparison
    entries = (*comparison.entries, *comparison.non_learned)
    styles = styles_of(entries)
    rows = []
    for entry in entries:
        for steps, result in entry.results.items():
            values = records.values(entry.label, steps)
            assert values is not None
            rows.append(
                {
                    **_identity(entry, result),
                    "colour": styles[entry.label].colour,
                    "cells": [column.cell(values, steps, records) for column in columns],
                    "numbers": [_rounded(values.number(*name)) for name in statistics],
                    "failures": result.failures,
                    "structures": _has_structures(comparison, result),
                }
            )
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _has_structures(comparison: Comparison, result: Result) -> bool:
    """Whether structures of the result are stored beside it."""
    return comparison.files is not None and structures_path(comparison.files, result.key) is not None


def _identity(entry: Entry, result: Result) -> dict[str, Any]:
    key = result.key
    return {
        "id": result_id(result),
        "entry": entry.label,
        "method": key.method,
        "sampler": key.sampler,
        "training": training_label(result),
        "steps": key.steps,
        "stepKind": result.step_label,
        "learned": key.steps != NO_STEPS,
        "protocol": key.protocol,
    }


def _conditions(comparison: Comparison) -> list[str]:
    """The sentences below the table; a comparison of baselines alone has none on models."""
    if not comparison.entries:
        return []
    return [*conditions(comparison), *left_out_note(comparison), *steps_note(comparison)]
