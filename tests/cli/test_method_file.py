"""A method in a file of its own: trained and run without installation, its source in the key of its results."""

import json

import pytest
from ase.io import write

from amsbench.benchmark import registry
from amsbench.benchmark.scaffold import write_package
from amsbench.testing import synthetic_dataset


@pytest.fixture
def method_file(tmp_path, monkeypatch):
    """The method that ``amsbench new-method`` writes, as a single file."""
    monkeypatch.setattr(registry, "_LOCAL", {})
    write_package("method", "mean-flow", tmp_path / "package")
    path = tmp_path / "meanflow.py"
    path.write_text((tmp_path / "package" / "amsbench_mean_flow.py").read_text())
    return path


@pytest.fixture
def data(amsbench, tmp_path):
    glass = synthetic_dataset(16)
    frames = [glass.atoms(k) for k in range(16)]
    write(tmp_path / "own.extxyz", frames, format="extxyz")
    assert amsbench("data", "import", "own.extxyz", "--name", "own-glass")[0] == 0
    return "--dataset", "own-glass", "--data", "own-glass.npz"


def test_train_and_run(amsbench, method_file, data, tmp_path):
    small = ("--samples", 16, "--cores", 1, "--set", 'network={"hidden": 16}')
    code, _, err = amsbench("train", "--method", "./meanflow.py", *data, *small)
    assert code == 0, err
    assert (tmp_path / "runs" / "mean-flow-own-glass" / "best.safetensors").is_file()
    run = ("run", "--method", "./meanflow.py:MeanFlowMethod", *data, "--protocol", "quick")
    short = ("--steps", "1", "--count", 3, "--cores", 1)
    code, out, err = amsbench(*run, *short)
    assert code == 0, err
    assert "mean-flow" in out
    first = list((tmp_path / "results" / "own-glass").glob("mean-flow-*.json"))
    assert len(first) == 1
    method_file.write_text(method_file.read_text() + "\n# a comment\n")
    registry._LOCAL.clear()
    code, _, err = amsbench(*run, *short)
    assert code == 0
    assert "1 of them are in results already, all with their structures" in err
    assert list((tmp_path / "results" / "own-glass").glob("mean-flow-*.json")) == first
    # other code is another result, though the checkpoint is the same
    method_file.write_text(method_file.read_text() + "\nCHANGED = 1\n")
    registry._LOCAL.clear()
    code, _, err = amsbench(*run, *short)
    assert code == 0
    assert "The code of 'mean-flow' changed since 1 stored results were computed" in err
    both = list((tmp_path / "results" / "own-glass").glob("mean-flow-*.json"))
    assert len(both) == 2
    keys = [json.loads(path.read_text())["key"] for path in both]
    assert len({key["checkpoint_hash"] for key in keys}) == 1
    assert len({key["code"] for key in keys}) == 2
    code, out, err = amsbench("table")
    assert code == 0
    assert "1 of 2 results are of other code than this installation has (mean-flow)" in err
    assert all(f"mean-flow, code {key['code'][:8]}" in " ".join(out.split()) for key in keys)


def test_mistakes(amsbench, mistake, method_file, tmp_path):
    run = ("run", "--dataset", "asi", "--method")
    mistake(amsbench(*run, "none.py"), "no file none.py")
    (tmp_path / "empty.py").write_text("x = 1\n")
    mistake(amsbench(*run, "empty.py"), "empty.py defines 0 methods", "empty.py:MyMethod")
    (tmp_path / "broken.py").write_text("x = 1\nimport no_such_module\n")
    mistake(amsbench(*run, "broken.py"), "broken.py cannot be imported", "no_such_module", "(line 2)")
    (tmp_path / "syntax.py").write_text("x = 1\nx =\n")
    mistake(amsbench(*run, "syntax.py"), "syntax.py cannot be imported", "(line 2)")
    mistake(amsbench(*run, "meanflow.py:Other"), "no Method called 'Other'", "MeanFlowMethod")
    taken = method_file.read_text().replace('name = "mean-flow"', 'name = "amshortcut"')
    (tmp_path / "taken.py").write_text(taken)
    mistake(amsbench(*run, "taken.py"), "'amshortcut', which is taken by an installed one")
    assert not (tmp_path / "results").exists()


def test_a_method_that_ends_the_program_is_a_mistake(amsbench, mistake, method_file, data, tmp_path):
    """Otherwise a run would exit with code 0, and nothing done."""
    text = method_file.read_text()
    small = ("--samples", 16, "--cores", 1, "--set", 'network={"hidden": 16}')
    assert amsbench("train", "--method", "./meanflow.py", *data, *small)[0] == 0
    run = ("run", "--method", "./meanflow.py", *data, "--protocol", "quick", "--steps", 1, "--count", 3)
    begins = "state = start.with_positions"
    assert begins in text
    method_file.write_text(text.replace(begins, f"raise SystemExit(0)\n        {begins}"))
    registry._LOCAL.clear()
    mistake(amsbench(*run, "--cores", 1), "a plug-in ended the command by sys.exit(0) before it was done")
    method_file.write_text(f"{text}\nraise SystemExit(0)\n")
    registry._LOCAL.clear()
    mistake(amsbench(*run, "--cores", 1), "meanflow.py cannot be imported: SystemExit: 0")
    assert not list(tmp_path.glob("results/**/*.json"))


def test_a_sampler_whose_name_cannot_be_that_of_a_file(amsbench, mistake, method_file, data, tmp_path):
    """Results are named after their samplers: one with a slash would be written into another folder."""
    text = method_file.read_text()
    assert 'name="ancestral"' in text
    method_file.write_text(text.replace('name="ancestral"', 'name="../ancestral"'))
    small = ("--samples", 16, "--cores", 1, "--set", 'network={"hidden": 16}')
    assert amsbench("train", "--method", "./meanflow.py", *data, *small)[0] == 0
    run = (
        "run",
        "--method",
        "./meanflow.py",
        *data,
        "--protocol",
        "quick",
        "--steps",
        1,
        "--count",
        3,
        "--cores",
        1,
    )
    mistake(amsbench(*run), "'../ancestral'", "cannot be part of the name of a file")
    assert not list(tmp_path.glob("**/*.partial"))
