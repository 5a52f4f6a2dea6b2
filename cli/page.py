"""`amsbench page`: the leaderboard as a folder for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import OnlyThese, Published, ResultsFolders, names_in
from .progress import say
from .run import say_outdated


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
    from ..leaderboards.result_folders import PUBLISHED, ResultFolders
    from ..leaderboards.tables.make_tables import chosen

    folders = results or ([] if published else [Path("results")])
    store = ResultFolders([*folders, *([PUBLISHED] if published else [])])
    shown = chosen(
        store.results(), *(None if names is None else names_in(names) for names in (methods, samplers))
    )
    say_outdated(shown)
    index = write_page(shown, output, store)
    size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
    say(f"Page of {len(shown)} results, {size / 1e6:.1f} MB: {index}")
