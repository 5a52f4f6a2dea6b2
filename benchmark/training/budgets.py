"""Named lengths of a training."""

from __future__ import annotations

from ...errors import AmsbenchError

BUDGETS: dict[str, int] = {"quick": 2_000, "fixed": 12_000, "standard": 100_000, "paper": 5_000_000}
"""Structures seen in training, with repetition, by budget.

``fixed`` is used for the tables in which all methods have the same budget (docs/studies/fixed_budget.py); ``paper`` is
our estimate of the paper's budget.
"""


def budget_samples(name: str) -> int:
    """Structures seen under a budget; AmsbenchError for an unknown name."""
    if name not in BUDGETS:
        raise AmsbenchError(f"unknown budget '{name}'; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]
