"""Trainings at a constant rate: they are made longer, and a stage with a falling rate ends a copy of them."""

from dataclasses import replace

import pytest
import torch

from amsbench.benchmark.training.annealing import anneal, constant_training
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.benchmark.training.stages import stages_of, training_total
from amsbench.benchmark.training.train import train_method
from amsbench.benchmark.training.trainer import Trainer
from amsbench.errors import AmsbenchError

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}
CONSTANT = TrainingOptions(
    samples_seen=16, batch_size=2, schedule="constant", ema_width=0.1, validate_every=8, validation_samples=4
)

pytestmark = pytest.mark.usefixtures("one_thread")


def train(dataset, output, *, samples=16, report=None, **changes):
    options = replace(CONSTANT, samples_seen=samples, **changes)
    return train_method("material-sde", dataset, output=output, options=options, config=SMALL, report=report)


def stopped(train, *arguments, at, **settings):
    """Stop a training after the step ``at`` as Ctrl-C does."""

    def report(progress):
        if progress.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*arguments, report=report, **settings)


def assert_equal_states(first, second):
    """Weights, moving averages and optimisers of two folders are equal to the last bit."""
    states = [read_state(folder) for folder in (first, second)]
    for name in ("model", "ema_model"):
        for key, value in states[0][name].items():
            assert torch.equal(value, states[1][name][key]), (name, key)
    for one, other in zip(states[0]["optimizers"], states[1]["optimizers"], strict=True):
        assert one["param_groups"] == other["param_groups"]
        for key, entries in one["state"].items():
            for entry, value in entries.items():
                assert torch.equal(value, other["state"][key][entry])


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_training_that_was_made_longer_is_the_long_one(tiny_asi, tmp_path, optimizer):
    train(tiny_asi, tmp_path / "long", samples=24, optimizer=optimizer)
    train(tiny_asi, tmp_path / "grown", samples=12, optimizer=optimizer)
    stopped(train, tiny_asi, tmp_path / "grown", samples=20, at=9, optimizer=optimizer)
    train(tiny_asi, tmp_path / "grown", samples=24, optimizer=optimizer)
    assert_equal_states(tmp_path / "long", tmp_path / "grown")
    record = load_checkpoint(tmp_path / "grown" / "last.safetensors").record
    assert record["samples_seen"] == record["options"]["samples_seen"] == 24
    assert record["earlier_stages"] == []


def test_only_the_length_of_a_constant_training_may_change(tiny_asi, tmp_path):
    train(tiny_asi, tmp_path)
    with pytest.raises(AmsbenchError, match=r"another options \(learning_rate\)"):
        train(tiny_asi, tmp_path, samples=24, learning_rate=5e-4)
    with pytest.raises(AmsbenchError, match="has seen 16 structures already; give at least --samples 16"):
        train(tiny_asi, tmp_path, samples=8)
    with pytest.raises(AmsbenchError, match=r"another options \(samples_seen, schedule\)"):
        train(tiny_asi, tmp_path, samples=24, schedule="cosine")


def annealed(folder, dataset, output, *, samples=8, **settings):
    source = constant_training(folder)
    return anneal(
        source,
        dataset,
        output=output,
        options=source.annealing_options(samples_seen=samples, validate_every=4),
        **settings,
    )


def test_a_stage_continues_the_training_and_leaves_it_alone(tiny_asi, tmp_path, monkeypatch):
    train(tiny_asi, tmp_path / "train")
    before = {path.name: path.read_bytes() for path in (tmp_path / "train").iterdir()}
    keys, rates = [], []
    honest = Trainer.prepare

    def watched(self, samples, key):
        if key >= 0:
            keys.append(key)
            rates.append(self.optimizers[0].param_groups[0]["lr"] / (1e-3 * (key + 1) / 100))
        return honest(self, samples, key)

    monkeypatch.setattr(Trainer, "prepare", watched)
    path = annealed(tmp_path / "train", tiny_asi, tmp_path / "end")
    assert keys == [8, 9, 10, 11]  # the batches and the noise that the training would have had
    assert rates == pytest.approx([1 - 0.98 * k / 4 for k in range(4)])
    assert {path.name: path.read_bytes() for path in (tmp_path / "train").iterdir()} == before
    assert path == tmp_path / "end" / "best.safetensors"
    train(tiny_asi, tmp_path / "train", samples=24)


def test_the_record_of_a_stage_has_the_training_before_it(tiny_asi, tmp_path):
    train(tiny_asi, tmp_path / "train")
    annealed(tmp_path / "train", tiny_asi, tmp_path / "end")
    last = load_checkpoint(tmp_path / "train" / "last.safetensors")
    record = load_checkpoint(tmp_path / "end" / "last.safetensors").record
    first, second = stages_of(record)
    assert first["content_hash"] == last.content_hash == second["init_from"]
    assert (first["method"], first["dataset"]) == ("material-sde", "asi")
    assert [stage["options"]["schedule"] for stage in (first, second)] == ["constant", "decay"]
    assert [stage["samples_seen"] for stage in (first, second)] == [16, 8]
    assert first["seconds"] == last.record["seconds"]
    total = training_total(record)
    assert total.samples_seen == 24
    assert total.is_complete


def test_a_stopped_stage_goes_on_from_where_it_branched_off(tiny_asi, tmp_path):
    """Also if it was stopped before its first validation and the training went on in between."""
    train(tiny_asi, tmp_path / "train")
    annealed(tmp_path / "train", tiny_asi, tmp_path / "whole")
    stopped(annealed, tmp_path / "train", tiny_asi, tmp_path / "end", at=1)
    train(tiny_asi, tmp_path / "train", samples=24)
    stopped(annealed, tmp_path / "train", tiny_asi, tmp_path / "end", at=3)
    annealed(tmp_path / "train", tiny_asi, tmp_path / "end")
    assert_equal_states(tmp_path / "whole", tmp_path / "end")
    records = [load_checkpoint(tmp_path / name / "last.safetensors").record for name in ("whole", "end")]
    assert records[0]["init_from"] == records[1]["init_from"]
    assert records[0]["earlier_stages"] == records[1]["earlier_stages"]


def test_the_average_of_a_stage_has_no_weights_of_the_constant_rate(tiny_asi, tmp_path):
    """After its first step, the average is the weights of that step."""
    train(tiny_asi, tmp_path / "train")
    annealed(tmp_path / "train", tiny_asi, tmp_path / "end", samples=2)
    state = read_state(tmp_path / "end")
    for key, value in state["model"].items():
        assert torch.equal(value, state["ema_model"][key])


def test_what_cannot_be_annealed(tiny_asi, tiny_asio2, tmp_path):
    with pytest.raises(AmsbenchError, match=r"no resume\.pt in .*--schedule constant"):
        constant_training(tmp_path)
    train(tiny_asi, tmp_path / "cosine", schedule="cosine")
    with pytest.raises(AmsbenchError, match="has the schedule 'cosine'"):
        constant_training(tmp_path / "cosine")
    train(tiny_asi, tmp_path / "train")
    with pytest.raises(AmsbenchError, match="is the folder of the training itself"):
        annealed(tmp_path / "train", tiny_asi, tmp_path / "train")
    other = replace(tiny_asi, content_hash="other")
    with pytest.raises(AmsbenchError, match="is on other data of 'asi'"):
        annealed(tmp_path / "train", other, tmp_path / "end")
    assert not (tmp_path / "end").exists()
    train(tiny_asi, tmp_path / "other", learning_rate=5e-4)
    annealed(tmp_path / "other", tiny_asi, tmp_path / "end")
    with pytest.raises(AmsbenchError, match=r"another options \(learning_rate\)"):
        annealed(tmp_path / "train", tiny_asi, tmp_path / "end")
    with pytest.raises(AmsbenchError, match="amsbench anneal FOLDER"):
        train(tiny_asi, tmp_path / "decay", schedule="decay")
