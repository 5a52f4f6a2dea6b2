"""Contributions: written, verified without the contributor's method, and every attempt to deceive noticed."""

import json
import os
import pickle
import re
import shutil
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import load_dataset_file
from amsbench.benchmark.evaluation.descriptor_means import STANDARD_DESCRIPTORS
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.evaluation.table_scores import scores_of_table
from amsbench.benchmark.execution import local_pool
from amsbench.benchmark.runs import submission
from amsbench.benchmark.runs.results import CONTENT_HASH, ResultKey, content_hash
from amsbench.benchmark.scaffold import write_package
from amsbench.benchmark.system.compact_structures import read_compact, write_compact
from amsbench.benchmark.system.files import sha256_of
from amsbench.cli.main import app
from amsbench.testing import SyntheticGlass

DATA = ("--data", "glass.npz")


@pytest.fixture(scope="module")
def contribution(tmp_path_factory):
    """A folder with the data, the file of a method, the results of a run with it, and their submission."""
    folder = tmp_path_factory.mktemp("contribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(registry, "_LOCAL", {})
        registry.register("datasets", "synthetic", SyntheticGlass, "here")
        write_package("method", "mean-flow", folder / "package")
        shutil.copy(folder / "package" / "amsbench_mean_flow.py", folder / "meanflow.py")

        def call(*words):
            app([str(word) for word in words], standalone_mode=False)

        call("data", "build", "synthetic", "--samples", 16, "--output-file", "glass.npz", "--cores", 1)
        own = ("--method", "./meanflow.py", "--dataset", "synthetic", *DATA, "--cores", 1)
        call("train", *own, "--samples", 800, "--set", 'network={"hidden": 16}')
        call("run", *own, "--steps", 1)
        call("submit", "results", "--methods", "./meanflow.py", *DATA, "--output-dir", "submission")
    return folder


@pytest.fixture
def here(contribution, tmp_path, monkeypatch):
    """A copy of the contribution to work in, where the method is not installed; measured in this process."""

    @contextmanager
    def no_pool(workers):
        yield None

    shutil.copytree(contribution, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("datasets", "synthetic", SyntheticGlass, "here")
    monkeypatch.setattr(local_pool, "local_pool", no_pool)
    return tmp_path / "submission"


def path_of(folder, plan, suffix=".json"):
    return next((folder / "results" / "synthetic").glob(f"mean-flow-{plan}-*{suffix}"))


def forge(folder, plan, change=lambda fields: None, *, frames=None, table=None):
    """Change a result as a careful forger does, who also writes all hashes anew.

    change: changes the fields of the result; frames, table: change the structures or the table and return them
    """
    path = path_of(folder, plan)
    if frames is not None:
        place = path.with_suffix(".npz")
        write_compact(place, frames(read_compact(place)))
    if table is not None:
        table(pd.read_parquet(path.with_suffix(".parquet"))).to_parquet(path.with_suffix(".parquet"))
    fields = json.loads(path.read_text())
    del fields[CONTENT_HASH]
    fields["files"] = {suffix: sha256_of(path.with_suffix(suffix)) for suffix in fields["files"]}
    change(fields)
    path.write_text(json.dumps({CONTENT_HASH: content_hash(fields), **fields}))
    stem = ResultKey.model_validate(fields["key"]).stem
    for suffix in (".json", ".npz", ".parquet"):
        path.with_suffix(suffix).rename(path.with_name(stem + suffix))
    seal(folder)


def seal(folder):
    """Write a manifest with the hashes of all files."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        str(file.relative_to(folder)): sha256_of(file)
        for file in folder.rglob("*")
        if file.is_file() and file.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def verify(amsbench, *words):
    return amsbench("verify", "submission", *DATA, "--cores", 1, *words)


def test_a_submission_agrees_without_the_method_and_in_worker_processes(contribution, amsbench, monkeypatch):
    monkeypatch.chdir(contribution)
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("datasets", "synthetic", SyntheticGlass, "here")
    assert "mean-flow" not in registry.names("methods")
    code, out, err = verify(amsbench)
    assert code == 0, out + err
    assert "3 results, 3 measured again: 3 agree, 0 differ" in out
    # rows, headlines from the table and headlines from the structures
    assert all(int(number) > 100 for number in re.findall(r"(\d+) numbers compared", out))
    page = (contribution / "submission" / "methods" / "mean-flow.md").read_text()
    result = json.loads(path_of(contribution / "submission", "structure").read_text())
    for fact in ("own work", result["key"]["checkpoint_hash"], result["key"]["code"], "samples_seen: 800"):
        assert fact in page
    assert result["environment"]["device"] in page


def test_an_edited_file_is_refused(here, amsbench, mistake):
    table = path_of(here, "number_density", ".parquet")
    frame = pd.read_parquet(table)
    frame["number_density"] = frame["target_number_density"]
    frame.to_parquet(table)
    mistake(verify(amsbench), table.name, "is not the file in the manifest")
    seal(here)
    mistake(verify(amsbench), table.name, "is not the file that was stored with")


def test_a_changed_number_is_found_with_both_values(here, amsbench):
    def change(fields):
        fields["structural"]["curves"]["rdf"]["rmsd"] = 0.0001

    forge(here, "structure", change)
    code, out, _ = verify(amsbench)
    assert code == 1
    line = next(line for line in out.splitlines() if "structural.curves.rdf.rmsd" in line)
    assert "stored 0.0001, recomputed " in line
    assert ", difference " in line
    assert "summary.md is not the tables of these results" in out
    assert "2 agree, 1 differ" in out


def test_a_changed_mean_curve_is_found_and_one_that_is_not_stored_is_not_missed(here, amsbench, tmp_path):
    def raise_one_value(fields):
        curve = fields["structural"]["means"]["rdf"]
        curve[curve.index(max(curve))] *= 1.001

    def remove(fields):
        fields["structural"]["means"] = {}

    for change, differing in ((raise_one_value, 1), (remove, 0)):
        forge(here, "structure", change)
        shutil.copytree(here / "results", tmp_path / change.__name__)
        code, out, _ = amsbench("verify", change.__name__, *DATA, "--cores", 1)
        assert code == differing
        assert out.count("structural.means.rdf") == differing


def test_a_headline_that_does_not_follow_from_its_table_is_found_without_structures(here, amsbench, tmp_path):
    def change(fields):
        fields["inverse_design"]["number_density"]["penalised_mae"] *= 0.9

    forge(here, "number_density", change)
    shutil.copytree(here / "results", tmp_path / "bare")
    for path in (tmp_path / "bare").rglob("*.npz"):
        path.unlink()
    code, out, _ = amsbench("verify", "bare", *DATA, "--cores", 1)
    assert code == 1
    assert "inverse_design.number_density.penalised_mae" in out
    assert "from its table" in out
    assert "3 results, 0 measured again" in out


def test_a_swapped_structure_is_found(here, amsbench):
    forge(here, "first_fraction", frames=lambda frames: [frames[1], frames[0], *frames[2:]])
    code, out, _ = verify(amsbench)
    assert code == 1
    assert "structure 0: " in out
    assert "structure 1: " in out
    assert "structure 2: " not in out


def test_a_copied_structure_with_another_target_is_found(here, amsbench):
    forge(here, "number_density", frames=lambda frames: [*frames[:3], frames[0]])
    code, out, _ = verify(amsbench)
    assert code == 1
    assert "structure 3: " in out
    assert "structure 0: " not in out


def test_an_edited_table_with_all_hashes_and_headlines_is_found(here, amsbench):
    def table(frame):
        return frame.assign(density=frame["density"] * 1.001)

    def change(fields):
        fields["descriptors"]["density"] *= 1.001
        fields["descriptors"]["density_std"] *= 1.001

    forge(here, "structure", change, table=table)
    code, out, _ = verify(amsbench)
    assert code == 1
    assert "structure 0: density: stored" in out


def moved_values(here, numbers, shift, gain=1.0):
    """Write other values of the property of some structures, and all headlines that follow, times ``gain``."""
    glass = load_dataset_file("glass.npz")
    targets = {"number_density": np.linspace(70.0, 90.0, 4)}
    changed = {}

    def table(frame):
        frame.loc[numbers, "number_density"] += shift
        scores = scores_of_table(frame, Reference(glass), targets, STANDARD_DESCRIPTORS)
        changed.update(scores)
        return frame

    def change(fields):
        errors = asdict(changed["inverse_design"]["number_density"])
        errors["penalised_mae"] *= gain
        fields["inverse_design"]["number_density"] = errors
        assert asdict(changed["hits"]) == fields["hits"]

    forge(here, "number_density", change, table=table)


def test_one_structure_may_relax_to_another_minimum_with_what_follows_from_it(here, amsbench):
    moved_values(here, [1], 0.01)
    code, out, _ = amsbench("verify", "submission/results", *DATA, "--cores", 1)
    assert code == 0, out
    assert "relaxed to other minima: 1 structures (1)" in out
    assert "explained by these: inverse_design.number_density.mae: stored" in out


def test_more_structures_than_relaxations_explain_are_differences(here, amsbench):
    moved_values(here, [1, 2], 0.01)
    code, out, _ = amsbench("verify", "submission/results", *DATA, "--cores", 1)
    assert code == 1
    assert "structure 1: number_density: stored" in out
    assert "structure 2: number_density: stored" in out


def test_another_minimum_explains_no_more_than_its_own_part_of_a_headline(here, amsbench):
    moved_values(here, [1], 0.01, gain=0.9)
    code, out, _ = amsbench("verify", "submission/results", *DATA, "--cores", 1)
    assert code == 1
    assert re.search(r"inverse_design\.number_density\.penalised_mae: .* from its table", out)


def test_other_targets_in_the_table_are_refused(here, amsbench, mistake):
    def table(frame):
        return frame.assign(target_number_density=frame["number_density"])

    forge(here, "number_density", table=table)
    mistake(verify(amsbench), "has other targets in its column target_number_density")


def test_an_invented_count_is_refused(here, amsbench, mistake):
    forge(here, "structure", lambda fields: fields["key"].update(count=400))
    mistake(verify(amsbench), "belongs to no plan", "400 structures", "the plan has version 1, 4 structures")


def test_an_invented_custom_count_is_refused(here, amsbench, mistake):
    forge(here, "structure", lambda fields: fields["key"].update(count=400, protocol="custom"))
    mistake(verify(amsbench), "has 4 structures where its result has 400")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": {"number_density": [75.0, 85.0]}}, "targets number_density 75 to 85"),
        ({"cube": 8.0}, "cubes of 8 A"),
        ({"protocol_version": 2}, "protocol 'quick' version 2"),
        ({"dataset_hash": "other"}, "is of other data"),
        ({"metrics_version": "0"}, "version 0 of the metrics"),
        ({"steps": -1}, "has -1 steps"),
        ({"plan": "bulk"}, "belongs to no plan"),
    ],
)
def test_a_result_of_no_plan_is_refused(change, words, here, amsbench, mistake):
    forge(here, "number_density", lambda fields: fields["key"].update(change))
    mistake(verify(amsbench), words)


def test_structures_in_other_cells_are_refused(here, amsbench, mistake):
    def dilated(frames):
        frames[2].set_cell(frames[2].cell.array * 1.01, scale_atoms=True)
        return frames

    forge(here, "number_density", frames=dilated)
    mistake(verify(amsbench), "structure 2 in", "is in another cell")


def test_more_atoms_than_a_cell_has_room_for_are_refused(here, amsbench, mistake):
    def crowded(frames):
        frames[1] += frames[1]
        frames[1] += frames[1]
        return frames

    forge(here, "structure", frames=crowded)
    mistake(verify(amsbench), "structure 1 in", "and the plan has at most")


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_submission_is_refused_and_never_executed(here, amsbench, mistake, tmp_path):
    trap = tmp_path / "executed"
    for name in ("methods/mine.py", "conftest.py", "results/synthetic/model.pkl", "sitecustomize.py"):
        (here / name).write_bytes(f"import os\nos.mkdir({str(trap)!r})\n".encode())
        seal(here)
        mistake(verify(amsbench), name, "is no file of a submission")
        (here / name).unlink()
    for suffix, words in ((".npz", "is not an amsbench file"), (".parquet", "is damaged")):
        path = path_of(here, "structure", suffix)
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps(Trap(trap)))
        forge(here, "structure")
        mistake(verify(amsbench), path.name, words)
        path.write_bytes(whole)
        forge(here, "structure")
    path = path_of(here, "structure", ".npz")
    with np.load(path) as arrays:
        poisoned = dict(arrays) | {"numbers": np.array([Trap(trap)], dtype=object)}
    with open(path, "wb") as file:
        np.savez(file, **poisoned)
    forge(here, "structure")
    mistake(verify(amsbench), path.name, "is damaged or is not an amsbench file")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()  # the trap works


def test_links_and_missing_and_further_files_are_refused(here, amsbench, mistake, tmp_path):
    (here / "methods" / "other.md").symlink_to(tmp_path / "meanflow.py")
    mistake(verify(amsbench), "other.md is a link")
    (here / "methods" / "other.md").unlink()
    (here / "methods" / "other.md").write_text("# Other\n")
    mistake(verify(amsbench), "other.md is not the file in the manifest")
    (here / "methods" / "other.md").unlink()
    stray = here / "results" / "synthetic" / "stray.parquet"
    stray.write_bytes(b"")
    seal(here)
    mistake(verify(amsbench), "stray.parquet belongs to no result")
    stray.unlink()
    path_of(here, "structure", ".npz").unlink()
    mistake(verify(amsbench), "is in the manifest and not there")
    seal(here)
    mistake(verify(amsbench), ".npz is missing")


def test_a_quick_verification_measures_some_structures_and_prints_its_seed(here, amsbench):
    code, out, err = verify(amsbench, "--quick", 2)
    assert code == 0, out
    assert re.search(r"Measuring 2 structures per result, chosen with --seed \d+", err)
    assert out.count("2 of 4 structures measured") == 3
    forge(here, "first_fraction", frames=lambda frames: frames[::-1])
    code, out, _ = verify(amsbench, "--quick", 1, "--seed", 7)
    assert code == 1
    assert verify(amsbench, "--quick", 1, "--seed", 7)[1] == out


def test_the_structures_may_lie_elsewhere(here, amsbench, mistake, tmp_path):
    address = "https://example.org/structures"
    own = ("submit", "results", "--methods", "./meanflow.py", *DATA, "--output-dir", "small")
    mistake(amsbench(*own, "--structures-url", "ftp://example.org"), "is no address")
    registry._LOCAL.pop("methods")
    code, _, err = amsbench(*own, "--structures-url", address)
    assert code == 0, err
    assert "Upload small-structures (0.0" in err
    assert not list((tmp_path / "small").rglob("*.npz"))
    registry._LOCAL.pop("methods")
    mistake(amsbench("verify", "small", *DATA), address, "--structures")
    checked = ("verify", "small", *DATA, "--structures", "small-structures")
    code, out, err = amsbench(*checked)
    assert code == 0, out + err
    one, two, *_ = sorted((tmp_path / "small-structures").rglob("*.npz"))
    shutil.copy(one, two)
    mistake(amsbench(*checked), two.name, "is not the file in the manifest")


def test_results_that_nobody_can_check_are_not_submitted(here, amsbench, mistake, tmp_path, monkeypatch):
    def submit(*words):
        registry._LOCAL.pop("methods", None)
        return amsbench(
            "submit", "results", "--methods", "./meanflow.py", *DATA, "--output-dir", "new", *words
        )

    source = (tmp_path / "meanflow.py").read_text()
    card = next(line for line in source.splitlines() if line.startswith("    card = "))
    (tmp_path / "meanflow.py").write_text(source.replace(card, "    card = None"))
    mistake(submit(), "method 'mean-flow' has no card")
    (tmp_path / "meanflow.py").write_text(source + "\nCHANGED = 1\n")
    mistake(submit(), "is of other code of 'mean-flow'")
    (tmp_path / "meanflow.py").write_text(source)
    with monkeypatch.context() as patch:
        patch.setattr(submission, "LARGEST", 20_000)
        mistake(submit(), "new has 0.", "choose fewer results, or upload")
    mistake(submit("--datasets", "asi"), "there is no result of dataset 'asi'")
    results = tmp_path / "results" / "synthetic"
    path = next(results.glob("mean-flow-structure-*.json"))
    whole = path.read_text()
    fields = json.loads(whole)
    del fields[CONTENT_HASH]
    fields["metric_code"]["rdf"] = "0" * 64
    path.write_text(json.dumps({CONTENT_HASH: content_hash(fields), **fields}))
    mistake(submit(), path.name, "is of other code of 'rdf'")
    path.write_text(whole.replace('"seconds"', '"Seconds"', 1))
    mistake(submit(), path.name)
    path.write_text(whole)
    structures = path.with_suffix(".extxyz")
    text = structures.read_text()
    structures.write_text(text.replace("Si ", "O ", 1))
    mistake(submit(), structures.name, "it was edited")
    structures.unlink()
    mistake(submit(), "has no structures beside it")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*.unfinished"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("mine")
    structures.write_text(text)
    mistake(submit(), "new exists and is not an empty folder")


def test_structures_off_the_grid_are_not_those_that_were_measured(here, amsbench, mistake, tmp_path):
    from ase.io import read, write

    structures = next((tmp_path / "results" / "synthetic").glob("mean-flow-structure-*.extxyz"))
    frames = read(structures, index=":")
    frames[2].positions[0] += 3e-5
    write(structures, frames)
    path = structures.with_suffix(".json")
    fields = json.loads(path.read_text())
    del fields[CONTENT_HASH]
    fields["files"][".extxyz"] = sha256_of(structures)
    path.write_text(json.dumps({CONTENT_HASH: content_hash(fields), **fields}))
    mistake(amsbench("compact", "results"), "structure 2 in", "is not on the grid")


def test_compact_structures_stand_for_the_extended_ones(here, amsbench, tmp_path):
    """What a clone of published results has: no .extxyz; further metrics are measured on the compact structures."""
    code, _, err = amsbench("compact", "results", "--output-dir", "published")
    assert code == 0, err
    assert "Structures of 3 results in published" in err
    published = tmp_path / "published" / "synthetic"
    assert {path.suffix for path in published.iterdir()} == {".json", ".parquet", ".npz"}
    assert amsbench("compact", "results")[0] == 0
    for path in (tmp_path / "results" / "synthetic").glob("*.extxyz"):
        path.unlink()
    for folder in ("results", "published"):
        code, out, err = amsbench("verify", folder, *DATA, "--cores", 1)
        assert code == 0, out + err
        assert "3 measured again" in out
    together = ("--results", "results", "--results", "published", "--format", "csv")
    code, both, err = amsbench("table", *together)
    assert code == 0, err
    assert both == amsbench("table", "--results", "results", "--format", "csv")[1]
    before = {path: sha256_of(path) for path in published.glob("*.npz")}
    own = ("--method", "./meanflow.py", "--dataset", "synthetic", *DATA, "--steps", 1, "--cores", 1)
    code, _, err = amsbench("run", *own, "--metrics", "sq", "--output-dir", "published")
    assert code == 0, err
    assert "3 of them are in published already, all with their structures" in err
    fields = [json.loads(path.read_text()) for path in published.glob("*.json")]
    assert all("sq" in item["metric_code"] and ".npz" in item["files"] for item in fields)
    assert {path: sha256_of(path) for path in published.glob("*.npz")} == before
    code, out, err = amsbench("verify", "published", *DATA, "--cores", 1)
    assert code == 0, out + err


def test_a_compact_file_is_read_wherever_structures_are(here, amsbench, contribution):
    path = path_of(here, "structure", ".npz")
    code, out, err = amsbench("evaluate", path, "--dataset", "synthetic", *DATA, "--cores", 1)
    assert code == 0, err
    assert "4 structures against dataset 'synthetic'" in out
