"""Method cards: what an implementation of a published method is, and how far it is that method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


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
