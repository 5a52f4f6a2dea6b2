"""Plans of many runs: a TOML file with tables ``[[runs]]``, each for all combinations of its lists."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ...errors import AmsbenchError
from .. import registry
from ..interface.evaluation_plan import PROTOCOLS, WIDE
from ..plugin_file import is_method_file, register_method_file
from ..system.arguments import whole_number

LISTS = ("methods", "datasets", "protocols", "seeds", "checkpoints")
"""Keys whose values are combined with each other: each combination is a run. Checkpoints belong to one method and
dataset."""

SHARED = ("samplers", "plans", "metrics", "steps", "count", "data")
"""Keys that every run of a table has."""

MOST_RUNS = 10_000
"""Most runs of a plan, against a list that was not meant so."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a plan; None stands for the default of ``amsbench run``.

    samplers: names, or ``("all",)``
    """

    method: str
    dataset: str
    protocol: str
    seed: int
    checkpoint: Path | None = None
    data: Path | None = None
    samplers: tuple[str, ...] | None = None
    plans: tuple[str, ...] | None = None
    steps: tuple[int, ...] | None = None
    count: int | None = None
    metrics: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """A short name for messages: method, dataset, and what else tells it from others."""
        parts = [f"{self.method} on {self.dataset}, {self.protocol}"]
        if self.seed:
            parts.append(f"seed {self.seed}")
        if self.checkpoint is not None:
            parts.append(self.checkpoint.name)
        return ", ".join(parts)


def read_sweep(path: Path) -> tuple[PlannedRun, ...]:
    """The runs of a plan in its order, each once; AmsbenchError for anything that cannot be run."""
    if not path.is_file():
        raise AmsbenchError(f"there is no plan {path}; give a .toml file with tables [[runs]]")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AmsbenchError(f"{path} cannot be read ({error}); write it as TOML") from error
    for name in content:
        if name != "runs":
            raise AmsbenchError(f"{path} has '{name}' outside of a table; put it below a line [[runs]]")
    tables = content.get("runs")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, Mapping) for t in tables):
        raise AmsbenchError(f"{path} needs one or more tables [[runs]] with methods and datasets")
    runs: dict[PlannedRun, None] = {}
    for number, table in enumerate(tables, start=1):
        runs |= dict.fromkeys(_runs_of(table, f"table {number} of {path}", path.parent))
        if len(runs) > MOST_RUNS:
            raise AmsbenchError(f"{path} has more than {MOST_RUNS:,} runs; divide it into several plans")
    return tuple(runs)


def _runs_of(table: Mapping[str, Any], owner: str, folder: Path) -> list[PlannedRun]:
    """The runs of a table; ``owner`` is the subject of the messages, ``folder`` that of relative paths."""
    for name in table:
        if name not in (*LISTS, *SHARED):
            raise AmsbenchError(f"{owner} has no '{name}'; {registry.near_matches(name, [*LISTS, *SHARED])}")
    methods = _texts(table, "methods", owner, required=True) or ()
    datasets = _texts(table, "datasets", owner, required=True) or ()
    for name in datasets:
        _check_known(name, registry.names("datasets"), f"dataset of {owner}")
    methods = tuple(register_method_file(str(folder / m)) if is_method_file(m) else m for m in methods)
    for name in methods:
        _check_known(name, [*registry.names("methods"), *registry.names("non_learned")], f"method of {owner}")
    protocols = _texts(table, "protocols", owner) or ("standard",)
    for name in protocols:
        _check_known(name, [*PROTOCOLS, WIDE], f"protocol of {owner}")
    checkpoints: tuple[Path | None, ...] = _paths(table, "checkpoints", owner, folder) or (None,)
    if checkpoints != (None,) and len(methods) * len(datasets) > 1:
        raise AmsbenchError(
            f"{owner} has checkpoints for {len(methods)} methods and {len(datasets)} datasets; a checkpoint belongs to "
            "one of each: give it a table of its own"
        )
    seeds = _numbers(table, "seeds", owner, least=0) or (0,)
    data = _paths({"data": [table["data"]]}, "data", owner, folder)[0] if "data" in table else None
    count = table.get("count")
    shared: dict[str, Any] = {
        "samplers": _texts(table, "samplers", owner),
        "plans": _texts(table, "plans", owner),
        "metrics": _texts(table, "metrics", owner) or (),
        "steps": _numbers(table, "steps", owner, least=1),
        "count": None if count is None else whole_number(count, f"count of {owner}", least=1),
        "data": data,
    }
    return [
        PlannedRun(method=m, dataset=d, protocol=p, checkpoint=c, seed=s, **shared)
        for d, p, m, c, s in product(datasets, protocols, methods, checkpoints, seeds)
    ]


def _check_known(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise AmsbenchError(f"'{name}' is no {what}; {registry.near_matches(name, known)}")


def _list(table: Mapping[str, Any], name: str, owner: str, kind: type, example: str) -> list[Any]:
    value = table.get(name)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, kind) and not isinstance(item, bool) for item in items):
        raise AmsbenchError(f"'{name}' of {owner} is {value!r}; write a list such as {example}")
    return items


def _texts(
    table: Mapping[str, Any], name: str, owner: str, *, required: bool = False
) -> tuple[str, ...] | None:
    if name not in table:
        if required:
            raise AmsbenchError(f"{owner} has no '{name}'; add a list of names")
        return None
    return tuple(dict.fromkeys(_list(table, name, owner, str, '["name", "another"]')))


def _numbers(table: Mapping[str, Any], name: str, owner: str, *, least: int) -> tuple[int, ...] | None:
    if name not in table:
        return None
    items = _list(table, name, owner, int, "[1, 5, 25]")
    return tuple(
        dict.fromkeys(whole_number(item, f"each of the {name} of {owner}", least=least) for item in items)
    )


def _paths(table: Mapping[str, Any], name: str, owner: str, folder: Path) -> tuple[Path, ...]:
    if name not in table:
        return ()
    paths = tuple(folder / item for item in _list(table, name, owner, str, '["runs/a/best.safetensors"]'))
    for path in paths:
        if not path.is_file():
            raise AmsbenchError(
                f"'{name}' of {owner} names {path}, which does not exist; give the path of a file"
            )
    return paths
