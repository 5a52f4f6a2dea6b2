"""Plug-ins by name: methods, datasets and metrics are found through entry points, ours and those of other packages."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

from ..errors import AmsbenchError
from ..metrics.metric import CurveMetric, Metric

_Metric = TypeVar("_Metric", bound=Metric)

PluginKind = Literal["methods", "datasets", "metrics"]


@cache
def _found(kind: PluginKind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"amsbench.{kind}"):
        known = found.get(point.name)
        if known is not None and known.value != point.value:
            raise AmsbenchError(
                f"two installed packages register the {kind[:-1]} '{point.name}' "
                f"({known.value} and {point.value}); uninstall one of them"
            )
        found[point.name] = point
    return found


def names(kind: PluginKind) -> list[str]:
    """The registered names, without importing what they stand for."""
    return sorted(_found(kind))


def target(kind: PluginKind, name: str) -> str:
    """The ``module:attribute`` that a name stands for."""
    return _entry(kind, name).value


def load(kind: PluginKind, name: str) -> Any:
    """Import and return the class registered under ``name``; AmsbenchError lists near matches."""
    return _entry(kind, name).load()


@cache
def load_metric(name: str, base: type[_Metric]) -> _Metric:
    """The metric registered under ``name``, one object per process; AmsbenchError where it is of another kind."""
    found = load("metrics", name)
    if not issubclass(found, base):
        kinds = "of mean curves" if base is CurveMetric else "of single structures"
        raise AmsbenchError(f"metric '{name}' is not one {kinds}; 'amsbench metrics' lists both kinds")
    return found()


def near_matches(name: str, known: list[str]) -> str:
    """``did you mean 'x'?`` or the list of what there is: the tail of an unknown-name message."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{item}'" for item in near) + "?"
    return "known: " + (", ".join(known) or "none")


def _entry(kind: PluginKind, name: str) -> EntryPoint:
    found = _found(kind)
    if name not in found:
        raise AmsbenchError(f"unknown {kind[:-1]} '{name}'; {near_matches(name, names(kind))}")
    return found[name]
