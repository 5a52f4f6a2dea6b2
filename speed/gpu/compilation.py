"""Compilation of the GPU's kernels in processes side by side, and Triton's cache as one file.

Triton compiles a kernel at its first use, which takes up to a minute. Its cache stores absolute paths, so that a packed
cache is of use at the same place only: the folder of temporary files of ``python -m amsbench.speed.gpu``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ...benchmark.system.environment import environment_variables
from ...benchmark.system.files import write_atomically
from ...methods.egnn.config import EGNNConfig
from ...methods.egnn.edge_sums_triton import LayerCall, layer_call
from ...methods.egnn.layer import EGNNLayer
from ...methods.egnn.neighbour_table import NeighbourCapacity, neighbour_table
from ...methods.egnn.network import EGNN
from ...methods.egnn.triton_choice import VARIABLE, KernelChoice, Tile
from ..network import silicon

ARCHIVE = "triton_cache.tar.gz"
LARGEST_ARCHIVE = 16 * 2**20 - 1
"""Largest packed cache that comes back, bytes."""

FORWARD = (Tile(edges=32, warps=4), Tile(edges=16, warps=4), Tile(edges=64, warps=4), Tile(edges=64, warps=8))
BACKWARD = (Tile(edges=32, warps=4), Tile(edges=16, warps=4), Tile(edges=32, warps=8))
"""Tiles that are raced, those with most neighbours per register last."""

JOB_ATOMS = 64
"""Atoms for which a job runs its kernels, which are the same for every number of atoms."""

Job = dict[str, Any]
"""network: fields of EGNNConfig; layer: its number; which: ``forward`` or ``backward``; products: type; choice: text of
AMSBENCH_TRITON_KERNELS."""


def use_cache(work: Path, carried: Path | None) -> str:
    """Let Triton use a cache in ``work``, with the contents of the archive in ``carried`` if it is empty; a line."""
    folder = work / "triton_cache"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TRITON_CACHE_DIR"] = str(folder)
    archive = None if carried is None else carried / ARCHIVE
    if archive is None or not archive.is_file() or any(folder.iterdir()):
        return f"{sum(1 for _ in folder.iterdir())} entries in Triton's cache"
    try:
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        return f"Triton's cache {archive} cannot be read ({error}); kernels are compiled again"
    return f"{sum(1 for _ in folder.iterdir())} entries in Triton's cache, from {archive}"


def pack_cache(work: Path, output: Path) -> str:
    """Write Triton's cache to one archive in ``output``; a line on it."""
    folder = work / "triton_cache"
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        return "Triton's cache is empty"
    target = output / ARCHIVE

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w:gz", compresslevel=6) as file:
            for entry in entries:
                file.add(entry, arcname=entry.name)

    write_atomically(target, write)
    size = target.stat().st_size
    if size > LARGEST_ARCHIVE:
        target.unlink()
        return f"Triton's cache has {size / 2**20:.1f} MiB, too much to come back"
    return f"Triton's cache: {len(entries)} entries, {size / 2**20:.1f} MiB"


def first_jobs(config: EGNNConfig) -> list[Job]:
    """Every kernel of a network by its default, in both types of products, and those of a middle layer in all tiles."""
    last = config.layers - 1
    layers = sorted({0, 1, last} & set(range(config.layers)))
    jobs = [
        job_of(config, layer, which, products, KernelChoice(gradients="triton"))
        for which in ("backward", "forward")
        for products in ("bfloat16", "float32")
        for layer in layers
    ]
    middle = 1 if config.layers > 2 else last
    raced = [("backward", KernelChoice(backward=tile, gradients="triton")) for tile in BACKWARD]
    raced += [("forward", KernelChoice(forward=tile, gradients="triton")) for tile in FORWARD]
    return [*(job_of(config, middle, which, "bfloat16", choice) for which, choice in raced), *jobs]


def jobs_of_choice(config: EGNNConfig, choice: KernelChoice) -> list[Job]:
    """The kernels of all layers with the tiles of a choice."""
    layers = sorted({0, 1, config.layers - 1} & set(range(config.layers)))
    return [job_of(config, k, which, "bfloat16", choice) for which in ("backward", "forward") for k in layers]


def job_of(config: EGNNConfig, layer: int, which: str, products: str, choice: KernelChoice) -> Job:
    """The job that compiles the kernels of one pass of one layer."""
    return {
        "network": vars(config),
        "layer": layer,
        "which": which,
        "products": products,
        "choice": choice.text(),
    }


def compile_side_by_side(jobs: Iterable[Job], *, processes: int, end: float) -> list[Job]:
    """Run jobs in processes until ``end`` (seconds since the epoch); returns them with their seconds or their error."""
    command = [sys.executable, "-m", "amsbench.speed.gpu", "compile"]
    # a job that is repeated by default and in the race is compiled once
    waiting = [json.loads(text) for text in dict.fromkeys(json.dumps(job, sort_keys=True) for job in jobs)]
    running: list[tuple[Job, subprocess.Popen[str]]] = []
    done: list[Job] = []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    while (waiting or running) and time.time() < end:
        while waiting and len(running) < processes:
            job = waiting.pop(0)
            process = subprocess.Popen(
                [*command, json.dumps(job)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            running.append((job, process))
        time.sleep(0.2)
        for job, process in [pair for pair in running if pair[1].poll() is not None]:
            running.remove((job, process))
            out, messages = process.communicate()
            last = (messages.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            done.append(job | (json.loads(out) if process.returncode == 0 else {"error": last}))
    for job, process in running:
        process.kill()
        process.communicate()
        done.append(job | {"error": "the time was up"})
    return [*done, *(job | {"error": "not begun, the time was up"} for job in waiting)]


def compile_job(job: Job) -> dict[str, float]:
    """Seconds of the first and of the second run of the kernels of a job; the first one compiles them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = EGNNConfig(**job["network"])
    with environment_variables({"AMSBENCH_TRITON": job["products"], VARIABLE: job["choice"]}):
        call, need_x = call_of(config, job["layer"], atoms=JOB_ATOMS, structures=1, device=device)
        return {"first": _run(call, job, need_x, device), "second": _run(call, job, need_x, device)}


def call_of(
    config: EGNNConfig, layer: int, *, atoms: int, structures: int, device: torch.device
) -> tuple[LayerCall, bool]:
    """The kernels of one layer for random atoms, and whether positions have a gradient in it."""
    torch.manual_seed(0)
    chosen = EGNN(config).to(device).layers[layer]
    assert isinstance(chosen, EGNNLayer)
    batch = silicon(structures, device, atoms)
    table = neighbour_table(batch, config.cutoff, NeighbourCapacity.expected(batch, config.cutoff))
    generator = torch.Generator().manual_seed(1)
    count = len(batch.positions)
    nodes = [torch.randn(count, 2 * config.hidden, generator=generator).to(device) for _ in range(2)]
    x = batch.positions[:, None].expand(-1, chosen.channels[1], -1)
    with torch.no_grad():
        return layer_call(chosen, table, (nodes[0], nodes[1], x)), layer > 0


def gradients_of(call: LayerCall) -> list[torch.Tensor]:
    """Random gradients of both sums of a layer."""
    shapes = ((call.nodes, call.constants["HIDDEN"]), (call.nodes, call.outgoing, 3))
    return [torch.randn(*shape, device=call.device) for shape in shapes]


def _run(call: LayerCall, job: Job, need_x: bool, device: torch.device) -> float:
    grad_h, grad_x = gradients_of(call)
    began = time.perf_counter()
    if job["which"] == "forward":
        call.forward()
    else:
        call.backward(grad_h, grad_x, need_x)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return round(time.perf_counter() - began, 4)
