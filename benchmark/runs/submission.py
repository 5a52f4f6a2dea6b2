"""Submissions: folders with the results of a contributor, which a reviewer can check without running foreign code.

    FOLDER/
      manifest.json                    versions, and the sha256 of every other file
      summary.md                       tables of the results
      methods/<method>.md              card of the method, checkpoints, code, training, environments
      results/<dataset>/<stem>.json    a result, its table (.parquet) and its structures in small (.npz)

Structures that lie elsewhere have an address in the manifest, and their sha256.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from ...errors import AmsbenchError
from ...version import __version__
from ..datasets.dataset import Dataset
from ..evaluation.evaluate import METRICS_VERSION
from ..evaluation.structural_scores import StrictModel
from ..system.compact_structures import read_compact
from ..system.files import UNFINISHED, check_writable, sha256_of, write_text
from .current_code import outdated_parts
from .method_description import method_page
from .plan_checks import check_structures, checked_table, plan_of
from .results import COMPACT, TABLE, Result, ResultFiles, ResultKey, ResultStore
from .stored_structures import copy_with_compact

SUBMISSION_FORMAT = 1
MANIFEST, SUMMARY, METHODS, RESULTS = "manifest.json", "summary.md", "methods", "results"
LARGEST = 12 * 10**6
"""Most bytes of a submission: 30 results of 256 structures of 256 atoms, or 150 of 64 glasses. A repository keeps every
version of its files for ever."""
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_ALLOWED = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(SUMMARY)}|{METHODS}/{_NAME}\.md|{RESULTS}/{_NAME}/{_NAME}\.(json|parquet|npz)"
)
"""Paths of the files of a submission; all of them are data."""


class Manifest(StrictModel):
    """What a submission consists of.

    amsbench, metrics_version: versions with which the results were measured
    metric_code: hash of the code that measured them, by dataset and metric or property
    files: sha256 by path of all files but the manifest
    structures_url: address of structures that lie elsewhere; None for those in the folder
    structures: sha256 by path of the structures that lie elsewhere
    """

    format: int = SUBMISSION_FORMAT
    amsbench: str
    metrics_version: str
    metric_code: dict[str, dict[str, str]]
    files: dict[str, str]
    structures_url: str | None = None
    structures: dict[str, str]


class SubmittedFiles:
    """The files of a submission by result, with structures that may lie in a folder of their own."""

    def __init__(self, folder: Path, structures: Path | None = None) -> None:
        self.store = ResultStore(folder / RESULTS)
        self.structures = ResultStore(structures) if structures is not None else self.store

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        """The file of a result with this suffix."""
        return (self.structures if suffix == COMPACT else self.store).path(key, suffix)


def write_submission(
    files: ResultFiles,
    results: Sequence[Result],
    datasets: Mapping[str, Dataset],
    folder: Path,
    summary: Callable[[Sequence[Result], ResultFiles], str],
    *,
    structures_url: str | None = None,
    structures: Path | None = None,
) -> Manifest:
    """Write a submission into ``folder``, in full or not at all, and return its manifest.

    files: where the results and the files beside them lie; datasets: by name
    summary: text of the tables of the results
    structures_url, structures: address of the structures, and the folder into which they are written for it

    AmsbenchError for no results, a folder that is not empty, a method without a card, results of other code, without
    structures or outside of the plans, files that were edited, and more than ``LARGEST`` bytes.
    """
    if not results:
        raise AmsbenchError("there are no results to submit; run 'amsbench run' first or choose others")
    if (structures_url is None) != (structures is None):
        raise AmsbenchError("structures that lie elsewhere need an address and a folder to upload; give both")
    if structures_url is not None and not re.fullmatch(r"https://[^\s<>\"']+", structures_url):
        raise AmsbenchError(
            f"'{structures_url}' is no address of structures; give one that begins with https://"
        )
    for place in (folder, structures):
        if place is not None and place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise AmsbenchError(f"{place} exists and is not an empty folder; choose another one")
    pages = {
        name: method_page(name, [result for result in results if result.key.method == name])
        for name in dict.fromkeys(result.key.method for result in results)
    }
    for result in results:
        _check_code(result, files.path(result.key))
    check_writable(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", suffix=UNFINISHED) as temporary:
        work, elsewhere = Path(temporary, "submission"), Path(temporary, "structures")
        store = ResultStore(work / RESULTS)
        copies = []
        for result in results:
            copy = copy_with_compact(files, result, store)
            copies.append(copy)
            _check_plan(store, copy, datasets[copy.key.dataset], files.path(copy.key))
        write_text(work / SUMMARY, summary(copies, store))
        for name, page in pages.items():
            write_text(work / METHODS / f"{name}.md", page)
        if structures is not None:
            for copy in copies:
                target = ResultStore(elsewhere).path(copy.key, COMPACT)
                target.parent.mkdir(parents=True, exist_ok=True)
                store.path(copy.key, COMPACT).rename(target)
        manifest = Manifest(
            amsbench=__version__,
            metrics_version=METRICS_VERSION,
            metric_code=_metric_code(copies),
            files=_hashes(work),
            structures_url=structures_url,
            structures=_hashes(elsewhere),
        )
        write_text(work / MANIFEST, json.dumps(manifest.model_dump(), indent=1) + "\n")
        _check_size(work, folder)
        if structures is not None:
            _move(elsewhere, structures)
        _move(work, folder)
    return manifest


def read_submission(folder: Path, structures: Path | None = None) -> tuple[Manifest, SubmittedFiles]:
    """The manifest and the files of a submission, which are read as data alone.

    structures: folder of the structures that lie elsewhere
    AmsbenchError for a file that is no data of a submission, missing, too large or not the one in the manifest.
    """
    paths = _checked_paths(folder)
    manifest = _read_manifest(folder / MANIFEST)
    _check_hashes(
        folder, {path: manifest.files.get(path) for path in paths if path != MANIFEST}, manifest.files
    )
    if manifest.structures_url is None:
        return manifest, SubmittedFiles(folder)
    if structures is None:
        raise AmsbenchError(
            f"the structures of {folder} lie at {manifest.structures_url}; download them and give their folder with "
            "--structures"
        )
    _check_hashes(structures, dict(manifest.structures), manifest.structures)
    return manifest, SubmittedFiles(folder, structures)


def results_of(files: SubmittedFiles) -> list[Result]:
    """The results of a submission; AmsbenchError where one lacks its structures, and for other files beside results."""
    results = list(files.store.results())
    if not results:
        raise AmsbenchError(f"{files.store.folder} holds no results; submit at least one")
    expected = set()
    for result in results:
        for suffix in (TABLE, COMPACT):
            if not files.path(result.key, suffix).is_file():
                raise AmsbenchError(
                    f"{files.path(result.key, suffix)} is missing; write the submission again with 'amsbench submit'"
                )
        expected |= {files.store.path(result.key, suffix) for suffix in (".json", TABLE, COMPACT)}
    others = {path for path in files.store.folder.rglob("*") if path.is_file()} - expected
    if others:
        raise AmsbenchError(f"{min(others)} belongs to no result; remove it")
    return results


def _checked_paths(folder: Path) -> list[str]:
    """Paths of the files of a folder relative to it; AmsbenchError for what is no data of a submission."""
    paths, size = [], 0
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise AmsbenchError(f"{path} is a link or a device; a submission consists of plain files")
            if path.is_dir():
                continue
            if not _ALLOWED.fullmatch(relative):
                raise AmsbenchError(
                    f"{path} is no file of a submission, which has data alone ({MANIFEST}, {SUMMARY}, {METHODS}/*.md, "
                    f"{RESULTS}/*/*.json, .parquet and .npz); remove it"
                )
            paths.append(relative)
            size += path.stat().st_size
    if MANIFEST not in paths:
        raise AmsbenchError(f"{folder} has no {MANIFEST}; write it with 'amsbench submit'")
    _refuse_size(size, folder)
    return sorted(paths)


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, ValueError, OSError) as error:
        raise AmsbenchError(
            f"{path} is no manifest of this version; write the submission again with 'amsbench submit'"
        ) from error
    if manifest.format != SUBMISSION_FORMAT:
        raise AmsbenchError(
            f"{path} has format {manifest.format}, this version reads {SUBMISSION_FORMAT}; write the submission again"
        )
    return manifest


def _check_hashes(folder: Path, present: Mapping[str, str | None], expected: Mapping[str, str]) -> None:
    for path in sorted({*present, *expected}):
        place = folder / path
        # a path of a manifest may lead out of the folder
        if ".." in Path(path).parts or Path(path).is_absolute() or not place.is_file():
            raise AmsbenchError(f"{place} is in the manifest and not there; restore it")
        if present.get(path) is None or sha256_of(place) != expected[path]:
            raise AmsbenchError(
                f"{place} is not the file in the manifest: it was edited or added; restore it or remove it"
            )


def _check_code(result: Result, path: Path) -> None:
    for name, (stored, installed) in outdated_parts(result).items():
        raise AmsbenchError(
            f"{path} is of other code of '{name}' ({stored[:12]}) than this installation has ({installed[:12]}); "
            "'amsbench run' computes it again"
        )


def _check_plan(store: ResultStore, result: Result, dataset: Dataset, path: Path) -> None:
    """Refuse at home what a reviewer's verification would refuse."""
    plan = plan_of(result, dataset, path)
    place = store.path(result.key, COMPACT)
    check_structures(read_compact(place), result, plan, dataset, path)
    checked_table(store, result, plan)


def _metric_code(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    codes: dict[str, dict[str, str]] = {}
    for result in results:
        codes.setdefault(result.key.dataset, {}).update(result.metric_code)
    return codes


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _check_size(work: Path, folder: Path) -> None:
    _refuse_size(sum(path.stat().st_size for path in work.rglob("*") if path.is_file()), folder)


def _refuse_size(size: int, folder: Path) -> None:
    if size > LARGEST:
        raise AmsbenchError(
            f"{folder} has {size / 1e6:.1f} MB, and a submission at most {LARGEST / 1e6:g} MB; choose fewer results, "
            "or upload the structures elsewhere and give --structures-url"
        )


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    shutil.move(source, target)
