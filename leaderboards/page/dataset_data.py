"""The data of one dataset: what the page loads at first, and what it loads when a comparison is looked at closely."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...benchmark import registry
from ...benchmark.display.structure_data import elements_data
from ...benchmark.runs.results import TABLE, Result, ResultFiles
from ..comparisons import Comparison, comparisons_of, with_unit
from ..curve_overlay import CurveOverlay, rounded
from ..pages import dataset_label
from ..structure_values import structure_values
from ..tables.summary import main_comparisons
from .provenance import provenance_of
from .rows import comparison_data, result_id
from .structures import samples_of

KINDS = ("structural", "inverse-design")


def comparisons_by_dataset(
    results: Sequence[Result], files: ResultFiles | None
) -> dict[str, list[Comparison]]:
    """All comparisons of the results by dataset, structure before inverse design."""
    by_dataset: dict[str, list[Comparison]] = {}
    kinds = [kind for kind in KINDS if any(result.key.kind == kind for result in results)]
    for kind in kinds:
        for comparison in comparisons_of(results, kind, files):
            by_dataset.setdefault(comparison.key.dataset, []).append(comparison)
    return dict(sorted(by_dataset.items()))


def dataset_data(name: str, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Leaderboards, provenance and training records of one dataset; each training record is there once."""
    main = {comparison.label for comparison in main_comparisons(comparisons)}
    results = [result for comparison in comparisons for result in results_of(comparison)]
    return {
        "name": name,
        "label": dataset_label(name),
        "title": registry.load("datasets", name).title if name in registry.names("datasets") else "",
        "plans": _plans(comparisons),
        "comparisons": [
            comparison_data(comparison, is_main=comparison.label in main) for comparison in comparisons
        ],
        **_shared(
            {result_id(result): provenance_of(result) for result in results}, ("metrics", "environment")
        ),
        "trainings": {result.key.checkpoint_hash: result.training for result in results if result.training},
    }


def closer_data(comparison: Comparison) -> dict[str, Any]:
    """Structures, mean curves and obtained values of one comparison, of the results that have them beside them.

    AmsbenchError for a file beside a result that is damaged, edited or of another result.
    """
    files = comparison.files
    if files is None:
        return {"elements": {}, "reference": [], "results": {}, "properties": []}
    overlay = CurveOverlay(comparison.key, files)
    results: dict[str, dict[str, Any]] = {}
    symbols: set[str] = set()
    for result in results_of(comparison):
        samples = samples_of(files, result)
        symbols |= {symbol for sample in samples for symbol in sample["symbols"]}
        curves = overlay.curves_of(result)
        parts = {"structures": samples, "curves": curves, "obtained": _obtained(files, result)}
        if any(parts.values()):
            results[result_id(result)] = {part: data for part, data in parts.items() if data}
    key = comparison.key
    return {
        "elements": elements_data(symbols),
        "reference": overlay.reference_data() if any("curves" in parts for parts in results.values()) else [],
        "split": overlay.reference.split if overlay.reference else "",
        "properties": [{"name": name, "label": with_unit(key.dataset, name)} for name in key.targets],
        "results": results,
    }


def results_of(comparison: Comparison) -> list[Result]:
    """The results of models and baselines of a comparison, in the order of its rows."""
    entries = (*comparison.entries, *comparison.non_learned)
    return [result for entry in entries for result in entry.results.values()]


def _shared(provenance: dict[str, dict[str, Any]], parts: Sequence[str]) -> dict[str, Any]:
    """Provenance whose ``parts``, which many results have in common, are numbers of the list ``shared``."""
    places: dict[str, int] = {}
    shared: list[Any] = []
    for facts in provenance.values():
        for part in parts:
            text = json.dumps(facts[part], sort_keys=True)
            if text not in places:
                places[text] = len(shared)
                shared.append(facts[part])
            facts[part] = places[text]
    return {"provenance": provenance, "shared": shared}


def _plans(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """What is compared on a dataset: name, label, and the numbers of its comparisons."""
    plans: dict[tuple[str, str], dict[str, Any]] = {}
    for number, comparison in enumerate(comparisons):
        key = comparison.key
        targets = " and ".join(with_unit(key.dataset, name) for name in key.targets)
        label = "Structure" if key.kind == "structural" else f"Inverse design: {targets}"
        plan = plans.setdefault((key.kind, key.plan), {"name": key.plan, "kind": key.kind, "label": label})
        plan.setdefault("comparisons", []).append(number)
    return list(plans.values())


def _obtained(files: ResultFiles, result: Result) -> dict[str, dict[str, list[float | None]]]:
    """Target and obtained value of every structure by property; nothing without the table beside a result."""
    if not files.path(result.key, TABLE).is_file():
        return {}
    return {
        name: {"target": rounded(target), "obtained": rounded(obtained)}
        for name in result.key.targets
        for target, obtained in [structure_values(files, result, name)]
    }
