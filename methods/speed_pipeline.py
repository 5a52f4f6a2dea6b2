"""Speed of what surrounds the network: generation, training, distribution functions, files (``amsbench bench``)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..benchmark.api import load_checkpoint_for, load_dataset, start_cells
from ..benchmark.execution import local_pool
from ..benchmark.files import write_frames
from ..benchmark.generation import generate
from ..benchmark.method import Task
from ..benchmark.trainer import Trainer, TrainingOptions
from ..metrics.distributions import structural_curves
from .amshortcut import AMShortcut
from .material_sde import MaterialSDE
from .speed import Row, flops, race, silicon

STRUCTURES = 10_000
PAPER_SECONDS = {1: 132.0, 250: 3.6 * 3600}
"""Seconds for 10,000 structures of a-Si by AMShortcut and by material SDE on the paper's GPU (its Table 1)."""


def generation_rows(device: torch.device, peak: float, neighbours: float) -> Iterator[Row]:
    """10,000 structures of a-Si from the released network in 1 step and in 250, beside the paper's times.

    On a CPU a share of them is generated and the rest extrapolated; ``neighbours`` per atom sets the limit.
    """
    for steps, name in ((1, "amshortcut"), (250, "material-sde")):
        method = load_checkpoint_for(name, "asi", device=device.type).method
        assert isinstance(method, MaterialSDE)
        whole = device.type == "cuda"
        count = STRUCTURES if whole else (256 if steps == 1 else 8)
        cells, counts = start_cells(method, count, None)
        made = generate(method, cells=cells, counts=counts, steps=steps, sampler="ancestral")
        config = method.denoiser.backbone.config
        edges = 256 * round(256 / 17.05**3 * 4 / 3 * np.pi * config.cutoff**3)
        work = flops(config, 256, edges) * steps * STRUCTURES
        seconds = made.seconds * STRUCTURES / count
        group = f"{STRUCTURES:,} structures of a-Si, {steps} step{'s' if steps > 1 else ''} of {name}"
        yield Row(group=group, path="the paper's GPU", unit="run", seconds=PAPER_SECONDS[steps], ratio=1.0)
        yield Row(
            group=group, path=method.backend() + ("" if whole else f" (from {count})"), unit="run", seconds=seconds,
            ratio=PAPER_SECONDS[steps] / seconds, gflops=work / seconds / 1e9, share=work / seconds / peak,
            limit=work / peak,
        )  # fmt: skip


def training_rows(device: torch.device) -> Iterator[Row]:
    """Sample passes of real training steps, data and optimiser included, in seconds per structure."""
    from lightning.fabric import Fabric

    dataset = load_dataset("asi")
    task = Task.of(dataset, ())
    for kind in (MaterialSDE, AMShortcut):
        size = 64 if device.type == "cuda" else 2
        method = kind(task, kind.default_config("standard", task))
        fabric = Fabric(accelerator="gpu" if device.type == "cuda" else "cpu", devices=1)
        with tempfile.TemporaryDirectory() as folder:
            options = TrainingOptions(passes=10**9, batch_size=size)
            trainer = Trainer(fabric, method, dataset, Path(folder), options, None)
            batches = trainer.batches()
            trainer.step = options.steps // 2  # beyond the warm-up, where every part of the loss is there
            best = race({"step": lambda t=trainer, b=batches: t.update(next(b))}, device, 4.0)  # type: ignore[misc]
            # the mean, because not every step has every part of the loss
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < 4.0:
                trainer.update(next(batches))
                trainer.step += 1
                steps += 1
            seconds = (time.perf_counter() - began) / steps
            loading = race({"data": lambda t=trainer, b=batches: t.prepare(next(b), 0)}, device, 1.0)  # type: ignore[misc]
        del best
        group = f"training {kind.name} on asi, standard network, batches of {size}"
        yield Row(group=group, path=method.backend(), unit="structure", seconds=seconds / size)
        yield Row(
            group=group, path="of this: data and noise", unit="structure", seconds=loading["data"] / size
        )


def metric_rows(threads: int) -> Iterator[Row]:
    """g(r) and P(theta) of 10,000 structures of 256 atoms, and writing them."""
    from ase.geometry.rdf import get_rdf

    test = load_dataset("asi").split("test")
    frames = [test.atoms(k) for k in range(16)]
    cpu = torch.device("cpu")
    scale = STRUCTURES / len(frames)
    group = f"g(r) and P(theta) of {STRUCTURES:,} structures"
    best = race(
        {
            "ASE, g(r) alone": lambda: get_rdf(frames[0], 5.0, 100),
            "one process": lambda: structural_curves(frames),
        },
        cpu,
    )
    ase, ours = best["ASE, g(r) alone"] * STRUCTURES, best["one process"] * scale
    yield Row(group=group, path="ASE, g(r) alone (from 1)", unit="run", seconds=ase, ratio=1.0)
    yield Row(group=group, path="one process (from 16)", unit="run", seconds=ours, ratio=ase / ours)
    with tempfile.TemporaryDirectory() as folder:
        writing = race({"extxyz": lambda: write_frames(Path(folder) / "s.extxyz", frames)}, cpu)["extxyz"]
    yield Row(
        group=f"writing {STRUCTURES:,} structures",
        path="extxyz (from 16)",
        unit="run",
        seconds=writing * scale,
    )
    del threads


def start_rows() -> Iterator[Row]:
    """One structure by the command line, from an empty process to the file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-c",
            "from amsbench.cli import main; main()",
            "generate",
            "-m",
            "amshortcut",
        ]
        command += ["-d", "asi", "--steps", "1", "--output", str(Path(folder) / "s.extxyz")]
        run = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
        seconds = race({"start": run}, torch.device("cpu"), 0.0)["start"]
    yield Row(group="amsbench generate, one structure", path="start to end", unit="run", seconds=seconds)
