"""Results: one schema-checked, content-addressed JSON file per method, sampler, step count and targets.

A file also holds the hash of its own content and those of the structures and the table beside it, so that none of them
can be edited without notice.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import StringConstraints, ValidationError, field_validator

from ...errors import AmsbenchError
from ...metrics.design.hits import HitScores
from ...metrics.design.inverse_design import InverseDesignErrors
from ..evaluation.structural_scores import StrictModel, StructuralScores
from ..system.files import parsed_json, sha256_of, visible_files, write_atomically, write_text
from ..training.stages import record_error

if TYPE_CHECKING:
    import pandas as pd

RESULT_FORMAT = 5
STRUCTURES, COMPACT, TABLE = ".extxyz", ".npz", ".parquet"
"""Suffixes of the files beside a result: its structures, the same ones in small (``compact_structures``), and what was
measured on each of them."""
LISTS_OF_NUMBERS = re.compile(r"\[\n[-+.,\deE\s]+\]")
"""In indented JSON, outside of its strings, which have no line breaks."""
NO_STEPS = 0
"""The step count of results of non-learned baselines, which take no steps."""


_FILE_NAME = r"[^/\\\x00-\x1f]{1,100}"
FileName = Annotated[str, StringConstraints(pattern=f"^{_FILE_NAME}$")]
"""A name that is part of the name of a file."""


class ResultKey(StrictModel):
    """Everything that the numbers of a result depend on; its hash names the result's files.

    checkpoint_hash: content hash of the checkpoint, or of the simulation recipe of a non-learned baseline
    code: hash of the code of the method or baseline and of its samplers (``code_hash``)
    sampler_version: version of the sampler that generated the structures
    targets: first and last target value by property; the structures' targets are evenly spaced between them
    cube: edge of the cubic cells in Å; None for cells of the training set
    precision: type in which the network's matrix products are computed (``bfloat16``, ``tf32``, ``float32``), or
        ``float64`` for simulations
    """

    dataset: FileName
    dataset_hash: str
    method: FileName
    checkpoint_hash: str
    code: str
    sampler: FileName
    sampler_version: int = 1
    steps: int
    kind: Literal["structural", "inverse-design"]
    plan: FileName
    protocol: FileName
    protocol_version: int
    metrics_version: str
    count: int
    targets: dict[str, tuple[float, float]]
    cube: float | None
    precision: Literal["bfloat16", "tf32", "float32", "float64"]
    seed: int

    @staticmethod
    def usable(name: str) -> str:
        """The name itself; AmsbenchError for one, such as a plug-in's, that cannot be part of the name of a file."""
        if not re.fullmatch(_FILE_NAME, name):
            raise AmsbenchError(
                f"the name {name!r:.110} cannot be part of the name of a file; rename it in its plug-in, without "
                "slashes and line breaks and with 100 characters at most"
            )
        return name

    @property
    def digest(self) -> str:
        """Hex sha256 of the key."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    @property
    def stem(self) -> str:
        """File name of the result without its suffix: readable, and unique by the hash at its end."""
        return f"{self.method}-{self.plan}-{self.sampler}-{self.steps}-{self.digest[:12]}"


class Environment(StrictModel):
    """Versions and hardware that a result was computed with.

    device: model of the GPU or processor; times compare only between equal devices and thread counts
    native: the code that computed the network, such as ``native bf16`` or ``torch bfloat16``
    """

    amsbench: str
    python: str
    torch: str
    lammps: str | None
    platform: str
    device: str
    threads: int
    native: str


class Result(StrictModel):
    """One result of the leaderboard: what was generated, how long it took and how it scores.

    step_label: kind of step at this step count, such as ``ODE`` or ``SDE``
    trained_on: properties that the model was trained with
    conditioned_on: those of them that had targets
    seconds: wall-clock time of the generation of ``key.count`` structures, warm-up excluded
    cpu_seconds: processor time of the generation; None on a GPU, and where it was not recorded
    evaluations: network evaluations per structure
    measuring_seconds: wall-clock time of all measurements
    measuring_cpu_seconds: CPU time of the measurements of single structures; None where it was not recorded
    structural: errors of mean curves; None for results of inverse design
    inverse_design: errors by property with a target
    hits: requests that were answered by a usable structure; None without targets
    descriptors, training_descriptors: means over the generated and over training structures, by quantity
    failures: structures that could not be measured, by property or metric and reason
    metric_code: hash of the code that measured it, by metric and property
    files: sha256 of the structures, of the same ones in small and of the table beside the result, by suffix; without
        those that are not published
    training: the training record of the checkpoint
    """

    format: int = RESULT_FORMAT
    key: ResultKey
    step_label: str
    trained_on: tuple[str, ...]
    conditioned_on: tuple[str, ...]
    seconds: float
    cpu_seconds: float | None
    evaluations: int
    measuring_seconds: float
    measuring_cpu_seconds: float | None
    structural: StructuralScores | None
    inverse_design: dict[str, InverseDesignErrors]
    hits: HitScores | None
    descriptors: dict[str, float | None]
    training_descriptors: dict[str, float | None]
    failures: dict[str, dict[str, int]]
    metric_code: dict[str, str]
    files: dict[str, str]
    training: dict[str, Any]
    environment: Environment

    @field_validator("training")
    @classmethod
    def _is_a_record(cls, record: dict[str, Any]) -> dict[str, Any]:
        if wrong := record_error(record):
            raise ValueError(f"its training record has {wrong}")
        return record


class ResultFiles(Protocol):
    """Where results and the files beside them lie: a ``ResultStore``, or several folders together."""

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        """The file of a result with this suffix."""
        ...


class ResultStore:
    """A folder of results, ``<folder>/<dataset>/<stem>.json``, each with its structures as <stem>.extxyz."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        return self.folder / key.dataset / f"{key.stem}{suffix}"

    def find(self, key: ResultKey) -> Result | None:
        """The stored result with exactly this key, or None."""
        path = self.path(key)
        return read_result(path) if path.exists() else None

    def similar(self, key: ResultKey) -> list[ResultKey]:
        """Keys of the stored results of this method, plan, sampler and step count; unreadable files are left out."""
        pattern = f"{glob.escape(key.stem.removesuffix(key.digest[:12]))}*.json"
        keys = []
        for path in sorted(self.path(key).parent.glob(pattern)):
            with suppress(AmsbenchError):
                keys.append(read_result(path).key)
        return keys

    def write(self, result: Result) -> Path:
        """Store a result atomically with the hash of its content and return its path."""
        path = self.path(result.key)
        fields = result.model_dump(mode="json")
        # a mean curve would fill a hundred lines
        text = json.dumps({CONTENT_HASH: content_hash(fields), **fields}, indent=1)
        write_text(path, LISTS_OF_NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")
        return path

    def write_table(self, key: ResultKey, table: pd.DataFrame) -> None:
        """Store what was measured on each structure of a result."""

        def write(path: Path) -> None:
            # a table of some dozen rows is mostly the bookkeeping of its columns
            table.to_parquet(path, compression="zstd", use_dictionary=False, write_statistics=False)

        write_atomically(self.path(key, TABLE), write)

    def file_hashes(self, key: ResultKey) -> dict[str, str]:
        """The sha256 of the structures, in both forms, and the table of a result, by suffix, of those that exist."""
        paths = {suffix: self.path(key, suffix) for suffix in (STRUCTURES, COMPACT, TABLE)}
        return {suffix: sha256_of(path) for suffix, path in paths.items() if path.is_file()}

    def results(self) -> Iterator[Result]:
        """All results in the folder in the order of their paths; AmsbenchError for a damaged one."""
        if not self.folder.is_dir():
            raise AmsbenchError(
                f"no results folder at {self.folder}; run 'amsbench run' first or give --results"
            )
        for path in visible_files(self.folder, ".json"):
            yield read_result(path)


CONTENT_HASH = "content_hash"
"""Name of the field of a file that has the hash of all others."""


def content_hash(fields: Mapping[str, Any]) -> str:
    """Hex sha256 of JSON data, whatever its layout and the order of its keys."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_result(path: Path) -> Result:
    """The result in a file; AmsbenchError where it is damaged, edited, renamed or of another format."""
    try:
        fields = parsed_json(path.read_text(encoding="utf-8"))
        stored_format = fields["format"]
        if stored_format == RESULT_FORMAT:
            stored_hash = fields.pop(CONTENT_HASH)
            if stored_hash != content_hash(fields):
                raise AmsbenchError(
                    f"{path} was edited: the hash of its content is not the one that was stored with it; restore the "
                    "file, or delete it to compute it again"
                )
            result = Result.model_validate(fields)
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        first = str(error).splitlines()
        raise AmsbenchError(
            f"{path} is not a result of this version ({' '.join(first[:3])}); delete it to compute it again"
        ) from error
    if stored_format != RESULT_FORMAT:
        raise AmsbenchError(
            f"{path} has result format {stored_format!r:.50}, this version reads {RESULT_FORMAT}; "
            "delete it to compute it again"
        )
    if path.stem != result.key.stem:
        raise AmsbenchError(
            f"{path} was renamed: its content belongs to {result.key.stem}.json; give it this name or delete it"
        )
    return result


def check_file(path: Path, result: Result) -> None:
    """Raise AmsbenchError if the file beside a result is not the one that was stored with it."""
    if sha256_of(path) != result.files.get(path.suffix):
        raise AmsbenchError(
            f"{path} is not the file that was stored with {result.key.stem}.json: it was edited or comes from another "
            "result; restore it, or delete both to compute them again"
        )
