"""The numbers that the paper reports (Tables 1 to 3 of arXiv 2603.29812), as data.

``None`` stands for a value that could not be read from the print.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "paper"
CITATION = "arXiv 2603.29812"

METHODS = ("cdvae", "mattergen", "graphite", "material-ode", "material-sde", "amshortcut")
"""In the order of the paper's columns."""

SAMPLERS = {"material-ode": "ode", "material-sde": "euler-maruyama", "amshortcut": "shortcut"}
"""The sampler behind the paper's numbers, for the methods that the paper describes itself.

Its text says that AMShortcut takes SDE steps from 10 steps on; its numbers are those of shortcuts at every step count
(docs/methods.md).
"""

COUNTS = {"structural": 10_000, "inverse-design": 2_000}
"""Structures per result of the paper, to which all times are scaled."""

STRUCTURAL_DATASET = "asi"
"""The one dataset whose structure the paper reports."""

TARGETS: dict[tuple[str, str], tuple[float, float]] = {
    ("asio2", "shear_modulus"): (10.0, 50.0),
    ("asio2", "ring_size"): (4.0, 6.0),
    ("meg", "youngs_modulus"): (20.0, 160.0),
    ("meg", "li_concentration"): (15.0, 15.0),
    ("meg", "shear_modulus"): (10.0, 70.0),
}
"""First and last target of the paper, by dataset and property (section 5.5)."""


@dataclass(frozen=True, kw_only=True)
class ReportedStructure:
    """One result of Table 1.

    curves: RMSD by name of the curve metric
    seconds: generation time of 10,000 structures
    """

    method: str
    steps: int
    curves: Mapping[str, float | None]
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ReportedErrors:
    """One result of Table 2 or 3.

    training: ``All`` or ``Target``, as of ``comparisons.training_label``
    mae, rmse: in ``unit``
    mape: percent
    """

    method: str
    training: str
    steps: int
    unit: str
    mae: float | None
    rmse: float | None
    mape: float | None


def reported_structure(dataset: str) -> tuple[ReportedStructure, ...]:
    """What the paper reports on the structure of a dataset: Table 1 for ``asi``, nothing for others."""
    return _structure() if dataset == STRUCTURAL_DATASET else ()


def reported_errors(dataset: str, name: str) -> tuple[ReportedErrors, ...]:
    """What the paper reports on inverse design of one property; empty where it reports nothing."""
    return _errors().get((dataset, name), ())


@cache
def _structure() -> tuple[ReportedStructure, ...]:
    return tuple(
        ReportedStructure(
            method=row["method"],
            steps=int(row["steps"]),
            curves={
                name.removesuffix("_rmsd"): _number(value)
                for name, value in row.items()
                if name.endswith("_rmsd")
            },
            seconds=_number(row["seconds_per_10000"]),
        )
        for row in _rows("structural_asi.csv")
    )


@cache
def _errors() -> dict[tuple[str, str], tuple[ReportedErrors, ...]]:
    errors: dict[tuple[str, str], tuple[ReportedErrors, ...]] = {}
    for row in _rows("inverse_design.csv"):
        reported = ReportedErrors(
            method=row["method"],
            training=row["conditioned_on"].capitalize(),
            steps=int(row["steps"]),
            unit=row["unit"],
            mae=_number(row["mae"]),
            rmse=_number(row["rmse"]),
            mape=_number(row["mape_percent"]),
        )
        place = row["dataset"], row["property"]
        errors[place] = (*errors.get(place, ()), reported)
    return errors


def _rows(name: str) -> list[dict[str, str]]:
    with open(FOLDER / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None
