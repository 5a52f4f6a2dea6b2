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
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ...errors import AmsbenchError
from ...version import __version__
from ..datasets.boltzmann import add_scores, boltzmann_scores
from ..datasets.dataset import Dataset, samples_of
from ..distributed.ranks import Ranks
from ..interface.method import Method
from ..interface.noise import BatchNoise
from ..interface.structures import ScoredStructures, Structures, add_ghosts
from ..system.devices import device_name
from .checkpoints import save_checkpoint
from .interruption import deferred_interrupts
from .loss_window import LossWindow, check_finite
from .moving_average import power_decay, step_decay
from .optimizers import make_optimizers
from .options import TrainingOptions, TrainingProgress
from .resume_state import check_settings, read_state, write_state
from .schedules import learning_rate, loss_progress
from .stages import EARLIER_STAGES
from .training_log import append_row, truncate_log

SAVED_EVERY = 60.0
"""Seconds after which the state is stored, also between validations."""


class Trainer:
    """Training of a method on a dataset's training split, with all that its files in ``output`` need.

    Every step is a function of weights, seed and step number alone, so a resumed training has the same losses as an
    uninterrupted one. Checkpoints hold the moving average of the weights, and ``best.safetensors`` the one of the
    lowest loss on the validation split.

    fabric: lightning's ``Fabric`` of this process, which trains alone or as one of several (``Ranks``)
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
        self.clock, self.earlier_stages, self.ranks = clock, list(earlier_stages), Ranks(fabric)
        self.ema_model = copy.deepcopy(method).to(fabric.device).eval()
        self.ema_model.requires_grad_(False)
        self.method, *self.optimizers = fabric.setup(
            method, *make_optimizers(method, options), move_to_device=True
        )
        self.method.mark_forward_method("training_loss")
        self.model = method
        self.params, self.ema_params = list(method.parameters()), list(self.ema_model.parameters())
        training = dataset.split("train")
        self.train_set = samples_of(training, method.task)
        validation = dataset.split("validation")
        rows = min(options.validation_samples, len(validation))
        self.validation_set = samples_of(validation, method.task)[:rows]
        if not self.train_set or not self.validation_set:
            raise AmsbenchError(
                f"{dataset.path} has {len(self.train_set)} training and {len(validation)} validation samples; "
                "both are needed, build a larger dataset"
            )
        if method.reads_scores:
            add_scores(self.train_set, boltzmann_scores(training, output))
        self.step, self.first_step, self.seconds, self.cpu_seconds, self.best = 0, 0, 0.0, 0.0, math.inf
        self.settings: dict[str, Any] = {}
        self.window = LossWindow(options.check_every, output)

    @property
    def fraction(self) -> float:
        """Part of the training that is done, 0 to 1."""
        return self.options.progress(self.step, self.seconds)

    @property
    def samples_seen(self) -> int:
        """Structures seen in this training, with repetition."""
        return self.step * self.options.batch_size

    # -- state ---------------------------------------------------------------------------------------------

    def resume(self, settings: dict[str, Any]) -> bool:
        """Load the state in the output folder; whether there was one.

        Raises AmsbenchError if it is of other settings, damaged, or of a longer training.
        """
        self.settings = json.loads(json.dumps(settings))
        state = read_state(self.output)
        if state is None:
            # rows of a training that was killed before its first state
            self._truncate_log()
            return False
        check_settings(json.loads(state["settings"]), self.settings, self.output)
        self._load(state)
        self.step, self.first_step = state["step"], state["first_step"]
        self.seconds, self.cpu_seconds, self.best = state["seconds"], state["cpu_seconds"], state["best"]
        if self.options.samples_seen is not None and self.step > self.options.steps:
            raise AmsbenchError(
                f"the training in {self.output} has seen {self.samples_seen:,} structures already; give at least "
                f"--samples {self.samples_seen}"
            )
        self._truncate_log()
        return True

    def _truncate_log(self) -> None:
        if self.ranks.first:
            truncate_log(self.output / "log.csv", self.step)

    def branch(self, state: dict[str, Any]) -> None:
        """Begin a stage at the state of another training, whose steps it continues, and store it."""
        self._load(state)
        self.first_step = state["first_step"] + state["step"]
        self.save(None)

    def _load(self, state: dict[str, Any]) -> None:
        """Load weights, moving average and optimisers."""
        self.model.load_state_dict(state["model"])
        self.ema_model.load_state_dict(state["ema_model"])
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)

    def save(self, validation: float | None) -> None:
        """Write ``resume.pt``, the whole state of the training; one of several processes does."""
        if not self.ranks.first:
            return
        state = {
            "settings": json.dumps(self.settings),
            "record": json.dumps(self.record(validation)),
            "model": self.model.state_dict(),
            "ema_model": self.ema_model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "first_step": self.first_step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "best": self.best,
        }
        write_state(self.output, state)

    def record(self, validation: float | None) -> dict[str, Any]:
        """Training record of the checkpoint's header: options, structures seen, time, hardware, versions."""
        return {
            "amsbench": __version__,
            "torch": torch.__version__,
            "options": self.settings["options"],
            "init_from": self.settings["init_from"],
            EARLIER_STAGES: self.earlier_stages,
            "samples_seen": self.samples_seen,
            "fraction": self.fraction,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "validation_loss": validation,
            "device": device_name(self.fabric.device),
            **({"processes": self.ranks.size} if self.ranks.size > 1 else {}),
            "threads": torch.get_num_threads(),
            **({"additions": list(additions)} if (additions := self.model.training_additions()) else {}),
        }

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, with a validation every ``validate_every`` structures and after the last step.

        The state is stored after each validation, at least every SAVED_EVERY seconds, and before a signal to stop ends
        the training: Ctrl-C or SIGTERM raises KeyboardInterrupt after the step that it comes in, a second one at once.
        """
        every = max(1, self.options.validate_every // self.options.batch_size)
        start = self.clock() - self.seconds
        # CPU time counts all threads of this process and nothing of other processes
        cpu_start = time.process_time() - (self.cpu_seconds if self.ranks.first else 0.0)
        batches, saved, saved_step = self.batches(), self.seconds, self.step
        with deferred_interrupts() as interrupted:
            while self.fraction < 1:
                rate = learning_rate(self.options, self.fraction, self.first_step + self.step)
                for group in itertools.chain(*(optimizer.param_groups for optimizer in self.optimizers)):
                    group["lr"] = rate
                self.update(next(batches))
                self.step += 1
                self.seconds = self.ranks.agreed(self.clock() - start)
                validation = None
                validates = self.step % every == 0 or self.fraction >= 1
                if validates or self.seconds - saved >= SAVED_EVERY:
                    # nothing is stored before all losses behind it are checked
                    self.window.read()
                    if validates:
                        validation = self.validate() if self.ranks.first else None
                        self.seconds = self.ranks.agreed(self.clock() - start)
                    self.cpu_seconds = self.ranks.total(time.process_time() - cpu_start)
                    if validation is None:
                        self.save(None)
                    else:
                        self.store(rate, self.window.last, validation)
                    saved, saved_step = self.seconds, self.step
                if self.report:
                    self.report(
                        TrainingProgress(
                            step=self.step,
                            fraction=self.fraction,
                            losses=self.window.last,
                            validation=validation,
                            seconds=self.seconds,
                        )
                    )
                if self.ranks.any(interrupted()):
                    if saved_step != self.step:
                        self.window.read()
                        self.cpu_seconds = self.ranks.total(time.process_time() - cpu_start)
                        self.save(None)
                    raise KeyboardInterrupt

    def store(self, rate: float, losses: dict[str, float], validation: float) -> None:
        """Write log, checkpoints and resume state after a validation."""
        append_row(
            self.output / "log.csv",
            self.step,
            self.samples_seen,
            self.seconds,
            rate,
            losses,
            validation,
        )
        save_checkpoint(self.output / "last.safetensors", self.ema_model, self.record(validation))
        if validation <= self.best:
            self.best = validation
            save_checkpoint(self.output / "best.safetensors", self.ema_model, self.record(validation))
        self.save(validation)

    def update(self, samples: list[Any]) -> None:
        """Do one optimiser step; its random numbers follow from seed and step number."""
        batch, noise = self.ranks.part(*self.prepare(samples, self.first_step + self.step))
        progress = loss_progress(self.options, self.fraction)
        losses = self.method.training_loss(batch, noise, teacher=self.ema_model, progress=progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.fabric.backward(losses["loss"])
        norm = clip_grad_norm_(self.params, self.options.max_grad_norm)
        self.window.add(self.step, self.ranks.means(losses), norm)
        for optimizer in self.optimizers:
            optimizer.step()
        get_ema_multi_avg_fn(self.ema_decay())(self.ema_params, self.params, None)

    def ema_decay(self) -> float:
        """Weight of the old moving average in this step.

        A power function begins anew with the stage that follows a constant rate: weights of that rate have no part in
        what is released.
        """
        options = self.options
        if options.ema_width is None:
            return step_decay(options.ema_decay, self.first_step + self.step)
        return power_decay(options.ema_width, self.samples_seen, self.samples_seen + options.batch_size)

    def validate(self) -> float:
        """Mean of ``Method.validation_loss`` of the moving average over the validation samples.

        The noise is the same at every validation, so that validations at different steps compare.
        """
        total = torch.zeros((), dtype=torch.float64, device=self.fabric.device)
        size = self.options.batch_size
        with torch.no_grad():
            for k in range(0, len(self.validation_set), size):
                samples = self.validation_set[k : k + size]
                batch, noise = self.prepare(samples, -1 - k)
                loss = self.ema_model.validation_loss(batch, noise, teacher=self.ema_model)
                total += loss.double() * len(samples)
        mean = float(total) / len(self.validation_set)
        check_finite({"validation loss": mean}, self.step, self.output)
        return mean

    def prepare(self, samples: list[Any], key: int) -> tuple[Structures, BatchNoise]:
        """A batch on the training device, filled with new ghosts, and its noise; both follow from seed and ``key``."""
        from torch_geometric.data import Batch

        generator = torch.Generator().manual_seed(_mix(self.options.seed, key))
        kind = ScoredStructures if "scores" in samples[0] else Structures
        batch = kind.from_data(Batch.from_data_list(samples))
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
        for position in itertools.count((self.first_step + self.step) * size, size):
            samples = []
            for k in range(position, position + size):
                if k // count != epoch or order is None:
                    epoch = k // count
                    order = torch.randperm(
                        count, generator=torch.Generator().manual_seed(_mix(self.options.seed, epoch, 1))
                    )
                samples.append(self.train_set[int(order[k % count])])
            yield samples


def _mix(*parts: int) -> int:
    """One 63-bit seed from several integers."""
    import numpy as np

    state = np.random.SeedSequence([part & 0xFFFFFFFF for part in parts]).generate_state(1, np.uint64)
    return int(state[0]) >> 1
