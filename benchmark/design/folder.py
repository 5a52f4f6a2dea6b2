"""The folder of a design: everything tried, so that a stopped design goes on, and nothing is computed twice.

``settings.json`` has what the structures depend on. ``round-NNNN`` has the generated batches of a round, and
``round-NNNN.json`` its measurements and judgement, with the relaxed structures in ``relaxed``. A round is judged when
its JSON file is there, which is written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ..generation.partial_results import FinishedPart, PartialResults
from ..system.checked_files import read_checked_json, write_checked_json
from ..system.compact_structures import on_grid
from ..system.files import check_writable, exclusive_lock, sha256_of, write_atomically
from .records import DesignCosts, JudgedRound

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

SETTINGS, WRITTEN, TABLE, NEAREST = "settings.json", "written.json", "table.csv", "nearest.extxyz"
FORMAT = 1
SUFFIX = ".design"
ADVICE = "remove it, or the folder of the design"


def folder_of(output: Path) -> Path:
    """The folder of the design whose glasses are written to ``output``: beside it, with the suffix ``.design``."""
    return output.with_suffix(SUFFIX)


class DesignFolder:
    """Reads and writes the files of a design; one process at a time (``exclusive_lock``)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, settings: Mapping[str, Any]) -> None:
        """Begin a design or go on with the one that is there.

        Raises AmsbenchError if the folder holds something else, or a design of other settings.
        """
        file = self.path / SETTINGS
        own = json.loads(json.dumps({"format": FORMAT, **settings}))
        if not file.is_file():
            others = sorted(item.name for item in self.path.iterdir() if not item.name.startswith("."))
            if others:
                raise AmsbenchError(
                    f"{self.path} holds {others[0]} and is no folder of a design; give another output, or remove it"
                )
            write_checked_json(file, own)
            return
        stored = read_checked_json(file, ADVICE)
        for name in dict.fromkeys([*own, *stored]):
            if stored.get(name) != own.get(name):
                raise AmsbenchError(
                    f"{self.path} holds a design with {name} {_shown(stored.get(name))}, and this one has "
                    f"{_shown(own.get(name))}; give another output, or remove the folder"
                )

    def generated(self, number: int) -> PartialResults:
        """The generated batches of a round."""
        return PartialResults(self.path / f"round-{number:04d}")

    def judged(self, number: int) -> JudgedRound | None:
        """A round, if it is judged."""
        file = self._file(number)
        if not file.is_file():
            return None
        data = read_checked_json(file, ADVICE)
        try:
            frames = self._frames(self.generated(number))
            minima = iter(self._frames(PartialResults(self._relaxed), f"{number:04d}"))
            relaxed = [next(minima) if there else None for there in data["relaxed"]]
            if len(frames) != len(data["rows"]) or len(relaxed) != len(frames):
                raise ValueError("it has structures that are not in the folder")
            return JudgedRound(
                first=data["first"],
                asked=data["asked"],
                frames=[on_grid(atoms) for atoms in frames],
                relaxed=relaxed,
                rows=[{name: _read(value) for name, value in row.items()} for row in data["rows"]],
                costs=DesignCosts(**data["costs"]),
            )
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise AmsbenchError(
                f"{file} is damaged ({error}); remove it, and the round is measured again"
            ) from error

    def write(self, number: int, judged: JudgedRound) -> None:
        """Store a judged round, whose generated structures are there."""
        minima = [atoms for atoms in judged.relaxed if atoms is not None]
        if minima:
            part = FinishedPart(frames=minima, seconds=0.0, cpu_seconds=0.0)
            PartialResults(self._relaxed).write(f"{number:04d}", part)
        data = {
            "first": judged.first,
            "asked": dict(judged.asked),
            "relaxed": [atoms is not None for atoms in judged.relaxed],
            "rows": [{name: _plain(value) for name, value in row.items()} for row in judged.rows],
            "costs": asdict(judged.costs),
        }
        write_checked_json(self._file(number), data)

    def costs_ahead(self, number: int, *, on_gpu: bool) -> DesignCosts:
        """Costs of the structures of round ``number`` that were generated and not judged."""
        partial = self.generated(number)
        parts = [part for name in partial.names() if (part := partial.read(name)) is not None]
        return DesignCosts(
            generation_seconds=sum(part.seconds if on_gpu else part.cpu_seconds for part in parts)
        )

    def check_output(self, output: Path) -> None:
        """Raise AmsbenchError if ``output`` exists and is not what this design has written there."""
        if output.is_file() and sha256_of(output) not in self._written().get(output.name, []):
            raise AmsbenchError(
                f"{output} exists and was not written by the design in {self.path}; give another output, or remove it"
            )

    def write_output(self, output: Path, write: Callable[[Path], None]) -> None:
        """Write a file of glasses atomically; what is in it is noted before, so that it is recognised afterwards."""

        def noted(temporary: Path) -> None:
            write(temporary)
            hashes = self._written()
            hashes[output.name] = [*hashes.get(output.name, []), sha256_of(temporary)][-2:]
            write_checked_json(self.path / WRITTEN, hashes)

        write_atomically(output, noted)

    def write_table(self, table: pd.DataFrame) -> None:
        """Write the table of everything tried."""
        write_atomically(self.path / TABLE, lambda temporary: table.to_csv(temporary, index=False))

    @property
    def nearest(self) -> Path:
        """File of the structure that is nearest to the targets."""
        return self.path / NEAREST

    def _written(self) -> dict[str, list[str]]:
        file = self.path / WRITTEN
        return dict(read_checked_json(file, ADVICE)) if file.is_file() else {}

    @property
    def _relaxed(self) -> Path:
        return self.path / "relaxed"

    def _file(self, number: int) -> Path:
        return self.path / f"round-{number:04d}.json"

    def _frames(self, partial: PartialResults, *names: str) -> list[Atoms]:
        parts = [partial.read(name) for name in names or partial.names()]
        return [atoms for part in parts if part is not None for atoms in part.frames]


@contextmanager
def opened_folder(path: Path, settings: Mapping[str, Any]) -> Iterator[DesignFolder]:
    """Context in which this process alone works on the design in ``path``, which is made if it does not exist.

    Raises AmsbenchError if another process works on it, and as ``DesignFolder.open``.
    """
    check_writable(path)
    with exclusive_lock(path):
        folder = DesignFolder(path)
        folder.open(settings)
        yield folder


def _plain(value: Any) -> Any:
    """A value of a row as JSON data, which has no NaN and no infinity."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else {"float": str(float(value))}
    return value


def _read(value: Any) -> Any:
    return float(value["float"]) if isinstance(value, dict) else value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{name}={item:g}" if isinstance(item, float) else name for name, item in value.items()
        )
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
