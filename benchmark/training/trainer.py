"""The training loop: optimiser step, validation, resume state, log, checkpoints."""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
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
from .stages import EARLIER_STAGES
from .training_log import append_row, truncate_log


class NotFinite(AmsbenchError):
    """Raised if a loss or gradient is NaN or infinite."""


class Trainer:
    """Training of a method on a dataset's training split, with all that its files in ``output`` need.

    Every step is a function of weights, seed and step number alone, so a resumed training has the same losses as an
    uninterrupted one. Checkpoints hold the moving average of the weights, and ``best.safetensors`` the one of the
    lowest loss on the validation split.

    fabric: lightning's ``Fabric`` for one device
    method: trained in place; ``model`` is the method, ``method`` its wrapper by the fabric
    output: folder of ``log.csv``, ``resume.pt``, ``last.safetensors`` and ``best.safetensors``
    report: called with the progress after every step
    clock: wall-clock time in seconds
    earlier_stages: stages of training behind the weights of ``method``, oldest first
    Raises AmsbenchError if the training or the validation split is empty.
    """

    def __init__(
        self,
        fabric: Any,
        method: Method,
        dataset: Dataset,
        output: Path,
        options: TrainingOptions,
        report: Callable[[TrainingProgress], None] | None,
        clock: Callable[[], float] = time.perf_counter,
        earlier_stages: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.fabric, self.options, self.output, self.report = fabric, options, output, report
        self.clock, self.earlier_stages = clock, list(earlier_stages)
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

    @property
    def fraction(self) -> float:
        """Part of the training that is done, 0 to 1."""
        return self.options.progress(self.step, self.seconds)

    # -- state ---------------------------------------------------------------------------------------------

    def resume(self, settings: dict[str, Any]) -> None:
        """Load the state in the output folder, if there is one; AmsbenchError if it is of other settings or damaged."""
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
        stored = json.loads(state["settings"])
        if stored != self.settings:
            different = [key for key in self.settings if stored.get(key) != self.settings[key]]
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
        """Write ``resume.pt``, the whole state of the training."""
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
        """Training record of the checkpoint's header: options, structures seen, time, hardware, versions."""
        return {
            "amsbench": __version__,
            "torch": torch.__version__,
            "options": self.settings["options"],
            "init_from": self.settings["init_from"],
            EARLIER_STAGES: self.earlier_stages,
            "samples_seen": self.step * self.options.batch_size,
            "fraction": self.fraction,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "validation_loss": validation,
            "device": device_name(self.fabric.device),
            "threads": torch.get_num_threads(),
            **({"additions": list(additions)} if (additions := self.model.training_additions()) else {}),
        }

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, with a validation every ``validate_every`` structures and after the last step."""
        every = max(1, self.options.validate_every // self.options.batch_size)
        start = self.clock() - self.seconds
        # CPU time counts all threads of this process and nothing of other processes
        cpu_start = time.process_time() - self.cpu_seconds
        batches = self.batches()
        while self.fraction < 1:
            rate = self.learning_rate()
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = self.update(next(batches))
            self.step += 1
            self.seconds = self.clock() - start
            validation = None
            if self.step % every == 0 or self.fraction >= 1:
                validation = self.validate()
                self.seconds = self.clock() - start
                self.cpu_seconds = time.process_time() - cpu_start
                self.store(rate, losses, validation)
            if self.report:
                self.report(
                    TrainingProgress(
                        step=self.step,
                        fraction=self.fraction,
                        losses=losses,
                        validation=validation,
                        seconds=self.seconds,
                    )
                )

    def store(self, rate: float, losses: dict[str, float], validation: float) -> None:
        """Write log, checkpoints and resume state after a validation."""
        append_row(
            self.output / "log.csv",
            self.step,
            self.step * self.options.batch_size,
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

    def update(self, samples: list[Any]) -> dict[str, float]:
        """Do one optimiser step and return the losses; its random numbers follow from seed and step number."""
        batch, noise = self.prepare(samples, self.step)
        losses = self.method.training_loss(batch, noise, teacher=self.ema_model, progress=self.fraction)
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
        """Mean of ``Method.validation_loss`` of the moving average over the validation samples.

        The noise is the same at every validation, so that validations at different steps compare.
        """
        total, weight = 0.0, 0
        size = self.options.batch_size
        with torch.no_grad():
            for k in range(0, len(self.validation_set), size):
                samples = self.validation_set[k : k + size]
                batch, noise = self.prepare(samples, -1 - k)
                loss = self.ema_model.validation_loss(batch, noise, teacher=self.ema_model)
                total += float(loss) * len(samples)
                weight += len(samples)
        self.check_finite({"validation loss": total / weight})
        return total / weight

    def prepare(self, samples: list[Any], key: int) -> tuple[Structures, BatchNoise]:
        """A batch on the training device, filled with new ghosts, and its noise; both follow from seed and ``key``."""
        from torch_geometric.data import Batch

        generator = torch.Generator().manual_seed(_mix(self.options.seed, key))
        batch = Structures.from_data(Batch.from_data_list(samples))
        task = self.model.task
        if task.ghost_density is not None:
            batch = add_ghosts(batch, task.ghost_density, len(task.elements), generator)
        batch = batch.to(self.fabric.device)
        return batch, BatchNoise(len(batch.positions), len(batch), generator, self.fabric.device)

    def batches(self) -> Iterator[list[Any]]:
        """Endless batches from the current step on: epochs of shuffled samples that follow from seed and step."""
        count, size = len(self.train_set), self.options.batch_size
        order: Tensor | None = None
        epoch = -1
        for position in itertools.count(self.step * size, size):
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
        """Learning rate of the next step: linear rise over 100 steps times a cosine decay over the whole training."""
        options = self.options
        cosine = options.final_lr_fraction + (1 - options.final_lr_fraction) * 0.5 * (
            1 + math.cos(math.pi * self.fraction)
        )
        return options.learning_rate * cosine * min(1.0, (self.step + 1) / 100)

    def check_finite(self, values: dict[str, float]) -> None:
        """Raise NotFinite for the first value that is NaN or infinite."""
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
