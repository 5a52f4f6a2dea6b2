"""Pages of Markdown with all tables of a set of results: one per dataset, a summary and an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..benchmark import registry
from ..benchmark.runs.results import Result, ResultFiles
from ..benchmark.system.files import check_writable, write_text
from ..errors import AmsbenchError
from .tables.make_tables import tables_of
from .tables.summary import summary_tables
from .tables.text_table import render

PAGE_NAMES = {"asi": "liquid_silicon", "asio2": "silica", "meg": "multi_element"}
"""Names of the pages of the bundled datasets; others have the name of their dataset."""

MARKERS = ("<!-- leaderboard: begin -->", "<!-- leaderboard: end -->")
"""Lines of a Markdown file between which ``write_block`` writes."""

BLOCK_DATASET = "asio2"
"""The dataset whose inverse design the leaderboard in small shows."""

_ORIGIN = (
    "This page was written by `amsbench table --results leaderboards/results --pages docs/results`; "
    "do not edit it by hand."
)


def write_pages(results: Iterable[Result], folder: Path, files: ResultFiles | None = None) -> list[Path]:
    """Write all tables of the results as Markdown into ``folder`` and return the files.

    files: where the files beside the results lie, as in ``tables_of``
    AmsbenchError where there are no results or the folder cannot be written.
    """
    pages = pages_of(list(results), files)
    check_writable(folder)
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def write_block(results: Iterable[Result], file: Path) -> None:
    """Replace the text between the two markers in ``file`` by the leaderboard in small.

    AmsbenchError where the file has no such markers or cannot be written.
    """
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    try:
        page = between_markers(text, MARKERS, block_of(list(results)))
    except AmsbenchError as error:
        raise AmsbenchError(f"{file} {error}") from error
    write_text(file, page)


def between_markers(page: str, markers: tuple[str, str], text: str) -> str:
    """The page with ``text`` between two lines of it; AmsbenchError if it does not have them in this order."""
    start, end = page.find(markers[0]), page.find(markers[1])
    if not 0 <= start < end:
        raise AmsbenchError(f"has no text between '{markers[0]}' and '{markers[1]}'; add both lines to it")
    return f"{page[: start + len(markers[0])]}\n{text}{page[end:]}"


def block_of(results: Sequence[Result]) -> str:
    """The leaderboard in small: the summary's structural tables, and silica of its inverse-design table."""
    small = [
        result for result in results if result.key.kind == "structural" or result.key.dataset == BLOCK_DATASET
    ]
    return render(summary_tables(small), "github")


def pages_of(results: Sequence[Result], files: ResultFiles | None = None) -> dict[str, str]:
    """The text of each page by file name; AmsbenchError where there are no results."""
    if not results:
        raise AmsbenchError(
            "there are no results to write pages of; run 'amsbench run' first or give another --results"
        )
    by_dataset: dict[str, list[Result]] = {}
    for result in results:
        by_dataset.setdefault(result.key.dataset, []).append(result)
    pages = {
        _file_name(dataset): _dataset_page(dataset, group, files) for dataset, group in by_dataset.items()
    }
    summary = _page("Summary of the results", render(summary_tables(results), "github"))
    return {"index.md": _index(by_dataset), "summary.md": summary, **pages}


def _file_name(dataset: str) -> str:
    return f"{PAGE_NAMES.get(dataset, dataset)}.md"


def dataset_label(dataset: str) -> str:
    """``asi: liquid silicon at 2500 K``: name and first words of the title of a dataset."""
    if dataset not in registry.names("datasets"):
        return dataset
    return f"{dataset}: {registry.load('datasets', dataset).title.split(',')[0]}"


def _page(heading: str, text: str) -> str:
    return f"# {heading}\n\n{_ORIGIN}\n\n{text}"


def _dataset_page(dataset: str, results: Sequence[Result], files: ResultFiles | None) -> str:
    return _page(
        f"Results on {dataset_label(dataset)}", render(tables_of(results, detail=True, files=files), "github")
    )


def _index(by_dataset: dict[str, list[Result]]) -> str:
    lines = ["- [Summary](summary.md): the best results of each method in few and in many steps"]
    for dataset, results in by_dataset.items():
        methods = len({result.key.method for result in results})
        counts = f"{_counted(len(results), 'result')} of {_counted(methods, 'method')}"
        lines.append(f"- [{dataset_label(dataset)}]({_file_name(dataset)}): {counts}")
    return _page("Results", "\n".join(lines) + "\n")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
