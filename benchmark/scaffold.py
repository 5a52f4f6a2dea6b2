"""Template packages of plug-ins, as written by ``amsbench new-method`` and ``amsbench new-metric``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from string import Template
from typing import Literal

from ..errors import AmsbenchError
from . import registry

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_EXAMPLES = {"method": "my-method", "metric": "free-volume"}


def write_package(kind: Literal["method", "metric"], name: str, folder: Path) -> list[Path]:
    """Write a package with a method or metric called ``name`` to ``folder`` and return the paths of its files.

    Raises AmsbenchError for an invalid or installed name, and if ``folder`` exists or cannot be written; nothing is
    written then.
    """
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise AmsbenchError(
            f"'{name}' cannot be the name of a {kind}; use up to 40 small letters, digits and hyphens, a letter "
            f"first, like {_EXAMPLES[kind]}"
        )
    taken: tuple[registry.PluginKind, ...]
    taken = ("methods", "non_learned") if kind == "method" else ("metrics",)
    if any(name in registry.names(group) for group in taken):
        raise AmsbenchError(f"the name '{name}' is taken by a {kind} that is installed; choose another")
    if folder.exists():
        raise AmsbenchError(f"{folder} is there already; choose another --output-dir, or delete it")
    words = name.split("-")
    camel = "".join(word.capitalize() for word in words)
    values = {
        "name": name,
        "underscored": "_".join(words),
        "module": "_".join(["amsbench", *words]),  # the prefix avoids names of existing modules
        "class_name": camel if words[-1] == kind and len(words) > 1 else f"{camel}{kind.capitalize()}",
        "title": " ".join(words).capitalize(),
    }
    targets = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{kind}.py": f"{values['module']}.py",
        f"test_{kind}.py": f"test_{values['underscored']}.py",
    }
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        for template, target in targets.items():
            text = (TEMPLATES / kind / f"{template}.txt").read_text(encoding="utf-8")
            (temporary / target).write_text(Template(text).substitute(values), encoding="utf-8")
        os.chmod(temporary, 0o755)
        os.rename(temporary, folder)
    except OSError as error:
        raise AmsbenchError(
            f"cannot write {folder}: {error.strerror or error}; choose a folder that you may write to with --output-dir"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return [folder / target for target in targets.values()]
