"""One planned training within the time of a call: it stops after a stored state, from which the next call goes on."""

import json
import types

import pytest

from amsbench.errors import AmsbenchError
from amsbench.speed.gpu import training
from amsbench.speed.gpu.plan import PlannedTraining


def specified(folder, end, minutes=60.0, **changes):
    planned = PlannedTraining(
        method="material-sde",
        dataset="asi",
        preset="standard",
        batch_size=1,
        minutes=minutes,
        validation_samples=1,
        **changes,
    )
    folder.mkdir()
    content = {"training": planned.as_json(), "end": end, "device": "cpu", "validate_every": 1}
    (folder / training.SPECIFICATION).write_text(json.dumps(content))


def clock(monkeypatch, step):
    """A clock that shows ``step`` seconds more at every look."""
    now = iter(range(0, 10**6, step))
    monkeypatch.setattr(training, "time", types.SimpleNamespace(time=lambda: float(next(now))))


def outcome(folder):
    return json.loads((folder / training.OUTCOME).read_text())


def test_a_training_stops_before_the_end_of_the_call_and_goes_on_in_the_next(monkeypatch, tmp_path):
    clock(monkeypatch, 10)
    specified(tmp_path / "first", end=60)
    training.train_planned(tmp_path / "first")
    first = outcome(tmp_path / "first")
    assert first["state"] == "stopped, can be continued"
    assert first["samples_seen"] == len(first["validations"]) >= 1
    clock(monkeypatch, 10)
    specified(tmp_path / "second", end=60, resume=str(tmp_path / "first" / "resume.pt"))
    training.train_planned(tmp_path / "second")
    second = outcome(tmp_path / "second")
    assert second["samples_seen"] == first["samples_seen"] + len(second["validations"])


def test_a_training_with_the_length_of_the_call_ends_by_its_own_clock(monkeypatch, tmp_path):
    """Also where the next validation would come after the end of the call: the rate has fallen to its end then."""
    clock(monkeypatch, 10)
    specified(tmp_path / "whole", end=11 + training.END_SECONDS, minutes=None)
    training.train_planned(tmp_path / "whole")
    whole = outcome(tmp_path / "whole")
    assert whole["state"] == "finished"
    assert whole["fraction"] >= 1


def test_a_call_without_time_says_so_and_trains_nothing(monkeypatch, tmp_path):
    clock(monkeypatch, 10)
    specified(tmp_path / "late", end=5)
    with pytest.raises(AmsbenchError, match="no time is left"):
        training.train_planned(tmp_path / "late")
    assert outcome(tmp_path / "late")["state"] == "failed"
    assert "no time is left" in outcome(tmp_path / "late")["error"]
    assert not (tmp_path / "late" / "resume.pt").exists()
