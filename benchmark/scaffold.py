"""Package of a new method, written from templates: the work of ``amsbench new-method``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from string import Template

from ..errors import AmsbenchError
from . import registry

TEMPLATES = Path(__file__).parent / "templates" / "method"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_method_package(name: str, folder: Path) -> list[Path]:
    """Write a package with a method called ``name`` to ``folder`` and return the paths of its files.

    Raises AmsbenchError for an invalid or installed name, and if ``folder`` exists or cannot be written; nothing is
    written then.
    """
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise AmsbenchError(
            f"'{name}' cannot be the name of a method; use up to 40 small letters, digits and hyphens, a letter "
            "first, like my-method"
        )
    if name in registry.names("methods"):
        raise AmsbenchError(f"the name '{name}' is taken by a method that is installed; choose another")
    if folder.exists():
        raise AmsbenchError(f"{folder} is there already; choose another --output-dir, or delete it")
    words = name.split("-")
    camel = "".join(word.capitalize() for word in words)
    values = {
        "name": name,
        "underscored": "_".join(words),
        "module": "_".join(["amsbench", *words]),  # the prefix avoids names of existing modules
        "class_name": camel if words[-1] == "method" and len(words) > 1 else f"{camel}Method",
        "title": " ".join(words).capitalize(),
    }
    targets = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "method.py": f"{values['module']}.py",
        "test_method.py": f"test_{values['underscored']}.py",
    }
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        for template, target in targets.items():
            text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
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
