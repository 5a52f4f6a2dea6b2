"""The code of this installation by which results are generated and measured, and results of other code.

A change of code that leaves all numbers as they are, to the last bit or, for native kernels, within their differences
between instruction sets, is declared in ``equal_code.json``: groups of hashes by plug-in, oldest first. The code of a
group has its first hash, so that its stored results stay valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from .. import registry
from ..datasets.definition import DatasetDefinition
from ..generation.generate import GENERATION_VERSION
from ..registry import PluginKind
from .code_hash import code_at, code_of
from .results import Result

EQUAL_CODE = Path(__file__).parent / "equal_code.json"


def method_code(method: type) -> str:
    """Hash of the code that generates structures with a method: its own, and the version of what methods share."""
    return oldest_equal(_with_generation(code_of(method)))


def baseline_code(baseline: type) -> str:
    """Hash of the code of a non-learned baseline."""
    return oldest_equal(code_of(baseline))


def metric_codes(
    definition: DatasetDefinition, metrics: Iterable[str], properties: Iterable[str]
) -> dict[str, str]:
    """Hash of the code of each metric, and for each property that of the dataset, whose class measures it."""
    codes = {name: oldest_equal(code_of(registry.load("metrics", name))) for name in metrics}
    return codes | {name: oldest_equal(code_of(type(definition))) for name in properties}


def outdated_parts(result: Result) -> dict[str, tuple[str, str]]:
    """Stored and installed hash of the method and metrics of a result whose code is another here, by name.

    Plug-ins that are not installed here count as unchanged, since there is nothing to compare with. None is imported.
    """
    method, dataset = result.key.method, result.key.dataset
    kind: PluginKind = "methods" if method in registry.names("methods") else "non_learned"
    hashes = {method: (result.key.code, _installed_code(kind, method))}
    for name, stored in result.metric_code.items():
        # a property is measured by the class of the dataset
        measured_by: tuple[PluginKind, str] = (
            ("datasets", dataset) if name in result.inverse_design else ("metrics", name)
        )
        hashes[name] = stored, _installed_code(*measured_by)
    return {name: (stored, now) for name, (stored, now) in hashes.items() if now not in (None, stored)}


def _with_generation(code: str) -> str:
    return hashlib.sha256(f"{code} generation {GENERATION_VERSION}".encode()).hexdigest()


def _installed_code(kind: PluginKind, name: str) -> str | None:
    if name not in registry.names(kind):
        return None
    target = registry.target(kind, name)
    method_file = target.partition(":")[0].endswith(".py")  # is imported already
    code = code_of(registry.load(kind, name)) if method_file else _code_at(target)
    if code is None:
        return None
    return oldest_equal(_with_generation(code) if kind == "methods" else code)


_code_at = cache(code_at)


def oldest_equal(code: str) -> str:
    """The oldest of the hashes of code that is declared equal to this one."""
    return _equal_codes().get(code, code)


@cache
def _equal_codes() -> dict[str, str]:
    """The first hash of its group, by hash."""
    groups = json.loads(EQUAL_CODE.read_text(encoding="utf-8"))
    return {code: group[0] for name in groups for group in groups[name] for code in group}
