"""Hook of mkdocs: lets mkdocstrings read the sources, whatever the folder of the repository is called.

The repository root is the package ``amsbench``. mkdocstrings looks for a folder of that name in its search path, so it
gets a temporary folder with a link of that name.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_folder = tempfile.TemporaryDirectory(prefix="amsbench-docs-")


def on_config(config: Any) -> Any:
    """Add the folder with the link to the search path of mkdocstrings."""
    link = Path(_folder.name) / "amsbench"
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    handlers = config["plugins"]["mkdocstrings"].config["handlers"]
    handlers["python"]["paths"] = [_folder.name]
    return config
