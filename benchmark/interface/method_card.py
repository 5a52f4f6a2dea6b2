"""Method cards: what an implementation of a published method is, and how far it is that method."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runs.generator import Yardstick
    from .method import Method

HEADS = {
    "kept": "kept from the reference",
    "replaced": "replaced by something with the same purpose",
    "dropped": "dropped, since nothing here needs it",
    "declared": "other differences that may move a number",
}
"""What the lists of a card are called."""

LEAST_WIDTH, WIDTH = 40, 100
"""Characters of a line: at least, and where nobody asks for another width."""


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """What a reader of a table must know about a row; shown by ``amsbench methods NAME``.

    reference: authors, title, year and where to find it
    original: where the original code is, and its licence; None where there is none to be had
    kept: what makes the method that method, and is as in the reference
    replaced: parts that serve the same purpose in another form, with the reason
    dropped: parts of the original that this benchmark has no use for
    declared: other differences that may move a number
    hyperparameters: the reference's own values by name, for comparison with the checkpoint's
    evaluations: by sampler, how many network evaluations a step is
    """

    reference: str
    original: str | None = None
    kept: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[str, str] = field(default_factory=dict)


def card_lines(method: type[Method] | type[Yardstick], width: int | None = None) -> Iterator[str]:
    """A method or yardstick as text for people: samplers with the network evaluations of a step, networks, card.

    width: characters per line
    """
    width = max(LEAST_WIDTH, width or WIDTH)
    card = method.card or MethodCard(reference="none given: the method has no card")
    yield from textwrap.wrap(f"{method.name}: {method.title}", width)
    yield ""
    yield from _entry("reference", card.reference, width)
    if card.original is not None:
        yield from _entry("original", card.original, width)
    networks: tuple[str, ...] | None = getattr(method, "networks", None)
    if networks is None:
        yield from _entry("needs", "neither training nor steps", width)
    else:
        yield from _of_a_model(method, networks, card, width)
    for name, head in HEADS.items():
        items = getattr(card, name)
        if items:
            yield from ("", head)
        for item in items:
            yield from textwrap.wrap(item, width, initial_indent="  - ", subsequent_indent="    ")
    if card.hyperparameters:
        yield from ("", "values of the reference")
        for name, value in card.hyperparameters.items():
            yield from _entry(f"  {name}", value, width, 20)


def _of_a_model(method: Any, networks: tuple[str, ...], card: MethodCard, width: int) -> Iterator[str]:
    claims = {
        "shortcut": "right structures from fewer than 10 steps",
        "rotation_equivariant": "rotation equivariant",
    }
    claimed = [words for name, words in claims.items() if getattr(method, name)]
    if claimed:
        yield from _entry("claims", ", ".join(claimed), width)
    yield from _entry("networks", ", ".join(networks), width)
    yield ""
    yield "samplers, and network evaluations a step"
    for sampler in method.samplers:
        yield from _entry(f"  {sampler}", card.evaluations.get(sampler, "not said"), width, 20)


def _entry(name: str, text: str, width: int, column: int = 12) -> list[str]:
    """A name and what belongs to it, in two columns; a longer name moves its text to the right."""
    first = f"{name:{column}}" if len(name) < column else f"{name}  "
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * column)
