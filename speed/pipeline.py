"""Speed of generation, training, distribution functions, files and start (``amsbench bench``)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..benchmark.datasets.dataset import Dataset, task_of
from ..benchmark.datasets.storage import load_dataset
from ..benchmark.execution.local_pool import local_pool
from ..benchmark.generation.batches import ATOMS_PER_BATCH
from ..benchmark.generation.cells import start_cells
from ..benchmark.generation.generate import generate_structures
from ..benchmark.interface.evaluation_plan import steps_text
from ..benchmark.system.environment import environment_variables
from ..benchmark.system.structure_files import write_frames
from ..benchmark.training.checkpoint_choice import load_checkpoint_for
from ..benchmark.training.options import TrainingOptions
from ..benchmark.training.trainer import Trainer
from ..methods.amshortcut import AMShortcut
from ..methods.egnn.network import EGNN
from ..methods.material_method import MaterialMethod
from ..methods.material_sde import MaterialSDE
from ..metrics.distribution_functions import Curves, adf, curves_in_chunks, rdf
from ..metrics.neighbours import neighbour_list
from .network import network_error, product_type
from .timing import SECONDS, Row, expected_edges, flops, race, wait

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ase import Atoms

STRUCTURES = 10_000
PAPER_SECONDS = {1: 132.0, 250: 3.6 * 3600}
"""Seconds for 10,000 structures of a-Si by AMShortcut and by material SDE on the paper's GPU (its Table 1)."""
GENERATING = {"cpu": 15.0, "cuda": 120.0}
"""Seconds of a measured generation; the time of 10,000 structures is extrapolated from it."""
BATCH = {"cpu": 4, "cuda": 64}
"""Structures in a training step: on a CPU the default of ``amsbench train``, on a GPU enough to use all of it."""
FRAMES_WRITTEN = 200
"""Structures in the measured file."""


def generation_rows(device: torch.device) -> Iterator[Row]:
    """Times of generating 10,000 structures of a-Si with the released networks in 1 and 250 steps, and the paper's."""
    for steps, name in ((1, "amshortcut"), (250, "material-sde")):
        method = load_checkpoint_for(name, "asi", device=device.type).method
        assert isinstance(method, MaterialSDE)
        count, seconds = _generated(method, steps, device)
        seconds *= STRUCTURES / count
        cells, counts = start_cells(method, 1, None)
        work = _forward_work(method, float(counts[0]), float(np.linalg.det(cells[0]))) * steps * STRUCTURES
        products = product_type(network_error(_backbone(method), device))
        group = f"{STRUCTURES:,} a-Si by {name}, {steps_text(steps)}"
        paper = PAPER_SECONDS[steps]
        yield Row(group=group, path="the paper's GPU", unit="run", seconds=paper, ratio=1.0)
        yield Row(
            group=group,
            path=method.backend(),
            unit="run",
            seconds=seconds,
            part=count if count < STRUCTURES else None,
            ratio=paper / seconds,
            work=work,
            products=products,
        )


def _generated(method: MaterialSDE, steps: int, device: torch.device) -> tuple[int, float]:
    """Number of structures in as many whole batches as fit into GENERATING, at least one, and the seconds they took."""
    atoms = int(start_cells(method, 1, None)[1][0])
    batch = ATOMS_PER_BATCH[device.type] // atoms
    if device.type == "cpu":
        batch *= torch.get_num_threads()  # one batch per thread

    def timed(count: int, steps: int) -> float:
        cells, counts = start_cells(method, count, None)
        return generate_structures(
            method, cells=cells, counts=counts, steps=steps, sampler=method.samplers[0].name
        ).seconds

    trial_steps = min(steps, 10)
    batch_seconds = timed(batch, trial_steps) * steps / trial_steps
    count = max(1, int(GENERATING[device.type] / batch_seconds)) * batch
    count = min(count, STRUCTURES)
    return count, timed(count, steps)


def _backbone(method: MaterialMethod) -> EGNN:
    """The network of a preset with fast implementations."""
    assert isinstance(method.denoiser.backbone, EGNN)
    return method.denoiser.backbone


def _forward_work(method: MaterialSDE, atoms: float, volume: float) -> float:
    """FLOP of one network evaluation on one structure with atoms at random positions in ``volume`` (A^3)."""
    config = method.denoiser.backbone.config
    return flops(config, atoms, expected_edges(atoms, volume, config.cutoff))


def training_rows(device: torch.device) -> Iterator[Row]:
    """Times of training steps per structure, with data and optimiser, and of the data alone."""
    dataset = load_dataset("asi")
    task = task_of(dataset, ())
    for kind in (MaterialSDE, AMShortcut):
        size = BATCH[device.type]
        method = kind(task, kind.default_config("standard", task))
        seconds, data = _trained(method, dataset, size, device)
        train = dataset.split("train")
        volume = float(np.abs(np.linalg.det(train.cells)).mean())
        forward = _forward_work(method, float(train.counts.mean()), volume)
        # a shortcut loss has two evaluations of the moving average and one of the network with its gradient
        work = forward * (3 + method.config.get("consistency_share", 0.0) * (2 + 3))
        group = f"training {kind.name}, {size} at a time"
        products = product_type(network_error(_backbone(method), device))
        yield Row(
            group=group,
            path=method.backend(),
            unit="structure",
            seconds=seconds / size,
            work=work,
            products=products,
        )
        yield Row(
            group=group,
            path=f"data and noise, {100 * data / seconds:.2f} % of it",
            unit="structure",
            seconds=data / size,
        )


def _trained(method: MaterialSDE, dataset: Dataset, size: int, device: torch.device) -> tuple[float, float]:
    """Mean seconds of a training step, and seconds of its data and noise alone."""
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator="gpu" if device.type == "cuda" else "cpu", devices=1)
    with tempfile.TemporaryDirectory() as folder:  # required by the trainer; nothing is written
        # the learning rate is so small that weights stay as they are and the training cannot diverge
        options = TrainingOptions(samples_seen=10**9, batch_size=size, learning_rate=1e-9)
        trainer = Trainer(fabric, method, dataset, Path(folder), options, None)
        trainer.step = options.steps // 2  # after the warm-up, when the loss has all of its parts
        batches = trainer.batches()

        def step() -> None:
            trainer.update(next(batches))
            trainer.step += 1

        for _ in range(5):
            step()
        wait(device)
        # a mean, because not every step has every part of the loss
        began, done = time.perf_counter(), 0
        while done < 5 or time.perf_counter() - began < 2 * SECONDS:
            step()
            done += 1
        wait(device)
        seconds = (time.perf_counter() - began) / done
        data = race({"data": lambda: trainer.prepare(next(batches), 0)}, device, seconds=SECONDS / 2)
    return seconds, data["data"]


def _both_curves(structures: list[Atoms], executor: Executor | None) -> tuple[Curves, Curves]:
    """g(r) and P(theta) of the structures, computed as in an evaluation."""
    radial, angular = (curves_in_chunks(curve, structures, executor=executor) for curve in (rdf, adf))
    return radial, angular


def curve_rows(processes: int) -> Iterator[Row]:
    """Times of g(r) and P(theta) of 10,000 structures of 256 atoms, by ASE and by every path of this package."""
    from ase.geometry.rdf import get_rdf

    cpu = torch.device("cpu")
    test = load_dataset("asi").split("test")
    few = [test.atoms(k) for k in range(16)]
    many = [few[k % len(few)] for k in range(STRUCTURES)]
    group = f"g(r), P(theta) of {STRUCTURES:,} structures"

    def curves_by_vesin() -> Any:
        with environment_variables({"AMSBENCH_NATIVE": "0"}):
            return rdf(few), adf(few)

    expected = get_rdf(few[0], 5.0, 100)[0]
    error = float(np.linalg.norm(rdf(few[:1]).values[0] - expected) / np.linalg.norm(expected))
    paths: dict[str, Callable[[], Any]] = {"ASE": partial(get_rdf, few[0], 5.0, 100)}
    if neighbour_list.active():
        paths["vesin"] = curves_by_vesin
    best = race(paths, cpu)
    ase = best["ASE"] * STRUCTURES
    yield Row(group=group, path="ASE, g(r) alone", unit="run", seconds=ase, part=1, ratio=1.0)
    if "vesin" in best:
        seconds = best["vesin"] * STRUCTURES / len(few)
        yield Row(
            group=group, path="vesin and numpy", unit="run", seconds=seconds, part=len(few), ratio=ase / seconds
        )  # fmt: skip
    with local_pool(processes) as pool:
        paths = {"one process": partial(_both_curves, many, None)}
        if processes > 1:
            paths[f"{processes} processes"] = partial(_both_curves, many, pool)
        best = race(paths, cpu, rounds=2, seconds=0.0)
    path = "native" if neighbour_list.active() else "vesin and numpy"
    for name, seconds in best.items():
        yield Row(
            group=group, path=f"{path}, {name}", unit="run", seconds=seconds, ratio=ase / seconds, error=error
        )  # fmt: skip


def file_rows() -> Iterator[Row]:
    """Time of writing 10,000 structures of 256 atoms."""
    test = load_dataset("asi").split("test")
    frames = [test.atoms(k % len(test)) for k in range(FRAMES_WRITTEN)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "structures.extxyz"
        best = race(
            {"extxyz": partial(write_frames, path, frames)}, torch.device("cpu"), rounds=3, seconds=0.0
        )
    yield Row(
        group=f"writing {STRUCTURES:,} structures",
        path="extxyz",
        unit="run",
        seconds=best["extxyz"] * STRUCTURES / FRAMES_WRITTEN,
        part=FRAMES_WRITTEN,
    )


def start_rows(device: torch.device) -> Iterator[Row]:
    """Times of ``amsbench generate`` for one structure, from the start of the process, and of importing torch."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["generate", "--method", "amshortcut", "--dataset", "asi", "--steps", "1"]
        arguments += ["--device", device.type, "--cores", str(torch.get_num_threads())]
        arguments += ["--output-file", str(Path(folder) / "one.extxyz")]
        programs = {
            "importing torch alone": ["import torch"],
            "amsbench generate": ["from amsbench.cli.main import main; main()", *arguments],
        }
        commands = {
            name: partial(subprocess.run, [sys.executable, "-c", *program], check=True, capture_output=True)
            for name, program in programs.items()
        }
        best = race(commands, torch.device("cpu"), rounds=2, seconds=0.0)
    for name, seconds in best.items():
        yield Row(group="start to end, one structure", path=name, unit="run", seconds=seconds)
