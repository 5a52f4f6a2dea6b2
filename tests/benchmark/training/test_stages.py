"""Sums over the stages of a training."""

from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.stages import stages_of, stages_with, training_total

from .test_train import losses

FIRST = {"init_from": None, "earlier_stages": [], "samples_seen": 100, "seconds": 60.0, "cpu_seconds": 50.0}
SECOND = {
    "init_from": "a",
    "earlier_stages": stages_with(FIRST, method="material-sde", dataset="asi", content_hash="a"),
    "samples_seen": 30,
    "seconds": 9.0,
}


def test_a_stage_names_its_checkpoint_and_nests_nothing():
    (stage,) = SECOND["earlier_stages"]
    assert (stage["method"], stage["dataset"], stage["content_hash"]) == ("material-sde", "asi", "a")
    assert "earlier_stages" not in stage


def test_totals_are_sums_over_all_stages():
    third = {
        "init_from": "b",
        "earlier_stages": stages_with(SECOND, method="amshortcut", dataset="asi", content_hash="b"),
        "samples_seen": 4,
        "seconds": 1.0,
    }
    total = training_total(third)
    assert total.samples_seen == 134
    assert total.seconds == 70.0
    assert total.cpu_seconds is None, "one stage has no processor time"
    assert total.is_complete
    assert [stage["samples_seen"] for stage in stages_of(third)] == [100, 30, 4]


def test_a_record_that_hides_its_origin_is_a_lower_bound():
    total = training_total({"init_from": "a", "samples_seen": 30, "seconds": 9.0})
    assert total.samples_seen == 30
    assert not total.is_complete


def test_a_non_learned_baseline_has_no_total():
    assert training_total({}) is None


def test_a_training_writes_the_stages_behind_its_checkpoint(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path / "first")
    origin = tmp_path / "first" / "best.safetensors"
    losses(tiny_asi, tmp_path / "second", init_from=origin)
    middle = tmp_path / "second" / "best.safetensors"
    losses(tiny_asi, tmp_path / "third", method="amshortcut", init_from=middle)
    checkpoints = [
        load_checkpoint(path) for path in (origin, middle, tmp_path / "third" / "best.safetensors")
    ]
    stages = stages_of(checkpoints[-1].record)
    assert [stage.get("method") for stage in stages] == ["material-sde", "material-sde", None]
    assert [stage["content_hash"] for stage in stages[:-1]] == [
        item.content_hash for item in checkpoints[:-1]
    ]
    for stage, checkpoint in zip(stages, checkpoints, strict=True):
        own = {name: value for name, value in checkpoint.record.items() if name != "earlier_stages"}
        assert own.items() <= stage.items()
    total = training_total(checkpoints[-1].record)
    assert total.samples_seen == sum(checkpoint.record["samples_seen"] for checkpoint in checkpoints)
    assert total.is_complete
