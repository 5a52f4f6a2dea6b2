"""MkDocs hook: the package's source for the reference pages.

The root of the repository is the package ``amsbench``, whatever the folder of a clone is called. A temporary folder
holds a link of that name, and the handler of mkdocstrings reads the source through it, without importing it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parent.parent
_folders: list[tempfile.TemporaryDirectory[str]] = []


# mkdocstrings reads the search path in its own event, so this one comes before it
@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The configuration, with a folder that holds ``amsbench`` as the search path of the Python handler."""
    _remove_folders()
    folder = tempfile.TemporaryDirectory(prefix="amsbench-docs-")
    _folders.append(folder)
    (Path(folder.name) / "amsbench").symlink_to(ROOT, target_is_directory=True)
    python = config.plugins["mkdocstrings"].config.handlers["python"]
    python["paths"] = [folder.name]
    return config


def on_post_build(config: MkDocsConfig) -> None:
    """Remove the temporary folder."""
    _remove_folders()


def on_build_error(error: Exception) -> None:
    """Remove the temporary folder when the build fails."""
    _remove_folders()


def _remove_folders() -> None:
    while _folders:
        _folders.pop().cleanup()
