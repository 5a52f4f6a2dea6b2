"""Threads that share a batch: the same gradient, the same numbers every time, torch's setting as it was."""

import sys
import threading

import pytest
import torch
from lightning.fabric import Fabric

from amsbench.benchmark.method import Task
from amsbench.benchmark.structures import Structures
from amsbench.benchmark.threads import SharedThreads, threads_for
from amsbench.benchmark.trainer import Trainer
from amsbench.benchmark.training import TrainingOptions, train
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.denoiser import State
from amsbench.methods.material_sde import MaterialSDE

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}


@pytest.fixture(autouse=True)
def threads():
    """Sets how many threads torch has, until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_come_in_order_from_several_threads(threads):
    threads(4)
    usual = sys.getswitchinterval()
    meeting = threading.Barrier(2, timeout=20)  # passed only if two are at work at once

    def work(k):
        if k < 2:
            meeting.wait()
        return k, torch.get_num_threads(), threading.get_ident()

    with SharedThreads(2) as shared:
        found = list(shared.map(work, range(20)))
    assert [k for k, _, _ in found] == list(range(20))
    assert {count for _, count, _ in found} == {2}
    assert threading.get_ident() not in {ident for _, _, ident in found}
    assert torch.get_num_threads() == 4
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_one_thread_is_the_callers_own():
    with SharedThreads(1) as shared:
        assert set(shared.map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


def test_an_error_drops_what_has_not_begun(threads):
    threads(2)
    begun = []

    def work(k):
        begun.append(k)
        if k == 0:
            raise RuntimeError("the first")

    with pytest.raises(RuntimeError, match="the first"), SharedThreads(2) as shared:
        list(shared.map(work, range(1000)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_only_methods_that_allow_it_are_shared_out(threads, silicon):
    threads(3)
    method = MaterialSDE(silicon, MaterialSDE.default_config("standard", silicon))
    assert threads_for(method, torch.device("cpu")) == 3
    assert threads_for(method, torch.device("cuda")) == 1
    method.concurrent = False
    assert threads_for(method, torch.device("cpu")) == 1


class WithoutNoise(MaterialSDE):
    """A loss that is a function of the batch alone."""

    def training_loss(self, batch: Structures, noise, *, teacher, progress):
        half, none = torch.full((len(batch),), 0.5), torch.zeros(len(batch))
        found = self.predict(State(structures=batch, elements=None), torch.zeros(len(batch), 0), half, none)
        return {"loss": ((found.positions - batch.positions) ** 2).sum(-1).mean()}


def trainer_of(kind, dataset, folder, changes, batch_size):
    torch.manual_seed(0)
    task = Task.of(dataset, ())
    config = kind.default_config("standard", task)
    config |= changes | {"network": config["network"] | SMALL["network"]}
    options = TrainingOptions(passes=60, batch_size=batch_size)
    return Trainer(Fabric(accelerator="cpu", devices=1), kind(task, config), dataset, folder, options, None)


def test_gradients_are_those_of_the_whole_batch(threads, tiny_asi, tmp_path, monkeypatch):
    """Three structures in two threads: the parts are of different size."""
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")  # nothing rounded to bfloat16
    found = []
    for count in (1, 2):
        threads(count)
        trainer = trainer_of(WithoutNoise, tiny_asi, tmp_path, {}, 3)
        with trainer.threads:
            losses = trainer.update(next(trainer.batches()))
        assert trainer.threads.workers == count
        found.append(
            (losses["loss"], [p.grad.clone() for p in trainer.raw.parameters() if p.grad is not None])
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert len(found[0][1]) == len(found[1][1])
    assert all(bool(g.abs().sum() > 0) for g in found[0][1][:4])
    for one, two in zip(found[0][1], found[1][1], strict=True):
        assert float((one - two).norm()) <= 1e-4 * float(one.norm())


def test_validation_does_not_depend_on_the_threads(threads, tiny_asi, tmp_path):
    found = []
    for count in (1, 2):
        threads(count)
        trainer = trainer_of(AMShortcut, tiny_asi, tmp_path, {}, 3)
        with trainer.threads:
            found.append(trainer.validate())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_killed_training_in_threads_goes_on_to_the_same_losses(threads, tiny_asi, tmp_path):
    threads(2)
    options = TrainingOptions(passes=24, batch_size=3, validate_every=9, validation_samples=4)
    config = SMALL | {"warmup": 0.0, "consistency_share": 0.5}

    def losses(folder, stop_after=None):
        seen = {}

        def report(progress):
            seen[progress.step] = progress.losses
            if progress.step == stop_after:
                raise KeyboardInterrupt

        try:
            train("amshortcut", tiny_asi, output=folder, options=options, config=config, report=report)
        except KeyboardInterrupt:
            assert stop_after is not None
        return seen

    whole = losses(tmp_path / "whole")
    stitched = losses(tmp_path / "killed", stop_after=5) | losses(tmp_path / "killed")
    assert list(whole) == list(stitched) == list(range(1, 9))
    assert any("consistency" in values for values in whole.values())
    for step, values in whole.items():
        assert stitched[step] == pytest.approx(values, rel=1e-5)
    assert torch.get_num_threads() == 2
