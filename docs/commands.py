"""Write docs/reference/commands.md: every command of the command line, its help, and its options with their defaults.

Usage: python docs/commands.py
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from amsbench.cli.main import app

PAGE = Path(__file__).parent / "reference" / "commands.md"

INTRODUCTION = """\
# Command line

This page was written by `python docs/commands.py`; do not edit it by hand. `amsbench COMMAND --help` prints
the same help."""

VALUES = {str: "text", int: "integer", float: "number", Path: "path", bool: "flag"}
"""What an option of a Python type takes, as the table names it."""


def page() -> str:
    """The page in Markdown; it does not depend on the terminal or its width."""
    sections = [section(words, command) for words, command in commands_of(get_command(app), ("amsbench",))]
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def commands_of(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command below a group with its full name, in the order of the help; groups are left out."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*words, name))
        elif not command.hidden:
            yield " ".join((*words, name)), command


def section(name: str, command: Any) -> str:
    """Heading, usage, help text, and the tables of arguments and options of one command."""
    hints = value_types(command.callback)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *(argument_usage(argument) for argument in arguments)])
    parts = [f"## {name}", f"```sh\n{usage}{' [OPTIONS]' * bool(options)}\n```", help_text(command.help)]
    if arguments:
        parts.append(table("argument", [row(argument, hints) for argument in arguments]))
    if options:
        parts.append(table("option", [row(option, hints) for option in options]))
    return "\n\n".join(parts)


def value_types(callback: Any) -> dict[str, tuple[type, bool]]:
    """Type of the value of each parameter of a command, and whether the parameter may be repeated."""
    hints = typing.get_type_hints(inspect.unwrap(callback))
    return {name: value_type(hint) for name, hint in hints.items() if name != "return"}


def value_type(hint: Any) -> tuple[type, bool]:
    """``int`` of ``int | None``; ``Path`` and True of ``list[Path] | None``."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    return hint, False


def argument_usage(argument: Any) -> str:
    name = argument.name.upper()
    return name if argument.required else f"[{name}]"


def row(parameter: Any, hints: dict[str, tuple[type, bool]]) -> tuple[str, str, str, str]:
    """Name, value, default and meaning of an argument or option."""
    value, repeated = hints[parameter.name]
    names = [*parameter.opts, *parameter.secondary_opts]
    label = ", ".join(f"`{name}`" for name in names)
    if parameter.param_type_name == "argument":
        label = f"`{parameter.name.upper()}`"
    kind = VALUES[value] + (", may be repeated" if repeated else "")
    return label, kind, default_text(parameter), escaped(parameter.help or "")


def default_text(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default is False or default in ([], ()):
        return "-"
    return f"`{default}`"


def help_text(text: str | None) -> str:
    """The help of a command in Markdown, one line per paragraph."""
    return "\n\n".join(escaped(paragraph) for paragraph in inspect.cleandoc(text or "").split("\n\n"))


def escaped(text: str) -> str:
    """The text on one line, with characters escaped that Markdown or a table would interpret."""
    line = " ".join(text.split())
    return line.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def table(kind: str, rows: list[tuple[str, str, str, str]]) -> str:
    lines = [(kind, "value", "default", "meaning"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
