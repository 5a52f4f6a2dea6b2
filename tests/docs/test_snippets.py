"""README, Python reference, guides: files are written as they stand there, marked commands run, Python is executed.

A block ```` ```python title="file.py" ```` is a file; other ``python`` blocks are executed. An ``sh`` block stands
below a comment ``<!-- run -->``, or ``<!-- no-run: REASON -->`` where it is too long or changes the environment.
"""

import importlib
import os
import re
import shlex
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from amsbench.benchmark import registry
from amsbench.cli.main import app
from amsbench.testing import check_dataset, check_method, dataset_checks

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "reference" / "python.md", *GUIDES]

_FENCE = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?$')
_MARK = re.compile(r"^<!-- (?P<mark>run|no-run)(?:: (?P<reason>.+))? -->$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of code.

    line: number of its first line of code, from 1
    title: name of the file that it is, or None
    mark: ``run``, ``no-run`` or None; reason: of ``no-run``
    """

    page: Path
    line: int
    language: str
    title: str | None
    mark: str | None
    reason: str | None
    text: str

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.name}, line {self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        end = lines.index("```", number)
        mark = _MARK.match(lines[number - 2]) if number > 1 else None
        yield Block(
            page=page,
            line=number + 1,
            language=fence["language"],
            title=fence["title"],
            mark=mark["mark"] if mark else None,
            reason=mark["reason"] if mark else None,
            text="\n".join(lines[number:end]) + "\n",
        )
        number = end + 1


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in; what is imported and registered from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.load_metric.cache_clear()
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    registry.load_metric.cache_clear()


@pytest.fixture(autouse=True)
def installed_commands(monkeypatch):
    """Python blocks find ``amsbench`` also where pytest was started without activating its environment."""
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")


def write_files(page, folder):
    """Write the files of a page and register the plug-ins of its ``pyproject.toml``, as an installation does."""
    for block in blocks_of(page):
        if block.title is not None:
            (folder / block.title).write_text(block.text)
    importlib.invalidate_caches()
    if not (folder / "pyproject.toml").is_file():
        return
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    for group, entries in project["entry-points"].items():
        for name, target in entries.items():
            module, _, attribute = target.partition(":")
            plugin = getattr(importlib.import_module(module), attribute)
            assert plugin.name == name
            registry.register(group.removeprefix("amsbench."), name, plugin, str(folder))


NOTEBOOK = "<!-- notebook -->"
"""Mark of a page whose Python blocks use the names of those before them."""


def execute(block, names=None):
    """Run a block; the failure names page and line.

    names: of the blocks before it, for a notebook
    """
    names = {} if names is None else names
    names["__name__"] = "__main__"
    try:
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)
            return
        for line in block.text.splitlines():
            words = shlex.split(line)
            assert words[0] == "amsbench", "only commands of amsbench are run here"
            app(words[1:], standalone_mode=False)
    except BaseException as error:
        pytest.fail(f"{block.place}: {type(error).__name__}: {error}")


def write_copper(path):
    """A file of the same form as the guide's simulation gives: jittered crystals of three densities."""
    from ase import units
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.io import write

    frames = []
    for run in range(12):
        for frame in range(7):
            atoms = bulk("Cu", "fcc", a=[3.60, 3.75, 3.90][run % 3], cubic=True).repeat((3, 3, 3))
            atoms.rattle(0.15, seed=7 * run + frame)
            atoms.calc = EMT()
            pressure = -atoms.get_stress()[:3].mean() / units.GPa
            atoms = atoms.copy()
            atoms.info = {"run": run, "pressure": pressure}
            frames.append(atoms)
    write(path, frames)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_run_or_has_a_reason_why_not(page):
    for block in blocks_of(page):
        if block.language == "sh":
            assert block.mark is not None, f"{block.place}: mark it <!-- run --> or <!-- no-run: reason -->"
        assert block.mark != "no-run" or block.reason, f"{block.place}: no-run without a reason"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page, folder, capsys):
    if page.stem == "add_a_dataset":
        write_copper(folder / "copper.extxyz")
    write_files(page, folder)
    names = {} if NOTEBOOK in page.read_text(encoding="utf-8") else None
    for block in blocks_of(page):
        if block.mark == "no-run" or (block.language != "python" and block.mark != "run"):
            continue
        if block.title is None:
            execute(block, names)
        else:
            compile(block.text, block.place, "exec")
    capsys.readouterr()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_import_the_public_face_alone(page):
    for block in blocks_of(page):
        if block.language == "python":
            imports = [
                line.split()[1] for line in block.text.splitlines() if line.startswith(("from ", "import "))
            ]
            private = [name for name in imports if name.startswith("amsbench.")]
            assert set(private) <= {"amsbench.benchmark", "amsbench.testing"}, block.place


def test_the_metrics_of_the_guide_pass_their_tests(folder):
    write_files(ROOT / "docs" / "guides" / "add_a_metric.md", folder)
    tests = importlib.import_module("test_order")
    for metric in (tests.Tetrahedrality, tests.XrayStructureFactor):
        tests.test_contract(metric)
    tests.test_diamond_is_tetrahedral()
    tests.test_first_bragg_peak_of_diamond()
    tests.test_ideal_gas_scatters_like_its_atoms()


QUICK = (
    "losses_follow_from_the_noise",
    "absent_labels_train",
    "any_step_count",
    "equal_labels_equal_structures",
)
"""Checks of methods that take seconds; the guides run all of them."""


def test_the_method_of_the_guide_keeps_to_the_contract(folder):
    write_files(ROOT / "docs" / "guides" / "add_a_method.md", folder)
    tests = importlib.import_module("test_meanflow")
    check_method(tests.MeanFlow, config=tests.SMALL, only=QUICK, tasks=["ghosts and properties"])


@pytest.mark.parametrize("name", ["MaterialSDEWithHeun", "AMShortcutWithHalving"])
def test_the_samplers_of_the_guide_keep_to_the_contract(name, folder):
    write_files(ROOT / "docs" / "guides" / "add_a_sampler.md", folder)
    tests = importlib.import_module("test_samplers")
    method = getattr(tests, name)
    new = type(name, (method,), {"samplers": (method.samplers[0], method.sampler_named("ode"))})
    check_method(new, config=tests.SMALL, only=QUICK[2:], tasks=["ghosts and properties"])


def test_the_dataset_of_the_guide_keeps_to_the_contract(folder):
    write_copper(folder / "copper.extxyz")
    write_files(ROOT / "docs" / "guides" / "add_a_dataset.md", folder)
    # its structures come from a file, whatever the seed
    names = [check.name for check in dataset_checks() if check.name != "simulations_repeat"]
    copper = registry.load("datasets", "copper")
    check_dataset(copper, only=names)
    simulated = registry.load("datasets", "copper-md")()
    sys.modules["amsbench_copper_md"].DURATION["reduced"] = 2
    one, again = (simulated.simulate("reduced", 7, 1)[0] for _ in range(2))
    assert np.array_equal(one.positions, again.positions)
    assert not np.array_equal(one.positions, simulated.simulate("reduced", 8, 1)[0].positions)
