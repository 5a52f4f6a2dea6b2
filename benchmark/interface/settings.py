"""Settings of methods: tables of numbers, texts, lists and tables, whose defaults say which values are possible."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ...errors import AmsbenchError
from .. import registry


class Settings(dict[str, Any]):
    """Settings of a method by name; AmsbenchError where one is read that is not there."""

    def __missing__(self, name: str) -> Any:
        raise AmsbenchError(f"the settings of the checkpoint lack '{name}'; train it again with this version")


def with_changes(settings: dict[str, Any], changes: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Copy of the settings with ``changes`` applied; AmsbenchError for unknown names and values of another type.

    owner: subject of the error messages
    """
    result = dict(settings)
    for name, value in changes.items():
        if name not in settings:
            raise AmsbenchError(
                f"{owner} has no setting '{name}'; {registry.near_matches(name, list(settings))}"
            )
        old = settings[name]
        if not _is_like(value, old):
            raise AmsbenchError(
                f"the setting '{name}' of {owner} is {json.dumps(old)}; {json.dumps(value)} is of another type"
            )
        result[name] = with_changes(old, value, f"'{name}' of {owner}") if isinstance(old, dict) else value
    return result


def unlike_default(settings: Any, default: Any, name: str = "config") -> str | None:
    """The first setting of another type than its default, or no finite number, for a sentence; None without one.

    Settings that the default does not have are not looked at, as one of another version may have them; nor are those
    that are None by default.
    """
    if default is None:
        return None
    if not _is_like(settings, default):
        return f"'{name}' is {json.dumps(settings)[:60]}, and its default {json.dumps(default)[:60]}"
    if isinstance(settings, float) and not math.isfinite(settings):
        return f"'{name}' is {settings}"
    inner: list[tuple[Any, Any, str]] = []
    if isinstance(default, dict):
        inner = [(value, default[key], f"{name}.{key}") for key, value in settings.items() if key in default]
    elif isinstance(default, list) and default:
        inner = [(value, default[0], f"{name}.{number}") for number, value in enumerate(settings)]
    return next((found for arguments in inner if (found := unlike_default(*arguments))), None)


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value is of the type of the default; whole numbers may stand for others."""
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, bool) and not isinstance(default, bool):
        return False
    return isinstance(value, type(default))
