"""Training any method on any dataset: budgets, moving average, log, checkpoints and exact resumption."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...errors import AmsbenchError
from .. import registry
from ..datasets.dataset import Dataset, task_of
from ..interface.method import Method, method_class
from ..system.files import check_writable, exclusive_lock
from .checkpoints import load_checkpoint
from .options import TrainingOptions, TrainingProgress
from .trainer import NotFinite, Trainer

__all__ = ["NotFinite", "TrainingOptions", "TrainingProgress", "train_method", "with_changes"]


def train_method(
    method_name: str,
    dataset: Dataset,
    *,
    output: Path,
    options: TrainingOptions,
    properties: tuple[str, ...] = (),
    network: str | None = None,
    config: dict[str, Any] | None = None,
    init_from: Path | None = None,
    device: str = "cpu",
    report: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Train a method, or go on with the training that ``output`` holds, and return the checkpoint's path.

    Writes to ``output``: ``log.csv``, ``resume.pt`` (the whole state; a killed run goes on from there to the same
    losses), ``last.safetensors`` and ``best.safetensors`` (the moving average at the lowest validation loss).

    init_from: checkpoint whose weights to start from (of any method with the same network, or one that the method
        knows how to grow from)
    config: changes to the method's default configuration; of a setting that is a table itself, such as
        ``network``, the entries that are not named stay
    Raises AmsbenchError where ``output`` holds a training with other settings or one that is still running, or a
    loss is not finite.
    """
    from lightning.fabric import Fabric

    torch.manual_seed(options.seed)
    chosen = method_class(method_name)
    task = task_of(dataset, properties)
    preset = network or chosen.networks[0]
    if preset not in chosen.networks:
        raise AmsbenchError(
            f"method '{method_name}' has no network '{preset}'; it has: {', '.join(chosen.networks)}"
        )
    settings = chosen.default_config(preset, task)
    settings = with_changes(settings, config or {}, f"method '{method_name}'")
    method = chosen(task, settings)
    origin = None if init_from is None else _start_from(method, init_from)
    check_writable(output)

    fabric = Fabric(accelerator="gpu" if device.startswith("cuda") else "cpu", devices=1)
    trainer = Trainer(fabric, method, dataset, output, options, report)
    made_with = {
        "method": method_name,
        "task": task.to_json(),
        "config": settings,
        "options": asdict(options),
        "init_from": origin,
    }
    with exclusive_lock(output):
        trainer.resume(made_with)
        trainer.run()
    return output / "best.safetensors"


def with_changes(settings: dict[str, Any], changes: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The settings with some of them changed; AmsbenchError for unknown names and values of another kind."""
    result = dict(settings)
    for name, value in changes.items():
        if name not in settings:
            raise AmsbenchError(
                f"{owner} has no setting '{name}'; {registry.near_matches(name, list(settings))}"
            )
        old = settings[name]
        number = isinstance(old, int | float) and isinstance(value, int | float)
        if not isinstance(value, type(old)) and not (isinstance(old, float) and number):
            raise AmsbenchError(
                f"the setting '{name}' of {owner} is {json.dumps(old)}; {json.dumps(value)} is of another kind"
            )
        result[name] = with_changes(old, value, f"'{name}' of {owner}") if isinstance(old, dict) else value
    return result


def _start_from(method: Method, path: Path) -> str:
    """Give the method the weights of a checkpoint, and return that checkpoint's content hash."""
    checkpoint = load_checkpoint(path)
    source = checkpoint.method
    try:
        method.start_from(source)
    except RuntimeError as error:
        raise AmsbenchError(
            f"the network in {path} ({source.name} on '{source.task.dataset}') does not fit the one to train; "
            "choose a checkpoint with the same network, elements and properties"
        ) from error
    return checkpoint.content_hash
