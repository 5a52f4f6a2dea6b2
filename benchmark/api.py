"""Functions for scripts and notebooks; the command line calls them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AmsbenchError
from . import registry
from .datasets.dataset import Dataset
from .datasets.storage import load_dataset
from .generation.cells import start_cells
from .system import arguments
from .training.checkpoint_choice import load_checkpoint_for

if TYPE_CHECKING:
    from ase import Atoms

    from .design.run import Design, DesignObserver
    from .display.structure_view import StructureView
    from .evaluation.evaluate import Evaluation
    from .interface.method import Method
    from .system.structure_files import StructureSet
    from .training.options import TrainingProgress

__all__ = [
    "design",
    "evaluate",
    "generate",
    "load_dataset",
    "load_method",
    "read_structures",
    "start_cells",
    "train",
    "view",
]


def load_method(
    name: str, *, dataset: str, checkpoint: str | Path | None = None, device: str = "cpu"
) -> Method:
    """A trained method for a dataset: the released checkpoint, or the one in the file ``checkpoint``.

    device: auto, cpu, cuda, or one of several GPUs such as cuda:1
    """
    from .system.devices import pick_device

    return load_checkpoint_for(name, dataset, checkpoint, device=pick_device(device)).method


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
    devices: Sequence[str] = (),
) -> list[Atoms]:
    """Generate ``count`` structures conditioned on target values of properties.

    targets: one value for all structures, or one per structure, in the dataset's units
    cell: edge of a cube, three edges or nine numbers (rows are lattice vectors), angstrom; None takes the dataset's
    dataset: where cells and density come from, by default the bundled one of the method's task
    devices: GPUs that share the structures, such as ``["cuda:0", "cuda:1"]``; by default the method's device alone
    Raises AmsbenchError for counts and steps below 1, unknown properties and samplers, targets that are not one or
    ``count`` numbers, and cells that are no cell or thinner than the network's cutoff.
    """
    from .generation.generate import generate_structures
    from .interface.method import Method
    from .system.devices import pick_devices

    count = arguments.whole_number(count, "the number of structures", least=1)
    steps = arguments.whole_number(steps, "the number of sampling steps", least=1)
    seed = arguments.whole_number(seed, "the seed", least=0)
    if not isinstance(method, Method):
        raise AmsbenchError(f"method is a trained method, such as load_method gives, not {method!r}")
    if dataset is not None:
        dataset = _dataset(dataset)
    if sampler is not None:
        arguments.text(sampler, "the sampler")
    values = arguments.targets(targets, count)
    cells, counts = start_cells(method, count, cell, dataset)
    return generate_structures(
        method,
        cells=cells,
        counts=counts,
        targets=values,
        steps=steps,
        sampler=sampler,
        seed=seed,
        devices=pick_devices(",".join(arguments.names(devices, "devices"))) if devices else (),
    ).frames


def _dataset(dataset: Any) -> Dataset:
    """A dataset, or the bundled one of a name."""
    dataset = _dataset_or_name(dataset)
    return dataset if isinstance(dataset, Dataset) else load_dataset(dataset)


def _dataset_or_name(dataset: Any) -> Dataset | str:
    """The argument itself; AmsbenchError if it is neither a dataset nor a name."""
    if isinstance(dataset, Dataset):
        return dataset
    if isinstance(dataset, Path):
        raise AmsbenchError(
            f"dataset is a dataset or a name, not the path '{dataset}'; read it with load_dataset"
        )
    return arguments.text(dataset, "dataset")


def read_structures(
    path: str | Path, *, types: Sequence[str] = (), format_name: str | None = None
) -> StructureSet:
    """The structures of a file, a folder or an archive (.zip, .tar, .gz), as ``amsbench evaluate`` reads them.

    types: chemical symbols of LAMMPS' atom types 1, 2, ..., for files that number their atoms by type alone
    format_name: ASE's name of the format, where it is not recognised
    Raises AmsbenchError for files that cannot be read in full or would have to be guessed, and if no structure can be
    measured. ``summary()`` says what was read, ``faults`` which structures cannot be measured, and why.
    """
    from .system import structure_files

    if format_name is not None:
        arguments.text(format_name, "format_name")
    place = arguments.path_of(path, "path")
    structures = structure_files.read_structures(place, arguments.names(types, "types"), format_name)
    structures.check(all_sound=False)
    return structures


def view(frames: Atoms | Sequence[Atoms]) -> StructureView:
    """A view of one or more structures that a notebook shows in three dimensions, turned by the mouse.

    At most 20 of them are drawn; ``figure()`` gives the view as a plotly figure. AmsbenchError where none can be drawn.
    """
    from ase import Atoms

    from .display.structure_view import StructureView

    return StructureView([frames] if isinstance(frames, Atoms) else list(frames))


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

    dataset: its name, for the frozen reference of a bundled dataset, which needs no data; or a dataset, on whose
        structures the reference is computed

    frames: ASE Atoms, periodic in all three directions; one that cannot be measured counts as failed
    targets: target values by property, one per structure or one for all; obtained values are compared with them
    properties: further properties to measure
    metrics: names from ``amsbench metrics`` in addition to the standard ones, such as ``sq``
    Raises AmsbenchError for other arguments, and if no structure can be measured: where every one has a fault, or atoms
    so far apart or so close that lengths cannot be in angstrom.
    """
    from .evaluation.evaluate import STANDARD_CURVES, evaluate_structures, metrics_by_kind
    from .evaluation.unmeasurable import check_any_measurable
    from .runs.references import reference_for
    from .system.structure_checks import check_units, fault_of

    reference = reference_for(_dataset_or_name(dataset))
    structures = arguments.structures(frames)
    properties = arguments.names(properties, "properties")
    curves, descriptors = metrics_by_kind(arguments.names(metrics, "metrics"))
    values = arguments.targets(targets, len(structures))
    check_any_measurable(structures, reference.definition)
    check_units([frame for frame in structures if fault_of(frame) is None], "these structures")
    return evaluate_structures(
        structures,
        reference,
        targets=values,
        properties=properties,
        curves=(*STANDARD_CURVES, *curves),
        descriptors=descriptors,
        executor=executor,
    )


def design(
    dataset: Dataset | str,
    targets: Mapping[str, float],
    *,
    count: int = 1,
    tolerance: float | Mapping[str, float] | None = None,
    method: str = "amshortcut",
    checkpoint: str | Path | None = None,
    sampler: str | None = None,
    steps: int = 25,
    cell: float | Sequence[float] | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    most: int | None = None,
    minutes: float | None = None,
    round_size: int = 8,
    corrects: bool = True,
    as_generated: bool = False,
    device: str = "cpu",
    executor: Executor | None = None,
    overlap: bool | None = None,
    observer: DesignObserver | None = None,
) -> Design:
    """Make glasses whose properties are within a tolerance of targets: generate, relax, measure, keep the hits.

    A kept glass is a hit of the benchmark: measured, of the right substance, neither a copy of a training structure nor
    of another kept glass, and within the tolerance of every target, also after it was relaxed.

    targets: one value by property, in the dataset's units
    tolerance: one number for all properties or by property, by default half a standard deviation of the training labels
    checkpoint, sampler, cell: as in ``load_method`` and ``generate``; the cell is by default that of the benchmark
    device: auto, cpu, cuda, or one or several GPUs such as cuda:0,cuda:1, which share each round
    folder: keeps everything tried, so that the same call goes on after an interruption; None keeps nothing
    most, minutes: structures and time that may be spent; by default 50 structures per glass, and at least 200
    round_size: structures that are generated and judged together
    corrects: whether later rounds ask for targets that are shifted by the observed bias of the model
    as_generated: whether the glasses are structures as generated instead of relaxed ones
    executor: runs the measurements; None measures in this process
    overlap: whether the next round is generated meanwhile, by default where there is an executor

    The result has ``frames`` (the glasses), ``table`` (everything tried), ``costs`` and ``ending``, which says why it
    ended: targets that cannot be reached end it early. Raises AmsbenchError for other arguments, and for a folder that
    holds another design.
    """
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from .design.folder import opened_folder
    from .design.request import DesignRequest
    from .design.run import Unobserved, run_design

    loaded = _dataset(dataset)
    request = DesignRequest.of(
        loaded,
        load_checkpoint_for(method, loaded.definition.name, checkpoint, device=device),
        targets,
        count=count,
        tolerance=tolerance,
        sampler=None if sampler is None else arguments.text(sampler, "the sampler"),
        steps=steps,
        seed=seed,
        cell=cell,
        round_size=round_size,
        corrects=corrects,
        most=most,
        minutes=minutes,
    )
    with ExitStack() as stack:
        path = stack.enter_context(TemporaryDirectory()) if folder is None else folder
        opened = stack.enter_context(opened_folder(arguments.path_of(path, "folder"), request.settings()))
        return run_design(
            request,
            opened,
            executor,
            observer or Unobserved(),
            overlap=executor is not None if overlap is None else overlap,
            as_generated=as_generated,
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
    device: auto, cpu, cuda, or one or several GPUs such as cuda:0,cuda:1, which share every batch
    report: called with the progress after every step
    options: fields of TrainingOptions; the ``quick`` budget unless ``samples_seen`` or ``minutes`` is given
    """
    from .training.budgets import BUDGETS
    from .training.options import TrainingOptions
    from .training.train import train_method

    dataset = _dataset(dataset)
    if not isinstance(config or {}, Mapping):
        raise AmsbenchError(f"config is a table such as {{'guidance': 2.0}}, not {config!r}")
    unknown = [name for name in options if name not in TrainingOptions.__dataclass_fields__]
    if unknown:
        expected = list(TrainingOptions.__dataclass_fields__)
        raise AmsbenchError(
            f"a training has no option '{unknown[0]}'; {registry.near_matches(unknown[0], expected)}"
        )
    if report is not None and not callable(report):
        raise AmsbenchError(f"report is a function of the progress, not {report!r}")
    if options.get("minutes") is None:
        options.setdefault("samples_seen", BUDGETS["quick"])
    chosen = dataset.definition.design_properties
    return train_method(
        arguments.text(method, "the method"),
        dataset,
        output=arguments.path_of(output, "output"),
        options=TrainingOptions(**options),
        properties=chosen if properties is None else arguments.names(properties, "properties"),
        network=None if network is None else arguments.text(network, "network"),
        config=config,
        init_from=None if init_from is None else arguments.path_of(init_from, "init_from"),
        device=device,
        report=report,
    )
