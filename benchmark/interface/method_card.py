"""Method cards: reference of a method and the differences between its implementation and the publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """Reference and differences of an implementation; shown by ``amsbench methods NAME``.

    reference: authors, title, year, and place of publication
    original: address and licence of the original code; None if it is not available
    kept: defining parts of the method that are as in the reference
    replaced: parts with the same purpose in another form, with the reason
    dropped: parts of the original that this benchmark does not need
    declared: other differences that may change results
    hyperparameters: values of the reference by name, for comparison with the checkpoint's
    evaluations: network evaluations per step, by sampler
    """

    reference: str
    original: str | None = None
    kept: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[str, str] = field(default_factory=dict)
