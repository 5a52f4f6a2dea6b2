"""Timing of computing paths against each other, and the peaks of the machine."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from ..benchmark.system.devices import device_name, processor_name
from ..benchmark.system.worker_pool import available_cores
from ..methods.egnn import edge_sums_native, edge_sums_triton
from ..methods.egnn.config import EGNNConfig
from ..methods.product_precision import product_type
from ..metrics.neighbours import neighbour_list
from ..version import __version__

ROUNDS, SECONDS, LONGEST = 5, 2.0, 10.0
"""Every path runs at least this often, and all of a group together at least this long; twice is enough where they
take longer than LONGEST."""


PEAK_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
"""Edges of square matrices whose products may reach the peak: large ones on many cores, small ones on a busy machine,
where they fit between what else is running."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    group, path: what was computed, and how
    unit: what ``seconds``, those of the best round, are for
    part: how many were measured where the time of all is extrapolated
    ratio: how many times as fast as the first row of its group
    work, products: useful FLOP in these seconds, and the type of most of them, a name in ``peaks``
    error: relative deviation from the reference's output
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
        """Useful GFLOP/s, their share of the peak [FLOP/s] for their type, and the time [s] at that peak."""
        if self.work is None or self.products is None:
            return dict.fromkeys(("gflops", "share", "limit"))
        speed, most = self.work / self.seconds, peak[self.products]
        return {"gflops": speed / 1e9, "share": speed / most, "limit": self.work / most}

    def as_json(self, peak: Mapping[str, float]) -> dict[str, Any]:
        return asdict(self) | self.against(peak)


def race(
    paths: Mapping[str, Callable[[], Any]],
    device: torch.device,
    *,
    rounds: int | None = None,
    seconds: float | None = None,
) -> dict[str, float]:
    """Best seconds of each path, all run in turns.

    rounds, seconds: at least so many, for at least so long; ROUNDS and SECONDS where None
    """
    rounds = ROUNDS if rounds is None else rounds
    until = SECONDS if seconds is None else seconds
    best = dict.fromkeys(paths, math.inf)
    for function in paths.values():  # compiles, packs weights, fills caches
        function()
        wait(device)
    began, done = time.perf_counter(), 0
    while True:
        spent = time.perf_counter() - began
        if (done >= rounds and spent >= until) or (done >= 2 and spent > LONGEST):
            return best
        for name, function in paths.items():
            start = time.perf_counter()
            function()
            wait(device)
            best[name] = min(best[name], time.perf_counter() - start)
        done += 1


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops(config: EGNNConfig, atoms: float, edges: float, *, training: bool = False) -> float:
    """Multiplications and additions of one evaluation, or of one with its gradient, which has three times the
    products: each once forwards, and once for either factor."""
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
    """Directed edges of ``atoms`` at random places in ``volume`` [A^3]."""
    return atoms * atoms / volume * 4 / 3 * math.pi * cutoff**3


def peaks(device: torch.device) -> dict[str, float]:
    """Measured FLOP/s of matrix products on the threads at hand, by type: the best size and library.

    What else runs can only lower them, so of several measurements the highest holds.
    """
    found = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        found[name] = 0.0
        for size in PEAK_SIZES[device.type]:
            a = torch.randn(size, size, device=device).to(kind)
            ways: dict[str, Callable[[], Any]] = {"torch": partial(torch.mm, a, a.t())}
            if device.type == "cpu" and kind == torch.float32 and torch.backends.mkldnn.is_available():
                # torch takes MKL, which on AMD processors is half as fast
                packed = a.to_mkldnn()
                ways["oneDNN"] = partial(torch.nn.functional.linear, packed, packed)
            best = race(ways, device, seconds=SECONDS / 4)
            found[name] = max(found[name], 2 * size**3 / min(best.values()))
    return found


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """The process's environment with some variables set, or unset where None."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def machine(device: torch.device) -> dict[str, Any]:
    """What the measurements depend on: versions, processor, threads, the paths that are active here."""
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
    """What of the package's own kernels runs here, and why the others do not, by name."""
    return {
        "native network kernel": edge_sums_native.info(),
        "native neighbour lists": neighbour_list.info(),
        "triton kernels": edge_sums_triton.info(),
    }


def baseline_products() -> str:
    """The product type of the baselines' networks on this machine's fastest device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return product_type(torch.zeros(1, device=device))
