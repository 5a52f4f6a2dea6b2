"""How fast this machine runs what amsbench computes: the rows of ``amsbench bench``.

Paths through the same network are timed in turns within one process, each by its best round, so that a ratio survives
a busy machine. FLOPs are those that the function needs in its cheapest form (node parts taken once per atom, moments
of the directions instead of Phi of every edge), whatever a path spends; the limit is the time they take at the peak
that was measured for matrix products of the same type.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..benchmark.structures import Structures
from . import fused, native
from .egnn import EGNN, EGNNConfig
from .graph import neighbour_graph
from .material import NETWORKS
from .reference import ReferenceEGNN

DENSITY = 256 / 17.05**3
"""Atoms per A^3 of liquid silicon."""
ROUNDS, SECONDS = 5, 2.0
"""Every path runs at least this often, and all of a group together at least this long."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    group, path: what was computed, and how
    seconds: the best round, for ``unit``
    ratio: how many times as fast as the first row of its group
    gflops, share: useful GFLOP/s and their share of the measured peak; limit: seconds at that peak
    error: relative deviation from the reference's output
    """

    group: str
    path: str
    unit: str
    seconds: float
    ratio: float | None = None
    gflops: float | None = None
    share: float | None = None
    limit: float | None = None
    error: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def race(
    paths: Mapping[str, Callable[[], Any]], device: torch.device, seconds: float = SECONDS
) -> dict[str, float]:
    """Best seconds of each path, all run in turns."""
    best = dict.fromkeys(paths, float("inf"))
    for function in paths.values():  # compiles, packs weights, fills caches
        function()
        _wait(device)
    began, rounds = time.perf_counter(), 0
    while rounds < ROUNDS or time.perf_counter() - began < seconds:
        for name, function in paths.items():
            start = time.perf_counter()
            function()
            _wait(device)
            best[name] = min(best[name], time.perf_counter() - start)
        rounds += 1
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops(config: EGNNConfig, atoms: int, edges: int, *, training: bool = False) -> float:
    """Multiplications and additions of one evaluation, or of one with its gradient, which has three times the
    products: each once forwards, and once for either factor."""
    h, total = config.hidden, 0.0
    for k in range(config.layers):
        incoming = 1 if k == 0 else config.channels
        outgoing = 1 if k == config.layers - 1 else config.channels
        features = config.radial + (incoming if incoming > 1 else 0)
        per_edge = features * 2 * h + h * h + h + 3 * incoming * h
        per_atom = h * 4 * h + 3 * h * h + 3 * incoming * outgoing * h
        total += 2 * (edges * per_edge + atoms * per_atom)
    return total * (3 if training else 1)


def peaks(device: torch.device) -> dict[str, float]:
    """Measured FLOP/s of large matrix products on the threads at hand, by type."""
    size = 8192 if device.type == "cuda" else 1024
    found = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a = torch.randn(size, size, device=device).to(kind)
        best = race({name: lambda a=a: a @ a}, device, 0.5)[name]  # type: ignore[misc]
        found[name] = 2 * size**3 / best
    return found


@contextmanager
def environment(**values: str | None) -> Iterator[None]:
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


def silicon(count: int, device: torch.device | str = "cpu") -> Structures:
    """Cubes of 256 atoms at the density of liquid silicon, at random places."""
    edge = (256 / DENSITY) ** (1 / 3)
    start = Structures.empty_cells(
        (torch.eye(3) * edge).repeat(count, 1, 1), torch.full((count,), 256), torch.zeros(count, 0)
    )
    positions = torch.rand(256 * count, 3, generator=torch.Generator().manual_seed(0)) * edge
    return start.with_positions(positions).to(device)


def network_paths(device: torch.device) -> dict[str, tuple[dict[str, str | None], str]]:
    """The paths that can run here: the environment that chooses each, and the type of its products."""
    plain: dict[str, str | None] = {"AMSBENCH_NATIVE": "0", "AMSBENCH_TRITON": "0"}
    paths: dict[str, tuple[dict[str, str | None], str]] = {"torch": (plain, "float32")}
    if device.type == "cuda":
        if fused.info()["active"]:
            paths["triton float32"] = ({"AMSBENCH_TRITON": "float32"}, "float32")
            paths["triton bfloat16"] = ({"AMSBENCH_TRITON": None}, "bfloat16")
        return paths
    kernel = native.info()
    if kernel["active"]:
        on: dict[str, str | None] = {"AMSBENCH_NATIVE": None, "AMSBENCH_NATIVE_LEVEL": "float32"}
        paths["native float32"] = (on, "float32")
        if kernel["mode"] == "bfloat16":
            best: dict[str, str | None] = on | {"AMSBENCH_NATIVE_LEVEL": None}
            paths[f"native {kernel['level']}"] = (best, "bfloat16")
    return paths


def network_rows(name: str, device: torch.device, peak: Mapping[str, float]) -> Iterator[Row]:
    """Forward and training step of one network preset: the reference, then every path of this device."""
    torch.manual_seed(0)
    egnn = EGNN(NETWORKS[name]).to(device)
    structures = silicon(16 if device.type == "cuda" else 1, device)
    config, positions = egnn.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    places = fused.Places.expected(structures, config.cutoff)
    reference = ReferenceEGNN(egnn)
    wanted = reference(h, positions, graph)
    choices = {"reference": ({"AMSBENCH_TRITON": "0"}, "float32"), **network_paths(device)}
    count, edges = len(structures), len(graph.receivers)

    def call(path: str, *, training: bool) -> Callable[[], Any]:
        module = reference if path == "reference" else egnn
        neighbours = fused.neighbour_table(structures, config.cutoff, places) if "triton" in path else graph

        def forward() -> Any:
            with environment(**choices[path][0]), torch.set_grad_enabled(training):
                outputs = module(h, positions, neighbours)
                if training:
                    module.zero_grad()
                    sum((out**2).mean() for out in outputs).backward()
                return outputs

        return forward

    for label, training in (("forward", False), ("training step", True)):
        runs = {path: call(path, training=training) for path in choices}
        best = race(runs, device)
        work = flops(config, len(positions), edges, training=training)
        for path, seconds in best.items():
            of_peak = peak[choices[path][1]]
            error = None
            if not training and path != "reference":
                with torch.no_grad():
                    error = max(map(_relative, runs[path](), wanted))
            yield Row(
                group=f"{label}, {name} network, {count} x 256 atoms", path=path, unit="call",
                seconds=seconds, ratio=best["reference"] / seconds, gflops=work / seconds / 1e9,
                share=work / seconds / of_peak, limit=work / of_peak, error=error,
            )  # fmt: skip


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).detach().norm() / wanted.detach().norm())


def neighbour_rows(device: torch.device) -> Iterator[Row]:
    """Neighbour lists, in seconds per atom."""
    systems = {
        "256 atoms of silicon, 6.5 A": silicon(1, device),
        "64 x 256 atoms, 6.5 A": silicon(64, device),
    }
    for name, structures in systems.items():
        atoms = len(structures.positions)

        def listed(structures: Structures = structures, native: str | None = None) -> Any:
            with environment(AMSBENCH_NATIVE=native):
                return neighbour_graph(structures, 6.5)

        paths: dict[str, Callable[[], Any]] = {"vesin": lambda f=listed: f(native="0"), "native": listed}  # type: ignore[misc]
        if device.type == "cuda" and fused.info()["active"]:
            places = fused.Places.expected(structures, 6.5)
            paths["triton"] = lambda s=structures, p=places: fused.neighbour_table(s, 6.5, p)  # type: ignore[misc]
        best = race(paths, device, 1.0)
        for path, seconds in best.items():
            yield Row(
                group=f"neighbour list, {name}", path=path, unit="atom", seconds=seconds / atoms,
                ratio=best["vesin"] / seconds,
            )  # fmt: skip
