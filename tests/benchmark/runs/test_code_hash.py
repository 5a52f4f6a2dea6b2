"""Hashes of code: what changes them, what does not, and how far they reach."""

import ast
import hashlib
import importlib
import sys

import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.runs import code_hash
from amsbench.benchmark.runs.code_hash import code_at, code_of
from amsbench.errors import AmsbenchError

MODULE = '''
"""What it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import helper

if TYPE_CHECKING:
    from .only_types import Number


class Plugin:
    """A plug-in."""

    title = "one line"
    scale = 2.0  # of all

    def value(self, x: Number) -> float:
        """Twice."""
        return helper.double(x) * self.scale
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package of a plug-in and returns the hash of its class: ``package(module, helper="...")``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "plugin_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    importlib.invalidate_caches()

    def write(module=MODULE, helper="def double(x):\n    return 2 * x\n", **others):
        texts = {"module": module, "helper": helper, "only_types": "Number = int\n"} | others
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)
        code_hash._source.cache_clear()
        code_hash._code_of_source.cache_clear()
        code_hash._path_of.cache_clear()
        return code_at("plugin_of_test.module:Plugin")

    return write


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# of all", "# of everything"),
        ('"""Twice."""', '"""Two times.\n\n        At length.\n        """'),
        ('"""Twice."""', ""),
        ("one line", "another line"),
        ('    title = "one line"\n', ""),
        ('"""What it is."""', '"""Something else."""'),
        ("* self.scale", "* (\n            self.scale\n        )"),
        ("    from .only_types import Number\n", "    from .only_types import Number\n    import re\n"),
        ("helper.double(x) * self.scale", "helper . double( x )*self.scale"),
        ("2.0", "2.00"),
        ('"one line"', "'one line'"),
    ],
)
def test_what_has_no_influence_on_numbers_does_not_change_a_hash(package, before, after):
    assert before in MODULE
    assert package(MODULE.replace(before, after, 1)) == package()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2.0", "2.1"),
        ("2.0", "2"),
        ("* self.scale", "/ self.scale"),
        ("scale", "size"),
        ("from . import helper", "from . import helper\nfrom . import other"),
        ("class Plugin", "@staticmethod\nclass Plugin"),
    ],
)
def test_what_may_change_numbers_changes_the_hash(package, before, after):
    assert package(MODULE.replace(before, after), other="") != package()


def test_a_hash_reaches_through_imports_of_the_own_package(package):
    assert package() != package(helper="def double(x):\n    return 3 * x\n")
    through = "from .deep import double\n"
    one, other = (package(helper=through, deep=f"def double(x):\n    return {k} * x\n") for k in (2, 3))
    assert one != other
    within = "def double(x):\n    from plugin_of_test.deep import double\n    return double(x)\n"
    one, other = (package(helper=within, deep=f"def double(x):\n    return {k} * x\n") for k in (2, 3))
    assert one != other
    assert package(only_types="Number = float\n") == package()


def test_a_circle_of_imports_ends(package):
    assert package(helper="from . import module\n") != package()


@pytest.mark.parametrize(
    "text",
    [
        "from amsbench.benchmark import EGNN\n",
        "from amsbench.methods.egnn.network import EGNN\n",
        "import amsbench.benchmark\n",
        "import amsbench.methods.egnn.network\n",
    ],
)
def test_code_of_this_package_that_a_plugin_uses_is_part_of_its_code(package, monkeypatch, text):
    before = package(helper=text)
    source = code_hash._source

    def changed(path):
        return source(path) + (b"\nX = 1\n" if path.name == "network.py" and "egnn" in path.parts else b"")

    changed.cache_clear = source.cache_clear
    monkeypatch.setattr(code_hash, "_source", changed)
    assert package(helper=text) != before


def test_imports_of_shared_infrastructure_are_not_followed(package, monkeypatch):
    text = "from amsbench.benchmark import Structures, NoiseSource, AmsbenchError\nimport numpy\nimport json.decoder\n"
    read = []
    source = code_hash._source
    changed = lambda path: (read.append(path), source(path))[1]  # noqa: E731
    changed.cache_clear = source.cache_clear
    monkeypatch.setattr(code_hash, "_source", changed)
    package(helper=text)
    assert {path.parent.name for path in read} == {"plugin_of_test"}


@pytest.mark.parametrize("kind", ["methods", "non_learned", "metrics", "datasets"])
def test_a_class_has_the_hash_of_its_entry_point_which_is_not_imported_for_it(kind):
    hashes = {name: code_at(registry.target(kind, name)) for name in registry.names(kind)}
    assert len(set(hashes.values())) == len(hashes)
    for name, value in hashes.items():
        assert value == code_of(registry.load(kind, name))


def test_each_method_has_the_modules_that_it_needs(monkeypatch):
    """The code of a method reaches its network and its samplers, and no other method of the baselines."""
    read = []
    source = code_hash._source
    code_hash._code_of_source.cache_clear()
    monkeypatch.setattr(code_hash, "_source", lambda path: (read.append(path), source(path))[1])
    code_at(registry.target("methods", "cdvae"))
    names = {"/".join(path.parts[-3:]).removesuffix(".py") for path in read}
    assert any(name.endswith("baselines/triplet_network") for name in names)
    assert any(name.endswith("baselines/cdvae/latent") for name in names)
    assert not any("graphite" in name or "mattergen" in name for name in names)
    assert not any(name.endswith(("card", "method_cards")) for name in names)


SYNTAX = r"""
x = f"{a!r:>{b}}{c=}" f'{{"{d["k"]}"}}' "end" if b"\x00\xff" else (y := 1_000) or [*z, 1e-3, 2j, ...]
match x:
    case {"a": [1, *rest], **others} if rest:
        async def f(p: int = 1, /, *q, r: str = "s", **t) -> None:
            async with a as b, c: return await d
    case str() | None: pass
try: del x[1:2, ::3]
except* (ValueError, OSError) as error: raise error from None
lambda *, k=1: {**a, 1: -2 ** ~3}
"""


def test_a_hash_is_the_same_under_every_version_of_python():
    """The canonical form of all kinds of syntax, whose hash was taken under Python 3.11."""
    text = "".join(code_hash._canonical(ast.parse(SYNTAX)))
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


GOLDEN = "ab239f1e55040796f1b7e37da6a25683a84316a31e19d9232669af88ae3a7280"


def test_a_class_without_a_file_is_refused(monkeypatch):
    monkeypatch.delattr(sys.modules[__name__], "__file__")

    class Typed:
        pass

    with pytest.raises(AmsbenchError, match="the class Typed has no source file"):
        code_of(Typed)


def test_a_plugin_that_is_not_there_has_no_hash(package):
    assert code_at("no_such_package.module:Plugin") is None
    package(module="class Plugin:\n")
    assert code_at("plugin_of_test.module:Plugin") is None
