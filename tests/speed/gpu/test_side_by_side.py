"""Files that come back: those that have changed, whole, and not those that are too large."""

import json

from amsbench.speed.gpu import side_by_side
from amsbench.speed.gpu.plan import MOST_TRAININGS, PlannedTraining, names_of


def test_files_are_copied_when_they_change(tmp_path, monkeypatch):
    folder, output = tmp_path / "work", tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    output.mkdir()
    (folder / "a" / "best.safetensors").write_bytes(b"1")
    copied = {}
    side_by_side._copy_new(folder, output, ["a"], copied)
    assert (output / "a.safetensors").read_bytes() == b"1"
    (output / "a.safetensors").unlink()
    side_by_side._copy_new(folder, output, ["a"], copied)
    assert not (output / "a.safetensors").exists()  # nothing new
    (folder / "a" / "resume.pt").write_bytes(b"123")
    monkeypatch.setattr(side_by_side, "LARGEST_FILE", 2)
    outcomes = side_by_side._copy_new(folder, output, ["a"], copied)
    assert outcomes["a"]["too large to come back"] == ["-resume.pt"]
    assert json.loads((output / "summary.json").read_text()) == outcomes
    assert not (output / "a-resume.pt").exists()


def test_a_full_plan_has_at_most_eight_files():
    """Two of each training, the summary and the logs."""
    plan = (PlannedTraining(method="material-sde", dataset="asi"),) * MOST_TRAININGS
    assert 2 * len(set(names_of(plan))) + 2 <= 8
