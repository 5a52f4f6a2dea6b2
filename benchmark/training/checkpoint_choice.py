"""The checkpoint of a method on a dataset: a given file, or the released one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...errors import AmsbenchError
from .. import registry
from ..interface.method import method_class
from ..system import arguments
from ..system.devices import pick_devices
from .checkpoints import Checkpoint, check_matches, load_checkpoint, released_checkpoint, trained_method


def load_checkpoint_for(
    name: str, dataset: str, path: str | Path | None = None, *, device: str = "cpu"
) -> Checkpoint:
    """The checkpoint at ``path``, or the released one of the method on the dataset.

    device: auto, cpu, cuda, or one or several GPUs such as cuda:0,cuda:1
    Raises AmsbenchError if there is no such file, if it belongs to another method or dataset, or for an unknown device.
    """
    arguments.text(dataset, "dataset")
    requested = method_class(arguments.text(name, "the method"))
    if path is None:
        registry.target("datasets", dataset)
        path = released_checkpoint(requested, dataset)
        if path is None:
            raise AmsbenchError(
                f"no checkpoint of '{name}' on '{dataset}' is released with this package; "
                f"train one with 'amsbench train --method {name} --dataset {dataset}' and give it with --checkpoint"
            )
    path = arguments.path_of(path, "checkpoint")
    devices = pick_devices(device)
    shared = trained_method(path) == requested.trained_as
    checkpoint = load_checkpoint(path, devices[0], cls=requested if shared else None)
    check_matches(checkpoint, dataset, name)
    return replace(checkpoint, devices=devices)
