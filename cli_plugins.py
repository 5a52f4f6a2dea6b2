"""``amsbench methods``: what there is to compare."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import terminal_width


def methods(
    name: Annotated[str | None, typer.Argument(help="Show the card of one method.")] = None,
) -> None:
    """List the registered methods, or show what one of them is and how far it is the published one."""
    from .benchmark import registry
    from .benchmark.card import card_lines

    if name is not None:
        for line in card_lines(registry.load("methods", name), terminal_width()):
            print(line)
        return
    for item in registry.names("methods"):
        print(f"{item:14} {registry.load('methods', item).title}")
