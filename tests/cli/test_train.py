"""`amsbench train`, and the choice of a checkpoint by `amsbench run`."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms

from amsbench.benchmark.datasets.storage import encode_structures, load_dataset_file, save_dataset
from amsbench.benchmark.training import checkpoints, train
from amsbench.benchmark.training.checkpoints import load_checkpoint, save_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state

SMALL = ("--set", 'network={"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}', "--cores", 1)


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options for a small file of 'silicon'; no checkpoint is released."""
    from amsbench.benchmark import registry

    definition = registry.load("datasets", "asi")()
    random = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3) / 3
    frames = [
        Atoms("Si27", scaled_positions=lattice + random.normal(0, 0.02, (27, 3)), cell=[edge] * 3, pbc=True)
        for edge in random.uniform(8.0, 8.4, 12)
    ]
    arrays = encode_structures(frames, definition.elements)
    arrays |= {"properties": np.zeros((12, 0)), "groups": np.arange(12)}
    save_dataset(tmp_path / "tiny.npz", definition, arrays, {"recipe": "made up for tests"})
    monkeypatch.setattr(checkpoints, "RELEASED", tmp_path / "released")
    return ("--method", "amshortcut", "--dataset", "asi", "--data", tmp_path / "tiny.npz")


@pytest.fixture
def no_training(monkeypatch):
    """Makes a test fail if a training starts."""

    def begun(*_, **__):
        raise AssertionError("a training began")

    monkeypatch.setattr(train, "train_method", begun)


RUN = ("--count", 2, "--steps", 1, "--samplers", "ode", "--cores", 1)


def test_run_takes_the_training_that_train_made(amsbench, mistake, options, tmp_path, request):
    code, _, err = amsbench("train", *options, "--samples", 8, *SMALL)
    assert code == 0, err
    folder = tmp_path / "runs" / "amshortcut-asi"
    request.getfixturevalue("no_training")
    code, out, err = amsbench("run", *options, *RUN)
    assert code == 0, err
    assert "using the one trained in runs/amshortcut-asi" in err
    assert "amshortcut" in out
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["amshortcut-asi"]

    other = tmp_path / "other.npz"
    dataset = load_dataset_file(tmp_path / "tiny.npz")
    frames = [dataset.atoms(k) for k in range(len(dataset) - 1)]
    arrays = encode_structures(frames, ("Si",))
    arrays |= {"properties": np.zeros((len(frames), 0)), "groups": np.arange(len(frames))}
    save_dataset(other, dataset.definition, arrays, {"recipe": "made up for tests"})
    mistake(
        amsbench("run", *options[:-1], other, *RUN), "was trained on other data of 'asi' than", "other.npz"
    )

    last = load_checkpoint(folder / "last.safetensors")
    save_checkpoint(folder / "last.safetensors", last.method, last.record | {"fraction": 0.5})
    mistake(
        amsbench("run", *options, *RUN),
        "runs/amshortcut-asi is not finished (50 % are done)",
        "'amsbench train'",
        "--checkpoint runs/amshortcut-asi/best.safetensors",
    )
    code, _, err = amsbench("run", *options, *RUN, "--checkpoint", folder / "best.safetensors")
    assert code == 0, err


def test_run_trains_only_without_any_checkpoint(amsbench, options, tmp_path, monkeypatch):
    monkeypatch.setitem(train_budgets(), "quick", 8)
    code, _, err = amsbench("run", *options, *RUN)
    assert code == 0, err
    assert "neither released nor in runs/amshortcut-asi: training one first with the quick budget" in err
    assert (tmp_path / "runs" / "amshortcut-asi-quick" / "best.safetensors").is_file()


def train_budgets():
    from amsbench.benchmark.training.budgets import BUDGETS

    return BUDGETS


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--samplers", "oed"), ("no sampler 'oed'", "it has: shortcut, shortcut-multistep")),
        (("--samplers", "ode,all"), ("no sampler 'all'",)),
        (("--plans", "strukture"), ("unknown plan 'strukture'", "did you mean 'structure'?")),
        (("--steps", "0"), ("step counts are 1 or more",)),
        (("--device", "cuda:99"), ("cuda:99",)),
        (("--device", "gpu"), ("unknown device 'gpu'", "cuda:1")),
    ],
)
def test_run_refuses_what_does_not_exist_before_it_trains(amsbench, mistake, options, tmp_path, more, words):
    mistake(amsbench("run", *options, *more), *words)
    assert not (tmp_path / "runs").exists()


def test_train_by_the_clock(amsbench, mistake, options, tmp_path):
    code, _, err = amsbench("train", *options, "--minutes", 0.02, "--validate-every", 400, *SMALL)
    assert code == 0, err
    record = load_checkpoint(tmp_path / "runs" / "amshortcut-asi" / "last.safetensors").record
    assert record["options"]["minutes"] == 0.02
    assert record["seconds"] >= 1.2
    mistake(
        amsbench("train", *options, "--minutes", 1, "--samples", 8),
        "--samples 8",
        "--minutes 1",
        "one of them",
    )
    mistake(amsbench("train", *options, "--minutes", 0), "in minutes is a number above 0")


def test_the_options_of_the_command_have_the_defaults_of_the_library(amsbench, options, tmp_path):
    code, _, err = amsbench("train", *options, "--samples", 8, *SMALL)
    assert code == 0, err
    record = load_checkpoint(tmp_path / "runs" / "amshortcut-asi" / "last.safetensors").record
    assert record["options"] == vars(TrainingOptions(samples_seen=8))


def test_a_training_without_a_planned_end_is_extended_and_annealed(amsbench, mistake, options, tmp_path):
    constant = (*options, "--schedule", "constant", "--ema-width", 0.1, *SMALL)
    folder = tmp_path / "runs" / "amshortcut-asi"
    mistake(amsbench("anneal", folder, "--samples", 8), "no resume.pt in", "--schedule constant")
    for samples in (8, 16):
        code, _, err = amsbench("train", *constant, "--samples", samples)
        assert code == 0, err
    mistake(amsbench("anneal", folder, "--samples", 8, "--minutes", 1), "give one of them")
    mistake(amsbench("anneal", folder, "--samples", 8), "is on other data of 'asi'", "with --data")
    code, _, err = amsbench("anneal", folder, "--samples", 8, "--data", tmp_path / "tiny.npz", "--cores", 1)
    assert code == 0, err
    record = load_checkpoint(tmp_path / "runs" / "amshortcut-asi-annealed" / "best.safetensors").record
    assert record["options"]["schedule"] == "decay"
    assert [stage["samples_seen"] for stage in record["earlier_stages"]] == [16]
    assert not list(tmp_path.glob("runs/*/*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_stopped_keeps_its_state(number, tmp_path):
    """As a scheduler of jobs stops it at the end of its time, long before the first validation."""
    main = [sys.executable, "-c", "from amsbench.cli.main import main; main()"]
    options = [
        "-m",
        "material-sde",
        "-d",
        "asi",
        "--batch-size",
        "1",
        "--validate-every",
        "100000",
        "-o",
        "run",
    ]
    log = tmp_path / "log"
    with log.open("wb") as output:
        training = subprocess.Popen(
            [*main, "train", *options, "--samples", "100000", "--cores", "1"], cwd=tmp_path, stderr=output
        )
    until = time.monotonic() + 120
    while "takes about" not in log.read_text() and time.monotonic() < until:
        assert training.poll() is None, log.read_text()
        time.sleep(0.05)
    training.send_signal(number)
    assert training.wait(timeout=60) == 130
    assert "amsbench: stopped; given again" in log.read_text()
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state["step"] >= 6
