"""Write docs/reference/commands.md, the page of all commands, from the command line itself.

python docs/commands.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "commands.md"

HEAD = """# Commands

This page was written by `python docs/commands.py` from the same texts as `amsbench --help`; do not edit it by hand.
"""


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Full names and objects of all commands of a group, those of its groups included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def parameter_rows(command: Any) -> Iterator[str]:
    """One row of a table for each argument and option, without ``--help``."""
    for item in command.params:
        if item.name == "help":
            continue
        names = ", ".join(f"`{name}`" for name in [*item.opts, *item.secondary_opts])
        if item.param_type_name == "argument":
            names = f"`{item.name.upper().rstrip('_')}`"
        default = "required" if item.required else ""
        if not (item.required or item.default is None or item.default is False or item.default == ""):
            default = f"`{item.default}`"
        text = (item.help or "").replace("|", "\\|")
        yield f"| {names} | {text} | {default} |"


def page() -> str:
    """The page as text."""
    from typer.main import get_command

    from amsbench.cli.main import app

    parts = [HEAD]
    for name, command in commands(get_command(app), "amsbench"):
        text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
        rows = list(parameter_rows(command))
        table = ["| option | meaning | default |", "|---|---|---|", *rows] if rows else []
        parts.append("\n".join([f"## {name}", "", text, "", *table]).rstrip() + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
