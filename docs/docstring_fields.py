"""Griffe extension: lines of docstrings that describe an argument or field become lists in the reference pages."""

from __future__ import annotations

import re
from typing import Any

import griffe

NAME = r"[a-z_]\w*(?: \[[^]]*\])?"
NAMES = re.compile(r"([a-z_]\w*)((?: \[[^]]*\])?)")
FIELD = re.compile(rf"(?P<names>{NAME}(?:, {NAME})*): (?=\S)")
"""``cells [s, 3, 3]: ...`` or ``low, high: ...`` at the beginning of a line."""


class DocstringFields(griffe.Extension):
    """Rewrites the docstring of every object with ``with_lists``."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(text: str) -> str:
    """Markdown in which lines such as ``name: meaning`` are items of a list."""
    lines: list[str] = []
    in_list = False
    for line in text.splitlines():
        # a sentence can be broken before a word with a colon, so a list begins after a blank line only
        field = FIELD.match(line) if in_list or (lines and not lines[-1]) else None
        if field:
            names = ", ".join(f"`{name}`{shape}" for name, shape in NAMES.findall(field["names"]))
            line = f"- {names}: {line[field.end() :]}"
        elif in_list and line and not line.startswith(" "):
            lines.append("")
        in_list = field is not None or (in_list and line.startswith(" "))
        lines.append(line)
    return "\n".join(lines)
