"""Folders of builds, designs and submissions with changed files: refused, done again, or the same as before."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark.datasets.build import build_dataset
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.design.folder import DesignFolder
from amsbench.benchmark.design.records import DesignCosts, JudgedRound
from amsbench.benchmark.evaluation.frozen_reference import frozen_path, read_reference
from amsbench.benchmark.generation.partial_results import FinishedPart
from amsbench.benchmark.runs.results import COMPACT, ResultStore
from amsbench.benchmark.runs.submission import read_submission, results_of, write_submission
from amsbench.benchmark.system.checked_files import hash_of_arrays, read_npz, write_npz
from amsbench.leaderboards.result_folders import PUBLISHED
from amsbench.testing import SyntheticGlass

RANDOM = st.randoms(use_true_random=True)
NAMES = [
    "simulation-x.npz",
    "simulation-99999.npz",
    "labels-0.json",
    "failures-00000.json",
    "round-0001.json",
    "x",
    "-",
]
"""Files that somebody may put into a folder."""


def changed_file(random, folder, changes):
    """Change the bytes or the values of one file of a folder, remove it, rename it or put another one there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = random.choice(files)
    match random.choice(["bytes", "bytes", "values", "values", "remove", "rename", "exchange", "add"]):
        case "values" if path.suffix == ".json":
            path.write_text(json.dumps(changes.json(random, json.loads(path.read_text()))))
        case "bytes" | "values":
            path.write_bytes(changes.bytes(random, path.read_bytes()))
        case "remove":
            path.unlink()
        case "rename":
            path.rename(path.with_name(random.choice(NAMES)))
        case "exchange":
            path.write_bytes(random.choice(files).read_bytes())
        case "add":
            path.with_name(random.choice(NAMES)).write_bytes(random.choice(files).read_bytes())


@pytest.fixture
def copied(tmp_path):
    """Copies a folder anew for each example."""

    def copy(folder):
        target = tmp_path / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
        return target

    return copy


def built(folder, samples):
    with ThreadPoolExecutor(1) as executor:
        return build_dataset(
            SyntheticGlass(), samples=samples, output=folder / "glass.npz", executor=executor
        ).content_hash


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The folder of a build of four samples, and the hash that five have."""
    folder = tmp_path_factory.mktemp("build")
    built(folder, 4)
    other = tmp_path_factory.mktemp("whole")
    return folder, built(other, 5)


@given(random=RANDOM)
def test_parts_of_a_build(random, build, changes, right_or_refused, copied):
    folder, expected = build
    place = copied(folder)
    changed_file(random, place, changes)
    assert right_or_refused(lambda: built(place, 5), "glass.npz") in (None, expected)


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    """The folder of a design with a judged round."""
    folder = tmp_path_factory.mktemp("design") / "glass.design"
    folder.mkdir()
    opened = DesignFolder(folder)
    opened.open({"target": {"density": 2.2}, "seed": 0})
    frames = [
        Atoms("SiO2", np.arange(9.0).reshape(3, 3) + k, cell=[9.0, 9.0, 9.0], pbc=True) for k in range(2)
    ]
    opened.generated(0).write("0-2", FinishedPart(frames, 1.0, 2.0))
    row = {"density": 2.1, "hit": True, "measured": True, "right_substance": True, "novel": True}
    opened.write(
        0,
        JudgedRound(
            first=0,
            asked={"density": 2.2},
            frames=frames,
            relaxed=[frames[0], None],
            rows=[row, {**row, "density": float("nan"), "hit": False}],
            costs=DesignCosts(generation_seconds=1.0),
        ),
    )
    opened.write_output(folder.parent / "glass.extxyz", lambda path: path.write_text("glass"))
    return folder


def state_of(folder):
    """What a design that goes on takes from its folder."""
    opened = DesignFolder(folder)
    opened.open({"target": {"density": 2.2}, "seed": 0})
    opened.check_output(folder.parent / "glass.extxyz")
    judged = opened.judged(0)
    costs = opened.costs_ahead(0, on_gpu=False)
    if judged is None:
        return None
    return (
        [(atoms.positions.tobytes(), atoms.numbers.tobytes()) for atoms in judged.frames],
        [atoms and atoms.positions.tobytes() for atoms in judged.relaxed],
        str(judged.rows),
        judged.hits,
        judged.asked,
        judged.costs,
        costs,
    )


@given(random=RANDOM)
def test_folders_of_designs(random, design, changes, right_or_refused, copied):
    expected = state_of(design)
    place = copied(design)
    changed_file(random, place, changes)
    assert right_or_refused(lambda: state_of(place), "copy") in (None, expected)


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    """The submission of a published result with its structures."""
    store = ResultStore(PUBLISHED)
    result = next(
        result
        for result in store.results()
        if result.key.method == "amshortcut" and store.path(result.key, COMPACT).is_file()
    )
    folder = tmp_path_factory.mktemp("submission") / "submission"
    datasets = {result.key.dataset: load_dataset(result.key.dataset)}
    write_submission(store, [result], datasets, folder, lambda *_: "summary\n")
    return folder


@given(random=RANDOM)
def test_submissions(random, submission, changes, right_or_refused, copied):
    place = copied(submission)
    changed_file(random, place, changes)

    def read():
        _, files = read_submission(place)
        return [result.key for result in results_of(files)]

    found = right_or_refused(read, "copy")
    # the manifest has no hash of its own: a reviewer sees what it says
    assert found is None or len(found) == 1


@pytest.fixture(scope="module")
def reference():
    return Arrays(read_npz(frozen_path("asi")))


class Arrays(dict):
    """Arrays with a short text, because Hypothesis prints the arguments of an example."""

    def __repr__(self):
        return f"<{len(self)} arrays>"


@given(random=RANDOM)
def test_frozen_references(random, reference, changes, right_or_refused, tmp_path):
    path = tmp_path / f"{random.getrandbits(60)}.npz"
    path.write_bytes(changes.bytes(random, frozen_path("asi").read_bytes()))
    found = right_or_refused(lambda: read_reference(path), str(path))
    assert found is None or found.content_hash == str(reference["content_hash"])
    path.unlink()


@given(random=RANDOM)
def test_metadata_of_frozen_references(random, reference, changes, right_or_refused, tmp_path):
    """The hash fits the content, as somebody would write it on purpose."""
    arrays = {name: value for name, value in reference.items() if name not in ("metadata", "content_hash")}
    if random.random() < 0.3:
        name = random.choice(list(arrays))
        arrays[name] = random.choice(
            [arrays[name][:1], arrays[name].ravel(), np.array("x"), arrays[name][None]]
        )
    if random.random() < 0.2:
        del arrays[random.choice(list(arrays))]
    text = json.dumps(changes.json(random, json.loads(str(reference["metadata"]))))
    path = tmp_path / f"{random.getrandbits(60)}.npz"
    own = {"metadata": np.array(text), "content_hash": np.array(hash_of_arrays(arrays, text))}
    write_npz(path, {**arrays, **own})
    right_or_refused(lambda: read_reference(path).material, str(path))
    path.unlink()
