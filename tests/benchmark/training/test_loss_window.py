"""Losses are read in batches of steps, and nothing is stored before they are checked."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.loss_window import LossWindow, NotFinite
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.resume_state import read_state
from amsbench.benchmark.training.train import train_method
from amsbench.benchmark.training.trainer import Trainer
from amsbench.methods.material_sde import MaterialSDE

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}
OPTIONS = TrainingOptions(samples_seen=24, batch_size=2, validate_every=16, validation_samples=4)

pytestmark = pytest.mark.usefixtures("one_thread")


class Reads(TorchDispatchMode):
    """Counts the single numbers that are read from tensors; on a GPU each waits for all of its work."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_window_reads_all_of_its_steps_and_keeps_the_last(tmp_path):
    window = LossWindow(3, tmp_path)
    for step in range(4):
        window.add(step, {"loss": torch.tensor(float(step))}, torch.tensor(1.0))
        assert window.last == ({} if step < 2 else {"loss": 2.0})
    window.read()
    assert window.last == {"loss": 3.0}


def test_the_first_value_that_is_not_finite_is_named(tmp_path):
    window = LossWindow(10, tmp_path)
    window.add(5, {"loss": torch.tensor(1.0)}, torch.tensor(1.0))
    window.add(6, {"loss": torch.tensor(1.0)}, torch.tensor(float("inf")))
    window.add(7, {"loss": torch.tensor(float("nan"))}, torch.tensor(float("nan")))
    with pytest.raises(NotFinite, match="the gradient became inf at step 6"):
        window.read()


@pytest.mark.parametrize("check_every", [1, 5, 100])
def test_nan_is_named_and_never_stored(tiny_asi, tmp_path, monkeypatch, check_every):
    """The losses of one step are poisoned; the validation at step 8 comes before the next reading of 100."""
    honest = MaterialSDE.training_loss
    calls = []

    def poisoned(self, batch, noise, **settings):
        losses = honest(self, batch, noise, **settings)
        if self.training:
            calls.append(None)
        return {name: value * torch.nan for name, value in losses.items()} if len(calls) == 13 else losses

    monkeypatch.setattr(MaterialSDE, "training_loss", poisoned)
    options = replace(OPTIONS, samples_seen=48, check_every=check_every)
    with pytest.raises(NotFinite, match=r"positions became nan at step 12|loss became nan at step 12"):
        train_method("material-sde", tiny_asi, output=tmp_path, options=options, config=SMALL)
    for name in ("last", "best"):
        checkpoint = load_checkpoint(tmp_path / f"{name}.safetensors")
        assert checkpoint.record["samples_seen"] == 16
        assert all(torch.isfinite(value).all() for value in checkpoint.method.state_dict().values())
    assert read_state(tmp_path)["step"] == 8


def test_weights_and_losses_do_not_depend_on_when_losses_are_read(tiny_asi, tmp_path):
    weights, logs = [], []
    for check_every in (1, 5):
        folder = tmp_path / str(check_every)
        options = replace(OPTIONS, check_every=check_every)
        train_method("material-sde", tiny_asi, output=folder, options=options, config=SMALL)
        weights.append(load_checkpoint(folder / "last.safetensors").method.state_dict())
        logs.append([row.split(",")[3:] for row in (folder / "log.csv").read_text().splitlines()])
    assert logs[0] == logs[1]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


def test_a_step_reads_its_losses_only_where_they_are_due(tiny_asi, tmp_path, monkeypatch):
    from lightning.fabric import Fabric

    task = task_of(tiny_asi, ())
    config = MaterialSDE.default_config("standard", task)
    config["network"] |= SMALL["network"]
    lists = []
    honest = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: lists.append(self.numel()) or honest(self))
    for check_every, expected in ((1, [[3], [3], [3], [3]]), (4, [[], [], [], [12]])):
        fabric = Fabric(accelerator="cpu", devices=1)
        options = replace(OPTIONS, check_every=check_every)
        trainer = Trainer(fabric, MaterialSDE(task, config), tiny_asi, tmp_path, options, None)
        batches = trainer.batches()
        for numbers in expected:
            samples = next(batches)
            with Reads() as network:
                batch, noise = trainer.prepare(samples, trainer.step)
                losses = trainer.method.training_loss(batch, noise, teacher=trainer.ema_model, progress=1.0)
                losses["loss"].backward()
            lists.clear()
            with Reads() as step:
                trainer.update(samples)
            trainer.step += 1
            # two losses and the norm of the gradient of each step
            assert lists == numbers
            assert step.count == network.count
