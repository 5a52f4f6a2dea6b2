"""Computes published results again, and puts results into the published ones.

Run from the root of the repository. ``python docs/publish.py again FOLDER`` computes the chosen published results with
today's code and released checkpoints, several at a time on one core each, and goes on where it was stopped. ``python
docs/publish.py merge FOLDER`` then replaces the published results of the same conditions. Pages, figures and
``equal_code.json`` follow by the commands in CONTRIBUTING.md.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from amsbench.benchmark.datasets.definition import DatasetDefinition
from amsbench.benchmark.evaluation.descriptor_means import STANDARD_DESCRIPTORS
from amsbench.benchmark.evaluation.evaluate import STANDARD_CURVES
from amsbench.benchmark.execution.cores import available_cores
from amsbench.benchmark.registry import kind_of, load
from amsbench.benchmark.runs.current_code import oldest_equal, outdated_parts
from amsbench.benchmark.runs.results import COMPACT, STRUCTURES, TABLE, Result, ResultKey, ResultStore
from amsbench.benchmark.runs.stored_structures import copy_file, copy_with_compact
from amsbench.benchmark.training.checkpoint_choice import load_checkpoint_for
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import budget_label

PUBLISHED = ResultStore(Path(__file__).parents[1] / "leaderboards" / "results")
CUSTOM = {"custom": "standard", "paper-custom": "paper"}
"""The protocol whose plans, with another count, are called so."""
COMMAND = [sys.executable, "-c", "from amsbench.cli.main import main; main()", "run"]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def arguments(result: Result, definition: DatasetDefinition) -> list[str]:
    """Arguments of ``amsbench run`` that compute a result under its conditions."""
    key = result.key
    properties = {item.name for item in definition.properties}
    further = [
        name
        for name in result.metric_code
        if name not in {*properties, *STANDARD_CURVES, *STANDARD_DESCRIPTORS, "density", "energy"}
    ]
    protocol = CUSTOM.get(key.protocol, key.protocol)
    return [
        *("--method", key.method, "--dataset", key.dataset, "--plans", key.plan),
        *("--protocol", protocol, "--seed", str(key.seed), "--cores", "1", "--device", "cpu"),
        *(["--samplers", key.sampler, "--steps", str(key.steps)] if _is_trained(key) else []),
        *(["--count", str(key.count)] if protocol != key.protocol else []),
        *(["--metrics", ",".join(sorted(further))] if further else []),
    ]


def _is_trained(key: ResultKey) -> bool:
    return kind_of(key.method, ("methods", "non_learned")) == "methods"


def chosen(
    dataset: str | None,
    protocols: str | None,
    methods: str | None,
    samplers: str | None,
    failure: str | None,
    outdated: bool,
    without_hits: bool,
) -> list[Result]:
    """Published results of a dataset, of protocols, methods and samplers, with a failure, of other code than today's,
    or of inverse design without hits."""
    results = []
    for result in PUBLISHED.results():
        key = result.key
        reasons = {reason for of_one in result.failures.values() for reason in of_one}
        if (
            (dataset is None or key.dataset == dataset)
            and (protocols is None or key.protocol in protocols.split(","))
            and (methods is None or key.method in methods.split(","))
            and (samplers is None or key.sampler in samplers.split(","))
            and (failure is None or any(failure in reason for reason in reasons))
            and (not outdated or outdated_parts(result))
            and (not without_hits or (result.inverse_design and not result.hits))
        ):
            results.append(result)
    return results


@app.command()
def again(
    folder: Path,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    protocols: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    methods: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    samplers: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    failure: Annotated[
        str | None, typer.Option(help="Only results with a failure that has these words.")
    ] = None,
    outdated: Annotated[
        bool, typer.Option("--outdated", help="Only results of other code than today's.")
    ] = False,
    without_hits: Annotated[
        bool, typer.Option("--without-hits", help="Only results of inverse design that have no hits.")
    ] = False,
    cores: Annotated[int | None, typer.Option(help="Results at a time; all cores by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the commands.")] = False,
) -> None:
    """Compute published results again, into FOLDER; finished ones are skipped."""
    results = chosen(dataset, protocols, methods, samplers, failure, outdated, without_hits)
    _check_precision(results)
    definitions = {name: load("datasets", name)() for name in {result.key.dataset for result in results}}
    # the longest first, so that no core waits at the end
    results.sort(key=lambda result: -(result.seconds + result.measuring_seconds))
    jobs = list(
        dict.fromkeys(tuple(arguments(result, definitions[result.key.dataset])) for result in results)
    )
    print(
        f"{len(jobs)} results, {sum(r.seconds + r.measuring_seconds for r in results) / 3600:.1f} hours before"
    )
    if dry_run:
        for job in jobs:
            print("amsbench run", *job)
        return

    def compute(job: tuple[str, ...]) -> int:
        run = subprocess.run([*COMMAND, *job, "-o", str(folder)], capture_output=True, text=True)
        print("done" if run.returncode == 0 else f"FAILED ({run.stderr.strip()[-300:]})", *job, flush=True)
        return run.returncode

    with ThreadPoolExecutor(cores or available_cores()) as pool:
        if any(pool.map(compute, jobs)):
            raise typer.Exit(1)


def _check_precision(results: list[Result]) -> None:
    """Raise AmsbenchError if models compute in another type here than in their published results.

    An installation without the native kernels, or another processor, would put two types into one table.
    """
    for key in {result.key.method: result.key for result in results if _is_trained(result.key)}.values():
        own = load_checkpoint_for(key.method, key.dataset).method.product_type()
        if own != key.precision:
            raise AmsbenchError(
                f"{key.method} multiplies matrices in {own} here, and in {key.precision} in its published results; "
                "install with a C compiler on a processor like theirs, or compute all results of the dataset again"
            )


def same_conditions(one: ResultKey, other: ResultKey) -> bool:
    """Whether two results differ at most in checkpoint, code and versions."""
    versions = {
        "dataset_hash",
        "checkpoint_hash",
        "code",
        "sampler_version",
        "protocol_version",
        "metrics_version",
    }
    fields = type(one).model_fields.keys() - versions - {"precision"}
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def replace(store: ResultStore, results: list[Result], published: ResultStore) -> int:
    """Put results into the published ones in place of those of the same conditions; the number of the latter.

    Structures are published where those of the replaced result were. Results of code that is declared equal to older
    code get the hash of the oldest, as if they were computed now, so that tables do not keep them apart.
    """
    stored = list(published.results())
    replaced = 0
    for result in results:
        # models of the fixed budget have rows beside those of longer trainings
        before = [
            one.key
            for one in stored
            if same_conditions(one.key, result.key) and budget_label(one) == budget_label(result)
        ]
        compact = any(published.path(key, COMPACT).is_file() for key in before)
        for key in before:
            for suffix in (".json", STRUCTURES, COMPACT, TABLE):
                published.path(key, suffix).unlink(missing_ok=True)
        replaced += len(before)
        if compact:
            copy_with_compact(store, result, published)
        else:
            copy_file(store.path(result.key, TABLE), published.path(result.key, TABLE))
            published.write(result.model_copy(update={"files": published.file_hashes(result.key)}))
        with_oldest_code(published, result.key)
    return replaced


def with_oldest_code(store: ResultStore, key: ResultKey) -> None:
    """Give a stored result the oldest of the hashes that are declared equal to those of its code."""
    result = store.find(key)
    assert result is not None
    codes = {name: oldest_equal(code) for name, code in result.metric_code.items()}
    new = key.model_copy(update={"code": oldest_equal(key.code)})
    if codes == result.metric_code and new == key:
        return
    for suffix in (COMPACT, TABLE):
        if store.path(key, suffix).is_file():
            store.path(key, suffix).rename(store.path(new, suffix))
    store.path(key).unlink()
    store.write(result.model_copy(update={"key": new, "metric_code": codes}))


@app.command()
def merge(folder: Path) -> None:
    """Replace the published results of the same conditions by those in FOLDER, and add the others."""
    store = ResultStore(folder)
    results = list(store.results())
    replaced = replace(store, results, PUBLISHED)
    print(f"{len(results)} results of {folder} published; they replace {replaced}.")


if __name__ == "__main__":
    app()
