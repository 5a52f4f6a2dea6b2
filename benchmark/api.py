"""Functions for scripts and notebooks; the command line calls them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AmsbenchError
from . import registry
from .datasets.dataset import Dataset
from .datasets.storage import load_dataset
from .generation.cells import start_cells

if TYPE_CHECKING:
    from ase import Atoms

    from .evaluation.evaluate import Evaluation
    from .interface.method import Method
    from .training.checkpoints import Checkpoint
    from .training.options import TrainingProgress

__all__ = [
    "evaluate",
    "generate",
    "load_checkpoint_for",
    "load_dataset",
    "load_method",
    "start_cells",
    "train",
]


def load_method(
    name: str, *, dataset: str, checkpoint: str | Path | None = None, device: str = "cpu"
) -> Method:
    """A trained method for a dataset: the released checkpoint, or the one in the file ``checkpoint``.

    device: auto, cpu, cuda, or one of several GPUs such as cuda:1
    """
    return load_checkpoint_for(name, dataset, checkpoint, device=device).method


def load_checkpoint_for(
    name: str, dataset: str, path: str | Path | None = None, *, device: str = "cpu"
) -> Checkpoint:
    """The checkpoint at ``path``, or the released one of the method on the dataset.

    Raises AmsbenchError if there is no such file, if it belongs to another method or dataset, or for an unknown device.
    """
    from .interface.method import method_class
    from .system.devices import pick_device
    from .training.checkpoints import check_matches, load_checkpoint, released_checkpoint, trained_method

    requested = method_class(name)
    if path is None:
        registry.target("datasets", dataset)
        path = released_checkpoint(requested, dataset)
        if path is None:
            raise AmsbenchError(
                f"no checkpoint of '{name}' on '{dataset}' is released with this package; "
                f"train one with 'amsbench train --method {name} --dataset {dataset}' and give it with --checkpoint"
            )
    chosen_device = pick_device(device)
    shared = trained_method(path) == requested.trained_as
    checkpoint = load_checkpoint(path, chosen_device, cls=requested if shared else None)
    check_matches(checkpoint, dataset, name)
    return checkpoint


def generate(
    method: Method,
    *,
    targets: Mapping[str, float | Sequence[float]] | None = None,
    count: int = 1,
    steps: int = 5,
    sampler: str | None = None,
    cell: float | Sequence[float] | None = None,
    seed: int = 0,
    dataset: Dataset | None = None,
) -> list[Atoms]:
    """Generate ``count`` structures conditioned on target values of properties.

    targets: one value for all structures, or one per structure, in the dataset's units
    cell: edge of a cube, three edges or nine numbers (rows are lattice vectors), angstrom; None takes the dataset's
    dataset: where cells and density come from, by default the bundled one of the method's task
    Raises AmsbenchError for counts and steps below 1, unknown properties and samplers, targets that are not one or
    ``count`` numbers, and cells that are no cell or thinner than the network's cutoff.
    """
    from .generation.generate import generate_structures

    if not isinstance(count, Integral) or count < 1:
        raise AmsbenchError(f"{count} structures were requested; give a whole number, 1 or more")
    cells, counts = start_cells(method, count, cell, dataset)
    return generate_structures(
        method,
        cells=cells,
        counts=counts,
        targets={name: _target_values(name, value, count) for name, value in (targets or {}).items()},
        steps=steps,
        sampler=sampler,
        seed=seed,
    ).frames


def _target_values(name: str, value: float | Sequence[float], count: int) -> np.ndarray:
    """Target values [count] of a property, from one number for all structures or one number each."""
    try:
        return np.broadcast_to(np.asarray(value, dtype=float), (count,))
    except (TypeError, ValueError) as error:
        raise AmsbenchError(
            f"the target {name}={value!r} is neither one number nor {count}, one per structure"
        ) from error


def evaluate(
    frames: Sequence[Atoms],
    dataset: Dataset | str,
    *,
    targets: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    properties: Sequence[str] = (),
    metrics: Sequence[str] = (),
    executor: Executor | None = None,
) -> Evaluation:
    """Measure structures of any origin and compare them with a dataset.

    frames: ASE Atoms, periodic in all three directions
    targets: target values, one per structure, by property; obtained values are compared with them
    properties: further properties to measure
    metrics: names from ``amsbench metrics`` in addition to the standard ones, such as ``sq``
    """
    from .evaluation.evaluate import STANDARD_CURVES, evaluate_structures, metrics_by_kind
    from .evaluation.reference import Reference

    if isinstance(dataset, str):
        dataset = load_dataset(dataset)
    curves, descriptors = metrics_by_kind(metrics)
    return evaluate_structures(
        frames,
        Reference(dataset),
        targets={name: np.asarray(values, dtype=float) for name, values in (targets or {}).items()},
        properties=properties,
        curves=(*STANDARD_CURVES, *curves),
        descriptors=descriptors,
        executor=executor,
    )


def train(
    method: str,
    dataset: Dataset | str,
    *,
    output: str | Path,
    properties: Sequence[str] | None = None,
    network: str | None = None,
    config: dict[str, Any] | None = None,
    init_from: str | Path | None = None,
    device: str = "cpu",
    report: Callable[[TrainingProgress], None] | None = None,
    **options: Any,
) -> Path:
    """Train a method and return the path of its best checkpoint.

    properties: properties that the method is conditioned on, by default the design properties of the dataset
    network, config, init_from: as in ``amsbench train --preset --set --init-from``
    device: auto, cpu, cuda, or one of several GPUs such as cuda:1
    report: called with the progress after every step
    options: fields of TrainingOptions; the ``quick`` budget unless ``samples_seen`` or ``minutes`` is given
    """
    from .training.budgets import BUDGETS
    from .training.options import TrainingOptions
    from .training.train import train_method

    if isinstance(dataset, str):
        dataset = load_dataset(dataset)
    if options.get("minutes") is None:
        options.setdefault("samples_seen", BUDGETS["quick"])
    return train_method(
        method,
        dataset,
        output=Path(output),
        options=TrainingOptions(**options),
        properties=dataset.definition.design_properties if properties is None else tuple(properties),
        network=network,
        config=config,
        init_from=None if init_from is None else Path(init_from),
        device=device,
        report=report,
    )
