"""Hashes of the code that the numbers of a result depend on: that of a method, a baseline, a metric or a dataset.

The code of a class is its module and all modules that this one imports, directly or through others, as far as they
belong to the plug-in's own package or to the folders of this package in ``FOLDERS``. Comments, docstrings, layout,
imports for annotations alone and descriptive texts (``TEXTS``) have no influence. What all methods share (cells,
noise, batches) has the declared ``GENERATION_VERSION`` instead, what all metrics share ``METRICS_VERSION``; native
kernels have the version of their interface, which their module declares.

A hash is the same on every machine and under every version of Python, since it is that of a canonical form of the
syntax tree and not of the output of ``ast.dump``, which changes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import AmsbenchError

PACKAGE = __name__.split(".")[0]
FACE = f"{PACKAGE}.benchmark"
"""The module through which plug-ins import what lies elsewhere in the package."""
FOLDERS = tuple(f"{PACKAGE}.{folder}" for folder in ("methods", "baselines", "metrics", "benchmark.datasets"))
"""Packages whose modules are part of the code of every class that imports them."""
TEXTS = frozenset({"title", "card", "rationale", "evidence"})
"""Attributes and arguments that only describe a plug-in."""
CARDS = frozenset({"card", "method_cards"})
"""Names of modules that hold nothing but cards of methods."""


def code_of(plugin: type) -> str:
    """Hex sha256 of the code of a class; AmsbenchError for one without a source file, such as one of a notebook."""
    file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
    if file is None:
        raise AmsbenchError(
            f"the class {plugin.__name__} has no source file, so that its results cannot be told from those of other "
            "code; put it into a file (--method ./FILE.py) or a package"
        )
    return _code(plugin.__module__, Path(file), plugin.__qualname__)


def code_at(target: str) -> str | None:
    """Hash of the class at ``module:Class``, as ``code_of``, without importing it; None if the module is missing."""
    module, _, name = target.partition(":")
    if module.endswith(".py"):
        return None  # a method file, which is loaded, and its class registered, where it is used
    path = _path_of(module)
    try:
        return None if path is None else _code(module, path, name)
    except (OSError, SyntaxError, ValueError):  # a plug-in that cannot be imported either
        return None


def _code(module: str, path: Path, name: str) -> str:
    return _code_of_source(module, path, name, path.read_bytes())


@cache
def _code_of_source(module: str, root: Path, name: str, source: bytes) -> str:
    """``source`` is that of ``root``: a method file may change while the process runs and is then loaded again."""
    own = "" if module == "__main__" or module.startswith(f"{PACKAGE}_file_") else module.split(".")[0]
    places = (*FOLDERS, own) if own not in ("", PACKAGE) else FOLDERS
    waiting, sources = {module: root}, {}
    while waiting:
        current, path = waiting.popitem()
        sources[current] = path
        for imported in _imports(current, path, source if path == root else _source(path)):
            inside = any(imported == place or imported.startswith(f"{place}.") for place in places)
            if inside and imported not in sources and imported.split(".")[-1] not in CARDS:
                place_of_import = _path_of(imported)
                if place_of_import is not None:
                    waiting[imported] = place_of_import
    digests = sorted(_digest(source if path == root else _source(path)) for path in sources.values())
    return hashlib.sha256(json.dumps([name, digests]).encode()).hexdigest()


@cache
def _source(path: Path) -> bytes:
    """The bytes of a file when they are first read: what was imported then stays as it was."""
    return path.read_bytes()


@cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


@cache
def _digest(source: bytes) -> str:
    return hashlib.sha256("".join(_canonical(_tree(source))).encode("utf-8", "surrogatepass")).hexdigest()


def _imports(module: str, path: Path, source: bytes) -> set[str]:
    """Full names of the modules that a module imports, also within functions, but not for annotations alone."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: set[str] = set()
    for node in _executed(_tree(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            if origin == FACE:
                names |= {home for alias in node.names if (home := _homes().get(alias.name)) is not None}
                continue
            names.add(origin)
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    if FACE in names:  # imported as a whole: anything in it may be used
        names |= set(_homes().values())
    return names


@cache
def _homes() -> dict[str, str]:
    """Full name of the module of each public name of the face, which names them in imports for type checkers."""
    path = _path_of(FACE)
    assert path is not None
    package = FACE.split(".")
    return {
        alias.name: ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
        for node in ast.walk(_tree(_source(path)))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all nodes below it, without the blocks that only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not _for_type_checkers(child):
            yield from _executed(child)


@cache
def _path_of(module: str) -> Path | None:
    """Source file of a module, which is not imported for it; None if there is none."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:
        spec = None
    if spec is None:
        return None
    if not rest and spec.origin is not None and spec.origin.endswith(".py"):
        return Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        stem = Path(folder).joinpath(*rest)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if rest and path.is_file():
                return path
    return None


def _canonical(node: ast.AST) -> Iterator[str]:
    """Text of a syntax tree that does not depend on the version of Python: fields by name, empty ones left out."""
    if isinstance(node, ast.Constant):
        yield f"{type(node.value).__name__} {node.value!r};"
        return
    yield f"{type(node).__name__}("
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if isinstance(value, list):
            value = [item for item in _joined(value) if not _describes(item)]
        if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
            continue
        yield f"{name}="
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _canonical(item)
            else:
                yield f"{item!r};"
    yield ")"


def _joined(items: list[Any]) -> Iterable[Any]:
    """Items of a list with adjacent texts of an f-string as one, and without empty ones."""
    if not any(isinstance(item, ast.FormattedValue) for item in items):
        return items
    parts: list[Any] = []
    for item in items:
        if isinstance(item, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
            parts[-1] = ast.Constant(value="".join(map(str, (parts[-1].value, item.value))))
        else:
            parts.append(item)
    return [item for item in parts if not (isinstance(item, ast.Constant) and item.value == "")]


def _describes(item: Any) -> bool:
    """Whether a node only describes: docstrings, texts of plug-ins, imports for annotations."""
    if isinstance(item, ast.Expr):
        return isinstance(item.value, ast.Constant)
    if isinstance(item, ast.keyword):
        return item.arg in TEXTS
    if isinstance(item, ast.Assign | ast.AnnAssign):
        targets = item.targets if isinstance(item, ast.Assign) else [item.target]
        return all(isinstance(target, ast.Name) and target.id in TEXTS for target in targets)
    return _for_type_checkers(item)


def _for_type_checkers(item: Any) -> bool:
    if not isinstance(item, ast.If) or item.orelse:
        return False
    test = item.test
    return isinstance(test, ast.Name | ast.Attribute) and (
        (test.id if isinstance(test, ast.Name) else test.attr) == "TYPE_CHECKING"
    )
