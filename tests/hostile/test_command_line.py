"""Options and arguments of the command line with values of all kinds: right results, or one sentence."""

import shutil
from pathlib import Path

import pytest
import typer
from ase.build import bulk
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from amsbench.benchmark.datasets.storage import bundled_path
from amsbench.benchmark.runs.results import ResultStore
from amsbench.cli.main import app
from amsbench.leaderboards.result_folders import PUBLISHED

RANDOM = st.randoms(use_true_random=True)
WORDS = [
    "",
    " ",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-400",
    "0x10",
    "\uff11",
    "x",
    "../x",
    ".",
    "a\nb",
    "\udcff",
    "\U0001d54a",
    "x" * 300,
    "/dev/null",
    "/dev/null/x",
    "{}",
    "[1",
    "=",
    "a=b",
    "a=1",
    ",",
    ",,",
    "1,x",
    "*",
    "~",
    "--",
    "x.py",
    "x.extxyz",
    "amshortcut",
    "asio2",
]
"""Values that are wrong for most options, and cheap where they are right."""
GENERATED = ("--method", "material-ode", "--dataset", "asi", "--cores", "1", "--steps", "1", "--count", "1")
SMALL = (
    "--set",
    'network={"hidden":16,"layers":1,"channels":2,"cutoff":4.0}',
    "--samples",
    "2",
    "--batch-size",
    "1",
)
COMMANDS = {
    "run": (*GENERATED, "--protocol", "quick"),
    "train": (*GENERATED[:6], *SMALL),
    "generate": (*GENERATED, "--cell", "11", "--output-file", "out.extxyz"),
    "evaluate": ("own.extxyz", "--dataset", "asi", "--cores", "1", "--output-file", "table.csv"),
    "picture": ("own.extxyz", "--output-file", "own.png"),
    "table": ("--results", "results"),
    "page": ("--results", "results", "--output-dir", "page"),
    "submit": ("results", "--output-dir", "submission"),
    "verify": ("results", "--cores", "1"),
    "compact": ("results",),
    "anneal": ("runs",),
    "sweep": ("plan.toml", "--dry-run"),
    "methods": ("material-ode",),
    "metrics": ("rdf",),
    "new-method": ("own-method",),
    "new-metric": ("own-metric",),
    "data info": ("own.npz",),
    "data verify": ("own.npz",),
    "data export": ("own.npz", "--output-file", "all.extxyz"),
    "data import": ("own.extxyz", "--name", "own-silicon"),
}
PLAN = '[[runs]]\nmethods = ["material-ode"]\ndatasets = ["asi"]\nprotocols = ["quick"]\nsteps = [1]\ncount = 1\n'


def options_of(command):
    """Names of the options of a command, and whether each takes a value."""
    found = typer.main.get_command(app)
    for part in command.split():
        found = found.commands[part]
    return {
        option.opts[0]: not getattr(option, "is_flag", False)
        for option in found.params
        if option.param_type_name == "option" and option.opts[0] != "--help"
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what the commands need."""
    folder = tmp_path_factory.mktemp("files")
    frames = []
    for seed in range(2):
        atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=seed)
        frames.append(atoms)
    write(folder / "own.extxyz", frames)
    shutil.copy(bundled_path("asio2_paper"), folder / "own.npz")
    (folder / "plan.toml").write_text(PLAN)
    store = ResultStore(PUBLISHED)
    result = next(r for r in store.results() if r.key.method == "material-ode" and r.key.dataset == "asi")
    (folder / "results" / "asi").mkdir(parents=True)
    shutil.copy(store.path(result.key), folder / "results" / "asi")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=max(5, settings().max_examples // 4))
@given(random=RANDOM)
def test_values_of_options(random, command, files, ends_well, tmp_path):
    place = tmp_path / "work"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(files, place)
    words = list(COMMANDS[command])
    options = options_of(command)
    for _ in range(random.randint(1, 2)):
        name = random.choice([*options, ""])
        word = random.choice(WORDS)
        if not name:
            if words:
                k = random.randrange(len(words))
                words[k] = word
        elif name in words and words.index(name) + 1 < len(words):
            words[words.index(name) + 1] = word
        else:
            words += [name, word] if options[name] else [name]
    ends_well(*command.split(), *words, folder=place, codes=(0, 1, 2, 3))
    assert Path("/dev/null").is_char_device()
