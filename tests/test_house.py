"""Imports run one way: cli -> leaderboards -> benchmark -> metrics, and baselines -> methods -> benchmark.

A room may also import from every room behind the next one. What plug-ins are tested with knows no method: testing ->
benchmark.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "metrics": {"metrics"},
    "benchmark": {"benchmark", "metrics"},
    "methods": {"methods", "benchmark", "metrics"},
    "baselines": {"baselines", "methods", "benchmark", "metrics"},
    "leaderboards": {"leaderboards", "benchmark", "metrics"},
    "testing": {"testing", "benchmark", "metrics"},
}
MODULES = [path for room in ALLOWED for path in sorted((ROOT / room).rglob("*.py"))]


def rooms_imported(path: Path) -> set[str]:
    package = ("amsbench", *path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = (*base, *(node.module or "").split("."))
            full = tuple(part for part in full if part)
            names = [full] if len(full) > 1 else [(*full, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "amsbench" and len(name) > 1}
    return found & set(ALLOWED)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    assert rooms_imported(path) <= ALLOWED[room]


def test_every_room_has_modules():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ALLOWED)
