"""``amsbench methods`` and ``amsbench new-method``: what there is to compare, and a beginning of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .progress import say, terminal_width


def methods(
    name: Annotated[str | None, typer.Argument(help="Show the card of one method.")] = None,
) -> None:
    """List the registered methods, or show what one of them is and how far it is the published one."""
    from ..benchmark import registry
    from ..benchmark.interface.method_card import card_lines

    if name is not None:
        for line in card_lines(registry.load("methods", name), terminal_width()):
            print(line)
        return
    for item in registry.names("methods"):
        print(f"{item:14} {registry.load('methods', item).title}")


def new_method(
    name: Annotated[str, typer.Argument(help="What the method is to be called.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to make; NAME by default.")
    ] = None,
) -> None:
    """Write a small package with a method that trains, samples and passes its tests, to begin from."""
    from ..benchmark.scaffold import new_method as write

    folder = output or Path(name)
    for path in write(name, folder):
        say(f"{path}")
    say(f"Next: pip install -e {folder}, pytest {folder}, amsbench run --method {name} --dataset asi")
