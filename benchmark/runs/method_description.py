"""Description of a method as a Markdown page: its card, and how the results of a submission were obtained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import AmsbenchError
from .. import registry
from ..interface.method_card import MethodCard
from .results import Environment, Result

LISTS = {
    "kept": "Kept from the reference",
    "replaced": "Replaced by something with the same purpose",
    "dropped": "Dropped, since nothing here needs it",
    "declared": "Other differences that may move a number",
}
"""Headings of the lists of a card."""


def method_page(name: str, results: Sequence[Result]) -> str:
    """Markdown of the card of a method with checkpoints, code, training and environments of its results.

    AmsbenchError for a method that is not installed, and one without a card.
    """
    plugin = registry.load(registry.kind_of(name, ("methods", "non_learned")), name)
    card: MethodCard | None = plugin.card
    if card is None:
        raise AmsbenchError(
            f"method '{name}' has no card, which says what it is and how far it is the published one; set its class "
            "attribute 'card' to a MethodCard"
        )
    return "\n".join([*_card_lines(name, plugin.title, card), *_origin_lines(results)]) + "\n"


def _card_lines(name: str, title: str, card: MethodCard) -> Iterator[str]:
    yield from (f"# {name}: {title}", "", f"Reference: {card.reference}", "")
    yield from (f"Original code: {card.original or 'not available'}", "")
    for field, heading in LISTS.items():
        items = getattr(card, field)
        if items:
            yield from (f"## {heading}", "", *(f"- {item}" for item in items), "")
    if card.hyperparameters:
        yield from _table("Values of the reference", ("name", "value"), card.hyperparameters.items())
    if card.evaluations:
        yield from _table(
            "Network evaluations per step", ("sampler", "evaluations"), card.evaluations.items()
        )


def _origin_lines(results: Sequence[Result]) -> Iterator[str]:
    """What the results say of their own origin, each fact once."""
    yield from ("## Checkpoints and code", "")
    origins: dict[tuple[str, str, str], Result] = {}
    for result in results:
        origins.setdefault((result.key.dataset, result.key.checkpoint_hash, result.key.code), result)
    for (dataset, checkpoint, code), result in origins.items():
        yield from (f"### {dataset}", "", f"- checkpoint: sha256 {checkpoint}", f"- code: sha256 {code}")
        yield f"- trained on: {', '.join(result.trained_on) or 'no properties'}"
        yield from ("", "Training record:", "", *_record(result.training), "")
    environments: dict[Environment, int] = {}
    for result in results:
        environments[result.environment] = environments.get(result.environment, 0) + 1
    rows = [
        (f"{item.device}, {item.threads} threads", f"{_versions(item)}; {item.native}; {count} results")
        for item, count in environments.items()
    ]
    yield from _table("Environments of the generation", ("device", "versions, network code"), rows)


def _versions(item: Environment) -> str:
    lammps = f", LAMMPS {item.lammps}" if item.lammps else ""
    return f"amsbench {item.amsbench}, Python {item.python}, torch {item.torch}{lammps}, {item.platform}"


def _record(record: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Nested fields as nested lists."""
    if not record:
        yield f"{indent}- none"
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield f"{indent}- {name}:"
            yield from _record(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                yield f"{indent}- {name}, {number}:"
                yield from _record(item, f"{indent}  ")
        else:
            yield f"{indent}- {name}: {_one_line(value)}"


def _table(heading: str, names: tuple[str, str], rows: Any) -> Iterator[str]:
    yield from (f"## {heading}", "", f"| {names[0]} | {names[1]} |", "|---|---|")
    for row in rows:
        yield f"| {' | '.join(_one_line(value).replace('|', chr(92) + '|') for value in row)} |"
    yield ""


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())
