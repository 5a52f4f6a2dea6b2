"""Checks of the attributes, the configuration, the training and the checkpoints of a method."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from ..benchmark.interface.method import Method
from ..benchmark.interface.method_card import MethodCard
from ..benchmark.interface.sampler import Sampler
from ..benchmark.interface.task import Task
from ..benchmark.training.checkpoints import load_checkpoint, save_checkpoint
from .checks import Check, CheckFailed, require
from .method_probe import Probe

UPDATES = 60
"""Number of optimiser steps of the short training."""
LEARNING_RATE = 3e-3
NOISES = range(4)
"""Seeds of the noise of the short training and of its test."""
LEAST_GAIN = 0.01
"""Smallest relative decrease of the loss for the noise of the training."""
RELATIVE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Largest relative difference of equivalent losses."""
STEP_COUNTS = (1, 2, 3, 5, 10, 25, 100, 250)
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def attributes(probe: Probe) -> None:
    """The class attributes are valid: name, title, samplers, networks, cutoff, card."""
    cls, method = probe.method_class, probe.method()
    require(NAME.fullmatch(cls.name), f"the name '{cls.name}' is not of small letters, digits and hyphens")
    require(cls.title.strip() and "\n" not in cls.title, "the title is not one line of text")
    require(
        isinstance(cls.samplers, tuple) and all(isinstance(sampler, Sampler) for sampler in cls.samplers),
        f"samplers is {cls.samplers}, not a tuple of Sampler objects",
    )
    samplers = [sampler.name for sampler in cls.samplers]
    for what, names in (("samplers", samplers), ("networks", cls.networks)):
        require(names and len(set(names)) == len(names), f"the {what} have no or equal names: {names}")
    for sampler in cls.samplers:
        require(
            NAME.fullmatch(sampler.name),
            f"the sampler's name '{sampler.name}' is not of small letters, digits and hyphens",
        )
        require(
            sampler.title.strip() and "\n" not in sampler.title,
            f"the title of sampler '{sampler.name}' is not one line of text",
        )
    require(
        cls.card is None or isinstance(cls.card, MethodCard),
        f"the card is a {type(cls.card).__name__}, not a MethodCard",
    )
    if cls.card is not None:
        unknown = sorted(set(cls.card.evaluations) - set(samplers))
        require(not unknown, f"the card has evaluations of {unknown[:1]}, which is no sampler of the method")
    require(0 < method.cutoff < float("inf"), f"the cutoff is {method.cutoff} A")
    preferred = method.preferred_sampler()
    require(preferred in samplers, f"the preferred sampler '{preferred}' is not in samplers")
    for sampler in cls.samplers:
        for steps in STEP_COUNTS:
            label = sampler.label(method, steps)
            require(
                isinstance(label, str) and label,
                f"the label of sampler '{sampler.name}' is {label!r}, not a non-empty string",
            )


def evaluations_grow(probe: Probe) -> None:
    """Network evaluations are whole numbers from 1 on that grow with the steps."""
    method = probe.method()
    for sampler in method.samplers:
        counts = [sampler.evaluations(method, steps) for steps in STEP_COUNTS]
        require(
            all(isinstance(count, int) and count > 0 for count in counts)
            and counts == sorted(counts)
            and counts[-1] > counts[0],
            f"sampler '{sampler.name}' has {counts} network evaluations for {list(STEP_COUNTS)} steps; expected: "
            "growing integers from 1 on",
        )


def config_is_json(probe: Probe) -> None:
    """The configuration is JSON data, survives a round trip through text, and is not modified."""
    for config in [
        probe.method().config,
        *(probe.config(network) for network in probe.method_class.networks),
    ]:
        try:
            text = json.dumps(config, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CheckFailed(f"the configuration is not JSON data: {error}") from error
        require(json.loads(text) == config, f"the configuration changes in a round trip through JSON: {text}")
    config = probe.config(probe.method_class.networks[0])
    before = copy.deepcopy(config)
    method = probe.method_class(probe.task, config)
    require(config == before and method.config == before, "the method modifies its argument config; copy it")


def default_config_rebuilds(probe: Probe) -> None:
    """Every network preset can be built, and again from task and configuration as JSON."""
    for network in probe.method_class.networks:
        config = probe.config(network)
        shapes = []
        for task, settings in ((probe.task, config), json.loads(json.dumps([probe.task.to_json(), config]))):
            task = task if isinstance(task, Task) else Task.from_json(task)
            state = probe.method_class(task, settings).state_dict()
            shapes.append({name: tuple(value.shape) for name, value in state.items()})
        require(
            shapes[0] == shapes[1],
            f"the network '{network}' has other weights when it is rebuilt from task and configuration",
        )


def losses_follow_from_the_noise(probe: Probe) -> None:
    """Losses are finite numbers, the same with the same noise, early and late in a training."""
    method, batch = probe.method(), probe.batch()
    teacher = copy.deepcopy(method)
    for progress in (0.0, 1.0):
        once, again, other = (
            {
                name: value.detach()
                for name, value in probe.losses(
                    method, batch, seed, teacher=teacher, progress=progress
                ).items()
            }
            for seed in (0, 0, 1)
        )
        for name, value in once.items():
            require(
                value.dim() == 0 and torch.isfinite(value),
                f"the loss '{name}' is {value.tolist()} at progress {progress}",
            )
            require(
                torch.allclose(value, again[name], rtol=1e-5),
                f"the loss '{name}' is {float(value)} and then {float(again[name])} with the same noise; every random "
                "number has to come from the NoiseSource (dropout, too, draws from torch's own)",
            )
        require(not torch.equal(once["loss"], other["loss"]), "the loss is the same with other noise")


def images_train_alike(probe: Probe) -> None:
    """The loss is unchanged when atoms move by lattice vectors: an atom and its image are the same atom."""
    method, batch = probe.method(precise=True), probe.batch(precise=True)
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(-2, 3, batch.positions.shape, generator=generator).to(batch.positions)
    moved = batch.with_positions(
        batch.positions + torch.einsum("ni,nij->nj", steps, batch.cells[batch.batch])
    )
    teacher = copy.deepcopy(method)
    with torch.no_grad():
        losses = [probe.losses(method, item, 0, teacher=teacher)["loss"] for item in (batch, moved)]
    loss, moved_loss = map(float, losses)
    require(
        abs(moved_loss - loss) <= RELATIVE[probe.settings.precision] * abs(loss),
        f"the loss is {loss:.8g}, and {moved_loss:.8g} after shifts of atoms by lattice vectors; take displacements "
        "to the nearest image",
    )


def absent_labels_train(probe: Probe) -> None:
    """Absent labels leave losses and gradients finite."""
    method = probe.method()
    for rows in ((0, 1), (2, 3)):
        batch = probe.batch(rows, hidden=True)
        loss = probe.losses(method, batch, 0, teacher=copy.deepcopy(method))["loss"]
        require(torch.isfinite(loss), f"the loss is {loss.item()} where labels are absent")
        method.zero_grad()
        loss.backward()
        for name, weights in method.named_parameters():
            require(
                weights.grad is None or torch.isfinite(weights.grad).all(),
                f"the gradient of '{name}' is not finite where labels are absent; replace NaN before it enters the "
                "network",
            )


def training_lowers_the_loss(probe: Probe) -> None:
    """A few steps of Adam on two structures lower the loss of the same noise."""
    method = probe.method(stirred=False)
    before = _mean_loss(probe, method)
    after = _mean_loss(probe, trained(probe))
    require(
        after < (1 - LEAST_GAIN) * before,
        f"{UPDATES} training steps changed the loss from {before:.4g} to {after:.4g}; expected: {LEAST_GAIN:.0%} less",
    )


def checkpoint_gives_the_same_samples(probe: Probe) -> None:
    """A saved and loaded method makes the same structures."""
    method, start = probe.method(), probe.start()
    sampler = method.preferred_sampler()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.safetensors"
        save_checkpoint(path, method, {})
        loaded = load_checkpoint(path, cls=probe.method_class).method
    sample = probe.sample(method, start, 3, sampler, probe.noise(start))
    loaded_sample = probe.sample(loaded, start, 3, sampler, probe.noise(start))
    gap = probe.difference(loaded_sample, sample)
    require(
        gap == 0.0,
        "a saved and loaded method makes other structures; everything that sampling needs has to be in the weights, "
        "the task or the configuration",
    )


TRAINING_CHECKS: tuple[Check[Probe], ...] = (
    Check(attributes),
    Check(config_is_json),
    Check(default_config_rebuilds),
    Check(evaluations_grow),
    Check(losses_follow_from_the_noise),
    Check(images_train_alike),
    Check(absent_labels_train, lambda probe: len(probe.task.properties) > 0),
    Check(training_lowers_the_loss),
    Check(checkpoint_gives_the_same_samples),
)


def trained(probe: Probe, rows: Sequence[int] = (0, 1)) -> Method:
    """The method after a short training on the structures ``rows``, two per step."""
    method = probe.method(stirred=False).train()
    teacher = copy.deepcopy(method)
    optimizer = torch.optim.Adam(method.parameters(), lr=LEARNING_RATE)
    pairs = [rows[k : k + 2] for k in range(0, len(rows), 2)]
    for step in range(UPDATES):
        batch = probe.batch(pairs[step % len(pairs)])
        loss = probe.losses(method, batch, NOISES[step % len(NOISES)], teacher=teacher)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return method


def _mean_loss(probe: Probe, method: Method) -> float:
    teacher = probe.method(stirred=False)
    with torch.no_grad():
        losses = [float(probe.losses(method, probe.batch(), k, teacher=teacher)["loss"]) for k in NOISES]
    return sum(losses) / len(losses)
