"""The two calls of docs/speed.md on a CPU, in processes that lack what the borrowed machine lacks."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import amsbench
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.resume_state import read_state
from amsbench.speed.gpu.__main__ import _arguments

pytest.importorskip("triton")


def test_nothing_of_the_package_works_there_without_the_wheels(other_machine, tmp_path, carried):
    from amsbench.speed.gpu.install import install

    install(tmp_path / "bare", None)
    code = "from amsbench.benchmark.datasets.storage import load_dataset; load_dataset('asi')"
    result = other_machine(tmp_path / "bare", "-c", code)
    assert "No module named 'ase'" in result.stderr


def test_a_check_compares_measures_and_chooses(other_machine, site, tmp_path):
    """In Triton's interpreter, on a few atoms."""
    arguments = ["--device", "cpu", "--batches", "2", "--steps", "1", "--atoms", "2", "--preset", "standard"]
    arguments += ["--work", tmp_path / "work", "--minutes", "5"]
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


def test_trainings_side_by_side_leave_checkpoints_and_states(other_machine, site, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[training]]\nmethod = "material-sde"\ndataset = "asi"\ninit_from = "released"\nbatch_size = 1\n'
        "minutes = 0.02\nvalidation_samples = 2\n"
        '[[training]]\nmethod = "amshortcut"\ndataset = "asi"\npreset = "standard"\nbatch_size = 2\n'
        "minutes = 0.02\nvalidation_samples = 2\nset = { matching = { weight = 1.0, steps = 1 } }\n"
    )
    (tmp_path / "work").mkdir()
    checked = {"choice": {"environment": {"AMSBENCH_TRITON": "0"}, "samples_per_second": {}}}
    (tmp_path / "work" / "check.json").write_text(json.dumps(checked))
    arguments = ["--device", "cpu", "--plan", plan, "--work", tmp_path / "work", "--minutes", "5"]
    result = other_machine(site, "-m", "amsbench.speed.gpu", "train", tmp_path / "out", *arguments)
    logs = (tmp_path / "out" / "logs.txt").read_text()
    assert result.returncode == 0, result.stderr + result.stdout + logs
    names = ["material-sde-asi", "amshortcut-asi"]
    files = {f"{name}{end}" for name in names for end in (".safetensors", "-resume.pt")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "summary.json", "logs.txt"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for name in names:
        assert summary[name]["state"] == "finished"
        assert name in result.stdout
        record = load_checkpoint(tmp_path / "out" / f"{name}.safetensors").record
        assert 0 < record["samples_seen"] <= summary[name]["samples_seen"]
        assert record["options"]["ema_decay"] == 0.9995
        (tmp_path / name).mkdir()
        shutil.copyfile(tmp_path / "out" / f"{name}-resume.pt", tmp_path / name / "resume.pt")
        state = read_state(tmp_path / name)
        assert all(optimizer["state"] for optimizer in state["optimizers"])


def test_the_commands_in_the_documentation_are_short_and_valid(monkeypatch):
    page = (Path(amsbench.__file__).parent / "docs" / "speed.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("python3 speed/gpu/install.py")]
    calls = []
    for command in commands:
        assert len(command) < 2000
        install, _, call = command.partition(" && ")
        assert (Path(amsbench.__file__).parent / install.split()[1]).is_file()
        words = shlex.split(call.replace("$OUT", "out"))
        monkeypatch.setattr(sys, "argv", words[words.index("amsbench.speed.gpu") :])
        calls.append((_arguments().command, _arguments().minutes))
    assert calls == [("check", 2.0), ("train", 9.0)]


def test_a_command_with_a_mistake_ends_with_one_sentence(tmp_path):
    command = [sys.executable, "-m", "amsbench.speed.gpu", "train", str(tmp_path), "--device", "cpu"]
    result = subprocess.run([*command, "--plan", "none.toml"], capture_output=True, text=True)
    assert result.returncode == 2
    assert (
        result.stderr
        == "error: there is no plan none.toml; give a .toml or .json file with a list 'training'\n"
    )
