"""Cards of the methods and baselines of the results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...benchmark import registry
from ...benchmark.interface.method_card import MethodCard
from ...benchmark.runs.results import Result


def method_cards(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The card of each method and baseline that a result is of, trained methods first, then by name."""
    learned = {result.key.method: bool(result.key.steps) for result in results}
    names = sorted(learned, key=lambda name: (not learned[name], name))
    return [_card(name, learned=learned[name]) for name in names]


def _card(name: str, *, learned: bool) -> dict[str, Any]:
    card: dict[str, Any] = {"name": name, "learned": learned}
    kind: registry.PluginKind = "methods" if learned else "non_learned"
    if name not in registry.names(kind):
        return card | {
            "missing": "The plug-in of this name is not installed here, so that its card is not known."
        }
    plugin = registry.load(kind, name)
    of_plugin: MethodCard | None = plugin.card
    card |= {"title": plugin.title, "samplers": []}
    if learned:
        evaluations = of_plugin.evaluations if of_plugin else {}
        card["samplers"] = [
            {"name": item.name, "title": item.title, "evaluations": evaluations.get(item.name, "")}
            for item in plugin.samplers
        ]
    if of_plugin is None:
        return card | {"missing": "The plug-in has no card."}
    return card | {
        "reference": of_plugin.reference,
        "original": of_plugin.original or "",
        "kept": list(of_plugin.kept),
        "replaced": list(of_plugin.replaced),
        "dropped": list(of_plugin.dropped),
        "declared": list(of_plugin.declared),
        "hyperparameters": dict(of_plugin.hyperparameters),
    }
