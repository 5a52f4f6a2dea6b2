"""Result cells: one schema-checked, content-addressed JSON file per method, sampler, step count and targets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ...errors import AmsbenchError
from ..evaluation.structural_scores import StructuralScores, _Strict
from ..system.files import write_text

RESULT_FORMAT = 1
NO_STEPS = 0
"""The step count of a yardstick's results."""


class ResultKey(_Strict):
    """Everything that the numbers of a cell depend on; its hash names the cell's files.

    sampler_version: the method's own of its sampler (``Sampler.version``)
    targets: first and last value asked for, per property (evenly spaced over the structures)
    cube: edge of the cubic cells in angstrom, None for the cells of the training set
    """

    dataset: str
    dataset_hash: str
    method: str
    checkpoint_hash: str
    sampler: str
    sampler_version: int = 1
    steps: int
    kind: Literal["structural", "inverse-design"]
    plan: str
    protocol: str
    protocol_version: int
    metrics_version: str
    count: int
    targets: dict[str, tuple[float, float]]
    cube: float | None
    precision: str
    seed: int

    @property
    def digest(self) -> str:
        """Hex sha256 of the key; first versions of samplers are not part of it, as before there were others."""
        first = {"sampler_version"} if self.sampler_version == 1 else set()
        return hashlib.sha256(json.dumps(self.model_dump(exclude=first), sort_keys=True).encode()).hexdigest()

    @property
    def stem(self) -> str:
        """File name of the cell without its suffix: readable, and unique by the hash at its end."""
        return f"{self.method}-{self.plan}-{self.sampler}-{self.steps}-{self.digest[:12]}"


class Environment(_Strict):
    """Where and with what a cell was made."""

    amsbench: str
    python: str
    torch: str
    lammps: str | None
    platform: str
    device: str
    threads: int
    native: str


class Result(_Strict):
    """One cell of the leaderboard.

    mode: what a step is in this row, such as ``ODE`` or ``SDE``
    trained_on: properties that the method was trained on, conditioned_on: those that were given
    seconds: generation alone, warm-up excluded, for ``key.count`` structures
    evaluations: network evaluations per structure
    inverse_design: flat rows of metrics.inverse_design.InverseDesignErrors, per property
    substance: what the structures are made of, means over the structures, beside the training set's
    failures: structures that could not be measured, per property and reason
    training: the record in the checkpoint
    """

    format: int = RESULT_FORMAT
    key: ResultKey
    mode: str
    trained_on: tuple[str, ...]
    conditioned_on: tuple[str, ...]
    seconds: float
    evaluations: int
    measuring_seconds: float
    structural: StructuralScores | None
    inverse_design: dict[str, dict[str, float | int | None]]
    substance: dict[str, float | None]
    training_set: dict[str, float | None]
    failures: dict[str, dict[str, int]]
    training: dict[str, Any]
    environment: Environment


class ResultStore:
    """A folder of result cells, ``<folder>/<dataset>/<stem>.json``, each with its structures as extxyz beside it."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        return self.folder / key.dataset / f"{key.stem}{suffix}"

    def find(self, key: ResultKey) -> Result | None:
        """The finished cell with exactly this key, or None."""
        path = self.path(key)
        return read_result(path) if path.exists() else None

    def write(self, cell: Result) -> Path:
        """Store a cell atomically."""
        path = self.path(cell.key)
        write_text(path, cell.model_dump_json(indent=1) + "\n")
        return path

    def cells(self) -> Iterator[Result]:
        """All cells in the folder, in the order of their names; AmsbenchError for a damaged one."""
        if not self.folder.is_dir():
            raise AmsbenchError(
                f"no results folder at {self.folder}; run 'amsbench run' first or give --results"
            )
        for path in sorted(self.folder.rglob("*.json")):
            yield read_result(path)


def read_result(path: Path) -> Result:
    """One cell from its file; AmsbenchError where it is damaged, of another format or renamed."""
    try:
        cell = Result.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        first = str(error).splitlines()
        raise AmsbenchError(
            f"{path} is not a result cell of this version ({' '.join(first[:3])}); delete it to compute it again"
        ) from error
    if cell.format != RESULT_FORMAT:
        raise AmsbenchError(
            f"{path} has cell format {cell.format}, this version reads {RESULT_FORMAT}; delete it to compute it again"
        )
    if path.stem != cell.key.stem:
        raise AmsbenchError(
            f"{path} was edited or renamed: its content belongs to {cell.key.stem}.json; delete it"
        )
    return cell
