"""Timing of several implementations in turns, and measurement of the peaks of the machine."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from ..benchmark.execution.cores import available_cores
from ..benchmark.system.devices import device_name, processor_name
from ..methods.egnn import edge_sums_native, edge_sums_triton
from ..methods.egnn.config import EGNNConfig
from ..methods.product_precision import product_type
from ..metrics.neighbours import neighbour_list
from ..version import __version__

ROUNDS, SECONDS, LONGEST = 5, 2.0, 10.0
"""Every path runs at least ROUNDS times, and all paths of a group run for at least SECONDS. After LONGEST seconds two
rounds are enough."""

PEAK_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
"""Sizes of the square matrices for the peaks. Large ones reach the peak on many cores; small ones reach it on a busy
machine, because they finish between other processes."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    group, path: the computation and its implementation
    unit: ``seconds``, the time of the best round, is per call, run, atom or structure
    part: number of structures or steps that were measured, if the time of all is extrapolated from them
    ratio: speed relative to the first row of the group
    work: useful FLOP in ``seconds``
    products: type of most products, a name in ``peaks``
    error: relative deviation of the output from that of the reference
    """

    group: str
    path: str
    unit: str
    seconds: float
    part: int | None = None
    ratio: float | None = None
    work: float | None = None
    products: str | None = None
    error: float | None = None

    def against(self, peak: Mapping[str, float]) -> dict[str, float | None]:
        """gflops: useful GFLOP/s; share: their share of the peak (FLOP/s) of their type; limit: seconds at the peak."""
        if self.work is None or self.products is None:
            return dict.fromkeys(("gflops", "share", "limit"))
        speed, highest = self.work / self.seconds, peak[self.products]
        return {"gflops": speed / 1e9, "share": speed / highest, "limit": self.work / highest}

    def as_json(self, peak: Mapping[str, float]) -> dict[str, Any]:
        """All fields and the numbers of ``against``."""
        return asdict(self) | self.against(peak)


def race(
    paths: Mapping[str, Callable[[], Any]],
    device: torch.device,
    *,
    rounds: int | None = None,
    seconds: float | None = None,
) -> dict[str, float]:
    """Seconds of the best round of each path; the paths run in turns.

    rounds, seconds: least number of rounds and least time of all rounds; None: ROUNDS and SECONDS
    """
    rounds = ROUNDS if rounds is None else rounds
    least_seconds = SECONDS if seconds is None else seconds
    best = dict.fromkeys(paths, math.inf)
    for function in paths.values():  # not counted: compiles, packs weights, fills caches
        function()
        wait(device)
    began, done = time.perf_counter(), 0
    while True:
        spent = time.perf_counter() - began
        if (done >= rounds and spent >= least_seconds) or (done >= 2 and spent > LONGEST):
            return best
        for name, function in paths.items():
            start = time.perf_counter()
            function()
            wait(device)
            best[name] = min(best[name], time.perf_counter() - start)
        done += 1


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops(config: EGNNConfig, atoms: float, edges: float, *, training: bool = False) -> float:
    """FLOP of one evaluation of the network or, with ``training``, of one with its gradient.

    A gradient has three times the products: one of the evaluation, and one for each factor.
    """
    h, total = config.hidden, 0.0
    for k in range(config.layers):
        incoming = 1 if k == 0 else config.channels
        outgoing = 1 if k == config.layers - 1 else config.channels
        features = config.radial if config.edge_features == "radial" else 1
        features += incoming if incoming > 1 else 0
        # both MLPs on the features, the message, its gate and its sum, the moments of the directions
        per_edge = features * 2 * h + h * h + 2 * h + 3 * incoming * h
        # receiver and sender parts, the node MLP, Phi of the moments
        per_atom = h * 4 * h + 3 * h * h + 3 * incoming * outgoing * h
        total += 2 * (edges * per_edge + atoms * per_atom)
    return total * (3 if training else 1)


def expected_edges(atoms: float, volume: float, cutoff: float) -> float:
    """Expected number of directed edges of ``atoms`` at random positions in ``volume`` (A^3), for a cutoff in A."""
    return atoms * atoms / volume * 4 / 3 * math.pi * cutoff**3


def peaks(device: torch.device) -> dict[str, float]:
    """Measured FLOP/s of matrix products on the current threads by type: the highest over sizes and libraries."""
    highest = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        highest[name] = 0.0
        for size in PEAK_SIZES[device.type]:
            a = torch.randn(size, size, device=device).to(kind)
            libraries: dict[str, Callable[[], Any]] = {"torch": partial(torch.mm, a, a.t())}
            if device.type == "cpu" and kind == torch.float32 and torch.backends.mkldnn.is_available():
                # torch uses MKL, which on AMD processors is half as fast
                packed = a.to_mkldnn()
                libraries["oneDNN"] = partial(torch.nn.functional.linear, packed, packed)
            best = race(libraries, device, seconds=SECONDS / 4)
            highest[name] = max(highest[name], 2 * size**3 / min(best.values()))
    return highest


def machine(device: torch.device) -> dict[str, Any]:
    """Versions, device, processor, threads and active kernels, on which measurements depend."""
    versions = {"amsbench": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in ("triton", "numpy", "ase", "vesin", "lightning"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "device": device_name(device) if device.type == "cuda" else "cpu",
        "processor": processor_name(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        **computing_paths(),
    }


def computing_paths() -> dict[str, dict[str, Any]]:
    """State of the package's kernels on this machine by name, as returned by their ``info``."""
    return {
        "native network kernel": edge_sums_native.info(),
        "native neighbour lists": neighbour_list.info(),
        "triton kernels": edge_sums_triton.info(),
    }


def baseline_products() -> str:
    """The product type of the baselines' networks on this machine's fastest device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return product_type(torch.zeros(1, device=device))
