"""`amsbench table`, `page` and `figures`: results as tables, as a page for a browser, and as figures for print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import OnlyThese, Published, ResultsFolders, names_in
from .progress import FEWER_COLUMNS, say, terminal_width

if TYPE_CHECKING:
    from ..benchmark.runs.results import Result
    from ..leaderboards.result_folders import ResultFolders


def table_command(
    kind: Annotated[str | None, typer.Argument(help="structural or inverse-design; both by default.")] = None,
    results: ResultsFolders = None,
    published: Published = False,
    format: Annotated[str, typer.Option("--format", "-f", help="plain, github, csv or latex.")] = "plain",
    with_paper: Annotated[
        bool, typer.Option("--with-paper", help="Add the values that the paper reports.")
    ] = False,
    detail: Annotated[
        bool,
        typer.Option(
            "--detail", help="All tables: intervals, penalised errors, descriptors, cost, failures."
        ),
    ] = False,
    methods: OnlyThese = None,
    samplers: OnlyThese = None,
    pages: Annotated[
        Path | None, typer.Option(help="Write all tables as Markdown pages into this folder, and print none.")
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(help="Write the leaderboard in small into this Markdown file, between its markers."),
    ] = None,
) -> None:
    """Print the leaderboard tables of results folders: one per comparison, or all with --detail.

    csv has one number per row; amsbench.leaderboards.tables.records lists the quantities and statistics.
    """
    from ..leaderboards.tables.make_tables import tables_of
    from ..leaderboards.tables.text_table import render

    store, shown = _chosen_results(results, published, methods, samplers)
    if readme is not None:
        from ..leaderboards.pages import write_block

        write_block(shown, readme)
        say(f"Leaderboard in small: {readme}")
    if pages is not None:
        from ..leaderboards.pages import write_pages

        for path in write_pages(shown, pages, store):
            say(f"Page: {path}")
    if pages is None and readme is None:
        tables = tables_of(shown, kind=kind, with_paper=with_paper, detail=detail, files=store)
        print(render(tables, format, width=terminal_width(), hint=FEWER_COLUMNS))


def page_command(
    output: Annotated[Path, typer.Argument(help="Folder of the page; an earlier page there is replaced.")],
    results: ResultsFolders = None,
    published: Published = False,
    methods: OnlyThese = None,
    samplers: OnlyThese = None,
) -> None:
    """Write the leaderboard of results folders as a page for a browser: tables, charts, structures in 3D, provenance.

    The folder needs no server and no network: open its index.html. Needs plotly: pip install 'amsbench[page]'.
    """
    from ..leaderboards.page.build import write_page

    store, shown = _chosen_results(results, published, methods, samplers)
    index = write_page(shown, output, store)
    size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
    say(f"Page of {len(shown)} results, {size / 1e6:.1f} MB: {index}")


def figures_command(
    output: Annotated[Path, typer.Argument(help="Folder of the figures.")],
    results: ResultsFolders = None,
    published: Published = False,
    methods: OnlyThese = None,
    samplers: OnlyThese = None,
    protocols: OnlyThese = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="svg, pdf, png, comma separated.")
    ] = "svg,pdf,png",
) -> None:
    """Draw the figures of results folders for print, with their captions in captions.md.

    Errors against steps and time, mean curves over the reference, distributions of properties, and obtained against
    target values: one figure of each kind per comparison.
    """
    from ..leaderboards.figures.make_figures import save_figures

    store, shown = _chosen_results(results, published, methods, samplers, protocols)
    paths = save_figures(store, output, shown, names_in(format))
    if paths:
        number = len({path.stem for path in paths}) - 1
        what = f"{number} figures with their captions" if number > 1 else "1 figure with its caption"
        say(f"{what}: {paths[-1]}")
    else:
        say("No result takes steps: non-learned baselines alone have no figures.")


def _chosen_results(
    results: list[Path] | None,
    published: bool,
    methods: str | None,
    samplers: str | None,
    protocols: str | None = None,
) -> tuple[ResultFolders, list[Result]]:
    """The folders of the options, and their results of these names; says which are of other code."""
    from ..leaderboards.result_folders import PUBLISHED, ResultFolders
    from ..leaderboards.tables.make_tables import chosen

    folders = results or ([] if published else [Path("results")])
    store = ResultFolders([*folders, *([PUBLISHED] if published else [])])
    method_names, sampler_names, protocol_names = (
        None if names is None else names_in(names) for names in (methods, samplers, protocols)
    )
    shown = chosen(store.results(), method_names, sampler_names, protocols=protocol_names)
    say_outdated(shown)
    return store, shown


def say_outdated(results: Sequence[Result]) -> None:
    """Print which results were computed by other code than that of this installation, if there are any."""
    from ..benchmark.runs.current_code import outdated_parts

    parts = [outdated_parts(result) for result in results]
    names = sorted({name for changed in parts for name in changed})
    if names:
        say(
            f"{sum(map(bool, parts))} of {len(parts)} results are of other code than this installation has "
            f"({', '.join(names)}); 'amsbench run' computes them again."
        )
