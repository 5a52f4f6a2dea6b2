"""The folder of the page: its files from the results, and how it replaces an earlier one."""

from __future__ import annotations

import html
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any

from ...benchmark.runs.results import Result, ResultFiles
from ...benchmark.system.files import UNFINISHED, parsed_json
from ...errors import AmsbenchError
from ...version import __version__
from .cards import method_cards
from .dataset_data import closer_data, comparisons_by_dataset, dataset_data

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "dom",
    "data",
    "filters",
    "table",
    "details",
    "plots",
    "error_chart",
    "curve_chart",
    "target_chart",
    "structure_view",
    "cards",
    "main",
)
"""Names of the page's scripts in the order in which they are loaded; each adds to the object ``amsbench``."""
MARKER = "amsbench-page.json"
"""The file by which a folder is recognised as a page, with the names of the files that belong to it."""
PLOTLY = "plotly.min.js"


def write_page(results: Iterable[Result], folder: Path, files: ResultFiles | None = None) -> Path:
    """Write the page of these results into ``folder``, in full or not at all, and return its index.html.

    An earlier page there is replaced with all its files. files: where the files beside the results lie
    AmsbenchError where plotly is not installed, where there are no results, and for a folder that holds anything else
    than an earlier page.
    """
    every = list(results)
    if not every:
        raise AmsbenchError(
            "there are no results to make a page of; run 'amsbench run' first or give another --results"
        )
    target = folder.resolve()
    check_replaceable(target)
    contents = page_files(every, files)
    _replace(target, contents)
    return target / "index.html"


def check_replaceable(folder: Path) -> None:
    """Raise AmsbenchError unless ``folder`` does not exist, is empty, or holds an earlier page and nothing else."""
    if not folder.exists():
        return
    advice = "give another folder, or delete this one"
    if not folder.is_dir():
        raise AmsbenchError(f"cannot write the page to {folder}: it is a file; {advice}")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not present:
        return
    try:
        page = {MARKER, *parsed_json((folder / MARKER).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AmsbenchError(
            f"{folder} is not a page that 'amsbench page' made, and is not overwritten; {advice}"
        ) from error
    if others := sorted(present - page):
        raise AmsbenchError(
            f"{folder} holds {others[0]}, which is no part of the page there, and is not overwritten; move the file "
            "elsewhere"
        )


def page_files(results: list[Result], files: ResultFiles | None = None) -> dict[str, bytes]:
    """The contents of all files of the page by their paths in the folder; the same for the same results.

    AmsbenchError where plotly is not installed.
    """
    bundle, version, licence = _plotly()
    by_dataset = comparisons_by_dataset(results, files)
    contents: dict[str, bytes] = {}
    data = []
    for number, (name, comparisons) in enumerate(by_dataset.items()):
        path = f"data/dataset-{number}.js"
        contents[path] = script("addDataset", number, dataset_data(name, comparisons))
        data.append(path)
        for place, comparison in enumerate(comparisons):
            contents[f"data/closer-{number}-{place}.js"] = script(
                "addCloser", f"{number}-{place}", closer_data(comparison)
            )
    contents["data/cards.js"] = script("addCards", "cards", method_cards(results))
    for name in SCRIPTS:
        contents[f"{name}.js"] = (ASSETS / f"{name}.js").read_bytes()
    for name in ("page.css", "theme.js"):
        contents[name] = (ASSETS / name).read_bytes()
    contents[PLOTLY] = bundle.encode()
    sources = [*(f"{name}.js" for name in SCRIPTS[:-1]), "data/cards.js", *data, f"{SCRIPTS[-1]}.js"]
    contents["index.html"] = _index(
        {
            "scripts": "\n".join(f'<script src="{source}" defer></script>' for source in sources),
            "results": f"{len(results):,}",
            "methods": str(len({result.key.method for result in results})),
            "datasets": str(len(by_dataset)),
            "version": html.escape(__version__),
            "plotly_version": html.escape(version),
            "plotly_licence": html.escape(licence),
        }
    )
    contents[MARKER] = json.dumps({"made_by": "amsbench page", "files": sorted(contents)}, indent=1).encode()
    return dict(sorted(contents.items()))


def script(function: str, name: object, data: object) -> bytes:
    """A script that hands data to the page: JSON in which no character can end a script or a line of one."""
    text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"amsbench.{function}({json.dumps(name)},{text});\n".encode()


def _finite(data: Any) -> Any:
    """The same data with None for numbers that JSON cannot hold."""
    if isinstance(data, Mapping):
        return {str(name): _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not abs(data) < float("inf"):
        return None
    return data


def _index(fields: dict[str, str]) -> bytes:
    return Template((ASSETS / "index.html").read_text(encoding="utf-8")).substitute(fields).encode()


def _plotly() -> tuple[str, str, str]:
    """The bundle of plotly.js in the installed package, its version, and its licence."""
    try:
        from plotly.offline import get_plotlyjs, get_plotlyjs_version
    except ImportError as error:
        raise AmsbenchError(
            "the charts of the page need the package plotly, which is not installed; "
            "run: pip install 'amsbench[page]'"
        ) from error
    return get_plotlyjs(), get_plotlyjs_version(), _licence("plotly")


def _licence(package: str) -> str:
    """The text of the licence in the metadata of an installed package."""
    for file in metadata.files(package) or ():
        if file.name.startswith("LICENSE") and ".dist-info" in str(file.parent):
            return file.read_text(encoding="utf-8").strip()
    return "MIT licence"


def _replace(target: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files into a temporary folder beside ``target`` and move it there; the earlier page goes last."""
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=UNFINISHED))
        page, earlier = temporary / "page", temporary / "earlier"
        for name, content in contents.items():
            path = page / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if target.exists():
            os.replace(target, earlier)
        try:
            os.replace(page, target)
        except OSError:
            with suppress(OSError):
                os.replace(earlier, target)
            raise
    except OSError as error:
        raise AmsbenchError(
            f"cannot write the page to {target}: {error.strerror or error}; choose a folder with room that you may "
            "write to"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
