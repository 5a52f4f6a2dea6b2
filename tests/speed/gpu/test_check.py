"""What a check concludes from its measurements, and that it goes on where a part fails."""

import json
import time

import pytest
import torch

from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.triton_choice import VARIABLE, KernelChoice, Tile
from amsbench.speed.gpu import check, compilation


def case(path, speed, batch=64, name="material-sde asio2"):
    environment = {"torch": {"AMSBENCH_TRITON": "0", VARIABLE: None}}.get(
        path, {"AMSBENCH_TRITON": None, VARIABLE: f"gradients={path}"}
    )
    return {"case": name, "batch": batch, "environment": environment, "samples_per_second": speed}


def test_the_path_that_wins_most_cases_is_chosen_with_its_speeds():
    rates = {
        "1": case("triton", 400.0),
        "2": case("torch", 100.0),
        "3": case("triton", 300.0, name="amshortcut asi"),
        "4": case("torch", 310.0, name="amshortcut asi"),
        "5": case("triton", 500.0, batch=128, name="material-sde meg"),
        "6": case("torch", 90.0, batch=128, name="material-sde meg"),
        "7": {"error": "too little memory on the GPU", "case": "material-sde asio2", "batch": 128},
    }
    choice = check._choice(rates, KernelChoice())
    assert choice["environment"] == {VARIABLE: "gradients=triton"}
    assert choice["samples_per_second"]["material-sde meg"] == 500.0
    # where the kernels fail, what was measured is taken
    alone = check._choice({"2": rates["2"]}, KernelChoice())
    assert alone == {
        "environment": {"AMSBENCH_TRITON": "0"},
        "samples_per_second": {"material-sde asio2": 100.0},
    }
    assert check._choice({}, KernelChoice())["environment"] == {VARIABLE: KernelChoice().text()}


def test_the_fastest_tile_of_each_pass_is_chosen():
    raced = {"forward": {"32x4": 2.0, "64x8": 1.0}, "backward": {"16x4": 1.0, "32x4": 3.0}}
    expected = KernelChoice(forward=Tile(edges=64, warps=8), backward=Tile(edges=16, warps=4))
    assert check._best_choice(raced) == expected
    assert check._best_choice({}) == KernelChoice()


def test_a_part_that_fails_or_comes_too_late_is_named_and_the_others_are_stored(tmp_path):
    report = check._Report((tmp_path / "check.json",), time.time() + 60)
    assert report.part("good", lambda: 3) == 3
    assert report.part("bad", lambda: 1 / 0) is None
    report.end = 0.0
    assert report.part("late", lambda: 4) is None
    stored = json.loads((tmp_path / "check.json").read_text())
    assert stored["good"] == 3
    assert "ZeroDivisionError" in stored["failed"]["bad"]
    assert stored["no time for"] == ["late"]


def test_only_tiles_that_are_compiled_race(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(check, "RACED", (2, 1))
    monkeypatch.setattr(check, "RACE_SECONDS", 0.0)
    monkeypatch.setattr(
        check, "race", lambda paths, device, **_: {name: paths[name]() and 1.0 for name in paths}
    )
    tile = compilation.FORWARD[1]
    ready = {KernelChoice(forward=tile, gradients="triton").text()}
    small = EGNNConfig(hidden=32, layers=1, cutoff=3.0, radial=16)
    raced = check._raced(small, torch.device("cpu"), ready)
    assert raced == {"forward": {f"{tile.edges}x{tile.warps}": 1.0}}
