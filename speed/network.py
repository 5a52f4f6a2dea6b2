"""How fast this machine runs what amsbench computes: the tools of ``amsbench bench``, networks and neighbour lists.

Paths through the same work are timed in turns within one process, each by its best round, so that a ratio survives
a busy machine. FLOPs are those that the function needs in its cheapest form (node parts taken once per atom, moments
of the directions instead of Phi of every edge), whatever a path spends; the limit is the time they take at the peak
that was measured for matrix products of the same type.
"""

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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ..benchmark.interface.structures import Structures
from ..benchmark.system.worker_pool import cores
from ..methods.egnn import edge_sums_native, edge_sums_triton
from ..methods.egnn.network import EGNN, EGNNConfig
from ..methods.egnn.reference import ReferenceEGNN
from ..methods.material_method import NETWORKS
from ..metrics.neighbours import neighbour_list

ATOMS = 256
DENSITY = ATOMS / 17.05**3
"""Atoms per A^3 of liquid silicon."""
CUTOFF = 6.5
"""A, of the neighbour lists; the networks bring their own."""
ROUNDS, SECONDS, LONGEST = 5, 2.0, 10.0
"""Every path runs at least this often, and all of a group together at least this long; twice is enough where they
take longer than LONGEST."""
PEAK_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
"""Edges of square matrices whose products may reach the peak: large ones on many cores, small ones on a busy machine,
where they fit between what else is running."""
BYTES_PER_STRUCTURE = 2**29
"""What a training step of the reference keeps on a GPU for each structure, in the wide network and with a margin."""
ONE_THREAD = ", one thread"
"""After a path's name: the same on one thread, to see what the others are worth."""
FLOAT32_ERROR = 1e-4
"""Relative deviation that no float32 path has, and that every path with bfloat16 products exceeds tenfold."""


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


def silicon(count: int, device: torch.device) -> Structures:
    """Cubes of 256 atoms at the density of liquid silicon, at random places."""
    edge = (ATOMS / DENSITY) ** (1 / 3)
    start = Structures.empty_cells(
        (torch.eye(3) * edge).repeat(count, 1, 1), torch.full((count,), ATOMS), torch.zeros(count, 0)
    )
    positions = torch.rand(ATOMS * count, 3, generator=torch.Generator().manual_seed(0)) * edge
    return start.with_positions(positions).to(device)


PLAIN: dict[str, str | None] = {"AMSBENCH_NATIVE": "0", "AMSBENCH_TRITON": "0", "AMSBENCH_NATIVE_LEVEL": None}


def network_paths(network: EGNN, h: Tensor) -> dict[str, dict[str, str | None]]:
    """The paths that a network with node features ``h`` can take here, and the environment that chooses each."""
    paths = {"torch": PLAIN}
    if h.is_cuda:
        for kind in ("float32", "bfloat16"):
            chosen = PLAIN | {"AMSBENCH_TRITON": kind}
            with environment(chosen):
                if edge_sums_triton.usable(network.config, h):
                    paths[f"triton {kind}"] = chosen
        return paths
    if hasattr(torch.backends.mkldnn, "matmul"):  # older torch has no choice of the type
        paths["torch float32"] = PLAIN | {"AMSBENCH_NATIVE_LEVEL": "float32"}
    best = PLAIN | {"AMSBENCH_NATIVE": None}
    with environment(best):
        if edge_sums_native.usable(network.config, h):
            paths["native float32"] = best | {"AMSBENCH_NATIVE_LEVEL": "float32"}
            kernel = edge_sums_native.info()
            if kernel["mode"] == "bfloat16":
                paths[f"native {kernel['level']}"] = best
    return paths


def network_rows(name: str, device: torch.device) -> Iterator[Row]:
    """Forward and training step of one network preset: the reference, then every path of this device."""
    torch.manual_seed(0)
    network = EGNN(NETWORKS[name]).to(device)
    count = _structures_at_once(device)
    structures = silicon(count, device)
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    reference = ReferenceEGNN(network)
    choices = {"reference": PLAIN, **network_paths(network, h)}
    threads, last = torch.get_num_threads(), list(choices)[-1]
    if threads > 1 and "native" in last:
        choices[last + ONE_THREAD] = choices[last]

    def call(path: str, training: bool) -> tuple[Tensor, ...]:
        module = reference if path == "reference" else network
        with environment(choices[path]), torch.set_grad_enabled(training):
            torch.set_num_threads(1 if path.endswith(ONE_THREAD) else threads)
            outputs = module(h, positions, tables.get(path, graph))
            if training:
                module.zero_grad()
                torch.stack([(out**2).mean() for out in outputs]).sum().backward()
            torch.set_num_threads(threads)
            return outputs

    places = edge_sums_triton.Places.expected(structures, config.cutoff)
    tables = {
        path: edge_sums_triton.neighbour_table(structures, config.cutoff, places)
        for path in choices
        if "triton" in path
    }
    wanted = call("reference", False)
    errors = {path: _deviation(call(path, False), wanted) for path in choices}
    for training in (False, True):
        best = race({path: partial(call, path, training) for path in choices}, device)
        work = flops(config, len(positions), len(graph.receivers), training=training)
        for path, seconds in best.items():
            yield Row(
                group=f"{name} network, {'training' if training else 'forward'}, {count} x {ATOMS} atoms",
                path=path,
                unit="call",
                seconds=seconds,
                ratio=best["reference"] / seconds,
                work=work,
                products=product_type(errors[path]),
                error=None if training or path == "reference" else errors[path],
            )


def _structures_at_once(device: torch.device) -> int:
    """What fills a GPU and leaves room for the reference; on a CPU one structure already takes milliseconds."""
    if device.type == "cpu":
        return 1
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(64, memory // BYTES_PER_STRUCTURE))


def product_type(error: float) -> str:
    """The type of the matrix products behind outputs that deviate so far from the reference's.

    Measured rather than asked for: torch takes bfloat16 or float32 by what the processor has.
    """
    return "bfloat16" if error > FLOAT32_ERROR else "float32"


def network_error(network: EGNN, device: torch.device) -> float:
    """Relative deviation of a network from its reference, by the path that it takes without being asked."""
    structures = silicon(1, device)
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    edges: Graph | edge_sums_triton.NeighbourTable = graph
    if edge_sums_triton.usable(config, h):
        edges = edge_sums_triton.neighbour_table(
            structures, config.cutoff, edge_sums_triton.Places.expected(structures, config.cutoff)
        )
    with torch.no_grad():
        return _deviation(network(h, positions, edges), ReferenceEGNN(network)(h, positions, graph))


def _deviation(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True))


def neighbour_rows(device: torch.device) -> Iterator[Row]:
    """Neighbour lists, in seconds per atom, on the device where the network wants them."""
    for count in (1, 64):
        structures = silicon(count, device)
        places = edge_sums_triton.Places.expected(structures, CUTOFF)

        def listed(native: str | None, structures: Structures = structures) -> Any:
            with environment({"AMSBENCH_NATIVE": native, "AMSBENCH_NATIVE_LEVEL": None}):
                return neighbour_graph(structures, CUTOFF)

        paths: dict[str, Callable[[], Any]] = {"vesin": partial(listed, "0")}
        with environment({"AMSBENCH_NATIVE": None}):
            if neighbour_list.active():
                paths["native"] = partial(listed, None)
        if device.type == "cuda" and edge_sums_triton.info()["active"]:
            paths["triton"] = partial(edge_sums_triton.neighbour_table, structures, CUTOFF, places)
        best = race(paths, device, seconds=SECONDS / 2)
        for path, seconds in best.items():
            yield Row(
                group=f"neighbour lists, {count} x {ATOMS} atoms, {CUTOFF} A",
                path=path,
                unit="atom",
                seconds=seconds / (count * ATOMS),
                ratio=best["vesin"] / seconds,
            )


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
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "native network kernel": edge_sums_native.info(),
        "native neighbour lists": neighbour_list.info(),
        "triton kernels": edge_sums_triton.info(),
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
