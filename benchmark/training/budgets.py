"""How much a training may see."""

from __future__ import annotations

from ...errors import AmsbenchError

BUDGETS: dict[str, int] = {"quick": 2_000, "fixed": 12_000, "standard": 100_000, "paper": 5_000_000}
"""Structures seen in training, with repetition, under each budget. ``fixed`` is that of the tables where every method
has the same (docs/studies/fixed_budget.py); ``paper`` is our estimate of the paper's."""


def budget_samples(name: str) -> int:
    """Structures seen under a budget; AmsbenchError for an unknown one."""
    if name not in BUDGETS:
        raise AmsbenchError(f"unknown budget '{name}'; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]
