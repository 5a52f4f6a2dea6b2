"""The few functions for notebooks; the command line is made of them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
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
    """A trained method: the released one for a dataset, or that of a checkpoint file."""
    return load_checkpoint_for(name, dataset, checkpoint, device=device).method


def load_checkpoint_for(
    name: str, dataset: str, path: str | Path | None = None, *, device: str = "cpu"
) -> Checkpoint:
    """The checkpoint at ``path``, or the released one; AmsbenchError for one of another method or dataset."""
    from .interface.method import method_class
    from .training.checkpoints import check_matches, load_checkpoint, released_path

    method_class(name)
    if path is None:
        registry.target("datasets", dataset)
        path = released_path(name, dataset)
        if not path.is_file():
            raise AmsbenchError(
                f"no checkpoint of '{name}' on '{dataset}' comes with the package; "
                f"train one with 'amsbench train --method {name} --dataset {dataset}' and give it with --checkpoint"
            )
    checkpoint = load_checkpoint(path, device)
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
    """Generate ``count`` structures with the properties asked for.

    targets: one value for all structures, or one per structure, in the dataset's units
    cell: edge of a cube, three edges or nine numbers (rows are lattice vectors), angstrom; None takes the dataset's
    dataset: where cells and density come from, by default the bundled one of the method's task
    """
    from .generation.generate import generate_structures

    if count < 1:
        raise AmsbenchError(f"{count} structures were asked for; give 1 or more")
    wanted = {
        name: np.broadcast_to(np.asarray(value, dtype=float), (count,))
        for name, value in (targets or {}).items()
    }
    cells, counts = start_cells(method, count, cell, dataset)
    made = generate_structures(
        method, cells=cells, counts=counts, targets=wanted, steps=steps, sampler=sampler, seed=seed
    )
    return made.frames


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
    **options: Any,
) -> Path:
    """Train a method with the ``quick`` budget or the given TrainingOptions fields; returns the checkpoint.

    properties: what it is told, by default all that the dataset's designs ask for
    network, config, init_from: as in ``amsbench train --preset --set --init-from``
    """
    from .training.budgets import BUDGETS
    from .training.options import TrainingOptions
    from .training.train import train_method

    if isinstance(dataset, str):
        dataset = load_dataset(dataset)
    told = dataset.definition.design_properties if properties is None else tuple(properties)
    return train_method(
        method,
        dataset,
        output=Path(output),
        options=TrainingOptions(**({"samples_seen": BUDGETS["quick"]} | options)),
        properties=tuple(told),
        network=network,
        config=config,
        init_from=None if init_from is None else Path(init_from),
    )
