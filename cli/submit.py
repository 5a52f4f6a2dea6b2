"""``amsbench submit``, ``verify`` and ``compact``: results for others to check, and their verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    Cores,
    DataFile,
    ExecutorName,
    OnlyThese,
    Scheduler,
    Workers,
    chosen_pool,
    method_name,
    names_in,
)
from .progress import progress_bars, say

if TYPE_CHECKING:
    from ..benchmark.datasets.dataset import Dataset
    from ..benchmark.runs.results import Result, ResultFiles
    from ..benchmark.runs.verification import Verified

SHOWN = 20
"""Most differences of a result that are printed."""

ResultsFolder = Annotated[Path, typer.Argument(help="A results folder of 'amsbench run'.")]
Methods = Annotated[
    str | None, typer.Option(help="Only these, comma separated; a method of a file as ./mine.py.")
]
Protocol = Annotated[str | None, typer.Option(help="Only these protocols, comma separated.")]


def submit_command(
    results: ResultsFolder,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="New folder for the submission.")],
    methods: Methods = None,
    samplers: OnlyThese = None,
    datasets: OnlyThese = None,
    protocol: Protocol = None,
    structures_url: Annotated[
        str | None,
        typer.Option(
            help="Address to which you upload the structures, if they are too large for the folder."
        ),
    ] = None,
    structures_dir: Annotated[
        Path | None,
        typer.Option(help="With --structures-url: new folder to upload; OUTPUT_DIR-structures by default."),
    ] = None,
    data: DataFile = None,
) -> None:
    """Write a folder with results that a reviewer can check: results, tables, structures, method cards, hashes.

    At most 12 MB. Refuses results without structures, edited ones, those of other code than is installed or outside of
    the plans, and methods without a card. Nothing is uploaded.
    """
    from ..benchmark.runs.submission import LARGEST, write_submission
    from ..leaderboards.result_folders import ResultFolders

    store = ResultFolders([results])
    selected = _selected(store.results(), methods, samplers, datasets, protocol)
    if structures_url is not None and structures_dir is None:
        structures_dir = output_dir.with_name(f"{output_dir.name}-structures")
    manifest = write_submission(
        store,
        selected,
        _datasets(selected, data),
        output_dir,
        _summary,
        structures_url=structures_url,
        structures=structures_dir,
    )
    say(
        f"Submission: {len(selected)} results, {len(manifest.files) + 1} files, {_megabytes(output_dir)} of at most "
        f"{LARGEST / 1e6:g} MB in {output_dir}."
    )
    if structures_dir is not None:
        say(f"Upload {structures_dir} ({_megabytes(structures_dir)}) to {structures_url}.")
    option = f" --structures {structures_dir}" if structures_dir is not None else ""
    say(f"Check it as a reviewer does: amsbench verify {output_dir}{option}")


def verify_command(
    folder: Annotated[Path, typer.Argument(help="A submission, or a results folder.")],
    cores: Cores = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    workers: Workers = None,
    quick: Annotated[
        int | None, typer.Option(min=1, help="Measure only so many structures per result, chosen at random.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the choice of structures; drawn and printed by default.")
    ] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Folder of the structures of a submission that lie elsewhere.")
    ] = None,
    data: DataFile = None,
) -> None:
    """Measure results again from their structures, and print every number that differs.

    Reads data alone: no method of a contributor is imported and no checkpoint loaded. Exit code 0 if all numbers agree,
    1 if some differ, 2 for files that are missing, edited or belong to no plan. Numbers are equal to 1e-6 of their
    size; values of relaxed structures may differ for 5 % of the structures of a result, since relaxations on another
    processor can end in other minima, and headlines by what these explain.
    """
    import secrets

    from ..benchmark.execution.cores import available_cores
    from ..benchmark.runs.submission import MANIFEST
    from ..benchmark.runs.verification import Verifier

    pool_of_measurements = chosen_pool(executor, scheduler, workers, cores or available_cores())
    if quick is not None and seed is None:
        seed = secrets.randbelow(2**32)
    if quick is not None:
        say(f"Measuring {quick} structures per result, chosen with --seed {seed}.")
    files, results = _to_verify(folder, structures)
    loaded = _datasets(results, data)
    verified = []
    with pool_of_measurements as pool, progress_bars() as bars:
        task = bars.add_task("", total=None)
        verifiers = {
            name: Verifier(dataset=dataset, executor=pool, quick=quick, seed=seed or 0)
            for name, dataset in loaded.items()
        }
        for number, result in enumerate(results, start=1):
            bars.update(
                task, description=f"[{number}/{len(results)}] {result.key.stem}", completed=0, total=None
            )
            verified.append(
                verifiers[result.key.dataset].verify(
                    files, result, lambda done: bars.update(task, completed=done)
                )
            )
    for item in verified:
        _print_verified(item)
    stale = (folder / MANIFEST).is_file() and _is_summary_of_others(folder, results, files)
    if stale:
        print("summary.md is not the tables of these results: stored text differs from 'amsbench table'")
    differing = sum(bool(item.differences) for item in verified)
    measured = sum(item.structures > 0 for item in verified)
    print(
        f"{len(verified)} results, {measured} measured again: {len(verified) - differing} agree, {differing} differ. "
        "Times, training records and environments are the contributor's word."
    )
    if differing or stale:
        raise typer.Exit(1)


def compact_command(
    results: ResultsFolder,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir", "-o", help="Results folder to write into; by default RESULTS, beside its results."
        ),
    ] = None,
    methods: Methods = None,
    samplers: OnlyThese = None,
    datasets: OnlyThese = None,
    protocol: Protocol = None,
    steps: Annotated[str | None, typer.Option(help="Only these step counts: 1,5,25.")] = None,
) -> None:
    """Write the structures of results in small (.npz), with their results and tables, as they are published.

    The files hold what was measured to the last bit, in about 6 bytes per atom. Results that are in the output folder
    already get the structures in addition.
    """
    from ..benchmark.runs.results import COMPACT, ResultStore
    from ..benchmark.runs.stored_structures import copy_with_compact
    from ..errors import AmsbenchError
    from ..leaderboards.result_folders import ResultFolders

    source, target = ResultFolders([results]), ResultStore(output_dir or results)
    selected = _selected(source.results(), methods, samplers, datasets, protocol)
    if steps is not None:
        selected = [result for result in selected if str(result.key.steps) in names_in(steps)]
        if not selected:
            raise AmsbenchError(f"there is no result of {steps} steps here; 'amsbench table' lists them")
    size = 0
    for result in selected:
        copy_with_compact(source, result, target)
        size += target.path(result.key, COMPACT).stat().st_size
    say(f"Structures of {len(selected)} results in {target.folder}: {size / 1e6:.2f} MB (*.npz).")


def _selected(
    results: Sequence[Result],
    methods: str | None,
    samplers: str | None,
    datasets: str | None,
    protocol: str | None,
) -> list[Result]:
    from ..leaderboards.tables.make_tables import chosen

    names = None if methods is None else [method_name(name) for name in names_in(methods)]
    further = [None if text is None else names_in(text) for text in (samplers, datasets, protocol)]
    return chosen(results, names, *further)


def _datasets(results: Sequence[Result], data: Path | None) -> dict[str, Dataset]:
    """The datasets of results by name; AmsbenchError for one that is not registered here."""
    from ..benchmark.datasets.storage import load_dataset

    return {
        name: load_dataset(name, data) for name in dict.fromkeys(result.key.dataset for result in results)
    }


def _to_verify(folder: Path, structures: Path | None) -> tuple[ResultFiles, Sequence[Result]]:
    """The files and results of a submission, or of a results folder."""
    from ..benchmark.runs.results import ResultStore
    from ..benchmark.runs.submission import MANIFEST, read_submission, results_of
    from ..errors import AmsbenchError

    if (folder / MANIFEST).exists():
        manifest, files = read_submission(folder, structures)
        say(f"Submission written by amsbench {manifest.amsbench}; all files are those of its manifest.")
        return files, results_of(files)
    if structures is not None:
        raise AmsbenchError(
            f"{folder} is no submission, so that its structures lie beside it; leave out --structures"
        )
    store = ResultStore(folder)
    results = list(store.results())
    if not results:
        raise AmsbenchError(f"{folder} holds no results; give a submission or a results folder")
    return store, results


def _summary(results: Sequence[Result], files: ResultFiles) -> str:
    from ..leaderboards.tables.make_tables import tables_of
    from ..leaderboards.tables.text_table import render

    tables = render(tables_of(results, files=files), "github")
    return f"# Results\n\n{len(results)} results.\n\n{tables}"


def _is_summary_of_others(folder: Path, results: Sequence[Result], files: ResultFiles) -> bool:
    from ..benchmark.runs.submission import SUMMARY

    path = folder / SUMMARY
    return path.is_file() and path.read_text(encoding="utf-8") != _summary(results, files)


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.2f} MB"


def _print_verified(item: Verified) -> None:
    result = item.result
    measured = f"{item.structures} of {result.key.count} structures measured, {item.numbers} numbers compared"
    state = f"{len(item.differences)} differ" if item.differences else "agree"
    print(f"{result.key.dataset}/{result.key.stem}: {state}; {measured}")
    for difference in item.differences[:SHOWN]:
        print(f"  {difference}")
    if len(item.differences) > SHOWN:
        print(f"  ... and {len(item.differences) - SHOWN} more")
    if item.other_minima:
        numbers = ", ".join(map(str, item.other_minima))
        print(f"  relaxed to other minima: {len(item.other_minima)} structures ({numbers})")
    for difference in item.explained:
        print(f"  explained by these: {difference}")
    for note in item.notes:
        print(f"  {note}")
