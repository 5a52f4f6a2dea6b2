"""The training loop: one step, validation, resume state, log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ...errors import AmsbenchError
from ...version import __version__
from ..datasets.dataset import Dataset, samples_of
from ..interface.method import Method
from ..interface.noise import BatchNoise
from ..interface.structures import Structures, add_ghosts
from ..system.devices import device_name
from ..system.files import write_atomically
from .checkpoints import save_checkpoint
from .options import TrainingOptions, TrainingProgress
from .training_log import append_row, truncate_log


class NotFinite(AmsbenchError):
    """A loss or gradient became NaN or infinite."""


class Trainer:
    def __init__(
        self,
        fabric: Any,
        method: Method,
        dataset: Dataset,
        output: Path,
        options: TrainingOptions,
        report: Callable[[TrainingProgress], None] | None,
    ) -> None:
        self.fabric, self.options, self.output, self.report = fabric, options, output, report
        self.ema_model = copy.deepcopy(method).to(fabric.device).eval()
        self.ema_model.requires_grad_(False)
        optimizer = torch.optim.Adam(method.parameters(), lr=options.learning_rate, fused=True)
        self.method, self.optimizer = fabric.setup(method, optimizer, move_to_device=True)
        self.method.mark_forward_method("training_loss")
        self.model = method
        self.params, self.ema_params = list(method.parameters()), list(self.ema_model.parameters())
        self.train_set = samples_of(dataset.split("train"), method.task)
        validation = dataset.split("validation")
        rows = min(options.validation_samples, len(validation))
        self.validation_set = samples_of(validation, method.task)[:rows]
        if not self.train_set or not self.validation_set:
            raise AmsbenchError(
                f"{dataset.path} has {len(self.train_set)} training and {len(validation)} validation samples; "
                "both are needed, build a larger dataset"
            )
        self.step, self.seconds, self.cpu_seconds, self.best = 0, 0.0, 0.0, math.inf
        self.settings: dict[str, Any] = {}

    # -- state ---------------------------------------------------------------------------------------------

    def resume(self, settings: dict[str, Any]) -> None:
        """Take up the state in the output folder, if it has one with the same settings."""
        self.settings = json.loads(json.dumps(settings))
        path = self.output / "resume.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:
            raise AmsbenchError(
                f"{path} is damaged and cannot be resumed; delete it to train again from the start"
            ) from error
        found = json.loads(state["settings"])
        if found != self.settings:
            different = [key for key in self.settings if found.get(key) != self.settings[key]]
            raise AmsbenchError(
                f"{self.output} holds a training with another {' and '.join(different)}; "
                "choose another --output-dir or delete that folder"
            )
        self.model.load_state_dict(state["model"])
        self.ema_model.load_state_dict(state["ema_model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.cpu_seconds = state["cpu_seconds"]
        truncate_log(self.output / "log.csv", self.step)

    def save(self) -> None:
        state = {
            "settings": json.dumps(self.settings),
            "model": self.model.state_dict(),
            "ema_model": self.ema_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "best": self.best,
        }
        write_atomically(self.output / "resume.pt", lambda file: torch.save(state, file))

    def record(self, validation: float) -> dict[str, Any]:
        """How the weights came about, for the checkpoint's header."""
        return {
            "amsbench": __version__,
            "torch": torch.__version__,
            "options": self.settings["options"],
            "init_from": self.settings["init_from"],
            "samples_seen": self.step * self.options.batch_size,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "validation_loss": validation,
            "device": device_name(self.fabric.device),
            "threads": torch.get_num_threads(),
        }

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> None:
        options = self.options
        every = max(1, options.validate_every // options.batch_size)
        started = time.perf_counter() - self.seconds
        worked = (
            time.process_time() - self.cpu_seconds
        )  # all threads, and not what other jobs of the machine take
        for samples in self.batches():
            rate = self.learning_rate()
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = self.update(samples)
            self.step += 1
            self.seconds = time.perf_counter() - started
            validation = None
            if self.step % every == 0 or self.step == options.steps:
                validation = self.validate()
                self.seconds = time.perf_counter() - started
                self.cpu_seconds = time.process_time() - worked
                append_row(
                    self.output / "log.csv",
                    self.step,
                    self.step * options.batch_size,
                    self.seconds,
                    rate,
                    losses,
                    validation,
                )
                save_checkpoint(self.output / "last.safetensors", self.ema_model, self.record(validation))
                if validation <= self.best:
                    self.best = validation
                    save_checkpoint(self.output / "best.safetensors", self.ema_model, self.record(validation))
                self.save()
            if self.report:
                self.report(
                    TrainingProgress(
                        step=self.step,
                        steps=options.steps,
                        losses=losses,
                        validation=validation,
                        seconds=self.seconds,
                    )
                )

    def update(self, samples: list[Any]) -> dict[str, float]:
        """One optimiser step; everything random depends on the seed and the step alone."""
        batch, noise = self.prepare(samples, self.step)
        losses = self.method.training_loss(
            batch, noise, teacher=self.ema_model, progress=self.step / self.options.steps
        )
        values = {name: float(value.detach()) for name, value in losses.items()}
        self.check_finite(values)
        self.optimizer.zero_grad()
        self.fabric.backward(losses["loss"])
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.options.max_grad_norm, error_if_nonfinite=False
        )
        self.check_finite(values | {"gradient": float(norm)})
        self.optimizer.step()
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(self.ema_params, self.params, None)
        return values

    def validate(self) -> float:
        """Loss of the moving average on held-out samples, with the same noise every time and every part of the loss
        that the schedule ever brings in, so that validations compare."""
        total, weight = 0.0, 0
        size = self.options.batch_size
        with torch.no_grad():
            for k in range(0, len(self.validation_set), size):
                samples = self.validation_set[k : k + size]
                batch, noise = self.prepare(samples, -1 - k)
                losses = self.ema_model.training_loss(batch, noise, teacher=self.ema_model, progress=1.0)
                total += float(losses["loss"]) * len(samples)
                weight += len(samples)
        return total / weight

    def prepare(self, samples: list[Any], key: int) -> tuple[Structures, BatchNoise]:
        """A batch with fresh ghosts, and its noise."""
        from torch_geometric.data import Batch

        generator = torch.Generator().manual_seed(_mix(self.options.seed, key))
        batch = Structures.from_data(Batch.from_data_list(samples))
        task = self.model.task
        if task.ghost_density is not None:
            batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
        batch = batch.to(self.fabric.device)
        return batch, BatchNoise(len(batch.positions), len(batch), generator, self.fabric.device)

    def batches(self) -> Iterator[list[Any]]:
        """Batches from the current step on: epochs of shuffled samples, a function of seed and step."""
        count, size = len(self.train_set), self.options.batch_size
        order: Tensor | None = None
        epoch = -1
        for position in range(self.step * size, self.options.steps * size, size):
            samples = []
            for k in range(position, position + size):
                if k // count != epoch or order is None:
                    epoch = k // count
                    order = torch.randperm(
                        count, generator=torch.Generator().manual_seed(_mix(self.options.seed, epoch, 1))
                    )
                samples.append(self.train_set[int(order[k % count])])
            yield samples

    def learning_rate(self) -> float:
        """Cosine decay to ``final_lr_fraction`` of the learning rate, after a short linear start."""
        options = self.options
        share = self.step / options.steps
        cosine = options.final_lr_fraction + (1 - options.final_lr_fraction) * 0.5 * (
            1 + math.cos(math.pi * share)
        )
        return options.learning_rate * cosine * min(1.0, (self.step + 1) / 100)

    def check_finite(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise NotFinite(
                    f"the {name} became {value} at step {self.step} of the training in {self.output}; "
                    "lower the learning rate and start again from the last checkpoint with --init-from"
                )


def _mix(*parts: int) -> int:
    """One 63-bit seed from several integers."""
    import numpy as np

    state = np.random.SeedSequence([part & 0xFFFFFFFF for part in parts]).generate_state(1, np.uint64)
    return int(state[0]) >> 1
