"""Durations, descriptions of datasets and costs of sweeps as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..benchmark.datasets.definition import DatasetDefinition
    from ..benchmark.sweep.runs import ExpectedCost


def duration(seconds: float) -> str:
    """Seconds as text with a suitable unit: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def description_lines(description: dict[str, Any]) -> list[str]:
    """Description of a dataset (``inspection.info``) as lines."""
    splits = ", ".join(f"{count} {split}" for split, count in description["splits"].items())
    atoms, density = description["atoms_per_sample"], description["mass_density"]
    lines = [
        f"{description['dataset']}: {description['title']}",
        f"{description['samples']} samples {_independence(description)} ({splits})",
        f"{atoms['min']} to {atoms['max']} atoms, density {density['mean']:.3f} +- {density['std']:.3f} g/cm^3",
    ]
    for name, label in description["properties"].items():
        if label["labelled"]:
            lines.append(
                f"{name}: {label['mean']:.4g} +- {label['std']:.3g} {label['unit']} ({label['min']:.4g} to "
                f"{label['max']:.4g}), on {100 * label['coverage']:.1f} % of the samples"
            )
        else:
            lines.append(f"{name}: no labels")
    provenance = description["provenance"]
    lines.append(f"recipe {provenance['recipe']}, content hash {description['content_hash']}")
    if description["deviations"]:
        parts = [
            f"{name} {_setting(here)} ({_setting(paper)})"
            for name, (here, paper) in description["deviations"].items()
        ]
        lines.append("where it differs from the paper's recipe (which has): " + ", ".join(parts))
    lines.append("protocol, seeds, potential and versions: --json")
    return lines


def _independence(description: dict[str, Any]) -> str:
    """What is known of the samples' independence; nobody vouches for that of imported structures without groups."""
    provenance = description["provenance"]
    if provenance["recipe"] != "imported":
        return f"of {description['simulations']} independent simulations"
    if provenance.get("group") is None:
        return "without groups, which may be frames of the same simulations"
    return f"in {description['simulations']} groups by '{provenance['group']}'"


def _setting(value: Any) -> str:
    """Value of a recipe's setting as short text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, list | tuple) for item in value)
        return (", then " if nested else " to ").join(map(_setting, value))
    return "none" if value is None else str(value)


def difference_lines(compared: dict[str, Any], definition: DatasetDefinition) -> list[str]:
    """Comparison of two recipes (``inspection.compare``) as lines."""
    from ..benchmark.datasets.inspection import DESCRIPTOR_UNITS

    units = DESCRIPTOR_UNITS | {item.name: item.unit for item in definition.properties}
    lines = [
        f"against full-length simulations of the paper's recipe (RDF RMSD of the mean curves "
        f"{compared['rdf_rmsd']:.4f}, as many reduced samples: {compared['rdf_floor']:.4f}):"
    ]
    for name, item in compared["quantities"].items():
        error = item["standard_error"]
        spread = "" if error is None else f", standard error {error:.3g}"
        lines.append(
            f"  {name}: {item['reduced']['mean']:.4g} reduced, {item['paper']['mean']:.4g} paper "
            f"({item['paper']['samples']} samples), difference {item['difference']:+.3g} "
            f"{units[name]}{spread}"
        )
    return lines


def cost_table(titles: Sequence[str], costs: Sequence[ExpectedCost]) -> str:
    """Table of what runs will cost, one per row; a dash is a time that is not known."""
    from tabulate import tabulate

    def time(seconds: float | None) -> str:
        return "-" if seconds is None else duration(seconds)

    return tabulate(
        [
            (title, c.results, c.stored, c.structures, time(c.generation), time(c.measurement))
            for title, c in zip(titles, costs, strict=True)
        ],
        headers=("run", "results", "there already", "structures to make", "generation", "measurement"),
        disable_numparse=True,
    )


def cost_lines(costs: Sequence[ExpectedCost]) -> list[str]:
    """Sentences on the cost of all runs together."""
    results, stored = sum(c.results for c in costs), sum(c.stored for c in costs)
    lines = [
        f"{results} results, {stored} of them there already; the others take about "
        f"{duration(sum(c.seconds for c in costs))}, as measured here with one structure of each plan (baselines "
        "that are not trained: as published)"
    ]
    unknown = sum(None in (c.generation, c.measurement) for c in costs)
    if unknown:
        lines[0] += f", and {unknown} {'run' if unknown == 1 else 'runs'} of unknown cost"
    lines[0] += "."
    return lines
