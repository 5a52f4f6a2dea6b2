"""The two calls of docs/speed.md on a CPU, in processes that lack what the borrowed machine lacks."""

import json
import subprocess
import sys

import pytest
import torch

from amsbench.benchmark.training.checkpoints import load_checkpoint

pytest.importorskip("triton")


def test_nothing_of_the_package_works_there_without_the_wheels(other_machine, tmp_path, carried):
    from amsbench.speed.gpu.install import install

    install(tmp_path / "bare", None)
    code = "from amsbench.benchmark.datasets.storage import load_dataset; load_dataset('asi')"
    result = other_machine(tmp_path / "bare", "-c", code)
    assert "No module named 'ase'" in result.stderr


def test_a_check_compares_measures_and_chooses(other_machine, site, tmp_path):
    """In Triton's interpreter, on a few atoms."""
    arguments = ["--device", "cpu", "--batches", "1", "--steps", "1", "--atoms", "2", "--preset", "standard"]
    arguments += ["--work", tmp_path / "work", "--minutes", "3"]
    result = other_machine(
        site, "-m", "amsbench.speed.gpu", "check", tmp_path / "out", *arguments, TRITON_INTERPRET="1"
    )
    assert result.returncode == 0, result.stderr + result.stdout
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    subjects = [item["subject"] for item in report["comparisons"]]
    for kernel in ("random numbers", "neighbour table", "outputs", "gradients"):
        assert any(kernel in subject for subject in subjects)
    assert all(item["passed"] for item in report["comparisons"])
    assert "failed" not in report
    assert report["choice"]["samples_per_second"]["material-sde asio2"] > 0
    assert report == json.loads((tmp_path / "work" / "check.json").read_text())


def test_trainings_side_by_side_leave_checkpoints_that_can_be_continued(other_machine, site, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[training]]\nmethod = "material-sde"\ndataset = "asi"\ninit_from = "released"\nbatch_size = 1\n'
        "minutes = 60\n"
        '[[training]]\nmethod = "amshortcut"\ndataset = "asi"\npreset = "standard"\nbatch_size = 2\nminutes = 0.02\n'
        "set = { matching = { weight = 1.0, steps = 1 } }\n"
    )
    arguments = ["--device", "cpu", "--plan", plan, "--work", tmp_path / "work", "--minutes", "0.7"]
    (tmp_path / "work").mkdir()
    rates = {"material-sde asi": 0.05, "amshortcut asi": 0.05}
    checked = {"choice": {"environment": {"AMSBENCH_TRITON": "0"}, "samples_per_second": rates}}
    (tmp_path / "work" / "check.json").write_text(json.dumps(checked))
    result = other_machine(site, "-m", "amsbench.speed.gpu", "train", tmp_path / "out", *arguments)
    logs = (tmp_path / "out" / "logs.txt").read_text()
    assert result.returncode == 0, result.stderr + result.stdout + logs
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pairs = [
        f"{name}{end}"
        for name in ("material-sde-asi", "amshortcut-asi")
        for end in (".safetensors", "-resume.pt")
    ]
    assert names == {*pairs, "summary.json", "logs.txt"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["amshortcut-asi"]["state"] == "finished"
    assert summary["material-sde-asi"]["state"] == "stopped, can be continued"
    assert "amshortcut-asi" in result.stdout
    for name in ("material-sde-asi", "amshortcut-asi"):
        record = load_checkpoint(tmp_path / "out" / f"{name}.safetensors").record
        assert 0 < record["samples_seen"] <= summary[name]["samples_seen"]
        state = torch.load(tmp_path / "out" / f"{name}-resume.pt", weights_only=True)
        assert state["optimizer"]["state"]
    assert record["options"]["minutes"] == 0.02


def test_a_command_with_a_mistake_ends_with_one_sentence(tmp_path):
    command = [sys.executable, "-m", "amsbench.speed.gpu", "train", str(tmp_path), "--device", "cpu"]
    result = subprocess.run([*command, "--plan", "none.toml"], capture_output=True, text=True)
    assert result.returncode == 2
    assert (
        result.stderr
        == "error: there is no plan none.toml; give a .toml or .json file with a list 'training'\n"
    )
