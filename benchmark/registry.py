"""Plug-ins by name, through entry points; those of this package are registered in the same way as all others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

from ..errors import AmsbenchError
from ..metrics.metric import CurveMetric, Metric

_Metric = TypeVar("_Metric", bound=Metric)

PluginKind = Literal["methods", "non_learned", "datasets", "metrics"]

_NOUNS: dict[PluginKind, str] = {
    "methods": "method",
    "non_learned": "non-learned baseline",
    "datasets": "dataset",
    "metrics": "metric",
}


@cache
def _entry_points(kind: PluginKind) -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"amsbench.{kind}"):
        earlier = points.get(point.name)
        if earlier is not None and earlier.value != point.value:
            raise AmsbenchError(
                f"two installed packages register the {_NOUNS[kind]} '{point.name}' "
                f"({earlier.value} and {point.value}); uninstall one of them"
            )
        points[point.name] = point
    return points


@dataclass(frozen=True)
class _LocalPlugin:
    """Class registered for this process only, with the interface of an entry point."""

    plugin: Any
    value: str

    def load(self) -> Any:
        return self.plugin


_LOCAL: dict[PluginKind, dict[str, _LocalPlugin]] = {}


def register(kind: PluginKind, name: str, plugin: Any, place: str) -> None:
    """Register a class for this process only; AmsbenchError if an installed package has registered the name."""
    if name in _entry_points(kind):
        raise AmsbenchError(
            f"the {_NOUNS[kind]} in {place} is called '{name}', which is taken by an installed one "
            f"({_entry_points(kind)[name].value}); give the class another name"
        )
    _LOCAL.setdefault(kind, {})[name] = _LocalPlugin(plugin, f"{place}:{plugin.__name__}")


def _plugins(kind: PluginKind) -> dict[str, EntryPoint | _LocalPlugin]:
    return {**_entry_points(kind), **_LOCAL.get(kind, {})}


def is_installed(kind: PluginKind, name: str) -> bool:
    """Whether ``name`` is registered by an installed package, and not for this process alone."""
    return name in _entry_points(kind)


def names(kind: PluginKind) -> list[str]:
    """The registered names, without importing their classes."""
    return sorted(_plugins(kind))


def kind_of(name: str, kinds: Sequence[PluginKind]) -> PluginKind:
    """The one of ``kinds`` under which ``name`` is registered; AmsbenchError if there is none or more than one."""
    holders = [kind for kind in kinds if name in _plugins(kind)]
    if len(holders) > 1:
        places = " and as ".join(f"{_NOUNS[kind]} ({target(kind, name)})" for kind in holders)
        raise AmsbenchError(
            f"'{name}' is registered as {places}; rename one of them or uninstall its package"
        )
    if not holders:
        registered = sorted(name for kind in kinds for name in names(kind))
        raise AmsbenchError(f"unknown {_NOUNS[kinds[0]]} '{name}'; {near_matches(name, registered)}")
    return holders[0]


def target(kind: PluginKind, name: str) -> str:
    """The ``module:attribute`` registered under ``name``."""
    return _entry(kind, name).value


def load(kind: PluginKind, name: str) -> Any:
    """Import and return the class registered under ``name``.

    AmsbenchError for an unknown name, with near matches, and for a package that cannot be imported or has no such
    class.
    """
    entry = _entry(kind, name)
    try:
        plugin = entry.load()
    except AmsbenchError:
        raise
    except (Exception, SystemExit) as error:  # whatever the package does wrong
        raise AmsbenchError(
            f"the {_NOUNS[kind]} '{name}' ({entry.value}) cannot be imported: {type(error).__name__}: {error}; correct "
            "or uninstall its package"
        ) from error
    if not isinstance(plugin, type) or getattr(plugin, "name", None) != name:
        raise AmsbenchError(
            f"the {_NOUNS[kind]} '{name}' ({entry.value}) is not a class with this name; correct or uninstall its "
            "package"
        )
    return plugin


def usable(kind: PluginKind) -> dict[str, Any]:
    """The classes of a kind by name, without those that cannot be imported, of which ``unusable`` tells."""
    without = unusable(kind)
    return {name: load(kind, name) for name in names(kind) if name not in without}


def unusable(kind: PluginKind) -> dict[str, str]:
    """Why plug-ins of a kind cannot be used, by name."""
    reasons = {}
    for name in names(kind):
        try:
            load(kind, name)
        except AmsbenchError as error:
            reasons[name] = str(error)
    return reasons


@cache
def load_metric(name: str, base: type[_Metric]) -> _Metric:
    """The metric registered under ``name``, one object per process; AmsbenchError if it is of another kind."""
    metric_class = load("metrics", name)
    if not issubclass(metric_class, base):
        kinds = "of mean curves" if base is CurveMetric else "of single structures"
        raise AmsbenchError(f"metric '{name}' is not one {kinds}; 'amsbench metrics' lists both kinds")
    return metric_class()


def near_matches(name: str, known: list[str]) -> str:
    """End of a message about an unknown name: ``did you mean 'x'?``, or the list of valid names."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{item}'" for item in near) + "?"
    return "known: " + (", ".join(known) or "none")


def _entry(kind: PluginKind, name: str) -> EntryPoint | _LocalPlugin:
    points = _plugins(kind)
    if name not in points:
        raise AmsbenchError(f"unknown {_NOUNS[kind]} '{name}'; {near_matches(name, names(kind))}")
    return points[name]
