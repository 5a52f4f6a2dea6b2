"""Training: resumption, end by the clock, losses that are not finite, refused settings."""

import csv
import itertools
import os
import signal
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open

import amsbench
from amsbench.benchmark.system.files import exclusive_lock
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.benchmark.training.train import train_method
from amsbench.benchmark.training.trainer import Trainer
from amsbench.errors import AmsbenchError
from amsbench.methods.material_sde import MaterialSDE

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}
OPTIONS = TrainingOptions(samples_seen=24, batch_size=2, validate_every=8, validation_samples=4)


pytestmark = pytest.mark.usefixtures("one_thread")


def losses(dataset, output, *, stop_after=None, method="material-sde", **settings):
    """Losses of a training by step; ``stop_after`` interrupts it after a step as Ctrl-C does."""
    seen = []

    def report(progress):
        seen.append((progress.step, progress.losses["loss"]))
        if progress.step == stop_after:
            raise KeyboardInterrupt

    arguments = {"options": OPTIONS, "config": SMALL} | settings
    try:
        train_method(method, dataset, output=output, report=report, **arguments)
    except KeyboardInterrupt:
        assert stop_after is not None
    return seen


@pytest.mark.parametrize(
    ("method", "name", "changes"),
    [
        ("material-sde", "tiny_asi", {}),
        ("amshortcut", "tiny_asio2", {"warmup": 0.0, "consistency_share": 0.5}),
        ("amshortcut", "tiny_asio2", {"warmup": 1.0, "matching": {"weight": 1.0}}),
        ("amshortcut", "tiny_asio2", {"warmup": 1.0, "matching": {"critic": 1.0}}),
    ],
)
def test_a_killed_training_goes_on_to_the_same_losses(method, name, changes, tmp_path, request):
    dataset = request.getfixturevalue(name)
    properties = dataset.definition.design_properties
    settings = {"method": method, "properties": properties, "config": SMALL | changes}
    whole = losses(dataset, tmp_path / "whole", **settings)
    first = losses(dataset, tmp_path / "killed", stop_after=6, **settings)
    second = losses(dataset, tmp_path / "killed", **settings)
    assert [step for step, _ in first] == [1, 2, 3, 4, 5, 6]
    assert second[0][0] == 5  # validated, and so stored, at step 4
    stitched = dict(first) | dict(second)
    for step, loss in whole:
        assert stitched[step] == pytest.approx(loss, rel=1e-5)
    logs = [
        list(csv.reader((tmp_path / run / "log.csv").read_text().splitlines())) for run in ("whole", "killed")
    ]
    assert [row[0] for row in logs[0]] == [row[0] for row in logs[1]] == ["step", "4", "8", "12"]
    states = [
        load_checkpoint(tmp_path / run / "best.safetensors").method.sampling_state()
        for run in ("whole", "killed")
    ]
    record = load_checkpoint(tmp_path / "whole" / "best.safetensors").record
    assert ("additions" in record) == ("matching" in changes)
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_training_after_its_step_with_its_state(number, tiny_asi, tmp_path):
    whole = dict(losses(tiny_asi, tmp_path / "whole"))
    seen = {}

    def report(progress):
        seen[progress.step] = progress.losses["loss"]
        if progress.step == 6:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train_method("material-sde", tiny_asi, output=tmp_path, report=report, options=OPTIONS, config=SMALL)
    assert signal.getsignal(number) == before
    assert max(seen) == 6
    rest = losses(tiny_asi, tmp_path)
    assert rest[0][0] == 7
    assert seen | dict(rest) == pytest.approx(whole, rel=1e-5)


def test_the_state_is_stored_once_a_minute(tiny_asi, tmp_path):
    ticks = itertools.count(step=35)  # s between two readings of the clock, one of which each step takes
    losses(tiny_asi, tmp_path, stop_after=3, clock=lambda: float(next(ticks)))
    assert losses(tiny_asi, tmp_path)[0][0] == 3  # stored at step 2


def test_a_training_goes_on_with_other_validations(tiny_asi, tmp_path):
    whole = dict(losses(tiny_asi, tmp_path / "whole"))
    losses(tiny_asi, tmp_path, stop_after=5)
    more = TrainingOptions(**{**asdict(OPTIONS), "validate_every": 2})
    rest = losses(tiny_asi, tmp_path, options=more)
    assert rest[0][0] == 5
    assert dict(rest) == pytest.approx({step: whole[step] for step, _ in rest}, rel=1e-5)
    rows = list(csv.reader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["step", "4", *map(str, range(5, 13))]


def test_a_state_with_another_byte_is_refused_or_the_same(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path, stop_after=5)
    path = tmp_path / "resume.pt"
    whole, state = path.read_bytes(), read_state(tmp_path)
    refused = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            other = read_state(tmp_path)
        except AmsbenchError:
            refused += 1
            continue
        for key in ("model", "ema_model"):
            for name, value in state[key].items():
                assert torch.equal(value, other[key][name])
        assert [other[key] for key in ("step", "best", "settings")] == [
            state[key] for key in ("step", "best", "settings")
        ]
    assert refused > 100


def test_the_log_of_a_killed_training_has_each_row_once(tiny_asi, tmp_path):
    """A kill between the log and the first state leaves a row; a full disk a part of one, a hand an empty line."""
    losses(tiny_asi, tmp_path, stop_after=5)
    log = tmp_path / "log.csv"
    log.write_text(log.read_text() + "\n8,16,1")
    losses(tiny_asi, tmp_path, stop_after=9)
    (tmp_path / "resume.pt").unlink()
    losses(tiny_asi, tmp_path)
    rows = list(csv.reader(log.read_text().splitlines()))
    assert [row[0] for row in rows] == ["step", "4", "8", "12"]


def test_a_checkpoint_has_no_critic_and_a_stage_begins_with_a_new_one(tiny_asio2, tmp_path):
    settings = {"method": "amshortcut", "properties": tiny_asio2.definition.design_properties}
    losses(tiny_asio2, tmp_path / "before", **settings)
    critic = {"config": SMALL | {"warmup": 1.0, "matching": {"critic": 1.0}}}
    before = tmp_path / "before" / "last.safetensors"
    losses(tiny_asio2, tmp_path / "with", init_from=before, **settings, **critic)
    with safe_open(tmp_path / "with" / "last.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "critic" in name]  # noqa: SIM118
    after = tmp_path / "with" / "last.safetensors"
    assert losses(tiny_asio2, tmp_path / "again", init_from=after, **settings, **critic)
    assert losses(tiny_asio2, tmp_path / "without", init_from=after, **settings)


def test_a_finished_training_is_not_done_again(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path)
    before = (tmp_path / "best.safetensors").stat().st_mtime_ns
    assert losses(tiny_asi, tmp_path) == []
    assert (tmp_path / "best.safetensors").stat().st_mtime_ns == before


def test_a_lost_checkpoint_is_not_called_the_best(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(AmsbenchError, match=r"has ended, but its checkpoint .*best\.safetensors is missing"):
        losses(tiny_asi, tmp_path)


def test_two_trainings_do_not_share_a_folder(tiny_asi, tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(AmsbenchError, match="another process is at work"):
        losses(tiny_asi, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert losses(tiny_asi, tmp_path)


def test_other_settings_do_not_mix(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path)
    with pytest.raises(AmsbenchError, match="another options"):
        losses(tiny_asi, tmp_path, options=TrainingOptions(samples_seen=48, batch_size=2))
    with pytest.raises(AmsbenchError, match="another method"):
        losses(tiny_asi, tmp_path, method="material-ode")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmupp": 0.1}, "no setting 'warmupp'; did you mean 'warmup'"),
        (
            {"network": {"hiden": 32}},
            "'network' of method 'amshortcut' has no setting 'hiden'; did you mean 'hidden'",
        ),
        ({"network": {"hidden": "large"}}, "the setting 'hidden' .* is 64; \"large\" is of another type"),
        ({"network": 64}, "64 is of another type"),
        ({"element_output": "specie"}, "no element output 'specie'; it has: species, velocity, noise"),
    ],
)
def test_unknown_settings_and_values_of_another_kind(tiny_asi, tmp_path, changes, message):
    with pytest.raises(AmsbenchError, match=message):
        train_method("amshortcut", tiny_asi, output=tmp_path / "run", options=OPTIONS, config=changes)
    assert not (tmp_path / "run").exists()


def test_part_of_a_table_of_settings_changes_that_part(tiny_asi, tmp_path):
    method = load_checkpoint(
        train_method("material-sde", tiny_asi, output=tmp_path, options=OPTIONS, config=SMALL)
    ).method
    assert (
        method.config["network"]
        == MaterialSDE.default_config("standard", method.task)["network"] | SMALL["network"]
    )


def test_damaged_resume_state(tiny_asi, tmp_path):
    losses(tiny_asi, tmp_path)
    path = tmp_path / "resume.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(AmsbenchError, match=r"resume\.pt is damaged"):
        losses(tiny_asi, tmp_path)


def test_nan_stops_and_says_where(tiny_asi, tmp_path, monkeypatch):
    honest = MaterialSDE.training_loss

    def poisoned(self, batch, noise, **settings):
        found = honest(self, batch, noise, **settings)
        return {name: value * torch.nan for name, value in found.items()} if poisoned.calls == 3 else found

    def counted(self, batch, noise, **settings):
        poisoned.calls += 1
        return poisoned(self, batch, noise, **settings)

    poisoned.calls = -1
    monkeypatch.setattr(MaterialSDE, "training_loss", counted)
    with pytest.raises(AmsbenchError, match=r"loss became nan at step 3|positions became nan at step 3"):
        losses(tiny_asi, tmp_path)
    assert not (tmp_path / "best.safetensors").exists()


def test_start_from_another_checkpoint(tiny_asi, tiny_asio2, tmp_path):
    """AMShortcut starts from weights of Material SDE; weights of another network are refused."""
    losses(tiny_asi, tmp_path / "sde")
    source = tmp_path / "sde" / "best.safetensors"
    losses(tiny_asi, tmp_path / "shortcut", method="amshortcut", init_from=source)
    record = load_checkpoint(tmp_path / "shortcut" / "best.safetensors").record
    assert record["init_from"] == load_checkpoint(source).content_hash
    assert record["samples_seen"] == 24
    with pytest.raises(AmsbenchError, match="does not fit"):
        losses(tiny_asio2, tmp_path / "silica", init_from=source, properties=("ring_size",))


def test_every_sample_is_seen_once_per_epoch(tiny_asi, tmp_path, monkeypatch):
    seen = []
    honest = Trainer.prepare

    def watched(self, samples, key):
        if key >= 0:
            seen.extend(float(sample.cell[0, 0, 0]) for sample in samples)
        return honest(self, samples, key)

    monkeypatch.setattr(Trainer, "prepare", watched)
    losses(tiny_asi, tmp_path)
    train_cells = sorted(float(cell[0, 0]) for cell in tiny_asi.split("train").cells)
    assert sorted(seen[:16]) == pytest.approx(train_cells)
    assert seen[:16] != sorted(seen[:16])


def test_unlabelled_property(tiny_asio2, tmp_path):
    from dataclasses import replace

    bare = replace(tiny_asio2, properties=tiny_asio2.properties * float("nan"))
    with pytest.raises(AmsbenchError, match="0 labels in the training split"):
        losses(bare, tmp_path, properties=("ring_size",))


def test_a_notebook_has_the_options_of_the_command_line(tiny_asio2, tmp_path):
    options = {"samples_seen": 4, "batch_size": 2, "validation_samples": 2}
    first = amsbench.train(
        "material-sde", tiny_asio2, output=tmp_path / "a", properties=["ring_size"], config=SMALL, **options
    )
    made = load_checkpoint(first)
    assert made.method.task.properties == ("ring_size",)
    assert made.method.config["network"]["hidden"] == 32
    assert made.record["options"]["samples_seen"] == 4
    further = amsbench.train(
        "amshortcut",
        tiny_asio2,
        output=tmp_path / "b",
        properties=["ring_size"],
        config=SMALL,
        init_from=first,
        **options,
    )
    assert load_checkpoint(further).record["init_from"] == load_checkpoint(first).content_hash
    with pytest.raises(AmsbenchError, match="has no network 'vast'"):
        amsbench.train("material-sde", tiny_asio2, output=tmp_path / "c", network="vast", **options)


class Clock:
    """A clock that advances by a fixed time whenever it is read."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


BY_CLOCK = TrainingOptions(minutes=0.5, batch_size=2, validate_every=8, validation_samples=4)


def test_a_training_by_the_clock_ends_at_its_time_and_its_rate_follows_the_clock(tiny_asi, tmp_path):
    reports, rates = [], []

    def report(progress):
        reports.append(progress)
        rates.append(trainers[0].optimizers[0].param_groups[0]["lr"] / min(1.0, progress.step / 100))

    trainers = []
    honest = Trainer.resume

    def noted(self, settings):
        trainers.append(self)
        honest(self, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "resume", noted)
        train_method(
            "material-sde",
            tiny_asi,
            output=tmp_path,
            options=BY_CLOCK,
            config=SMALL,
            report=report,
            clock=Clock(2.0),
        )
    # a step takes one reading of 2 s, and a validation one more after every fourth step: 30 s are over at step 12
    assert [item.step for item in reports] == list(range(1, 13))
    assert reports[-1].seconds == 30.0
    assert reports[-1].fraction == 1.0
    assert reports[-1].validation is not None
    begun = [0.0, *(item.seconds for item in reports[:-1])]
    for rate, seconds in zip(rates, begun, strict=True):
        expected = 1e-3 * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * seconds / 30)))
        assert rate == pytest.approx(expected)
    record = load_checkpoint(tmp_path / "last.safetensors").record
    assert record["options"]["minutes"] == 0.5
    assert record["options"]["samples_seen"] is None
    assert record["samples_seen"] == 24
    assert record["seconds"] == 30.0


def test_a_killed_training_by_the_clock_goes_on_with_the_time_that_is_left(tiny_asi, tmp_path):
    settings = {"options": BY_CLOCK}
    first = losses(tiny_asi, tmp_path, stop_after=6, clock=Clock(2.0), **settings)
    second = losses(tiny_asi, tmp_path, clock=Clock(2.0), **settings)
    assert [step for step, _ in first] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in second] == list(range(5, 13))  # 10 s were stored at step 4, 20 s are left
    assert load_checkpoint(tmp_path / "last.safetensors").record["seconds"] == 30.0
    assert losses(tiny_asi, tmp_path, clock=Clock(2.0), **settings) == []


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({}, "not None and None; give one of them"),
        ({"samples_seen": 8, "minutes": 1.0}, "not 8 and 1.0"),
        ({"minutes": 0.0}, "in minutes is a number above 0, not 0.0"),
        ({"minutes": float("nan")}, "in minutes is a number above 0, not nan"),
    ],
)
def test_a_training_has_one_length(lengths, message):
    with pytest.raises(AmsbenchError, match=message):
        TrainingOptions(**lengths)


def test_a_validation_loss_that_is_not_finite_stops_the_training(tiny_asi, tmp_path, monkeypatch):
    honest = MaterialSDE.training_loss

    def poisoned(self, batch, noise, **settings):
        values = honest(self, batch, noise, **settings)
        return (
            {name: value * torch.nan for name, value in values.items()}
            if not torch.is_grad_enabled()
            else values
        )

    monkeypatch.setattr(MaterialSDE, "training_loss", poisoned)
    with pytest.raises(AmsbenchError, match="validation loss became nan at step 4"):
        losses(tiny_asi, tmp_path)


def test_cells_thinner_than_the_cutoff_are_refused_before_training(tiny_asi, tmp_path):
    thin = {"network": SMALL["network"] | {"cutoff": 9.0}}
    with pytest.raises(
        AmsbenchError, match=r"sample \d+ of tiny.npz has a height of 8.\d+ A.* cutoff of 9 A"
    ):
        losses(tiny_asi, tmp_path / "run", config=thin)
    assert not (tmp_path / "run").exists()


def test_a_notebook_has_device_and_progress(tiny_asi, tmp_path, monkeypatch):
    steps = []
    options = {"samples_seen": 4, "batch_size": 2, "validation_samples": 2, "config": SMALL}
    amsbench.train(
        "material-sde",
        tiny_asi,
        output=tmp_path / "a",
        device="cpu",
        report=lambda progress: steps.append((progress.step, progress.fraction)),
        **options,
    )
    assert steps == [(1, 0.5), (2, 1.0)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AmsbenchError, match="no CUDA device is available here for 'cuda:1'"):
        amsbench.train("material-sde", tiny_asi, output=tmp_path / "b", device="cuda:1", **options)
    assert not (tmp_path / "b").exists()


def test_the_best_checkpoint_is_chosen_by_the_validation_loss_of_the_method(tiny_asi, tmp_path, monkeypatch):
    """Two batches per validation; the training loss itself falls, and would make the last checkpoint the best."""
    values = iter([3.0, 3.0, 1.0, 1.0, 2.0, 2.0])
    monkeypatch.setattr(
        MaterialSDE, "validation_loss", lambda self, batch, noise, *, teacher: torch.tensor(next(values))
    )
    losses(tiny_asi, tmp_path)
    assert load_checkpoint(tmp_path / "best.safetensors").record["validation_loss"] == 1.0
    assert load_checkpoint(tmp_path / "last.safetensors").record["validation_loss"] == 2.0


def test_a_task_that_the_method_does_not_support_is_refused(tiny_asi, tmp_path, monkeypatch):
    monkeypatch.setattr(MaterialSDE, "supports", classmethod(lambda cls, task: "it needs two elements"))
    with pytest.raises(AmsbenchError, match="cannot be trained on 'asi': it needs two elements"):
        losses(tiny_asi, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cuda:1", ("gpu", [1])), ("cuda", ("gpu", [0])), ("auto", ("gpu", [0])), ("cpu", ("cpu", 1))],
)
def test_the_training_uses_the_chosen_device(tiny_asi, tmp_path, monkeypatch, device, expected):
    class Stop(Exception):
        pass

    def fabric(*, accelerator, devices):
        chosen.append((accelerator, devices))
        raise Stop

    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("lightning.fabric.Fabric", fabric)
    with pytest.raises(Stop):
        train_method("material-sde", tiny_asi, output=tmp_path, options=OPTIONS, config=SMALL, device=device)
    assert chosen == [expected]
