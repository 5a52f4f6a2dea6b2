"""Plans of trainings side by side: a TOML or JSON file with up to three of them, checked before anything runs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ...benchmark import registry
from ...benchmark.system.arguments import number, whole_number
from ...benchmark.training.checkpoints import released_path
from ...errors import AmsbenchError

MOST_TRAININGS = 3
"""Most trainings of a plan: each has two files among the eight that come back."""

RELEASED = "released"
"""The value of ``init_from`` for the released checkpoint of method and dataset."""


CHECK_EVERY = 100
"""Steps whose losses are read together, so that no step waits for the GPU."""


@dataclass(frozen=True, kw_only=True)
class PlannedTraining:
    """One training of a plan.

    preset, properties: None for those of ``init_from``, whose other settings are kept, too, unless ``set`` names them
    init_from: path of a checkpoint to start from, or RELEASED; None for random weights
    resume: path of the ``resume.pt`` of an earlier part of the same training
    minutes: length of the training, with which the learning rate falls; None for the time that there is. A training
        that is longer than that time stops early and can be continued with ``resume`` and the same plan
    set: changes to the method's configuration
    """

    method: str
    dataset: str
    preset: str | None = None
    properties: tuple[str, ...] | None = None
    init_from: str | None = None
    resume: str | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    ema_decay: float = 0.9995
    validation_samples: int = 64
    minutes: float | None = None
    seed: int = 0
    set: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to start from."""
        if self.init_from is None:
            return None
        return (
            released_path(self.method, self.dataset) if self.init_from == RELEASED else Path(self.init_from)
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT_PLAN = (
    PlannedTraining(method="material-sde", dataset="asio2", init_from=RELEASED),
    PlannedTraining(method="material-sde", dataset="meg", init_from=RELEASED),
    PlannedTraining(
        method="amshortcut",
        dataset="asi",
        init_from=RELEASED,
        set={"matching": {"weight": 1.0}, "consistency_share": 0.25, "warmup": 0.0},
    ),
)
"""The trainings without a plan: better scores of the two glasses, and matching of environments for the liquid."""


def read_plan(path: Path) -> tuple[PlannedTraining, ...]:
    """The trainings under ``training`` in a .toml or .json file; AmsbenchError for anything that cannot be run."""
    if not path.is_file():
        raise AmsbenchError(f"there is no plan {path}; give a .toml or .json file with a list 'training'")
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise AmsbenchError(f"{path} cannot be read ({error}); write it as TOML or JSON") from error
    entries = content.get("training") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_TRAININGS:
        raise AmsbenchError(f"{path} needs a list 'training' of 1 to {MOST_TRAININGS} trainings")
    return tuple(_planned(entry, f"training {k} of {path}") for k, entry in enumerate(entries, 1))


def _planned(entry: Any, owner: str) -> PlannedTraining:
    """One checked entry of a plan; ``owner`` is the subject of the messages."""
    if not isinstance(entry, Mapping):
        raise AmsbenchError(f"{owner} is {entry!r}; write a table with method and dataset")
    names = [item.name for item in fields(PlannedTraining)]
    for name in entry:
        if name not in names:
            raise AmsbenchError(f"{owner} has no '{name}'; {registry.near_matches(name, names)}")
    for name in ("method", "dataset"):
        if entry.get(name) not in registry.names("methods" if name == "method" else "datasets"):
            known = registry.names("methods" if name == "method" else "datasets")
            raise AmsbenchError(
                f"the {name} of {owner} is {entry.get(name)!r}; {registry.near_matches(entry.get(name, ''), known)}"
            )
    if not isinstance(entry.get("set", {}), dict):
        raise AmsbenchError(f"'set' of {owner} is {entry['set']!r}; write a table of settings")
    properties = entry.get("properties")
    if properties is not None and not (
        isinstance(properties, list) and all(isinstance(p, str) for p in properties)
    ):
        raise AmsbenchError(f"'properties' of {owner} is {properties!r}; write a list of names")
    planned = PlannedTraining(**{**entry, "properties": None if properties is None else tuple(properties)})
    for name in ("batch_size", "validation_samples"):
        whole_number(getattr(planned, name), f"{name} of {owner}", least=1)
    for name in ("learning_rate", "ema_decay", "minutes"):
        if (value := getattr(planned, name)) is not None:
            number(value, f"{name} of {owner}", above=0)
    for what, file in (("init_from", planned.checkpoint), ("resume", planned.resume)):
        if file is not None and not Path(file).is_file():
            raise AmsbenchError(
                f"'{what}' of {owner} is {file}, which does not exist; give the path of a file"
            )
    return planned


def case_of(method: str, dataset: str, changes: Mapping[str, Any]) -> str:
    """The name under which a check stores the speed of a training with these changes to its configuration."""
    matching = changes.get("matching")
    matched = isinstance(matching, Mapping) and any(matching.get(name) for name in ("weight", "critic"))
    return f"{method} {dataset}" + (" with matching" if matched else "")


def names_of(plan: tuple[PlannedTraining, ...]) -> list[str]:
    """A name for the files of each training: method and dataset, with a number from the second of a pair on."""
    result: list[str] = []
    for planned in plan:
        base = f"{planned.method}-{planned.dataset}"
        same = sum(name == base or name.startswith(f"{base}_") for name in result)
        result.append(f"{base}_{same + 1}" if same else base)
    return result
