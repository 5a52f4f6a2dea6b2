"""The rules of the house, on files: which folder may import from which, no circles, no drawers.

Imports that only annotations need count like all others: who reads a module follows those, too.
"""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("baselines", "benchmark", "cli", "leaderboards", "methods", "metrics", "speed", "testing")
ROOT_MODULES = {"__init__", "errors", "native_library", "version"}

ALLOWED = {
    "cli": ["speed", "leaderboards", "benchmark", "metrics"],
    "speed": ["methods", "benchmark", "metrics", "leaderboards.tables.text_table"],
    "leaderboards": ["benchmark", "metrics"],
    "baselines": ["methods", "benchmark.interface", "metrics"],
    "methods": ["benchmark.interface", "metrics"],
    "testing": ["benchmark", "metrics"],
    "benchmark": ["metrics"],
    "metrics": [],
}
"""From which folders (or modules) each folder may import, beside itself and the modules of the root."""

FURTHER = {
    # a simulation is a dataset's own
    "baselines.non_learned": ["benchmark.datasets", "benchmark.runs.non_learned"],
    # copies of training structures are taken from the dataset
    "baselines.training_set": ["benchmark.datasets", "benchmark.generation", "benchmark.runs"],
    # the public face also hands out the parts of our methods that others can be made of; nobody inside imports it
    "benchmark": ["methods"],
}
"""What a single module may import in addition."""

FLOORS = {
    "display": 0,
    "system": 0,
    "execution": 0,
    "registry": 0,
    "scaffold": 1,
    "plugin_file": 1,
    "interface": 1,
    "datasets": 2,
    "generation": 3,
    "evaluation": 3,
    "training": 3,
    "distributed": 3,
    "runs": 4,
    "design": 4,
    "api": 5,
    "sweep": 5,
}
"""Floors of ``benchmark``: a part imports from its own and from lower ones."""

WIDEST, LONGEST, MOST_DOTS = 15, 350, 3
"""Most modules of a folder, most lines of a module, most leading dots of an import."""

ALIASES = {("numpy", "np"), ("pandas", "pd"), ("matplotlib", "mpl"), ("triton.language", "tl")}


def module_paths() -> list[Path]:
    return [ROOT / f"{name}.py" for name in sorted(ROOT_MODULES)] + [
        path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def name_of(path: Path) -> str:
    """``methods.egnn.network`` for a file, ``methods`` for its folder's ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in module_paths()}


@cache
def imports_of(name: str) -> dict[str, tuple[str, ...]]:
    """Modules of the package that a module imports, also within functions, and the names that it takes."""
    path = NAMES[name]
    package = path.relative_to(ROOT).parent.parts
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        for alias in node.names:
            target = f"{module}.{alias.name}".strip(".")
            target = target if target in NAMES else module
            found[target] = (*found.get(target, ()), alias.name)
    return found


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


@pytest.mark.parametrize("name", sorted(NAMES), ids=str)
def test_imports_run_one_way(name):
    folder = name.split(".")[0]
    if folder not in ALLOWED:
        assert {target for target in imports_of(name) if target} <= ROOT_MODULES | {
            "benchmark.api",
            "benchmark.datasets.storage",
        }
        return
    places = [folder, *ALLOWED[folder], *FURTHER.get(name, []), *ROOT_MODULES]
    outside = {t for t in imports_of(name) if t and not any(within(t, place) for place in places)}
    assert not outside, f"{name} may import from {', '.join(places)}"


@pytest.mark.parametrize("name", sorted(n for n in NAMES if n.startswith("benchmark.")), ids=str)
def test_the_floors_of_benchmark(name):
    floor = FLOORS[name.split(".")[1]]
    above = {
        target
        for target in imports_of(name)
        if target.startswith("benchmark.") and FLOORS[target.split(".")[1]] > floor
    }
    assert not above


def test_no_baseline_imports_another():
    for name in NAMES:
        parts = name.split(".")
        if parts[0] == "baselines" and len(parts) > 2:
            others = {t for t in imports_of(name) if within(t, "baselines") and len(t.split(".")) > 2}
            assert all(within(target, f"baselines.{parts[1]}") for target in others), name


def test_no_circles():
    left = {name: set(imports_of(name)) & set(NAMES) - {name, ""} for name in NAMES}
    while free := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in free}
    assert not left, "these modules import each other, or what does"


def test_names_come_from_the_module_that_defines_them():
    """An import from a module that imported the name itself would hide where it lives."""
    faces = {name for name, path in NAMES.items() if path.name == "__init__.py"}
    for name in NAMES:
        for target, taken in imports_of(name).items():
            if target in NAMES and target not in faces:
                borrowed = {n for names in imports_of(target).values() for n in names}
                assert not borrowed & set(taken), f"{name} imports {borrowed & set(taken)} from {target}"


def test_no_name_is_imported_under_another():
    for name, path in NAMES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                for alias in node.names:
                    known = alias.asname is None or (alias.name, alias.asname) in ALIASES
                    assert known, f"{name} imports {alias.name} as {alias.asname}"
            if isinstance(node, ast.ImportFrom):
                assert node.level <= MOST_DOTS, f"{name}, line {node.lineno}"


def test_no_drawers_and_no_long_modules():
    folders = Counter(path.parent for path in NAMES.values() if path.name != "__init__.py")
    assert max(folders.values()) <= WIDEST, folders.most_common(3)
    lines = {name: len(path.read_text().splitlines()) for name, path in NAMES.items()}
    assert max(lines.values()) < LONGEST, Counter(lines).most_common(3)


def test_every_module_and_folder_says_what_it_holds():
    for name, path in NAMES.items():
        assert ast.get_docstring(ast.parse(path.read_text())), name
    for folder in FOLDERS:
        for place in {path.parent for path in (ROOT / folder).rglob("*.py")}:
            assert (place / "__init__.py").is_file(), place


def test_the_root_holds_what_is_named():
    assert {path.stem for path in ROOT.glob("*.py")} == ROOT_MODULES | {"setup"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
